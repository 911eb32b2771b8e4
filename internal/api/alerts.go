package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/chatjson"
)

// Scopes of keys for alerts and scans.
const (
	alertsRead  = "alerts:read"
	alertsWrite = "alerts:write"
)

// alertRoutes are alerts and scans, for administrators and services that have the scope.
func (a *API) alertRoutes() {
	handle(a, op{get, "/alerts", AdminsOr(alertsRead), "List alerts, the newest first", ok, nil, false}, a.listAlerts)
	handle(a, op{post, "/alerts", AdminsOr(alertsWrite), "Raise an alert, or repeat the one that stands", created, []int{ok}, true}, a.raiseAlert)
	handle(a, op{get, "/alerts/{id}", AdminsOr(alertsRead), "Show an alert", ok, nil, false}, a.getAlert)
	handle(a, op{post, "/alerts/{id}/acknowledge", AdminsOr(alertsWrite), "Say that one has seen an alert", ok, nil, false}, a.acknowledgeAlert)
	handle(a, op{post, "/alerts/{id}/resolve", AdminsOr(alertsWrite), "Say that what an alert tells of is over", ok, nil, false}, a.resolveAlert)

	handle(a, op{get, "/scans", AdminsOr(alertsRead), "List scans, the newest first", ok, nil, false}, a.listScans)
	handle(a, op{post, "/scans", AdminsOr(alertsWrite), "Hold the running server against what it promises", created, nil, true}, a.startScan)
	handle(a, op{get, "/scans/{id}", AdminsOr(alertsRead), "Show a scan and what it found", ok, nil, false}, a.getScan)
}

// alerts returns the service, if there is one.
func (a *API) alerts() (*alerts.Service, error) { return enabled(a.o.Alerts) }

// Alert is something that should be looked at.
type Alert struct {
	ID             string         `json:"id"`
	Kind           string         `json:"kind" doc:"With the subject, what is folded: of both the same one is not resolved"`
	Subject        string         `json:"subject" doc:"As user:88 or address:192.0.2.1"`
	UserID         *int64         `json:"user_id" doc:"The person it is about"`
	Title          string         `json:"title"`
	Description    string         `json:"description"`
	Severity       string         `json:"severity" enum:"info,low,medium,high,critical,warning"`
	Category       string         `json:"category"`
	Source         string         `json:"source"`
	Status         string         `json:"status" enum:"active,acknowledged,resolved"`
	Count          int64          `json:"count" doc:"How often it happened"`
	Metadata       map[string]any `json:"metadata"`
	CreatedAt      string         `json:"created_at" format:"date-time"`
	LastSeenAt     string         `json:"last_seen_at" format:"date-time"`
	UpdatedAt      string         `json:"updated_at" format:"date-time"`
	AcknowledgedAt *string        `json:"acknowledged_at" format:"date-time"`
	AcknowledgedBy *string        `json:"acknowledged_by" doc:"As user:1 or key:k_…"`
	ResolvedAt     *string        `json:"resolved_at" format:"date-time"`
	ResolvedBy     *string        `json:"resolved_by"`
}

func alertOf(a *alerts.Alert) (Alert, error) {
	out := Alert{
		ID: alerts.AlertName(a.ID), Kind: a.Kind, Subject: a.Subject, Title: a.Title, Description: a.Description, Severity: a.Severity,
		Category: a.Category, Source: a.Source, Status: a.Status, Count: a.Count,
		CreatedAt: chatjson.Stamp(a.CreatedAt), LastSeenAt: chatjson.Stamp(a.LastSeenAt), UpdatedAt: chatjson.Stamp(a.UpdatedAt),
		AcknowledgedAt: chatjson.OptStamp(a.AcknowledgedAt), AcknowledgedBy: optional(a.AcknowledgedBy),
		ResolvedAt: chatjson.OptStamp(a.ResolvedAt), ResolvedBy: optional(a.ResolvedBy),
	}
	if a.User != 0 {
		out.UserID = &a.User
	}
	return out, json.Unmarshal(a.Metadata, &out.Metadata)
}

