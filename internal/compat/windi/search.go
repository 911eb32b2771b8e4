package windi

import (
	"unicode/utf8"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
)

// searchMessages finds messages in the caller's chats, the newest first.
func (c *Contract) searchMessages(r *request) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	q := queryOf(r.Request)
	in := chat.SearchQuery{Q: q.values.Get("query"), Chat: q.id("chat_id"), Limit: q.between("limit", 1, maxPage, defaultPage)}
	if utf8.RuneCountInString(chat.Normalize(in.Q)) < 2 {
		q.fail("query", "must have at least 2 characters")
	}
	if q.err != nil {
		return reply{}, q.err
	}
	found, err := c.o.Chats.SearchMessages(r.Context(), user, in)
	if err != nil {
		return reply{}, err
	}
	chats := make([]int64, len(found.Results))
	for i := range found.Results {
		chats[i] = found.Results[i].Message.Chat
	}
	read, err := c.o.Chats.ReadStates(r.Context(), user, chats)
	if err != nil {
		return reply{}, err
	}
	out := make([]chatjson.FullMessage, len(found.Results))
	for i := range found.Results {
		m := &found.Results[i].Message
		out[i] = c.o.Build.FullMessage(m, chatjson.Viewer{User: user, Read: read[m.Chat]})
	}
	return reply{body: out}, nil
}

// searchUsers finds people by name, user name or whole e-mail address.
func (c *Contract) searchUsers(r *request) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	q := queryOf(r.Request)
	needle, limit := q.values.Get("query"), q.between("limit", 1, maxPage, defaultPage)
	if chat.Normalize(needle) == "" {
		q.fail("query", "is required")
	}
	if q.err != nil {
		return reply{}, q.err
	}
	found, _, err := c.o.Chats.SearchPeople(r.Context(), user, needle, limit, "")
	return reply{body: c.people(found)}, err
}
