package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Part lets exports and erasures reach what alerts say of people (privacy.Part).
type Part struct{ s *Service }

// Part returns the part of the service in exports and erasures.
func (s *Service) Part() Part { return Part{s} }

// Name is the part's folder in exports.
func (Part) Name() string { return "alerts" }

// exported is what an export has of an alert: nothing of others, whose addresses may stand
// in the rest.
type exported struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	Title     string    `json:"title"`
	Severity  string    `json:"severity"`
	Status    string    `json:"status"`
	Count     int64     `json:"count"`
	CreatedAt time.Time `json:"created_at"`
	LastSeen  time.Time `json:"last_seen_at"`
}

// perFile bounds the alerts in one file of an export.
const perFile = 1000

// Export writes the alerts about a person.
func (p Part) Export(ctx context.Context, user int64, write func(name string, v any) error) error {
	above := int64(0)
	for n := 1; ; n++ {
		list, err := p.of(ctx, user, above, perFile)
		if err != nil || n > 1 && len(list) == 0 {
			return err
		}
		out := make([]exported, len(list))
		for i := range list {
			a := &list[i]
			out[i] = exported{
				AlertName(a.ID), a.Kind, a.Title, a.Severity, a.Status, a.Count,
				time.UnixMilli(a.CreatedAt).UTC(), time.UnixMilli(a.LastSeenAt).UTC(),
			}
			above = a.ID
		}
		name := "alerts"
		if n > 1 {
			name += "-" + strconv.Itoa(n)
		}
		if err := write(name, out); err != nil || len(list) < perFile {
			return err
		}
	}
}

func (p Part) of(ctx context.Context, user, above int64, limit int) (list []Alert, err error) {
	err = p.s.store.View(ctx, func(tx Tx) error {
		list, err = tx.AlertsOf(ctx, user, above, limit)
		return err
	})
	return list, err
}

// Erase takes what services said of a person, and addresses, out of alerts, out of the log
// and out of replies that are kept; that there was an alert about that number stays.
func (p Part) Erase(ctx context.Context, user int64) error {
	for {
		list, err := p.of(ctx, user, 0, batch)
		if err != nil {
			return err
		}
		for i := range list {
			if err := p.unname(ctx, list[i].ID, user); err != nil {
				return err
			}
		}
		if len(list) < batch {
			break
		}
	}
	if err := p.s.store.Update(ctx, func(tx Tx) error { return tx.ForgetReplies(ctx, user) }); err != nil {
		return fmt.Errorf("forget replies about alerts: %w", err)
	}
	return p.eraseLog(ctx, user)
}

const unnamedTitle = "Alert about a deleted account"

// unname takes a person out of an alert.
func (p Part) unname(ctx context.Context, id, user int64) error {
	return p.s.store.Update(ctx, func(tx Tx) error {
		a, err := tx.LockAlert(ctx, id)
		if err != nil {
			return err
		}
		if _, own := p.s.rules[a.Kind]; !own {
			a.Title, a.Subject, a.Category, a.Source = unnamedTitle, AlertName(a.ID), "", ""
		}
		a.Description, a.Metadata, a.User = "", onlyUser(user), 0
		return tx.SaveAlert(ctx, &a)
	})
}

func onlyUser(user int64) json.RawMessage { return fmt.Appendf(nil, `{"userId":"%d"}`, user) }

// eraseLog takes a person out of the events about alerts.
func (p Part) eraseLog(ctx context.Context, user int64) error {
	own := make(map[words]bool)
	for _, r := range p.s.rules {
		own[words{r.title, r.category, r.source}] = true
	}
	for above := int64(0); ; {
		var events []event.Event
		err := p.s.store.View(ctx, func(tx Tx) (err error) {
			events, err = tx.AlertEvents(ctx, above, batch)
			return err
		})
		if err != nil || len(events) == 0 {
			return err
		}
		above = events[len(events)-1].Row()
		for i := range events {
			payload, about, err := unnamed(&events[i], user, own)
			if err == nil && about {
				err = p.s.store.Update(ctx, func(tx Tx) error { return tx.RewriteEvent(ctx, events[i].Row(), payload) })
			}
			if err != nil {
				return err
			}
		}
	}
}

// words are what an alert is called; those of the server's own name nobody.
type words struct{ title, category, source string }

// unnamed is the payload of an event about an alert without what it says of a person;
// about tells whether it is about them.
func unnamed(e *event.Event, user int64, own map[words]bool) (payload []byte, about bool, err error) {
	var m map[string]json.RawMessage
	var shown event.Alert
	if err := json.Unmarshal(e.Payload, &m); err != nil {
		return nil, false, fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	if err := json.Unmarshal(e.Payload, &shown); err != nil {
		return nil, false, fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	if userIn(shown.Metadata) != user {
		return nil, false, nil
	}
	delete(m, "description")
	m["metadata"] = onlyUser(user)
	if !own[words{shown.Title, shown.Category, shown.Source}] {
		m["title"] = json.RawMessage(`"` + unnamedTitle + `"`)
		delete(m, "category")
		delete(m, "source")
	}
	payload, err = json.Marshal(m)
	return payload, true, err
}