// AlertList is a page of alerts.
type AlertList struct {
	Alerts     []Alert `json:"alerts"`
	NextCursor *string `json:"next_cursor"`
}

type alertsInput struct {
	Status   string `query:"status" enum:"active,acknowledged,resolved,open" doc:"open is whatever is not resolved"`
	Severity string `query:"severity" enum:"info,low,medium,high,critical,warning"`
	Kind     string `query:"kind" maxLength:"64"`
	User     ID     `query:"user_id" doc:"Alerts about this person"`
	Limit    int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor   string `query:"cursor" maxLength:"100"`
}

func (a *API) listAlerts(ctx context.Context, _ *call, in *alertsInput) (*body[AlertList], error) {
	s, err := a.alerts()
	if err != nil {
		return nil, err
	}
	list, next, err := s.List(ctx, alerts.Query{
		Status: in.Status, Severity: in.Severity, Kind: in.Kind, User: int64(in.User), Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := AlertList{make([]Alert, len(list)), optional(next)}
	for i := range list {
		if out.Alerts[i], err = alertOf(&list[i]); err != nil {
			return nil, err
		}
	}
	return reply(out), nil
}

type newAlertInput struct {
	Body struct {
		Title       string         `json:"title" maxLength:"200"`
		Severity    string         `json:"severity" enum:"info,low,medium,high,critical,warning"`
		Description string         `json:"description,omitempty" maxLength:"4000"`
		Category    string         `json:"category,omitempty" maxLength:"64"`
		Source      string         `json:"source,omitempty" maxLength:"64"`
		Kind        string         `json:"kind,omitempty" maxLength:"64" doc:"A word of your own; custom if not given"`
		Subject     string         `json:"subject,omitempty" maxLength:"200" doc:"What it is about; the title if not given"`
		Metadata    map[string]any `json:"metadata,omitempty" doc:"With userId, the alert is about that person"`
	}
}

func (a *API) raiseAlert(ctx context.Context, c *call, in *newAlertInput) (*answer[Alert], error) {
	s, err := a.alerts()
	if err != nil {
		return nil, err
	}
	b := &in.Body
	one, raised, err := s.Raise(ctx, c.Actor(), alerts.Draft{
		Kind: b.Kind, Subject: b.Subject, Title: b.Title, Description: b.Description, Severity: b.Severity, Category: b.Category,
		Source: b.Source, Metadata: b.Metadata,
	})
	if err != nil {
		return nil, err
	}
	out, err := alertOf(&one)
	if raised {
		return &answer[Alert]{Status: http.StatusCreated, Body: out}, err
	}
	return &answer[Alert]{Status: http.StatusOK, Body: out}, err
}

type alertPath struct {
	ID string `path:"id" maxLength:"64"`
}

// onAlert answers with what do makes of the alert of a path.
func (a *API) onAlert(in *alertPath, do func(s *alerts.Service, id int64) (alerts.Alert, error)) (*body[Alert], error) {
	s, err := a.alerts()
	if err != nil {
		return nil, err
	}
	id, err := alerts.ParseAlert(in.ID)
	if err != nil {
		return nil, err
	}
	one, err := do(s, id)
	if err != nil {
		return nil, err
	}
	out, err := alertOf(&one)
	return reply(out), err
}

func (a *API) getAlert(ctx context.Context, _ *call, in *alertPath) (*body[Alert], error) {
	return a.onAlert(in, func(s *alerts.Service, id int64) (alerts.Alert, error) { return s.Alert(ctx, id) })
}

func (a *API) acknowledgeAlert(ctx context.Context, c *call, in *alertPath) (*body[Alert], error) {
	out, err := a.onAlert(in, func(s *alerts.Service, id int64) (alerts.Alert, error) { return s.Acknowledge(ctx, c.Actor(), id) })
	if err != nil {
		return nil, err
	}
	return out, a.recordOf(ctx, c, "alert.acknowledge", "alert:"+in.ID, nil)
}

func (a *API) resolveAlert(ctx context.Context, c *call, in *alertPath) (*body[Alert], error) {
	out, err := a.onAlert(in, func(s *alerts.Service, id int64) (alerts.Alert, error) { return s.Resolve(ctx, c.Actor(), id) })
	if err != nil {
		return nil, err
	}
	return out, a.recordOf(ctx, c, "alert.resolve", "alert:"+in.ID, nil)
}

// Scan is a look at the running server.
type Scan struct {
	ID          string    `json:"id"`
	Type        string    `json:"type" enum:"full,quick,targeted"`
	Target      *string   `json:"target"`
	Status      string    `json:"status" enum:"running,passed,findings,failed"`
	Error       *string   `json:"error"`
	StartedBy   string    `json:"started_by"`
	StartedAt   string    `json:"started_at" format:"date-time"`
	CompletedAt *string   `json:"completed_at" format:"date-time"`
	Findings    []Finding `json:"findings" doc:"The worst first"`
}

// Finding is something that weakens what the server promises.
type Finding struct {
	ID        string  `json:"id" doc:"The check that found it"`
	Severity  string  `json:"severity" enum:"critical,high,medium,low"`
	Title     string  `json:"title"`
	Detail    string  `json:"detail"`
	Key       *string `json:"key" doc:"What to change in the configuration"`
	Guarantee string  `json:"guarantee" doc:"The line of the guarantees that is weakened, as S5"`
}

func scanOf(s *alerts.Scan) Scan {
	out := Scan{
		ID: alerts.ScanName(s.ID), Type: s.Type, Target: optional(s.Target), Status: s.Status, Error: optional(s.Error), StartedBy: s.StartedBy,
		StartedAt: chatjson.Stamp(s.StartedAt), CompletedAt: chatjson.OptStamp(s.CompletedAt), Findings: make([]Finding, len(s.Findings)),
	}
	for i, f := range s.Findings {
		out.Findings[i] = Finding{f.ID, f.Severity, f.Title, f.Detail, optional(f.Key), f.Guarantee}
	}
	return out
}

// ScanList is a page of scans.
type ScanList struct {
	Scans      []Scan  `json:"scans"`
	NextCursor *string `json:"next_cursor"`
}

type scansInput struct {
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor string `query:"cursor" maxLength:"100"`
}

func (a *API) listScans(ctx context.Context, _ *call, in *scansInput) (*body[ScanList], error) {
	s, err := a.alerts()
	if err != nil {
		return nil, err
	}
	list, next, err := s.Scans(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	out := ScanList{make([]Scan, len(list)), optional(next)}
	for i := range list {
		out.Scans[i] = scanOf(&list[i])
	}
	return reply(out), nil
}

type newScanInput struct {
	Body struct {
		Type   string `json:"type" enum:"full,quick,targeted" doc:"Everything, what the configuration alone says, or what the target names"`
		Target string `json:"target,omitempty" maxLength:"200" doc:"An area, a check, a guarantee or a key of the configuration"`
	}
}

func (a *API) startScan(ctx context.Context, c *call, in *newScanInput) (*answer[Scan], error) {
	s, err := a.alerts()
	if err != nil {
		return nil, err
	}
	scan, err := s.Scan(ctx, c.Actor(), in.Body.Type, in.Body.Target)
	if err != nil {
		return nil, err
	}
	return &answer[Scan]{Status: http.StatusCreated, Body: scanOf(&scan)}, nil
}

func (a *API) getScan(ctx context.Context, _ *call, in *alertPath) (*body[Scan], error) {
	s, err := a.alerts()
	if err != nil {
		return nil, err
	}
	id, err := alerts.ParseScan(in.ID)
	if err != nil {
		return nil, err
	}
	scan, err := s.GetScan(ctx, id)
	if err != nil {
		return nil, err
	}
	return reply(scanOf(&scan)), nil
}
