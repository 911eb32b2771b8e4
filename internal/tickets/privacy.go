package tickets

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Personal is what privacy asks of tickets: it is a part of exports and erasures.
type Personal struct{ *Service }

// Personal returns the part.
func (s *Service) Personal() Personal { return Personal{s} }

// Name implements privacy.Part.
func (Personal) Name() string { return "tickets" }

// erasureTx is what erasing needs.
type erasureTx interface {
	// RemoveTicket removes up to limit messages of a ticket, and, when there are none left,
	// the ticket; more tells whether there are.
	RemoveTicket(ctx context.Context, id int64, limit int) (more bool, err error)
	// ForgetReplies removes replies about tickets that are kept for repeated requests.
	ForgetReplies(ctx context.Context, tickets []int64) error
	// Shown returns the events about a ticket that the log has.
	Shown(ctx context.Context, id int64) ([]event.Event, error)
	// RewriteEvent replaces the payload of an event.
	RewriteEvent(ctx context.Context, row int64, payload []byte) error
	// WrittenElsewhere returns messages of user in tickets of others, with ids above one.
	WrittenElsewhere(ctx context.Context, user, after int64, limit int) ([]Message, error)
	// FilesFor returns the ids of files in tickets of user that others uploaded.
	FilesFor(ctx context.Context, user int64) ([]string, error)
}

// batch is how much is read, or removed, at a time.
const batch = 200

// Erase implements privacy.Part. A person's tickets are gone, also what operators answered
// there, and what the log shows of them is empty. What an administrator answered others
// stays, as it is theirs too, with the number of an account that has no name any more.
func (p Personal) Erase(ctx context.Context, user int64) error {
	own := Caller{User: user}
	for {
		page, err := p.List(ctx, own, Query{Limit: batch})
		if err != nil {
			return err
		}
		if len(page.Tickets) == 0 {
			return p.unassign(ctx, user)
		}
		var ids []int64
		for i := range page.Tickets {
			ids = append(ids, page.Tickets[i].ID)
		}
		if err := p.store.Update(ctx, func(tx Tx) error { return tx.ForgetReplies(ctx, ids) }); err != nil {
			return fmt.Errorf("forget replies about tickets: %w", err)
		}
		for _, id := range ids {
			if err := p.erase(ctx, id); err != nil {
				return fmt.Errorf("erase ticket %d: %w", id, err)
			}
		}
	}
}

