package chat

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Filters of [ChatsQuery].
const (
	AllChats      = "all"
	UnreadChats   = "unread"
	DirectChats   = "direct"
	GroupChats    = "group"
	ArchivedChats = "archived"
)

const (
	defaultPage = 50
	maxChats    = 1000
)

// ChatsQuery selects from the chats of one user, which come in the order of the list:
// pinned ones first, then the latest active.
type ChatsQuery struct {
	// Filter is [AllChats], which empty means, [UnreadChats], [DirectChats], [GroupChats] or
	// [ArchivedChats]. All chats include archived ones; the others do not.
	Filter string
	// Limit is 1 to 1,000; zero means 50. Offset skips chats after the cursor.
	Limit, Offset int
	// Cursor is [ChatList.Next] of the page before.
	Cursor string
}

// ChatList is one page of a user's chats.
type ChatList struct {
	Views []View
	// Next is the cursor of the next page, empty on the last.
	Next string
	// Total is how many chats the filter selects.
	Total int
}

// ChatsPage is a [ChatsQuery] as the store reads it. After is the place in the list
// after which the page begins.
type ChatsPage struct {
	Kind             string
	Unread, Archived bool
	// Any says that archived chats are not told from others.
	Any bool
	// Small is up to how many members of a chat delivery is told.
	Small         int
	After         ChatPlace
	Limit, Offset int
}

// ChatPlace is a chat's place in the list. Pin is the pin order, or [NotPinned].
type ChatPlace struct{ Pin, Activity, ID int64 }

// NotPinned sorts after every pin order.
const NotPinned = 1<<53 - 1

// viewTx reads chats from one member's point of view. A chat that user is not an active
// member of is not there.
type viewTx interface {
	// Views returns a page of the list, and [viewTx.CountViews] how many chats all pages have.
	Views(ctx context.Context, user int64, q ChatsPage) ([]View, error)
	CountViews(ctx context.Context, user int64, q ChatsPage) (int, error)
	// ViewOf returns one chat, also if it is hidden from the list; small is as in [ChatsPage].
	ViewOf(ctx context.Context, user, chat int64, small int) (View, error)
	// MemberOf returns an active member's place and the chat.
	MemberOf(ctx context.Context, user, chat int64) (Member, Chat, error)
	// ActiveOf returns the chats of the user's list, the latest active first.
	ActiveOf(ctx context.Context, user int64, limit int) ([]Place, error)
}

// Chats returns a page of the user's chats. The error is a [*FieldError] for a filter or
// cursor that is none.
func (s *Service) Chats(ctx context.Context, user int64, q ChatsQuery) (list ChatList, err error) {
	p := ChatsPage{Small: s.o.ReceiptsMaxMembers, Limit: clamp(q.Limit, maxChats), Offset: max(q.Offset, 0), After: ChatPlace{Pin: -1}}
	switch q.Filter {
	case "", AllChats:
		p.Any = true
	case UnreadChats:
		p.Unread = true
	case DirectChats, GroupChats:
		p.Kind = q.Filter
	case ArchivedChats:
		p.Archived = true
	default:
		return list, &FieldError{"filter", "must be all, unread, direct, group or archived"}
	}
	if q.Cursor != "" && !openCursor(q.Cursor, &p.After.Pin, &p.After.Activity, &p.After.ID) {
		return list, errCursor
	}
	p.Limit++ // one more tells whether there is a next page
	err = s.store.View(ctx, func(tx Tx) error {
		if list.Views, err = tx.Views(ctx, user, p); err != nil {
			return err
		}
		list.Total, err = tx.CountViews(ctx, user, p)
		return err
	})
	if err != nil {
		return ChatList{}, err
	}
	if len(list.Views) == p.Limit {
		list.Views = list.Views[:p.Limit-1]
		at := list.Views[p.Limit-2].place()
		list.Next = cursor(at.Pin, at.Activity, at.ID)
	}
	for i := range list.Views {
		s.finish(&list.Views[i])
	}
	return list, nil
}

// Chat returns a chat from the user's point of view.
func (s *Service) Chat(ctx context.Context, user, chat int64) (v View, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		v, err = s.view(ctx, tx, user, chat)
		return err
	})
	return v, err
}

