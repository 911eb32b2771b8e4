package api

import (
	"context"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/search"
)

// Highlight is a piece of a text, in UTF-16 code units.
type Highlight struct {
	Offset int `json:"offset"`
	Length int `json:"length"`
}

// Found is a message found.
type Found struct {
	Message           chatjson.Message `json:"message"`
	Chat              FoundChat        `json:"chat"`
	Highlights        []Highlight      `json:"highlights"`
	Snippet           string           `json:"snippet"`
	SnippetHighlights []Highlight      `json:"snippet_highlights"`
}

// FoundChat names the chat of a message found.
type FoundChat struct {
	ID    int64   `json:"id"`
	Kind  string  `json:"kind" enum:"direct,group,saved"`
	Title *string `json:"title"`
}

// SearchReply are messages found, by the cursor if there are more.
type SearchReply struct {
	Results       []Found `json:"results"`
	NextCursor    *string `json:"next_cursor"`
	TotalEstimate int     `json:"total_estimate"`
	TookMS        int64   `json:"took_ms"`
}

type searchInput struct {
	Q        string `query:"q" maxLength:"1000" doc:"Words, \"a phrase\", -word, from:@name, in:\"title\", has:, before:, after:, is:pinned"`
	Chat     int64  `query:"chat_id" minimum:"0"`
	From     int64  `query:"from" minimum:"0" doc:"Messages of this user"`
	Has      string `query:"has" enum:"file,image,link"`
	Before   day    `query:"before" doc:"Sent before that time, or before that day"`
	After    day    `query:"after" doc:"Sent at that time or later, or after that day"`
	Mentions string `query:"mentions" enum:"me"`
	Sort     string `query:"sort" enum:"newest,relevance" doc:"newest if not given"`
	Limit    int    `query:"limit" minimum:"0" maximum:"100" doc:"20 if not given"`
	Cursor   string `query:"cursor" maxLength:"400"`
}

// day is a day in UTC, or a time, which begins and ends at once.
type day struct{ start, end time.Time }

// UnmarshalText reads YYYY-MM-DD, or a time as in RFC 3339.
func (d *day) UnmarshalText(b []byte) (err error) {
	if d.start, err = time.Parse(time.DateOnly, string(b)); err == nil {
		d.end = d.start.AddDate(0, 0, 1)
		return nil
	}
	if d.start, err = time.Parse(time.RFC3339, string(b)); err != nil {
		return errDay
	}
	d.end = d.start
	return nil
}

var errDay = errors.New("is neither a day nor a time")

// Schema describes both ways of writing.
func (day) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "YYYY-MM-DD, or a time as in RFC 3339", Examples: []any{"2026-11-25"}}
}

func (a *API) searchMessages(ctx context.Context, c *call, in *searchInput) (*body[SearchReply], error) {
	q := chat.SearchQuery{
		Q: in.Q, Chat: in.Chat, From: in.From, Before: in.Before.start, After: in.After.end, MentionsMe: in.Mentions == "me",
		Limit: in.Limit, Cursor: in.Cursor,
	}
	if in.Has != "" {
		q.Has = []string{in.Has}
	}
	if in.Sort == chat.ByRelevance {
		q.Sort = chat.ByRelevance
	}
	r, err := a.o.Chats.SearchMessages(ctx, c.User, q)
	if err != nil {
		return nil, err
	}
	return reply(SearchReply{a.found(c, r.Results), optional(r.Next), r.TotalEstimate, r.Took.Milliseconds()}), nil
}

// found makes messages found in any of the caller's chats. How far each chat is read is
// not looked up for a search: they are shown as sent.
func (a *API) found(c *call, list []chat.Found) []Found {
	out := make([]Found, len(list))
	for i := range list {
		f := &list[i]
		out[i] = Found{
			a.json.Message(&f.Message, chatjson.Viewer{User: c.User}),
			FoundChat{f.Chat.ID, f.Chat.Kind, optional(f.Chat.Title)},
			highlights(f.Highlights), f.Snippet, highlights(f.SnippetHighlights),
		}
	}
	return out
}

func highlights(list []search.Highlight) []Highlight {
	out := make([]Highlight, len(list))
	for i, h := range list {
		out[i] = Highlight{h.Offset, h.Length}
	}
	return out
}

// Everything is what the quick switcher finds.
type Everything struct {
	Users    []chatjson.User `json:"users"`
	Chats    []chatjson.Chat `json:"chats"`
	Messages []Found         `json:"messages"`
}

type searchAllInput struct {
	Q string `query:"q" required:"true" minLength:"1" maxLength:"400"`
}

func (a *API) searchAll(ctx context.Context, c *call, in *searchAllInput) (*body[Everything], error) {
	e, err := a.o.Chats.SearchAll(ctx, c.User, in.Q)
	if err != nil {
		return nil, err
	}
	var out Everything
	if out.Users, err = a.users(ctx, c, e.People); err != nil {
		return nil, err
	}
	if out.Chats, err = a.chatsOf(ctx, c.User, e.Chats); err != nil {
		return nil, err
	}
	out.Messages = a.found(c, e.Messages)
	return reply(out), nil
}
