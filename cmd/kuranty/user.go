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

type userCmd struct {
	Create        userCreateCmd    `cmd:"" help:"Make an account, with a password that is made and printed once."`
	List          userListCmd      `cmd:"" help:"List accounts."`
	Show          userShowCmd      `cmd:"" help:"Print all of an account."`
	Suspend       userSuspendCmd   `cmd:"" help:"Keep somebody out; their sessions and connections end."`
	Unsuspend     userUnsuspendCmd `cmd:"" help:"Let somebody in again."`
	Role          userRoleCmd      `cmd:"" help:"Make somebody an administrator, or an ordinary user again."`
	ResetPassword userResetCmd     `cmd:"" help:"Give somebody a new password, printed once, or a token to choose one."`
	Delete        userDeleteCmd    `cmd:"" help:"Delete an account and what is known of the person."`
	Token         userTokenCmd     `cmd:"" help:"Make a token with which somebody's clients connect."`
}

// account is what commands need of an account.
type account struct {
	ID         int64   `json:"id"`
	Username   *string `json:"username"`
	Email      *string `json:"email"`
	Name       string  `json:"name"`
	Role       string  `json:"role"`
	Kind       string  `json:"kind"`
	State      string  `json:"state"`
	LastSeenAt *string `json:"last_seen_at"`
}

func (a *account) String() string {
	if a.Username != nil {
		return fmt.Sprintf("user %d (%s)", a.ID, *a.Username)
	}
	return fmt.Sprintf("user %d (%s)", a.ID, plain(a.Name))
}

// userArg names a person.
type userArg struct {
	User string `arg:"" help:"Number, username or e-mail address."`
}

// user finds an account by number, username or e-mail address.
func (s *session) user(name string) (a account, err error) {
	if id, err := strconv.ParseInt(name, 10, 64); err == nil && id > 0 {
		if err := s.get("/admin/users/"+strconv.FormatInt(id, 10), &a); err != nil {
			return a, fmt.Errorf("user %d: %w", id, err)
		}
		return a, nil
	}
	wanted := strings.TrimPrefix(name, "@")
	for after := int64(0); ; {
		var page struct {
			Users     []account `json:"users"`
			NextAfter *int64    `json:"next_after"`
		}
		if err := s.get(fmt.Sprintf("/admin/users?limit=200&after=%d&q=%s", after, url.QueryEscape(wanted)), &page); err != nil {
			return a, fmt.Errorf("look for user %s: %w", name, err)
		}
		for _, a := range page.Users {
			if a.Username != nil && strings.EqualFold(*a.Username, wanted) || a.Email != nil && strings.EqualFold(*a.Email, wanted) {
				return a, nil
			}
		}
		if page.NextAfter == nil {
			return a, fmt.Errorf("nobody has the username or e-mail address %q; kuranty user list shows who there is", name)
		}
		after = *page.NextAfter
	}
}

type userCreateCmd struct {
	backend
	Name       string `help:"Name that others see; the username if not given."`
	Email      string `help:"E-mail address, taken as verified."`
	Role       string `default:"user" enum:"user,admin" help:"user or admin."`
	Bot        bool   `help:"It is a program."`
	Password   secret `placeholder:"-" help:"Read the password from the input instead of making one."`
	NoPassword bool   `help:"Nobody can log in by password; people of your own application need none."`
	Username   string `arg:"" help:"Name to log in with."`
}

func (userCreateCmd) Help() string {
	return `For example: kuranty user create anna --name "Anna Sokolova". The password it prints is kept nowhere else.`
}

func (c *userCreateCmd) Run(g *globals) error {
	if c.NoPassword && c.Password != "" {
		return usageError{errors.New("--password and --no-password exclude each other")}
	}
	return c.run(g, func(s *session) error {
		body := map[string]any{"username": c.Username, "name": c.Name, "role": c.Role}
		if c.Name == "" {
			body["name"] = c.Username
		}
		if c.Email != "" {
			body["email"], body["email_verified"] = c.Email, true
		}
		if c.Bot {
			body["kind"] = "bot"
		}
		made := false
		if !c.NoPassword && !c.Bot {
			password, fresh, err := c.Password.read()
			if err != nil {
				return err
			}
			body["password"], made = password, fresh
		}
		return s.created("/admin/users", body, made)
	})
}

// created posts an account and prints it, with the password if that was made.
func (s *session) created(path string, body map[string]any, made bool) error {
	var a account
	if err := s.post(path, body, &a); err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	password, _ := body["password"].(string)
	if s.json {
		out := map[string]any{"id": a.ID, "username": a.Username}
		if made {
			out["password"] = password
		}
		text, err := json.Marshal(out)
		if err != nil {
			return fmt.Errorf("show account: %w", err)
		}
		return s.show(text)
	}
	if err := s.say("created %s", &a); err != nil {
		return err
	}
	return s.sayPassword(password, made)
}

type userListCmd struct {
	backend
	State string `enum:"active,suspended,deleted,any" default:"any" help:"active, suspended or deleted."`
	Role  string `enum:"user,admin,any" default:"any" help:"user or admin."`
	Limit most   `short:"n" default:"1000" help:"Most accounts."`
	Part  string `arg:"" optional:"" help:"Only those with this in the name, username or e-mail address."`
}

func (c *userListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{"q": {c.Part}}
		if c.State != "any" {
			q.Set("state", c.State)
		}
		if c.Role != "any" {
			q.Set("role", c.Role)
		}
		objects, err := s.pages("/admin/users", q, "users", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list users: %w", err)
		}
		return s.list("ID USERNAME NAME E-MAIL ROLE STATE SEEN", objects, func(o json.RawMessage) ([]any, error) {
			var a account
			err := json.Unmarshal(o, &a)
			role := a.Role
			if a.Kind == "bot" {
				role = a.Kind
			}
			return []any{a.ID, orDash(a.Username), a.Name, orDash(a.Email), role, a.State, day(a.LastSeenAt)}, err
		})
	})
}