// erase removes a ticket. First it is emptied of messages; the last transaction, in which
// nobody can be writing in it, takes it out of the log.
func (p Personal) erase(ctx context.Context, id int64) error {
	for more := true; more; {
		err := p.store.Update(ctx, func(tx Tx) error {
			if _, err := tx.Lock(ctx, 0, id); err != nil {
				return err
			}
			var err error
			if more, err = tx.RemoveTicket(ctx, id, batch); err != nil || more {
				return err
			}
			return redact(ctx, tx, id)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// redact takes texts out of the events about a ticket.
func redact(ctx context.Context, tx Tx, id int64) error {
	events, err := tx.Shown(ctx, id)
	if err != nil {
		return err
	}
	for i := range events {
		payload, changed, err := redacted(&events[i])
		if err == nil && changed {
			err = tx.RewriteEvent(ctx, events[i].Row(), payload)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func redacted(e *event.Event) (payload []byte, changed bool, err error) {
	var v map[string]json.RawMessage
	if err := json.Unmarshal(e.Payload, &v); err != nil {
		return nil, false, fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	for _, name := range []string{"title", "message_text"} {
		if text, there := v[name]; there && string(text) != `""` {
			v[name], changed = json.RawMessage(`""`), true
		}
	}
	if changed {
		payload, err = json.Marshal(v)
	}
	return payload, changed, err
}

// unassign gives up the tickets that user takes care of.
func (p Personal) unassign(ctx context.Context, user int64) error {
	server, nobody := Caller{Operator: true}, int64(0)
	for {
		page, err := p.List(ctx, server, Query{Assignee: user, Limit: batch})
		if err != nil || len(page.Tickets) == 0 {
			return err
		}
		for i := range page.Tickets {
			if _, err := p.Change(ctx, server, page.Tickets[i].ID, Change{Assignee: &nobody}); err != nil {
				return err
			}
		}
	}
}

// Files returns the files in tickets of user that others uploaded, for exports.
func (p Personal) Files(ctx context.Context, user int64) (ids []string, err error) {
	err = p.store.View(ctx, func(tx Tx) error {
		ids, err = tx.FilesFor(ctx, user)
		return err
	})
	return ids, err
}

// What an export has of a ticket. Times are RFC 3339 in UTC, absent for never.
type (
	ticketCopy struct {
		ID           int64         `json:"id"`
		Title        string        `json:"title"`
		Status       string        `json:"status"`
		Priority     string        `json:"priority"`
		Assignee     int64         `json:"assignee_id,omitempty"`
		BlockedUntil string        `json:"replies_blocked_until,omitempty"`
		CreatedAt    string        `json:"created_at"`
		UpdatedAt    string        `json:"updated_at"`
		ClosedAt     string        `json:"closed_at,omitempty"`
		Messages     []messageCopy `json:"messages"`
	}

	messageCopy struct {
		ID           int64      `json:"id"`
		Ticket       int64      `json:"ticket_id"`
		Author       int64      `json:"author_id,omitempty"`
		FromOperator bool       `json:"is_from_admin"`
		Text         string     `json:"text"`
		Files        []fileCopy `json:"attachments,omitempty"`
		CreatedAt    string     `json:"created_at"`
	}

	fileCopy struct {
		ID      string `json:"file_id"`
		Name    string `json:"name"`
		Caption string `json:"caption,omitempty"`
	}
)

// Export implements privacy.Part. Each file has a page of a ticket, the newest messages
// first, or of what the person answered others.
func (p Personal) Export(ctx context.Context, user int64, write func(name string, v any) error) error {
	own := Caller{User: user}
	for q := (Query{Limit: batch}); ; {
		page, err := p.List(ctx, own, q)
		if err != nil {
			return err
		}
		for i := range page.Tickets {
			if err := p.exportTicket(ctx, own, page.Tickets[i].ID, write); err != nil {
				return err
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return p.exportAnswers(ctx, user, write)
		}
	}
}

func (p Personal) exportTicket(ctx context.Context, own Caller, id int64, write func(string, any) error) error {
	for n, before := 1, int64(0); ; n++ {
		th, err := p.Thread(ctx, own, id, before, batch)
		if err != nil {
			return err
		}
		if err := write(numbered(fmt.Sprint(id), n), copyThread(&th)); err != nil || !th.Before {
			return err
		}
		before = th.Messages[0].ID
	}
}

func (p Personal) exportAnswers(ctx context.Context, user int64, write func(string, any) error) error {
	for n, after := 1, int64(0); ; n++ {
		var list []Message
		err := p.store.View(ctx, func(tx Tx) (err error) {
			list, err = tx.WrittenElsewhere(ctx, user, after, batch)
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		if err := write(numbered("answers", n), copyMessages(list)); err != nil {
			return err
		}
		after = list[len(list)-1].ID
	}
}

// numbered is the name of the n-th file of a kind.
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, n)
}

func copyThread(th *Thread) ticketCopy {
	t := &th.Ticket
	return ticketCopy{
		t.ID, t.Title, t.Status, t.Priority, t.Assignee, stamp(t.BlockedUntil),
		stamp(t.CreatedAt), stamp(t.UpdatedAt), stamp(t.ClosedAt), copyMessages(th.Messages),
	}
}

func copyMessages(list []Message) []messageCopy {
	out := make([]messageCopy, len(list))
	for i := range list {
		m := &list[i]
		out[i] = messageCopy{m.ID, m.Ticket, m.Author, m.FromOperator, m.Text, nil, stamp(m.CreatedAt)}
		for _, f := range m.Files {
			out[i].Files = append(out[i].Files, fileCopy{f.ID, f.Name, f.Caption})
		}
	}
	return out
}

func stamp(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
