package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/status"
)

// The scopes of API keys for maintenance.
const (
	readStatus  = "status:read"
	writeStatus = "status:write"
)

// statusRoutes are the state of the service and its maintenance. The state is for everybody,
// also for who cannot log in because of it.
func (a *API) statusRoutes() {
	handle(a, op{get, "/status", Public, "Show how the service is", ok, nil, false}, a.status)
	handle(a, op{get, "/maintenance", AnyoneOr(readStatus), "List maintenance, the newest first", ok, nil, false}, a.listMaintenance)
	handle(a, op{post, "/maintenance", AdminsOr(writeStatus), "Plan maintenance", created, nil, true}, a.planMaintenance)
	handle(a, op{get, "/maintenance/{id}", AnyoneOr(readStatus), "Show maintenance", ok, nil, false}, a.getMaintenance)
	handle(a, op{patch, "/maintenance/{id}", AdminsOr(writeStatus), "Change planned maintenance", ok, nil, false}, a.changeMaintenance)
	handle(a, op{post, "/maintenance/{id}/start", AdminsOr(writeStatus), "Begin planned maintenance now", ok, nil, false}, a.startMaintenance)
	handle(a, op{post, "/maintenance/{id}/end", AdminsOr(writeStatus), "End maintenance now", ok, nil, false}, a.endMaintenance)
	handle(a, op{del, "/maintenance/{id}", AdminsOr(writeStatus), "Remove planned maintenance", 0, nil, false}, a.cancelMaintenance)
}

// statusService returns the service, or the error that it is switched off.
func (a *API) statusService() (*status.Service, error) { return enabled(a.o.Status) }

// ServiceStatus is how the service is, for everybody.
type ServiceStatus struct {
	Status      string            `json:"status" enum:"operational,degraded,partial_outage,major_outage" doc:"That of the worst component"`
	Components  []ComponentStatus `json:"components"`
	Maintenance []OpenMaintenance `json:"maintenance" doc:"What is under way, then what is planned, up to 100"`
	CheckedAt   *string           `json:"checked_at" format:"date-time" doc:"When the components were last looked at"`
}

// ComponentStatus is how a component is.
type ComponentStatus struct {
	Name   string  `json:"name"`
	Status string  `json:"status" enum:"operational,degraded,partial_outage,major_outage"`
	Detail *string `json:"detail" doc:"What is the matter, in English"`
	Since  string  `json:"since" format:"date-time"`
}

// OpenMaintenance is maintenance that has not ended, for everybody.
type OpenMaintenance struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	State     string   `json:"state" enum:"planned,running,ended"`
	Affected  []string `json:"affected" doc:"Names of components"`
	StartsAt  *string  `json:"starts_at" format:"date-time" doc:"When it begins by itself; null if an operator begins it"`
	EndsAt    *string  `json:"ends_at" format:"date-time" doc:"When it ends by itself; null if an operator ends it"`
	StartedAt *string  `json:"started_at" format:"date-time"`
}

func openMaintenance(m *status.Maintenance) OpenMaintenance {
	affected := m.Affected
	if affected == nil {
		affected = []string{}
	}
	return OpenMaintenance{
		ID: m.ID, Title: m.Title, State: string(m.Phase), Affected: affected,
		StartsAt: chatjson.OptStamp(m.StartsAt), EndsAt: chatjson.OptStamp(m.EndsAt), StartedAt: chatjson.OptStamp(m.StartedAt),
	}
}

func (a *API) status(context.Context, *call, *none) (*body[ServiceStatus], error) {
	s, err := a.statusService()
	if err != nil {
		return nil, err
	}
	now := s.Status()
	out := ServiceStatus{
		Status: string(now.State), Components: make([]ComponentStatus, len(now.Components)),
		Maintenance: make([]OpenMaintenance, len(now.Maintenance)), CheckedAt: chatjson.OptStamp(now.SampledAt),
	}
	for i, c := range now.Components {
		out.Components[i] = ComponentStatus{c.Name, string(c.State), optional(c.Detail), chatjson.Stamp(c.Since)}
	}
	for i := range now.Maintenance {
		out.Maintenance[i] = openMaintenance(&now.Maintenance[i])
	}
	return reply(out), nil
}

// Maintenance is work on the service.
type Maintenance struct {
	OpenMaintenance
	EndedAt   *string `json:"ended_at" format:"date-time"`
	CreatedAt string  `json:"created_at" format:"date-time"`
	CreatedBy *string `json:"created_by,omitempty" doc:"As user:1 or key:k_…; for operators only, like the other two"`
	StartedBy *string `json:"started_by,omitempty" doc:"Left out if it was the schedule"`
	EndedBy   *string `json:"ended_by,omitempty" doc:"Left out if it was the schedule"`
}

// maintenance is m as the caller sees it: who did it is for operators.
func maintenance(c *call, m *status.Maintenance) Maintenance {
	out := Maintenance{OpenMaintenance: openMaintenance(m), EndedAt: chatjson.OptStamp(m.EndedAt), CreatedAt: chatjson.Stamp(m.CreatedAt)}
	if c.sees(readStatus) || c.sees(writeStatus) {
		out.CreatedBy, out.StartedBy, out.EndedBy = optional(m.CreatedBy), optional(m.StartedBy), optional(m.EndedBy)
	}
	return out
}

// MaintenanceList is a page of maintenance, the newest first.
type MaintenanceList struct {
	Maintenance []Maintenance `json:"maintenance"`
	NextCursor  *string       `json:"next_cursor"`
}

