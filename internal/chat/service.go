package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Store keeps chats. Update runs f in one transaction, perhaps several times; View runs
// it for reading only.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) error
	View(ctx context.Context, f func(Tx) error) error
	// Words returns what the full-text index is to keep of a text, for Index. That takes a
	// while, and in a transaction others wait.
	Words(text string) string
}

// Tx is what a transaction can do. Each part stands beside the rules that use it. What
// is not there is [ErrNotFound].
type Tx interface {
	postTx
	searchTx
	messageTx
	editTx
	deleteTx
	purgeTx
	erasureTx
	reactionTx
	pinTx
	pageTx
	receiptTx
	viewTx
	pairTx
	roomTx
	stateTx
	memberTx
	inviteTx
	personTx
	relationTx
	noticeTx
	rosterTx
	audienceTx
	overviewTx
	presenceTx
	eventTx
}

// eventTx appends to the log.
type eventTx interface {
	// Append appends e, which is announced once the transaction is stored.
	Append(ctx context.Context, e event.Event) error
	// NextUserSeq takes the next number of the stream of a user.
	NextUserSeq(ctx context.Context, user int64) (int64, error)
}

// Options configure a [Service]. The zero value is ready to use, but for Store.
type Options struct {
	Store Store
	// Clock defaults to time.Now.
	Clock func() time.Time
	// TextLimit bounds a message, in code points; zero means 4,000.
	TextLimit int
	// MembersLimit bounds a group; zero means 1,000.
	MembersLimit int
	// EditWindow and DeleteWindow are how long authors may edit and delete for all;
	// zero means 48 h, negative for ever.
	EditWindow, DeleteWindow time.Duration
	// LargeGroup is from how many members on typing and presence are no longer told;
	// zero means 500. ReceiptsMaxMembers is up to how many members receipts of each are
	// shown; zero means 100.
	LargeGroup, ReceiptsMaxMembers int
	// ExternalAttachments lets messages point to files elsewhere.
	ExternalAttachments bool
	// DirectoryContacts restricts the search for people to contacts and common groups.
	DirectoryContacts bool
	// EmailVisibility is who sees the addresses of people who have not chosen:
	// "everyone", which empty means, "contacts" or "self".
	EmailVisibility string
	// Live is told of changes that are not events; nil is nobody.
	Live Live
	// Limits bound how often one person does something; zero values mean defaults.
	Limits Limits
	// Sizes bound what there may be of something; zero values mean defaults.
	Sizes Sizes
}

// Sizes are how much there may be of what (chat-api.md §0.11). Zero means the default.
type Sizes struct {
	// Attachments (10) and Mentions (50) are of a message.
	Attachments, Mentions int
	// Reactions (20) are different ones of a message, OwnReactions (3) those of one person.
	Reactions, OwnReactions int
	// Title (128) and About (512) are of a group, in code points.
	Title, About int
}

// Limits are rates (chat-api.md §0.11). Zero means the default, negative no limit.
type Limits struct {
	// SendPerSecond (5) with SendBurst (20) is per person, ChatPerSecond (50) per chat.
	SendPerSecond, SendBurst, ChatPerSecond int
	// TypingPerSecond (2) is per person.
	TypingPerSecond int
	// SearchPerMinute (30), ChatsPerMinute (20), ChatsPerDay (200) and UploadsPerMinute
	// (60) are per person.
	SearchPerMinute, ChatsPerMinute, ChatsPerDay, UploadsPerMinute int
}

// Service is the rules. Its methods are safe for concurrent use; those that change
// something return when it is stored. The first user id of each is who calls.
type Service struct {
	o     Options
	store Store
	rates rates
}

// New returns a service with the options o.
func New(o Options) *Service {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Live == nil {
		o.Live = nobody{}
	}
	setDefault(&o.TextLimit, 4000)
	setDefault(&o.MembersLimit, 1000)
	setDefault(&o.EditWindow, 48*time.Hour)
	setDefault(&o.DeleteWindow, 48*time.Hour)
	setDefault(&o.LargeGroup, 500)
	setDefault(&o.ReceiptsMaxMembers, 100)
	z := &o.Sizes
	setDefault(&z.Attachments, 10)
	setDefault(&z.Mentions, 50)
	setDefault(&z.Reactions, 20)
	setDefault(&z.OwnReactions, 3)
	setDefault(&z.Title, 128)
	setDefault(&z.About, 512)
	l := &o.Limits
	setDefault(&l.SendPerSecond, 5)
	setDefault(&l.SendBurst, 20)
	setDefault(&l.ChatPerSecond, 50)
	setDefault(&l.TypingPerSecond, 2)
	setDefault(&l.SearchPerMinute, 30)
	setDefault(&l.ChatsPerMinute, 20)
	setDefault(&l.ChatsPerDay, 200)
	setDefault(&l.UploadsPerMinute, 60)
	return &Service{o: o, store: o.Store, rates: newRates(o.Limits, o.Clock)}
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Attach tells who is told of what is no event. It is called before any other method.
func (s *Service) Attach(l Live) { s.o.Live = l }

// Options returns the options in force.
func (s *Service) Options() Options { return s.o }

// now is the time in milliseconds since 1970.
func (s *Service) now() int64 { return s.o.Clock().UnixMilli() }

// announce appends an event of a chat's stream: change number seq of chat, done by
// actor (0 is the server).
func (s *Service) announce(ctx context.Context, tx eventTx, typ string, chat, seq, ref, actor int64, payload any) error {
	e, err := event.New(typ, s.o.Clock(), payload)
	if err != nil {
		return err
	}
	e.Stream, e.Seq, e.Ref = event.ChatStream(chat), seq, ref
	if actor != 0 {
		e.Actor = event.User(actor)
	}
	return tx.Append(ctx, e)
}

// Notice is the payload of [event.UserNotice]: news for one user.
type Notice struct {
	// Event is its name (chat-api.md §C.10), Data what belongs to it.
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// notify appends a notice to the stream of a user. ref is the message it quotes, or 0.
func (s *Service) notify(ctx context.Context, tx eventTx, user int64, name string, ref, actor int64, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode notice %s: %w", name, err)
	}
	e, err := event.New(event.UserNotice, s.o.Clock(), Notice{Event: name, Data: b})
	if err != nil {
		return err
	}
	if e.Seq, err = tx.NextUserSeq(ctx, user); err != nil {
		return err
	}
	e.Stream, e.Ref = event.UserStream(user), ref
	if actor != 0 {
		e.Actor = event.User(actor)
	}
	return tx.Append(ctx, e)
}
