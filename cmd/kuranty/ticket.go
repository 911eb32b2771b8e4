package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type ticketCmd struct {
	List   ticketListCmd   `cmd:"" help:"List tickets, the newest first."`
	Show   ticketShowCmd   `cmd:"" help:"Print a ticket and what is written in it."`
	Open   ticketOpenCmd   `cmd:"" help:"Open a ticket on behalf of a person."`
	Reply  ticketReplyCmd  `cmd:"" help:"Answer as the operator of the server."`
	Change ticketChangeCmd `cmd:"" help:"Set the status, the priority, who takes care of it, or keep its owner from replying."`
}

// ticket is what is printed of one.
type ticket struct {
	ID           int64   `json:"id"`
	UserID       int64   `json:"user_id"`
	Title        string  `json:"title"`
	Status       string  `json:"status"`
	Priority     string  `json:"priority"`
	AssigneeID   *int64  `json:"assignee_id"`
	BlockedUntil *string `json:"replies_blocked_until"`
	UpdatedAt    *string `json:"updated_at"`
	Messages     []struct {
		ID          int64  `json:"id"`
		AuthorID    *int64 `json:"author_id"`
		IsFromAdmin bool   `json:"is_from_admin"`
		Text        string `json:"text"`
		CreatedAt   string `json:"created_at"`
		Attachments []struct {
			Filename string `json:"filename"`
		} `json:"attachments"`
	} `json:"messages"`
	HasBefore bool `json:"has_before"`
}

// ticketArg names a ticket.
type ticketArg struct {
	Ticket int64 `arg:"" help:"Number of the ticket."`
}

func (t *ticketArg) path(more string) string { return fmt.Sprintf("/tickets/%d%s", t.Ticket, more) }

func (t *ticketArg) failed(what string, err error) error {
	return fmt.Errorf("%s ticket %d: %w", what, t.Ticket, err)
}

type ticketListCmd struct {
	backend
	Status   string `enum:"open,pending,answered,closed,any" default:"any" help:"open, pending, answered or closed."`
	Priority string `enum:"low,normal,high,urgent,any" default:"any" help:"low, normal, high or urgent."`
	User     string `placeholder:"USER" help:"Only tickets of this person."`
	Assignee string `placeholder:"USER" help:"Only tickets that this administrator takes care of."`
	Limit    most   `short:"n" default:"50" help:"Most tickets."`
}

func (c *ticketListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{}
		for name, value := range map[string]string{"status": c.Status, "priority": c.Priority} {
			if value != "any" {
				q.Set(name, value)
			}
		}
		for name, person := range map[string]string{"user_id": c.User, "assignee_id": c.Assignee} {
			if err := s.only(q, name, person); err != nil {
				return err
			}
		}
		objects, err := s.pages("/tickets", q, "tickets", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list tickets: %w", err)
		}
		return s.list("ID USER STATUS PRIORITY ASSIGNEE CHANGED TITLE", objects, func(o json.RawMessage) ([]any, error) {
			var t ticket
			err := json.Unmarshal(o, &t)
			return []any{t.ID, t.UserID, t.Status, t.Priority, idOrDash(t.AssigneeID), day(t.UpdatedAt), t.Title}, err
		})
	})
}

func idOrDash(id *int64) string {
	if id == nil {
		return "-"
	}
	return strconv.FormatInt(*id, 10)
}

type ticketShowCmd struct {
	backend
	ticketArg
	Limit  most  `short:"n" default:"100" help:"Most messages, up to 200."`
	Before int64 `placeholder:"ID" help:"Only messages before this one."`
}

func (c *ticketShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{"limit": {strconv.Itoa(int(c.Limit))}}
		if c.Before > 0 {
			q.Set("before", strconv.FormatInt(c.Before, 10))
		}
		var object json.RawMessage
		if err := s.get(c.path("?"+q.Encode()), &object); err != nil {
			return c.failed("show", err)
		}
		var t ticket
		if shown, err := s.read(object, &t); shown || err != nil {
			return err
		}
		return s.printTicket(&t)
	})
}