type maintenanceInput struct {
	State  string `query:"state" enum:"planned,running,ended"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor string `query:"cursor" maxLength:"400"`
}

func (a *API) listMaintenance(ctx context.Context, c *call, in *maintenanceInput) (*body[MaintenanceList], error) {
	s, err := a.statusService()
	if err != nil {
		return nil, err
	}
	page, err := s.List(ctx, status.Query{Phase: status.Phase(in.State), Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := MaintenanceList{make([]Maintenance, len(page.Maintenance)), optional(page.Next)}
	for i := range page.Maintenance {
		out.Maintenance[i] = maintenance(c, &page.Maintenance[i])
	}
	return reply(out), nil
}

type planInput struct {
	Body struct {
		Title    string           `json:"title" doc:"Up to 200 characters; everybody sees it"`
		Affected []string         `json:"affected,omitempty" doc:"Names of components, up to 20"`
		StartsAt maybe[time.Time] `json:"starts_at,omitempty" doc:"When it begins by itself; at once if that is now; without one an operator begins it"`
		EndsAt   maybe[time.Time] `json:"ends_at,omitempty" doc:"When it ends by itself; without one an operator ends it"`
	}
}

func (a *API) planMaintenance(ctx context.Context, c *call, in *planInput) (*answer[Maintenance], error) {
	s, err := a.statusService()
	if err != nil {
		return nil, err
	}
	b := &in.Body
	m, err := s.Plan(ctx, c.Actor(), status.Plan{
		Title: b.Title, Affected: b.Affected, StartsAt: moment(b.StartsAt.value), EndsAt: moment(b.EndsAt.value),
	})
	if err != nil {
		return nil, err
	}
	out := &answer[Maintenance]{Status: http.StatusCreated, Body: maintenance(c, &m)}
	return out, a.recordMaintenance(ctx, c, "create", &m)
}

// recordMaintenance puts on record what an operator did to maintenance.
func (a *API) recordMaintenance(ctx context.Context, c *call, action string, m *status.Maintenance) error {
	return a.recordOf(ctx, c, "maintenance."+action, "maintenance:"+m.ID, map[string]any{"title": m.Title})
}

// MaintenancePath names maintenance. It is exported for the library, which looks into no other embedded fields.
type MaintenancePath struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) getMaintenance(ctx context.Context, c *call, in *MaintenancePath) (*body[Maintenance], error) {
	s, err := a.statusService()
	if err != nil {
		return nil, err
	}
	m, err := s.Maintenance(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return reply(maintenance(c, &m)), nil
}

type changePlanInput struct {
	MaintenancePath
	Body struct {
		Title    *string          `json:"title,omitempty" doc:"Up to 200 characters; everybody sees it"`
		Affected maybe[[]string]  `json:"affected,omitempty" doc:"Names of components, up to 20"`
		StartsAt maybe[time.Time] `json:"starts_at,omitempty" doc:"Null leaves it to an operator"`
		EndsAt   maybe[time.Time] `json:"ends_at,omitempty" doc:"Null leaves it to an operator"`
	}
}

func (a *API) changeMaintenance(ctx context.Context, c *call, in *changePlanInput) (*body[Maintenance], error) {
	b := &in.Body
	return a.actOnMaintenance(ctx, c, "update", func(s *status.Service) (status.Maintenance, error) {
		return s.Change(ctx, in.ID, status.PlanChange{
			Title: b.Title, Affected: b.Affected.pointer(), StartsAt: given(&b.StartsAt), EndsAt: given(&b.EndsAt),
		})
	})
}

// moment is t in milliseconds since 1970. The beginning of 1970 is a millisecond later: 0 is
// no time at all.
func moment(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return cmp.Or(t.UnixMilli(), 1)
}

// given is a time in milliseconds since 1970, nil if it was left out.
func given(t *maybe[time.Time]) *int64 {
	if !t.given {
		return nil
	}
	ms := moment(t.value)
	return &ms
}

func (a *API) startMaintenance(ctx context.Context, c *call, in *MaintenancePath) (*body[Maintenance], error) {
	return a.actOnMaintenance(ctx, c, "start", func(s *status.Service) (status.Maintenance, error) { return s.Start(ctx, c.Actor(), in.ID) })
}

func (a *API) endMaintenance(ctx context.Context, c *call, in *MaintenancePath) (*body[Maintenance], error) {
	return a.actOnMaintenance(ctx, c, "end", func(s *status.Service) (status.Maintenance, error) { return s.End(ctx, c.Actor(), in.ID) })
}

func (a *API) cancelMaintenance(ctx context.Context, c *call, in *MaintenancePath) (*none, error) {
	_, err := a.actOnMaintenance(ctx, c, "delete", func(s *status.Service) (status.Maintenance, error) {
		return status.Maintenance{ID: in.ID}, s.Cancel(ctx, in.ID)
	})
	return nil, err
}

// actOnMaintenance does something to maintenance, puts it on record and answers with it.
func (a *API) actOnMaintenance(ctx context.Context, c *call, action string, do func(*status.Service) (status.Maintenance, error)) (*body[Maintenance], error) {
	s, err := a.statusService()
	if err != nil {
		return nil, err
	}
	m, err := do(s)
	if err != nil {
		return nil, err
	}
	return reply(maintenance(c, &m)), a.recordMaintenance(ctx, c, action, &m)
}
