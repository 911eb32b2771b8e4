package chequite

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
)

// Chats is what the contract asks of the chat service; see [chat.Service].
type Chats interface {
	Chats(ctx context.Context, user int64, q chat.ChatsQuery) (chat.ChatList, error)
	Chat(ctx context.Context, user, id int64) (chat.View, error)
	OpenDirect(ctx context.Context, user, other int64) (v chat.View, created bool, err error)
	Messages(ctx context.Context, user, id int64, q chat.PageQuery) (chat.Page, error)
	Message(ctx context.Context, user, message int64) (chat.Message, chat.ReadState, error)
	Send(ctx context.Context, user, id int64, in chat.Sending) (m chat.Message, replayed bool, err error)
	MarkRead(ctx context.Context, user, id, seq int64) (chat.ReadMark, error)
	MarkReadMessage(ctx context.Context, user, id, message int64) (chat.Message, chat.ReadMark, error)
	// People returns what viewer sees of people; 0 is a stranger, who sees what all see.
	People(ctx context.Context, viewer int64, ids []int64) ([]chat.PersonView, error)
	SearchPeople(ctx context.Context, viewer int64, needle string, limit int, cursor string) ([]chat.PersonView, string, error)
	// ActiveChats returns the chats of a user, MemberIDs the active members of a chat.
	ActiveChats(ctx context.Context, user int64, limit int) ([]int64, error)
	MemberIDs(ctx context.Context, id int64) ([]int64, error)
}

// Presence is what the contract asks of [chat.Presence].
type Presence interface {
	// Status tells who is there, as far as viewer may know; 0 is a stranger.
	Status(ctx context.Context, viewer int64, users []int64) (map[int64]chat.Status, error)
	// Active says that user called.
	Active(user int64)
}

// Typing is what the contract asks of [chat.Typing].
type Typing interface {
	Set(ctx context.Context, user, id int64, typing bool) error
}

// Links makes addresses of files.
type Links interface {
	// File returns the address of a variant, "original" or "thumb", of a file, and when
	// it ends.
	File(id, variant string) (url string, expires time.Time)
	// Avatar returns the addresses of an avatar and of the small one. ref is the id of a
	// file or an absolute URL; of the empty one both are empty.
	Avatar(ref string) (url, thumb string)
}

// Limits bound how often callers may call (chat-api.md §0.11); their errors are what these
// are told.
type Limits interface {
	// User counts a call of a user, Stranger one of an address without a token that is good.
	User(id int64) error
	Stranger(address string) error
}

// Watcher is told of requests that may be an attack. Its methods must not block.
type Watcher interface {
	// TokenRefused tells of a token that is forged, expired or revoked.
	TokenRefused(address string)
	// RateLimited tells of a request of a user that the domain refused because there were
	// too many; what [Limits] refuses is told by these.
	RateLimited(user int64, address string)
}

// nobody watches.
type nobody struct{}

func (nobody) TokenRefused(string)       {}
func (nobody) RateLimited(int64, string) {}

// Publisher publishes into channels without history.
type Publisher interface {
	// Publish offers data, JSON, to the present subscribers of a channel.
	Publish(ctx context.Context, channel string, data []byte) error
	// Subscribers returns how many connections are subscribed to a channel.
	Subscribers(channel string) int
}

// Options configure a [Contract]. Chats, Authenticate, ConnectionToken, Presence, Typing
// and Links must be set, and Publisher too for [Contract.Run].
type Options struct {
	Chats Chats
	// Authenticate tells who shows a bearer token, with the errors of [identity.Accounts].
	Authenticate func(ctx context.Context, bearer string) (identity.Caller, error)
	// ConnectionToken makes a connection token and says when it ends.
	ConnectionToken func(ctx context.Context, by identity.Caller) (token string, expires time.Time, err error)
	Presence        Presence
	Typing          Typing
	Links           Links
	Publisher       Publisher
	// Limits may be nil: then there are none.
	Limits Limits
	// Watch, if not nil, is told of what may be an attack.
	Watch Watcher
	// Address returns the IP address of who makes a request; nil means its peer's.
	Address func(*http.Request) string
	// PublicURL returns the address of the server as the client of r sees it, without a
	// slash at its end. Addresses of files in answers that have no host begin with it; nil
	// leaves them as they are.
	PublicURL func(r *http.Request) string
	// Location is the zone of times in publications, and in answers to requests that name
	// none. Nil means time.Local.
	Location *time.Location
	// WithoutGroups leaves groups out of lists.
	WithoutGroups bool
	// Items publishes the chat that changed rather than the whole list.
	Items bool
	// LargeGroup is from how many members on nobody is told whether somebody is there;
	// zero means 500.
	LargeGroup int
	// ReceiptsMaxMembers is up to how many members a read mark refreshes the lists of all;
	// zero means 100.
	ReceiptsMaxMembers int
	// BodyBytes bounds the body of a request; zero means 1 MiB.
	BodyBytes int64
	// Logger is told of internal errors; nil means slog.Default().
	Logger *slog.Logger
	// Clock defaults to time.Now.
	Clock func() time.Time
}

// Contract serves contract A.
type Contract struct {
	o     Options
	faces *faces
	lists *lists
	zones *zones
}

// New returns the contract with the options o.
func New(o Options) *Contract {
	o.LargeGroup = cmp.Or(o.LargeGroup, 500)
	o.ReceiptsMaxMembers = cmp.Or(o.ReceiptsMaxMembers, 100)
	o.BodyBytes = cmp.Or(o.BodyBytes, 1<<20)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Location = cmp.Or(o.Location, time.Local)
	if o.Address == nil {
		o.Address = peer
	}
	if o.Watch == nil {
		o.Watch = nobody{}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	c := &Contract{o: o, zones: new(zones)}
	c.faces, c.lists = newFaces(c), newLists(c)
	return c
}

// Run publishes lists of chats until ctx ends.
func (c *Contract) Run(ctx context.Context) error { return c.lists.run(ctx) }

// Route is an endpoint.
type Route struct {
	// Method and Pattern are those of [http.ServeMux].
	Method, Pattern string
	serve           func(*Contract, *call) (any, error)
}

// Routes are the endpoints, in the order of the specification (chat-api.md §A.1–§A.9).
// All need a bearer token of a person.
func Routes() []Route {
	return []Route{
		{http.MethodGet, "/api/get-user-info", (*Contract).getUserInfo},
		{http.MethodGet, "/api/chats", (*Contract).getChats},
		{http.MethodPost, "/api/chats", (*Contract).postChats},
		{http.MethodGet, "/api/chats/{chat}/messages", (*Contract).getMessages},
		{http.MethodPost, "/api/chats/{chat}/messages", (*Contract).postMessages},
		{http.MethodPost, "/api/typing", (*Contract).postTyping},
		{http.MethodGet, "/api/search-users", (*Contract).searchUsers},
		{http.MethodGet, "/api/update-centrifugo-token", (*Contract).updateToken},
		{http.MethodPost, "/api/chats/{chat}/messages/{message}", (*Contract).postRead},
	}
}

// Handler serves [Routes], and answers 404 to every other path.
func (c *Contract) Handler() http.Handler {
	byPattern := make(map[string]methods)
	mux := http.NewServeMux()
	for _, r := range Routes() {
		if byPattern[r.Pattern] == nil {
			byPattern[r.Pattern] = make(methods)
		}
		byPattern[r.Pattern][r.Method] = r.serve
	}
	for pattern, m := range byPattern {
		mux.Handle(pattern, c.handle(m))
	}
	mux.Handle("/", c.handle(nil))
	return mux
}
