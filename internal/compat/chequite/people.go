package chequite

import (
	"strings"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
)

const (
	usersPage, maxUsers = 50, 100
)

// userInfo is the caller's own account (chat-api.md §A.1).
type userInfo struct {
	ID       int64   `json:"id"`
	Avatar   *string `json:"avatar"`
	Name     string  `json:"name"`
	Email    *string `json:"email"`
	Username *string `json:"username"`
}

func (c *Contract) getUserInfo(r *call) (any, error) {
	people, err := c.o.Chats.People(r.Context(), r.user(), []int64{r.user()})
	if err != nil {
		return nil, err
	}
	if len(people) == 0 {
		return nil, chat.ErrNotFound
	}
	p := &people[0]
	return userInfo{p.ID, c.avatar(p.Avatar), p.Name, opt(p.Email), opt(p.Username)}, nil
}

// searchUsers finds people (chat-api.md §A.7).
func (c *Contract) searchUsers(r *call) (any, error) {
	needle := strings.TrimSpace(r.URL.Query().Get("search"))
	if needle == "" {
		return nil, apierror.NewField("search", apierror.Required)
	}
	limit, err := r.queryInt("limit", 1, maxUsers, usersPage)
	if err != nil {
		return nil, err
	}
	found, _, err := c.o.Chats.SearchPeople(r.Context(), r.user(), needle, limit, "")
	if err != nil {
		return nil, err
	}
	return c.users(r.Context(), r.user(), found, r.zone)
}

type connectionToken struct {
	Token     string `json:"centrifugo_token"`
	ExpiresAt int64  `json:"expires_at"` // seconds since 1970
}

// updateToken makes a connection token (chat-api.md §A.8).
func (c *Contract) updateToken(r *call) (any, error) {
	token, expires, err := c.o.ConnectionToken(r.Context(), r.caller)
	if err != nil {
		return nil, err
	}
	return connectionToken{token, expires.Unix()}, nil
}
