// Package channels is the realtime channels of the chat backend (chat-api.md §0.5):
// which there are, who may do what in them, what is published into them and what is
// recovered from them.
//
// The channels chat:{id}, user:{id}, system:notifications and user-{id}-messages are
// bound to streams of the event log: an offset is the number in the stream and the
// epoch is the database's, so what a client missed is the same on every node and after
// every crash. [Channels] is the log's sink for them; it hands an event to subscribers
// only after it has ended the subscriptions that the event takes away, and nobody
// recovers an event that it has not handled yet (guarantees.md S16).
//
// Channels that are not of chat are left to the policy it wraps. It is safe for
// concurrent use; [Channels.Run] owns its goroutines.
package channels

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// Chats is what channels ask of the chat service.
type Chats interface {
	// Membership returns an active member's place and the chat, or [chat.ErrNotFound].
	Membership(ctx context.Context, user, chat int64) (chat.Member, chat.Chat, error)
	// Places returns the chats of user, the latest active first.
	Places(ctx context.Context, user int64, limit int) ([]chat.Place, error)
	// SeesStatusOf tells whether viewer may know when other comes and goes.
	SeesStatusOf(ctx context.Context, viewer, other int64) (bool, error)
	// Chat returns a chat from one member's point of view.
	Chat(ctx context.Context, user, chat int64) (chat.View, error)
}

// Accounts is what channels ask of identity.
type Accounts interface {
	// SessionCaller and UserCaller return who a session or a user is; the error says that
	// the session has ended or the account may not be used.
	SessionCaller(ctx context.Context, session string) (identity.Caller, error)
	UserCaller(ctx context.Context, user int64) (identity.Caller, error)
	// Account returns the account of a user, or [identity.ErrNotFound].
	Account(ctx context.Context, user int64) (identity.Account, error)
	// Forget and ForgetUser drop what is remembered of a session or key, and a user.
	Forget(sessionOrKey string)
	ForgetUser(user int64)
}

// Log reads the streams of the event log.
type Log interface {
	// Stream returns the newest events of a stream in order, at most limit and none before
	// oldest (milliseconds since 1970), and the stream's newest number.
	// Events whose position is above upTo, or that have none yet, are left out, and do
	// not count for top.
	Stream(ctx context.Context, stream string, oldest, upTo int64, limit int) (events []event.Event, top int64, err error)
	// Messages is Stream for the messages of a chat alone, numbered by their own seq.
	Messages(ctx context.Context, chat, oldest, upTo int64, limit int) (events []event.Event, top int64, err error)
	// Epoch names the history that all numbers are of.
	Epoch() string
}

// Contract is a further contract with channels of its own (internal/compat/chequite).
type Contract interface {
	// Message renders a message event for user-{chatId}-messages.
	Message(ctx context.Context, e event.Event) ([]byte, error)
	// Typing renders who types for chat.{chatId}, Status who came or went for user-{id}-status.
	Typing(t chat.Typist) []byte
	Status(user int64, online bool, lastSeen int64) []byte
	// Announced is told of each event that was announced, to refresh lists, and the methods
	// of Live of changes that are no events. None of them blocks.
	Announced(e event.Event)
	chat.Live
	// Interested is told of who is about to subscribe to user-{id}-chats.
	Interested(user int64)
}

// Options configure [Channels].
type Options struct {
	// Sink names the cursor of this process in the log.
	Sink     string
	Chats    Chats
	Accounts Accounts
	Log      Log
	// Head returns the position of the newest event that this node knows to be stored; nil
	// if it cannot tell.
	Head func() int64
	// Policy decides about all other channels, and about who may connect.
	Policy Policy
	// Render returns what is published of an event of a stream.
	Render func(e event.Event) ([]byte, error)
	// Contract A, nil if it is off.
	Contract Contract
	// Publish takes what a member publishes into chat:{id}; nil refuses it.
	Publish func(ctx context.Context, user int64, channel string, data []byte) error
	// OwnToken returns nil if a token is a connection token of the user, or a subscription
	// token of the user for the channel; [identity.ErrExpired] says that it was one.
	OwnToken func(ctx context.Context, token, user, channel string) error
	// Presence and Typing are told of connections and messages.
	Presence *chat.Presence
	Typing   *chat.Typing
	// HistorySize and HistoryTTL bound what is recovered of a chat (100, 48 h).
	HistorySize int
	HistoryTTL  time.Duration
	// LargeGroup is from how many members on coming and going is not told (500).
	// ReceiptsMaxMembers is up to how many members read marks are told (100).
	LargeGroup, ReceiptsMaxMembers int
	// AutoSubscribe is how many chats a modern client is subscribed to by the server (200).
	AutoSubscribe int
	// Logger defaults to slog.Default(), Clock to time.Now.
	Logger *slog.Logger
	Clock  func() time.Time
}

