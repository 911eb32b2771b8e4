package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

type chatCmd struct {
	Create  chatCreateCmd  `cmd:"" help:"Make a group."`
	List    chatListCmd    `cmd:"" help:"List chats."`
	Show    chatShowCmd    `cmd:"" help:"Print what a chat is, without what is written in it."`
	Members chatMembersCmd `cmd:"" help:"List the members of a chat."`
	Add     chatAddCmd     `cmd:"" help:"Add people to a group."`
	Remove  chatRemoveCmd  `cmd:"" help:"Remove somebody from a group."`
	Send    chatSendCmd    `cmd:"" help:"Send a message of a member, or of the system."`
	History chatHistoryCmd `cmd:"" help:"Print messages; that goes into the audit log."`
	Delete  chatDeleteCmd  `cmd:"" help:"Delete a chat for all."`
}

// room is what commands need of a chat.
type room struct {
	ID            int64   `json:"id"`
	Kind          string  `json:"kind"`
	Title         string  `json:"title"`
	OwnerID       *int64  `json:"owner_id"`
	UserIDs       []int64 `json:"user_ids"`
	MemberCount   int     `json:"member_count"`
	LastSeq       int64   `json:"last_seq"`
	LastMessageAt *string `json:"last_message_at"`
}

// about says which chat it is.
func (r *room) about() string {
	switch r.Kind {
	case "direct":
		return fmt.Sprintf("users %d and %d", r.UserIDs[0], r.UserIDs[1])
	case "saved":
		return "notes"
	}
	return r.Title
}

// chatArg names a chat.
type chatArg struct {
	Chat int64 `arg:"" help:"Number of the chat."`
}

func (c *chatArg) path(more string) string { return fmt.Sprintf("/admin/chats/%d%s", c.Chat, more) }

// failed explains an error about the chat.
func (c *chatArg) failed(what string, err error) error {
	return fmt.Errorf("%s chat %d: %w", what, c.Chat, err)
}

// ids are the numbers of people.
func (s *session) ids(names []string) (ids []int64, err error) {
	ids = make([]int64, len(names))
	for i, name := range names {
		a, err := s.user(name)
		if err != nil {
			return nil, err
		}
		ids[i] = a.ID
	}
	return ids, nil
}

// notAdded is who was not added to a chat.
type notAdded []struct {
	UserID int64  `json:"user_id"`
	Reason string `json:"reason"`
}

// warn tells of who was not added; that is an error.
func (n notAdded) err() error {
	if len(n) == 0 {
		return nil
	}
	list := make([]string, len(n))
	for i, one := range n {
		list[i] = fmt.Sprintf("user %d (%s)", one.UserID, one.Reason)
	}
	return fmt.Errorf("not added: %s", strings.Join(list, ", "))
}

type chatCreateCmd struct {
	backend
	Owner  string   `required:"" placeholder:"USER" help:"Number, username or e-mail address of the owner."`
	Member []string `placeholder:"USER" help:"Members beside the owner."`
	About  string   `help:"What the group is about."`
	Title  string   `arg:"" help:"Title of the group."`
}

func (c *chatCreateCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		ids, err := s.ids(append([]string{c.Owner}, c.Member...))
		if err != nil {
			return err
		}
		var made struct {
			ID       int64    `json:"id"`
			NotAdded notAdded `json:"not_added"`
		}
		body := map[string]any{"owner_id": ids[0], "title": c.Title, "about": c.About, "user_ids": ids[1:]}
		if err := s.post("/admin/chats", body, &made); err != nil {
			return fmt.Errorf("create chat: %w", err)
		}
		return errors.Join(s.say("created chat %d", made.ID), made.NotAdded.err())
	})
}

type chatListCmd struct {
	backend
	Kind  string `enum:"direct,group,saved,any" default:"any" help:"direct, group or saved."`
	User  string `placeholder:"USER" help:"Only chats of this person."`
	Limit most   `short:"n" default:"1000" help:"Most chats."`
}

func (c *chatListCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{}
		if c.Kind != "any" {
			q.Set("kind", c.Kind)
		}
		if err := s.only(q, "user_id", c.User); err != nil {
			return err
		}
		objects, err := s.pages("/admin/chats", q, "chats", int(c.Limit))
		if err != nil {
			return fmt.Errorf("list chats: %w", err)
		}
		return s.list("ID KIND MEMBERS MESSAGES LAST ABOUT", objects, func(o json.RawMessage) ([]any, error) {
			var r room
			if err := json.Unmarshal(o, &r); err != nil {
				return nil, err
			}
			return []any{r.ID, r.Kind, r.MemberCount, r.LastSeq, day(r.LastMessageAt), r.about()}, nil
		})
	})
}

type chatShowCmd struct {
	backend
	chatArg
}

func (c *chatShowCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var object json.RawMessage
		if err := s.get(c.path(""), &object); err != nil {
			return c.failed("show", err)
		}
		return s.show(object)
	})
}

type chatMembersCmd struct {
	backend
	chatArg
}

func (c *chatMembersCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		var all []json.RawMessage
		for cursor := ""; ; {
			var page struct {
				Members    []json.RawMessage `json:"members"`
				NextCursor *string           `json:"next_cursor"`
			}
			if err := s.get(c.path("/members?limit=200&cursor="+url.QueryEscape(cursor)), &page); err != nil {
				return c.failed("list members of", err)
			}
			all = append(all, page.Members...)
			if page.NextCursor == nil {
				break
			}
			cursor = *page.NextCursor
		}
		return s.list("ID USERNAME NAME ROLE JOINED", all, func(o json.RawMessage) ([]any, error) {
			var m struct {
				User     account `json:"user"`
				Role     string  `json:"role"`
				JoinedAt *string `json:"joined_at"`
			}
			err := json.Unmarshal(o, &m)
			return []any{m.User.ID, orDash(m.User.Username), m.User.Name, m.Role, day(m.JoinedAt)}, err
		})
	})
}