func (s *Service) view(ctx context.Context, tx viewTx, user, chat int64) (View, error) {
	v, err := tx.ViewOf(ctx, user, chat, s.o.ReceiptsMaxMembers)
	if err != nil {
		return View{}, err
	}
	s.finish(&v)
	return v, nil
}

// finish applies what is decided by rules, not by rows.
func (s *Service) finish(v *View) {
	if v.Unread >= MaxUnread {
		v.Unread, v.Capped = MaxUnread, true
	}
	if v.Companion != nil {
		s.present(v.Companion, v.Member.User)
	}
}

// Membership returns the user's place in a chat, and the chat; the error is
// [ErrNotFound] for who is not an active member.
func (s *Service) Membership(ctx context.Context, user, chat int64) (m Member, c Chat, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		m, c, err = tx.MemberOf(ctx, user, chat)
		return err
	})
	return m, c, err
}

// ActiveChats returns the chats of the user's list, the latest active first, at most
// limit.
func (s *Service) ActiveChats(ctx context.Context, user int64, limit int) (chats []int64, err error) {
	places, err := s.Places(ctx, user, limit)
	for _, p := range places {
		chats = append(chats, p.Chat)
	}
	return chats, err
}

// Place is a chat that somebody is in.
type Place struct {
	Chat int64
	// Members is how many there are.
	Members int
	// VisibleFromSeq is the newest message that the user does not see.
	VisibleFromSeq int64
}

// Places is ActiveChats with the sizes of the chats.
func (s *Service) Places(ctx context.Context, user int64, limit int) (places []Place, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		places, err = tx.ActiveOf(ctx, user, limit)
		return err
	})
	return places, err
}

// Permissions are what a member may do in a chat (chat-api.md §C.7).
type Permissions struct {
	Post, Add, EditInfo, Pin, DeleteOthers, Ban, Invite bool
}

// Permissions returns what the viewer may do.
func (v *View) Permissions() Permissions {
	if v.Chat.Kind != Group {
		return Permissions{Post: v.Companion == nil || v.Companion.State == personActive && !v.Companion.BlockedByMe, Pin: true}
	}
	leads := v.Member.Role != Plain
	rules := v.Chat.Settings
	p := Permissions{
		Post: leads || rules.WhoCanPost != Admins, Add: leads || rules.WhoCanAdd == Everyone,
		EditInfo: leads || rules.WhoCanEdit == Everyone, DeleteOthers: leads, Ban: leads,
	}
	p.Pin, p.Invite = p.EditInfo, p.Add
	return p
}

// place is where v stands in the list.
func (v *View) place() ChatPlace {
	p := ChatPlace{Pin: NotPinned, Activity: v.Chat.LastActivityAt, ID: v.Chat.ID}
	if v.Member.PinOrder > 0 {
		p.Pin = int64(v.Member.PinOrder)
	}
	return p
}

// errCursor is the error of a cursor that no page has returned.
var errCursor = &FieldError{"cursor", "is not one of this list"}

// cursor writes down where a page ended. Who asks gets nothing by a cursor that could
// not be asked without.
func cursor(at ...int64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d", at))
}

// openCursor reads what cursor wrote.
func openCursor(text string, at ...*int64) bool {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	got := make([]int64, len(at))
	into := make([]any, len(at))
	for i := range got {
		into[i] = &got[i]
	}
	format := "[" + strings.TrimSuffix(strings.Repeat("%d ", len(at)), " ") + "]"
	if n, err := fmt.Sscanf(string(b), format, into...); err != nil || n != len(at) || cursor(got...) != text {
		return false
	}
	for i := range at {
		*at[i] = got[i]
	}
	return true
}

// clamp returns the size of a page: n, the default for 0, most at most.
func clamp(n, most int) int {
	if n <= 0 {
		return defaultPage
	}
	return min(n, most)
}

// distinct returns ids sorted, each once, without except.
func distinct(ids []int64, except int64) []int64 {
	out := slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return id == except })
	slices.Sort(out)
	return slices.Compact(out)
}