// Policy is what decides where chat does not.
type Policy interface {
	realtime.Authorizer
	realtime.Channels
}

// Channels implements [realtime.Authorizer], [realtime.Channels] and [realtime.Watcher]
// for the node, [chat.Live] for the chat service, and the sink for the event log.
type Channels struct {
	o    Options
	node atomic.Pointer[realtime.Node]

	memberships *memberships
	revoked     revocations
	streams     *streams
	modern      *modern
	// handled is the position of the last event whose effects on subscriptions are done.
	handled atomic.Int64
}

// New returns the channels with the options o. They work once [Channels.Attach] has
// been called.
func New(o Options) *Channels {
	setDefault(&o.HistorySize, 100)
	setDefault(&o.HistoryTTL, 48*time.Hour)
	setDefault(&o.LargeGroup, 500)
	setDefault(&o.ReceiptsMaxMembers, 100)
	setDefault(&o.AutoSubscribe, 200)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	c := &Channels{o: o, memberships: newMemberships()}
	c.streams = newStreams(c)
	c.modern = newModern(c)
	return c
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Attach tells where to publish, and up to which position of the log all has been
// announced before. The log is not carried to the channels before.
func (c *Channels) Attach(n *realtime.Node, pos int64) {
	c.handled.Store(pos)
	c.node.Store(n)
}

// Run does the background work until ctx ends.
func (c *Channels) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { c.modern.run(ctx); return nil })
	return g.Wait()
}

// ChannelOptions implements [realtime.Channels].
func (c *Channels) ChannelOptions(channel string) (realtime.ChannelOptions, error) {
	switch name := parse(channel); name.family {
	case other:
		return c.o.Policy.ChannelOptions(channel)
	case unknown:
		return realtime.ChannelOptions{}, protocol.ErrUnknownChannel
	default:
		return c.options(name), nil
	}
}

// options are those of a channel of chat (chat-api.md §0.5).
func (c *Channels) options(n name) realtime.ChannelOptions {
	o := realtime.ChannelOptions{DataFormat: realtime.DataJSON}
	if size, _ := c.retention(n); size > 0 {
		o.ForceRecovery, o.ForcePositioning, o.Source, o.DefaultHistory = true, true, c.streams, size
	}
	if n.family == chatChannel {
		o.Presence, o.JoinLeave, o.ForcePushJoinLeave = true, true, true
		if c.o.Publish != nil {
			o.Intake = c.intake
		}
	}
	return o
}

// retention is how much of a channel's past is recovered and how old that may be; the
// size is 0 if it has none: lists, statuses, typing and presence are told once.
func (c *Channels) retention(n name) (size int, ttl time.Duration) {
	switch n.family {
	case chatChannel:
		return c.o.HistorySize, c.o.HistoryTTL
	case userChannel:
		return 50, 24 * time.Hour
	case systemChannel:
		return 20, 24 * time.Hour
	case messagesChannel:
		return 50, 5 * time.Minute
	default:
		return 0, 0
	}
}

// intake takes what a client publishes into a chat.
func (c *Channels) intake(ctx context.Context, client realtime.Client, channel string, data []byte) error {
	user := userID(client.User)
	if user == 0 {
		return protocol.ErrPermissionDenied
	}
	return c.o.Publish(ctx, user, channel, data)
}