// pages collects up to limit objects of a list that goes on by after or by cursor.
func (s *session) pages(path string, q url.Values, name string, limit int) (all []json.RawMessage, err error) {
	for limit > 0 {
		q.Set("limit", strconv.Itoa(min(limit, 200)))
		var text json.RawMessage
		if err := s.get(path+"?"+q.Encode(), &text); err != nil {
			return nil, err
		}
		var page map[string]json.RawMessage
		var objects []json.RawMessage
		var next struct {
			After  *int64  `json:"next_after"`
			Cursor *string `json:"next_cursor"`
		}
		err := errors.Join(json.Unmarshal(text, &page), json.Unmarshal(text, &next))
		if err == nil {
			err = json.Unmarshal(page[name], &objects)
		}
		if err != nil {
			return nil, fmt.Errorf("read answer: %w", err)
		}
		all, limit = append(all, objects...), limit-len(objects)
		switch {
		case next.After != nil:
			q.Set("after", strconv.FormatInt(*next.After, 10))
		case next.Cursor != nil:
			q.Set("cursor", *next.Cursor)
		default:
			return all, nil
		}
	}
	return all, nil
}

// only asks a list for what is of a person, unless none is named.
func (s *session) only(q url.Values, name, person string) error {
	if person == "" {
		return nil
	}
	a, err := s.user(person)
	if err != nil {
		return err
	}
	q.Set(name, strconv.FormatInt(a.ID, 10))
	return nil
}

type userShowCmd struct {
	backend
	userArg
}

func (c *userShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		var object json.RawMessage
		if err := s.get(fmt.Sprintf("/admin/users/%d", a.ID), &object); err != nil {
			return err
		}
		return s.show(object)
	})
}

// change changes one thing of an account and says so.
func (c *backend) change(g *globals, name string, change map[string]any, done string) error {
	return c.run(g, func(s *session) error {
		a, err := s.user(name)
		if err != nil {
			return err
		}
		if err := s.patch(fmt.Sprintf("/admin/users/%d", a.ID), change, nil); err != nil {
			return fmt.Errorf("change %s: %w", &a, err)
		}
		return s.say("%s %s", &a, done)
	})
}

type userSuspendCmd struct {
	backend
	userArg
}

func (c *userSuspendCmd) Run(g *globals) error {
	return c.change(g, c.User, map[string]any{"state": "suspended"}, "is suspended; sessions and connections have ended")
}

type userUnsuspendCmd struct {
	backend
	userArg
}

func (c *userUnsuspendCmd) Run(g *globals) error {
	return c.change(g, c.User, map[string]any{"state": "active"}, "may log in again")
}

type userRoleCmd struct {
	backend
	userArg
	Role string `arg:"" enum:"user,admin" help:"user or admin."`
}

func (c *userRoleCmd) Run(g *globals) error {
	return c.change(g, c.User, map[string]any{"role": c.Role}, "has the role "+c.Role)
}

type userResetCmd struct {
	backend
	userArg
	Password secret `placeholder:"-" help:"Read the password from the input instead of making one."`
	Link     bool   `help:"Print a token instead, valid for an hour, with which the person chooses a password (POST /api/v2/auth/password/reset)."`
}

func (c *userResetCmd) Run(g *globals) error {
	if c.Link && c.Password != "" {
		return usageError{errors.New("--password and --link exclude each other")}
	}
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		if c.Link {
			var token token
			if err := s.post(fmt.Sprintf("/admin/users/%d/reset", a.ID), nil, &token); err != nil {
				return fmt.Errorf("reset password of %s: %w", &a, err)
			}
			return s.sayToken(&token)
		}
		password, made, err := c.Password.read()
		if err != nil {
			return err
		}
		if err := s.patch(fmt.Sprintf("/admin/users/%d", a.ID), map[string]any{"password": password}, nil); err != nil {
			return fmt.Errorf("reset password of %s: %w", &a, err)
		}
		if err := s.say("%s has a new password; sessions have ended", &a); err != nil {
			return err
		}
		return s.sayPassword(password, made)
	})
}

// token is a secret that is shown once.
type token struct {
	Token     string `json:"token"`
	ExpiresAt string `json:"expires_at"`
}

// sayToken prints a token to the output, and until when it is valid beside it.
func (s *session) sayToken(t *token) error {
	if _, err := fmt.Fprintln(s.stderr, "valid until "+day(&t.ExpiresAt)); err != nil {
		return err
	}
	return s.say("%s", t.Token)
}

type userDeleteCmd struct {
	backend
	userArg
	confirmed
}

func (userDeleteCmd) Help() string {
	return `Messages stay, without a name. kuranty admin erase removes more.`
}

func (c *userDeleteCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		if err := c.check("delete " + a.String()); err != nil {
			return err
		}
		if err := s.del(fmt.Sprintf("/admin/users/%d", a.ID)); err != nil {
			return fmt.Errorf("delete %s: %w", &a, err)
		}
		return s.say("%s is deleted", &a)
	})
}

type userTokenCmd struct {
	backend
	userArg
	Expires lifetime `default:"1h" help:"Time the token is valid, as 30d, 12h or 15m; at most 365d."`
}

func (c *userTokenCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		var t token
		err = s.post(fmt.Sprintf("/admin/users/%d/token", a.ID), map[string]any{"expires_in": int64(time.Duration(c.Expires) / time.Second)}, &t)
		if err != nil {
			return fmt.Errorf("make a token for %s: %w", &a, err)
		}
		return s.sayToken(&t)
	})
}
