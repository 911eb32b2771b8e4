package chequite_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // zones are the same wherever the tests run

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/compat/chequite"
	"github.com/kuranty/kuranty/internal/identity"
)

// stage is a chat service of fixed answers, for what depends on no rules: the form of
// answers and the pace of publications. Its other methods are not there.
type stage struct {
	absent

	mu      sync.Mutex
	people  map[int64]chat.PersonView
	views   []chat.View
	pages   int // views on a page, if not all
	page    chat.Page
	members map[int64][]int64
	asked   int   // lists asked for
	seen    int   // people asked for
	err     error // of lists
}

type absent interface{ chequite.Chats }

func (s *stage) Chats(_ context.Context, _ int64, q chat.ChatsQuery) (chat.ChatList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	from, to := 0, len(s.views)
	if s.pages > 0 {
		from, _ = strconv.Atoi(q.Cursor) // the first has none
		to = min(from+s.pages, to)
	}
	list := chat.ChatList{Views: slices.Clone(s.views[from:to])}
	if to < len(s.views) {
		list.Next = strconv.Itoa(to)
	}
	return list, s.err
}

func (s *stage) Chat(_ context.Context, _, id int64) (chat.View, error) {
	for _, v := range s.views {
		if v.Chat.ID == id {
			return v, nil
		}
	}
	return chat.View{}, chat.ErrNotFound
}

func (s *stage) Messages(_ context.Context, _, id int64, _ chat.PageQuery) (chat.Page, error) {
	if id != s.page.Chat.ID {
		return chat.Page{}, chat.ErrNotFound
	}
	return s.page, nil
}

func (s *stage) MarkRead(_ context.Context, _, _, seq int64) (chat.ReadMark, error) {
	return chat.ReadMark{Moved: true, ReadSeq: seq}, nil
}

func (s *stage) People(_ context.Context, viewer int64, ids []int64) (found []chat.PersonView, err error) {
	s.seen++
	for _, id := range ids {
		if p, ok := s.people[id]; ok {
			if viewer == 0 {
				p.EmailShown = false
			}
			found = append(found, p)
		}
	}
	return found, nil
}

func (s *stage) MemberIDs(_ context.Context, id int64) ([]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.members[id]), nil
}

func (s *stage) ActiveChats(_ context.Context, _ int64, _ int) (ids []int64, err error) {
	for _, v := range s.views {
		ids = append(ids, v.Chat.ID)
	}
	return ids, nil
}

// there is a presence of fixed answers.
type there map[int64]chat.Status

func (p there) Status(_ context.Context, viewer int64, users []int64) (map[int64]chat.Status, error) {
	all := make(map[int64]chat.Status)
	for _, id := range users {
		if all[id] = p[id]; viewer == 0 {
			all[id] = chat.Status{Hidden: true}
		}
	}
	return all, nil
}

func (there) Active(int64) {}

// links are addresses that tell what they are of.
type links struct{}

func (links) File(id, variant string) (string, time.Time) {
	return "https://host/files/" + id + "/" + variant, time.Date(2024, 1, 25, 0, 0, 0, 0, time.UTC)
}

func (links) Avatar(ref string) (url, thumb string) {
	if ref == "" {
		return "", ""
	}
	return "https://host/avatars/" + ref + "/512", "https://host/avatars/" + ref + "/128"
}

// published remembers what was published, and when.
type published struct {
	mu   sync.Mutex
	subs map[string]int
	all  []publication
}

type publication struct {
	channel, data string
	at            time.Time
}

func (p *published) Publish(_ context.Context, channel string, data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, publication{channel, string(data), time.Now()})
	return nil
}

func (p *published) Subscribers(channel string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.subs[channel]
}

func (p *published) subscribe(channel string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.subs == nil {
		p.subs = make(map[string]int)
	}
	p.subs[channel] = n
}

// take returns what was published since the last call.
func (p *published) take() []publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.all
	p.all = nil
	return all
}

func moscow(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Moscow")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// at is a time of 24 January 2024, in milliseconds since 1970, given in Moscow's time.
func at(t testing.TB, clock string) int64 {
	t.Helper()
	when, err := time.ParseInLocation("2006-01-02 15:04:05.000", "2024-01-24 "+clock, moscow(t))
	if err != nil {
		t.Fatal(err)
	}
	return when.UnixMilli()
}

// onStage returns a contract on a stage, where the bearer token "1" is user 1's and any
// other nobody's.
func onStage(t testing.TB, s *stage, o chequite.Options) *chequite.Contract {
	t.Helper()
	o.Chats, o.Location, o.Logger = s, moscow(t), slog.New(slog.DiscardHandler)
	if o.Links == nil {
		o.Links = links{}
	}
	o.Authenticate = func(_ context.Context, bearer string) (identity.Caller, error) {
		if bearer != "1" {
			return identity.Caller{}, identity.ErrUnauthorized
		}
		return identity.Caller{User: 1}, nil
	}
	if o.Presence == nil {
		o.Presence = there{}
	}
	return chequite.New(o)
}

var errStage = errors.New("the stage is dark")

// get is a request of user 1.
func get(t testing.TB, path string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer 1")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}
