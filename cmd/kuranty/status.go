package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

type statusCmd struct {
	Show   statusShowCmd   `cmd:"" default:"withargs" help:"Print how a running server is, and its maintenance (what kuranty status alone does)."`
	List   statusListCmd   `cmd:"" help:"List maintenance, the newest first."`
	Plan   statusPlanCmd   `cmd:"" help:"Plan maintenance, or begin it at once."`
	Change statusChangeCmd `cmd:"" help:"Change planned maintenance."`
	Start  statusStartCmd  `cmd:"" help:"Begin planned maintenance now."`
	End    statusEndCmd    `cmd:"" help:"End maintenance now."`
	Cancel statusCancelCmd `cmd:"" help:"Remove planned maintenance."`
}

// maintenance is what is printed of maintenance.
type maintenance struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	State     string   `json:"state"`
	Affected  []string `json:"affected"`
	StartsAt  *string  `json:"starts_at"`
	EndsAt    *string  `json:"ends_at"`
	StartedAt *string  `json:"started_at"`
	EndedAt   *string  `json:"ended_at"`
}

const maintenanceHeader = "ID STATE STARTS ENDS AFFECTED TITLE"

func maintenanceRow(o json.RawMessage) ([]any, error) {
	var m maintenance
	err := json.Unmarshal(o, &m)
	starts, ends := m.StartsAt, m.EndsAt
	if m.StartedAt != nil {
		starts = m.StartedAt
	}
	if m.EndedAt != nil {
		ends = m.EndedAt
	}
	affected := strings.Join(m.Affected, ",")
	return []any{m.ID, m.State, day(starts), day(ends), orDash(&affected), m.Title}, err
}

type statusShowCmd struct{ backend }

func (c *statusShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		if s.local != nil {
			return errors.New("no server runs on this data folder; name another with --url")
		}
		var object json.RawMessage
		if err := s.get("/status", &object); err != nil {
			return fmt.Errorf("ask how the server is: %w", err)
		}
		var now struct {
			Status      string            `json:"status"`
			Components  []json.RawMessage `json:"components"`
			Maintenance []json.RawMessage `json:"maintenance"`
		}
		if shown, err := s.read(object, &now); shown || err != nil {
			return err
		}
		if err := s.say("%s", plain(now.Status)+"\n"); err != nil {
			return err
		}
		err := s.list("COMPONENT STATUS SINCE DETAIL", now.Components, func(o json.RawMessage) ([]any, error) {
			var p struct {
				Name, Status, Since string
				Detail              *string
			}
			err := json.Unmarshal(o, &p)
			return []any{p.Name, p.Status, day(&p.Since), orDash(p.Detail)}, err
		})
		if err != nil || len(now.Maintenance) == 0 {
			return err
		}
		if err := s.say(""); err != nil {
			return err
		}
		return s.list(maintenanceHeader, now.Maintenance, maintenanceRow)
	})
}

type statusListCmd struct {
	backend
	State string `enum:",planned,running,ended" default:"" help:"Only planned, running or ended."`
	Limit most   `short:"n" default:"50" help:"Most lines."`
}

func (c *statusListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{}
		if c.State != "" {
			q.Set("state", c.State)
		}
		objects, err := s.pages("/maintenance", q, "maintenance", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list maintenance: %w", err)
		}
		return s.list(maintenanceHeader, objects, maintenanceRow)
	})
}

// schedule is the flags of when maintenance is.
type schedule struct {
	Starts moment `placeholder:"TIME" help:"When it begins by itself, as \"2026-05-01 01:00\"; without this it is begun by kuranty status start."`
	Ends   moment `placeholder:"TIME" help:"When it ends by itself; without this it is ended by kuranty status end."`
}

func (c *schedule) put(body map[string]any) {
	for name, at := range map[string]moment{"starts_at": c.Starts, "ends_at": c.Ends} {
		if t := time.Time(at); !t.IsZero() {
			body[name] = t.Format(time.RFC3339)
		}
	}
}

type statusPlanCmd struct {
	backend
	schedule
	Now      bool     `help:"Begin it at once."`
	Affected []string `placeholder:"NAME" help:"Components, as database,log."`
	Title    string   `arg:"" help:"What is done; everybody sees it."`
}

func (c *statusPlanCmd) Run(g *globals) error {
	if c.Now && !time.Time(c.Starts).IsZero() {
		return usageError{errors.New("--now and --starts do not go together")}
	}
	return c.run(g, func(s *session) error {
		body := map[string]any{"title": c.Title, "affected": c.Affected}
		if c.Affected == nil {
			delete(body, "affected")
		}
		c.put(body)
		var object json.RawMessage
		if err := s.post("/maintenance", body, &object); err != nil {
			return fmt.Errorf("plan maintenance: %w", err)
		}
		var m maintenance
		if err := json.Unmarshal(object, &m); err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if c.Now {
			if err := s.post(maintenancePath(m.ID, "/start"), nil, &object); err != nil {
				return fmt.Errorf("begin maintenance %s: %w", m.ID, err)
			}
		}
		return s.sayMaintenance(object)
	})
}

func maintenancePath(id, rest string) string { return "/maintenance/" + url.PathEscape(id) + rest }

// sayMaintenance prints maintenance that was made or changed.
func (s *session) sayMaintenance(object json.RawMessage) error {
	var m maintenance
	if shown, err := s.read(object, &m); shown || err != nil {
		return err
	}
	return s.say("maintenance %s is %s", m.ID, m.State)
}

// maintenanceArg names maintenance.
type maintenanceArg struct {
	ID string `arg:"" help:"Id of the maintenance, as kuranty status list shows it."`
}

type statusChangeCmd struct {
	backend
	maintenanceArg
	schedule
	Title      *string  `help:"What is done; everybody sees it."`
	Affected   []string `placeholder:"NAME" help:"Components, as database,log."`
	Unschedule bool     `help:"It begins and ends by commands alone."`
}

func (c *statusChangeCmd) Run(g *globals) error {
	body := map[string]any{}
	if c.Unschedule {
		body["starts_at"], body["ends_at"] = nil, nil
	}
	if c.Title != nil {
		body["title"] = *c.Title
	}
	if c.Affected != nil {
		body["affected"] = c.Affected
	}
	c.put(body)
	if len(body) == 0 {
		return usageError{errors.New("nothing to change: give --title, --affected, --starts, --ends or --unschedule")}
	}
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.patch(maintenancePath(c.ID, ""), body, &object); err != nil {
			return fmt.Errorf("change maintenance %s: %w", c.ID, err)
		}
		return s.sayMaintenance(object)
	})
}

type statusStartCmd struct {
	backend
	maintenanceArg
}

func (c *statusStartCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.post(maintenancePath(c.ID, "/start"), nil, &object); err != nil {
			return fmt.Errorf("begin maintenance %s: %w", c.ID, err)
		}
		return s.sayMaintenance(object)
	})
}

type statusEndCmd struct {
	backend
	maintenanceArg
}

func (c *statusEndCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.post(maintenancePath(c.ID, "/end"), nil, &object); err != nil {
			return fmt.Errorf("end maintenance %s: %w", c.ID, err)
		}
		return s.sayMaintenance(object)
	})
}

type statusCancelCmd struct {
	backend
	maintenanceArg
}

func (c *statusCancelCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		if err := s.del(maintenancePath(c.ID, "")); err != nil {
			return fmt.Errorf("cancel maintenance %s: %w", c.ID, err)
		}
		return s.say("maintenance %s is cancelled", c.ID)
	})
}