func (s *session) printTicket(t *ticket) error {
	about := fmt.Sprintf("ticket %d of user %d, %s, %s priority", t.ID, t.UserID, t.Status, t.Priority)
	if t.AssigneeID != nil {
		about += fmt.Sprintf(", taken by user %d", *t.AssigneeID)
	}
	if t.BlockedUntil != nil {
		about += ", replies blocked until " + day(t.BlockedUntil)
	}
	if err := s.say("%s\n%s", plain(t.Title), about); err != nil {
		return err
	}
	for i := range t.Messages {
		m := &t.Messages[i]
		who := "user " + idOrDash(m.AuthorID)
		switch {
		case m.AuthorID == nil:
			who = "service"
		case m.IsFromAdmin:
			who = "operator " + idOrDash(m.AuthorID)
		}
		text := m.Text
		for _, f := range m.Attachments {
			text += " [" + f.Filename + "]"
		}
		if err := s.say("%s", plain(fmt.Sprintf("%d  %s  %s: %s", m.ID, day(&m.CreatedAt), who, strings.TrimSpace(text)))); err != nil {
			return err
		}
	}
	if t.HasBefore {
		_, err := fmt.Fprintf(s.stderr, "there are earlier ones: --before %d\n", t.Messages[0].ID)
		return err
	}
	return nil
}

type ticketOpenCmd struct {
	backend
	User     string `required:"" placeholder:"USER" help:"Number, username or e-mail address of who it belongs to."`
	Priority string `enum:"low,normal,high,urgent" default:"normal" help:"low, normal, high or urgent."`
	Title    string `arg:"" help:"What it is about, in a line."`
	Text     string `arg:"" help:"What is asked; - reads it from the input."`
}

func (c *ticketOpenCmd) Run(g *globals) error {
	text, err := argument(c.Text)
	if err != nil {
		return err
	}
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		var object json.RawMessage
		body := map[string]any{"user_id": a.ID, "title": c.Title, "text": string(text), "priority": c.Priority}
		if err := s.post("/tickets", body, &object); err != nil {
			return fmt.Errorf("open ticket: %w", err)
		}
		var t ticket
		if shown, err := s.read(object, &t); shown || err != nil {
			return err
		}
		return s.say("opened ticket %d", t.ID)
	})
}

type ticketReplyCmd struct {
	backend
	ticketArg
	Text string `arg:"" help:"The answer; - reads it from the input."`
}

func (c *ticketReplyCmd) Run(g *globals) error {
	text, err := argument(c.Text)
	if err != nil {
		return err
	}
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.post(c.path("/messages"), map[string]any{"text": string(text)}, &object); err != nil {
			return c.failed("reply to", err)
		}
		var m struct{ Status string }
		if shown, err := s.read(object, &m); shown || err != nil {
			return err
		}
		return s.say("ticket %d is %s", c.Ticket, m.Status)
	})
}

type ticketChangeCmd struct {
	backend
	ticketArg
	Status   string   `enum:"open,pending,answered,closed,same" default:"same" help:"open, pending, answered or closed."`
	Priority string   `enum:"low,normal,high,urgent,same" default:"same" help:"low, normal, high or urgent."`
	Assignee string   `placeholder:"USER" help:"The administrator who takes care of it; - is nobody."`
	Block    lifetime `placeholder:"TIME" help:"Keep its owner from replying for so long, as 2h or 7d."`
	Unblock  bool     `help:"Let its owner reply again."`
}

func (c *ticketChangeCmd) Run(g *globals) error {
	if c.Block > 0 && c.Unblock {
		return usageError{errors.New("--block and --unblock are one or the other")}
	}
	return c.run(g, func(s *session) error {
		body, err := c.body(s)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return usageError{errors.New("nothing to change: give --status, --priority, --assignee, --block or --unblock")}
		}
		var object json.RawMessage
		if err := s.patch(c.path(""), body, &object); err != nil {
			return c.failed("change", err)
		}
		var t ticket
		if shown, err := s.read(object, &t); shown || err != nil {
			return err
		}
		return s.printTicket(&t)
	})
}

func (c *ticketChangeCmd) body(s *session) (map[string]any, error) {
	body := make(map[string]any)
	for name, value := range map[string]string{"status": c.Status, "priority": c.Priority} {
		if value != "same" {
			body[name] = value
		}
	}
	switch c.Assignee {
	case "":
	case "-":
		body["assignee_id"] = nil
	default:
		a, err := s.user(c.Assignee)
		if err != nil {
			return nil, err
		}
		body["assignee_id"] = a.ID
	}
	switch {
	case c.Block > 0:
		body["replies_blocked_until"] = time.Now().Add(time.Duration(c.Block)).UTC()
	case c.Unblock:
		body["replies_blocked_until"] = nil
	}
	return body, nil
}
