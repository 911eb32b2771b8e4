package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/client"
	"github.com/kuranty/kuranty/internal/server"
)

type adminCmd struct {
	Create adminCreateCmd `cmd:"" help:"Make the first administrator."`
	Link   adminLinkCmd   `cmd:"" help:"Print a call, good once, with which somebody becomes the first administrator."`
	Notice adminNoticeCmd `cmd:"" help:"Tell everybody who is signed in something."`
	Stats  adminStatsCmd  `cmd:"" help:"Count people, chats, messages and files."`
	Audit  adminAuditCmd  `cmd:"" help:"Print what administrators did, the newest first."`
	Hold   adminHoldCmd   `cmd:"" help:"Put a person or a chat under legal hold, or lift it."`
	Export adminExportCmd `cmd:"" help:"Write everything a person may see into a file."`
	Erase  adminEraseCmd  `cmd:"" help:"Erase a person."`
}

type adminCreateCmd struct {
	backend
	Name     string `help:"Name that others see; the username if not given."`
	Email    string `help:"E-mail address."`
	Password secret `placeholder:"-" help:"Read the password from the input instead of making one."`
	Username string `arg:"" help:"Name to log in with."`
}

func (adminCreateCmd) Help() string {
	return `It works as long as there is no administrator, also before the first start of the server. More are made with kuranty user create --role admin.`
}

func (c *adminCreateCmd) Run(g *globals) error {
	return c.open(g, true, func(s *session) error {
		password, made, err := c.Password.read()
		if err != nil {
			return err
		}
		body := map[string]any{"username": c.Username, "name": cmp.Or(c.Name, c.Username), "email": c.Email, "password": password}
		return haveAdmin(s.created("/admin/first-admin", body, made))
	})
}

// haveAdmin says what to do when there is an administrator already.
func haveAdmin(err error) error {
	var refused *client.RefusedError
	if errors.As(err, &refused) && refused.Code == "admin_exists" {
		return errors.New("there is an administrator already; make another with kuranty user create --role admin, or kuranty user role")
	}
	return err
}

type adminLinkCmd struct{ backend }

func (c *adminLinkCmd) Run(g *globals) error {
	return c.open(g, true, func(s *session) error {
		var t token
		if err := s.post("/admin/first-admin/token", nil, &t); err != nil {
			return haveAdmin(fmt.Errorf("make a link: %w", err))
		}
		url := s.URL
		if s.local != nil { // where the server will be
			settings, err := g.settings()
			if err != nil {
				return err
			}
			url = c.address(settings)
		}
		if _, err := fmt.Fprintln(s.stderr, "good once, until "+day(&t.ExpiresAt)); err != nil {
			return err
		}
		return s.say("%s", server.FirstAdminCall(url, t.Token))
	})
}

// moment is a time as people write it: with a zone, or here.
type moment time.Time

// UnmarshalText reads "2026-05-01 12:00", or RFC 3339.
func (m *moment) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		t, err = time.ParseInLocation("2006-01-02 15:04", string(text), time.Local)
	}
	if err != nil {
		return fmt.Errorf(`%q is no time; it looks like "2026-05-01 12:00" or 2026-05-01T12:00:00+03:00`, text)
	}
	*m = moment(t)
	return nil
}

type adminNoticeCmd struct {
	backend
	Level  string `default:"info" enum:"info,warning,critical" help:"info, warning or critical."`
	Starts moment `placeholder:"TIME" help:"When what it tells of begins, as maintenance."`
	Ends   moment `placeholder:"TIME" help:"When that ends."`
	Text   string `arg:"" help:"Text; - reads it from the input."`
}

func (c *adminNoticeCmd) Run(g *globals) error {
	text, err := argument(c.Text)
	if err != nil {
		return err
	}
	return c.run(g, func(s *session) error {
		body := map[string]any{"content": string(text), "level": c.Level}
		(&schedule{c.Starts, c.Ends}).put(body)
		if err := s.post("/admin/notices", body, nil); err != nil {
			return fmt.Errorf("send notice: %w", err)
		}
		return s.say("sent to everybody who is signed in")
	})
}

type adminStatsCmd struct {
	backend
	Days int `default:"7" help:"Days to count one by one, up to 366 (with --json)."`
}

func (c *adminStatsCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.get("/admin/stats?days="+strconv.Itoa(c.Days), &object); err != nil {
			return fmt.Errorf("count: %w", err)
		}
		var n struct {
			Users struct {
				Active, Bots, Suspended, Deleted int64
				Day                              int64 `json:"active_day"`
				Month                            int64 `json:"active_month"`
			}
			Chats         struct{ Direct, Groups int64 }
			Messages      int64
			Files         int64
			FileBytes     int64 `json:"file_bytes"`
			DatabaseBytes int64 `json:"database_bytes"`
		}
		if shown, err := s.read(object, &n); shown || err != nil {
			return err
		}
		u := &n.Users
		return s.rows(
			"people", fmt.Sprintf("%d (%d suspended, %d deleted), %d bots", u.Active, u.Suspended, u.Deleted, u.Bots),
			"seen", fmt.Sprintf("%d in the last day, %d in 30 days", u.Day, u.Month),
			"chats", fmt.Sprintf("%d direct, %d groups", n.Chats.Direct, n.Chats.Groups),
			"messages", n.Messages,
			"files", fmt.Sprintf("%d, %s", n.Files, size(n.FileBytes)),
			"database", size(n.DatabaseBytes))
	})
}

type adminAuditCmd struct {
	backend
	Actor  string `placeholder:"WHO" help:"Only what this one did, as user:42 or key:config."`
	Action string `help:"Only this, as chat.read."`
	Target string `help:"Only what was done to this, as user:42 or chat:7."`
	Limit  most   `short:"n" default:"50" help:"Most lines."`
}

func (c *adminAuditCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{"actor": {c.Actor}, "action": {c.Action}, "target": {c.Target}}
		objects, err := s.pages("/admin/audit", q, "entries", int(c.Limit))
		if err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		return s.list("TIME WHO WHAT TO FROM", objects, func(o json.RawMessage) ([]any, error) {
			var e struct {
				At, Actor, Action, Target string
				IP                        *string
			}
			err := json.Unmarshal(o, &e)
			return []any{day(&e.At), e.Actor, e.Action, e.Target, orDash(e.IP)}, err
		})
	})
}

type adminHoldCmd struct {
	backend
	Lift   bool   `help:"Lift the hold."`
	Target string `arg:"" placeholder:"user:USER|chat:ID" help:"As user:anna, user:42 or chat:7."`
}

func (adminHoldCmd) Help() string {
	return `Nothing of a person under legal hold is erased, and nothing is purged from chats they are or were in; nothing of a chat under legal hold is purged.`
}

func (c *adminHoldCmd) Run(g *globals) error {
	kind, name, ok := strings.Cut(c.Target, ":")
	if !ok || (kind != "user" && kind != "chat") {
		return usageError{fmt.Errorf("%q is neither user:USER nor chat:ID", c.Target)}
	}
	return c.run(g, func(s *session) error {
		path, what := "/admin/chats/"+url.PathEscape(name)+"/hold", "chat "+name
		if kind == "user" {
			a, err := s.user(name)
			if err != nil {
				return err
			}
			path, what = fmt.Sprintf("/admin/users/%d/hold", a.ID), a.String()
		}
		if err := s.post(path, map[string]any{"held": !c.Lift}, nil); err != nil {
			return fmt.Errorf("legal hold on %s: %w", what, err)
		}
		if c.Lift {
			return s.say("%s is not under legal hold any more", what)
		}
		return s.say("%s is under legal hold", what)
	})
}
