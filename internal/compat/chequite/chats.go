package chequite

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
)

// getChats lists the caller's chats (chat-api.md §A.2).
func (c *Contract) getChats(r *call) (any, error) {
	limit, err := r.queryInt("limit", 1, maxChats, maxChats)
	if err != nil {
		return nil, err
	}
	offset, err := r.queryInt("offset", 0, 1<<31-1, 0)
	if err != nil {
		return nil, err
	}
	return c.list(r.Context(), r.user(), r.zone, offset, limit)
}

// list makes a user's list: the latest active chats first, pinned or not.
func (c *Contract) list(ctx context.Context, user int64, zone *time.Location, offset, limit int) ([]chatA, error) {
	views, err := c.views(ctx, user, offset+limit)
	if err != nil {
		return nil, err
	}
	views = views[min(offset, len(views)):min(offset+limit, len(views))]
	status, err := c.statuses(ctx, user, companions(views))
	if err != nil {
		return nil, err
	}
	return c.chatsOf(views, status, zone), nil
}

// views returns the latest active n chats of a user, perhaps some more. The service has
// pinned ones first, so these come on top of n.
func (c *Contract) views(ctx context.Context, user int64, n int) ([]chat.View, error) {
	var views []chat.View
	q := chat.ChatsQuery{Limit: maxChats}
	for unpinned := 0; unpinned < n; {
		page, err := c.o.Chats.Chats(ctx, user, q)
		if err != nil {
			return nil, err
		}
		for i := range page.Views {
			v := &page.Views[i]
			if !c.shows(v) {
				continue
			}
			views = append(views, *v)
			if v.Member.PinOrder == 0 {
				unpinned++
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	slices.SortStableFunc(views, func(a, b chat.View) int {
		return cmp.Or(cmp.Compare(b.Chat.LastActivityAt, a.Chat.LastActivityAt), cmp.Compare(b.Chat.ID, a.Chat.ID))
	})
	return views, nil
}

// shows tells whether a chat is of a kind that lists show.
func (c *Contract) shows(v *chat.View) bool {
	return v.Chat.Kind == chat.Direct || v.Chat.Kind == chat.Group && !c.o.WithoutGroups
}

// companions are the other people of direct chats.
func companions(views []chat.View) []int64 {
	var ids []int64
	for i := range views {
		if p := views[i].Companion; p != nil {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// chatsOf makes the chats of a list; status has their companions.
func (c *Contract) chatsOf(views []chat.View, status map[int64]chat.Status, zone *time.Location) []chatA {
	list := make([]chatA, len(views))
	for i := range views {
		var s chat.Status
		if p := views[i].Companion; p != nil {
			s = status[p.ID]
		}
		list[i] = c.chat(&views[i], s, zone)
	}
	return list
}

type chatCreated struct {
	ChatID int64 `json:"chatId"`
}

// postChats finds or makes the direct chat with somebody (chat-api.md §A.3).
func (c *Contract) postChats(r *call) (any, error) {
	const field = "companionId"
	other, err := r.body.id(field)
	switch {
	case err != nil:
		return nil, apierror.NewField(field, apierror.Type) // 422, unlike other wrong types
	case other == 0:
		return nil, apierror.NewField(field, apierror.Required)
	}
	v, _, err := c.o.Chats.OpenDirect(r.Context(), r.user(), other)
	if err != nil {
		return nil, err
	}
	return chatCreated{v.Chat.ID}, nil
}

type done struct{}

// postTyping says that the caller is typing, or no longer (chat-api.md §A.6).
func (c *Contract) postTyping(r *call) (any, error) {
	id, err := r.body.id("chatId")
	if err != nil {
		return nil, err
	}
	typing, given, err := r.body.flag("typing")
	if err != nil {
		return nil, err
	}
	var missing []apierror.Field
	if id == 0 {
		missing = append(missing, apierror.Field{Name: "chatId", Reason: apierror.Required})
	}
	if !given {
		missing = append(missing, apierror.Field{Name: "typing", Reason: apierror.Required})
	}
	if missing != nil {
		return nil, &apierror.Error{Code: apierror.Validation, Fields: missing}
	}
	return done{}, c.o.Typing.Set(r.Context(), r.user(), id, typing)
}