type chatAddCmd struct {
	backend
	chatArg
	Users []string `arg:"" help:"Numbers, usernames or e-mail addresses."`
}

func (c *chatAddCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		ids, err := s.ids(c.Users)
		if err != nil {
			return err
		}
		var done struct {
			Added    []int64  `json:"added"`
			NotAdded notAdded `json:"not_added"`
		}
		if err := s.post(c.path("/members"), map[string]any{"user_ids": ids}, &done); err != nil {
			return c.failed("add to", err)
		}
		return errors.Join(s.say("added %d to chat %d", len(done.Added), c.Chat), done.NotAdded.err())
	})
}

type chatRemoveCmd struct {
	backend
	chatArg
	Ban  bool   `help:"They cannot come back."`
	User string `arg:"" help:"Number, username or e-mail address."`
}

func (c *chatRemoveCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		a, err := s.user(c.User)
		if err != nil {
			return err
		}
		if err := s.del(c.path(fmt.Sprintf("/members/%d?ban=%t", a.ID, c.Ban))); err != nil {
			return c.failed("remove from", err)
		}
		return s.say("%s is not in chat %d any more", &a, c.Chat)
	})
}

type chatSendCmd struct {
	backend
	chatArg
	As       string `placeholder:"USER" help:"The member who sends it; without this it is a message of the system."`
	ClientID string `placeholder:"ID" help:"Makes repetitions harmless: the same id is sent once (with --as)."`
	Silent   bool   `help:"Clients make no sound (with --as)."`
	Text     string `arg:"" help:"Text; - reads it from the input."`
}

func (c *chatSendCmd) Run(g *globals) error {
	if c.As == "" && (c.ClientID != "" || c.Silent) {
		return usageError{errors.New("--client-id and --silent need --as")}
	}
	text, err := argument(c.Text)
	if err != nil {
		return err
	}
	return c.run(g, func(s *session) error {
		body := map[string]any{"text": string(text)}
		if c.As != "" {
			a, err := s.user(c.As)
			if err != nil {
				return err
			}
			body["sender_id"], body["client_id"], body["silent"] = a.ID, c.ClientID, c.Silent
		}
		var object json.RawMessage
		if err := s.post(c.path("/messages"), body, &object); err != nil {
			return c.failed("send to", err)
		}
		var m message
		if shown, err := s.read(object, &m); shown || err != nil {
			return err
		}
		return s.say("sent message %d, number %d of chat %d", m.ID, m.Seq, c.Chat)
	})
}

// message is what is printed of a message.
type message struct {
	ID         int64  `json:"id"`
	Seq        int64  `json:"seq"`
	Type       string `json:"message_type"`
	SenderName string `json:"sender_name"`
	Text       string `json:"text"`
	CreatedAt  string `json:"created_at"`
	Deleted    bool   `json:"deleted"`
	System     *struct {
		Event string `json:"event"`
	} `json:"system"`
	Attachments []struct {
		Filename string `json:"filename"`
	} `json:"attachments"`
}

func (m *message) line() string {
	who, text := m.SenderName+": ", m.Text
	if m.System != nil {
		if who = "— "; text == "" {
			text = m.System.Event
		}
	}
	if m.Deleted {
		text = "(deleted)"
	}
	for _, f := range m.Attachments {
		text += " [" + f.Filename + "]"
	}
	return plain(fmt.Sprintf("%d  %s  %s%s", m.Seq, day(&m.CreatedAt), who, strings.TrimSpace(text)))
}

type chatHistoryCmd struct {
	backend
	chatArg
	Limit  most  `short:"n" default:"50" help:"Most messages, up to 200."`
	Before int64 `placeholder:"NUMBER" help:"Only messages before this number of the chat."`
}

func (c *chatHistoryCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		q := url.Values{"limit": {strconv.Itoa(int(c.Limit))}}
		if c.Before > 0 {
			q.Set("before", strconv.FormatInt(c.Before, 10))
		}
		var page struct {
			Messages  []json.RawMessage `json:"messages"`
			HasBefore bool              `json:"has_before"`
		}
		if err := s.get(c.path("/messages?"+q.Encode()), &page); err != nil {
			return c.failed("read", err)
		}
		if s.json {
			return printLines(s.stdout, page.Messages)
		}
		first := int64(0)
		for _, o := range page.Messages {
			var m message
			if err := json.Unmarshal(o, &m); err != nil {
				return fmt.Errorf("read answer: %w", err)
			}
			if first == 0 {
				first = m.Seq
			}
			if err := s.say("%s", m.line()); err != nil {
				return err
			}
		}
		if page.HasBefore {
			_, err := fmt.Fprintf(s.stderr, "there are earlier ones: --before %d\n", first)
			return err
		}
		return nil
	})
}

type chatDeleteCmd struct {
	backend
	chatArg
	confirmed
}

func (c *chatDeleteCmd) Run(g *globals) error {
	return c.run(g, func(s *session) error {
		if err := c.check(fmt.Sprintf("delete chat %d for all", c.Chat)); err != nil {
			return err
		}
		if err := s.del(c.path("")); err != nil {
			return c.failed("delete", err)
		}
		return s.say("chat %d is deleted", c.Chat)
	})
}
