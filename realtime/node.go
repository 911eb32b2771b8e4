package realtime

import (
	"context"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// Node is one server's realtime core. Its methods are safe for concurrent use.
//
// The errors of its methods are [*protocol.Error] where the caller is to blame:
// [protocol.ErrUnknownChannel], [protocol.ErrBadRequest], [protocol.ErrNotAvailable]
// (the channel lacks the feature), [protocol.ErrUnrecoverable]; others are the broker's.
type Node struct{}

// New returns a node that serves sessions once [Node.Run] is called.
func New(o Options) (*Node, error) { panic("unwritten") }

// Run serves until ctx ends, then closes what [Node.Shutdown] left and returns after
// all goroutines of the node have ended.
func (n *Node) Run(ctx context.Context) error { panic("unwritten") }

// Shutdown refuses new sessions and closes the existing ones with
// [protocol.CloseShutdown], evenly over drain; it returns when all are closed or
// ctx ends.
func (n *Node) Shutdown(ctx context.Context, drain time.Duration) error { panic("unwritten") }

// NewSession returns the session of a connection that has just been accepted.
func (n *Node) NewSession(c Conn) *Session { panic("unwritten") }

// PublishOptions say how [Node.Publish] treats one publication.
type PublishOptions struct {
	// Info is the publishing connection, nil for a server's publication.
	Info *protocol.ClientInfo
	Tags map[string]string
	// SkipHistory delivers without retaining or numbering.
	SkipHistory bool
	// IdempotencyKey, Version, VersionEpoch and Position are those of [StreamOptions].
	IdempotencyKey string
	Version        uint64
	VersionEpoch   string
	Position       *protocol.StreamPosition
}

// Publish publishes data, which is not copied and must not change afterwards, into
// channel. It returns the publication's position, zero if the channel keeps no
// history, and does not wait for subscribers to read.
func (n *Node) Publish(ctx context.Context, channel string, data []byte, o PublishOptions) (protocol.StreamPosition, error) {
	panic("unwritten")
}

// Target selects connections of this node: those of User ("" is the anonymous user),
// narrowed to one connection by Client or Session if they are set.
type Target struct{ User, Client, Session string }

// SubscribeOptions are the options of [Node.Subscribe].
type SubscribeOptions struct {
	// ExpireAt is when the subscription expires, in seconds since 1970; 0 is never.
	ExpireAt   int64
	Info, Data []byte
	// RecoverSince, if not nil, sends what was published after it.
	RecoverSince *protocol.StreamPosition
	Override     Override
}

// Override replaces options of the namespace where not nil.
type Override struct {
	Presence, JoinLeave, ForceRecovery, ForcePositioning, ForcePushJoinLeave *bool
}

// Subscribe subscribes the target's connections to channel and pushes that to them.
func (n *Node) Subscribe(ctx context.Context, t Target, channel string, o SubscribeOptions) error {
	panic("unwritten")
}

// Unsubscribe ends the target's subscriptions to channel, or all of them if it is empty.
func (n *Node) Unsubscribe(ctx context.Context, t Target, channel string, why protocol.UnsubscribePush) error {
	panic("unwritten")
}

// Disconnect closes the target's connections, except those whose ids are in keep.
func (n *Node) Disconnect(ctx context.Context, t Target, why *protocol.Close, keep []string) error {
	panic("unwritten")
}

// RefreshOptions are the options of [Node.Refresh].
type RefreshOptions struct {
	// Expired closes the connections as expired. Otherwise they expire at ExpireAt, in
	// seconds since 1970, or never if it is 0.
	Expired  bool
	ExpireAt int64
	// Info replaces the connections' info unless nil.
	Info []byte
}

// Refresh changes when the target's connections expire.
func (n *Node) Refresh(ctx context.Context, t Target, o RefreshOptions) error { panic("unwritten") }

// Presence returns who is subscribed to channel, by client id.
func (n *Node) Presence(ctx context.Context, channel string) (map[string]*protocol.ClientInfo, error) {
	panic("unwritten")
}

// PresenceStats counts the connections and the distinct users subscribed to channel.
func (n *Node) PresenceStats(ctx context.Context, channel string) (clients, users int, err error) {
	panic("unwritten")
}

// History returns retained publications of channel; a Since with an epoch that is
// not the stream's is [protocol.ErrUnrecoverable].
func (n *Node) History(ctx context.Context, channel string, f HistoryFilter) (Past, error) {
	panic("unwritten")
}

// RemoveHistory removes what channel retains; offset and epoch stay.
func (n *Node) RemoveHistory(ctx context.Context, channel string) error { panic("unwritten") }

// Channels returns the channels with subscribers, with their number, of which match
// (nil is all) is true.
func (n *Node) Channels(match func(channel string) bool) map[string]int { panic("unwritten") }

// Info describes the node. Uptime is in seconds.
type Info struct {
	UID, Name, Version             string
	Clients, Users, Channels, Subs int
	Uptime                         uint32
}

// Info returns the node's figures as they are now.
func (n *Node) Info() Info { panic("unwritten") }

// Session is one client's connection to the node. The transport calls its methods.
type Session struct{}

// ID returns the connection's id, which is also the client's.
func (s *Session) ID() string { panic("unwritten") }

// MessageLimit returns how many bytes the next message may have.
func (s *Session) MessageLimit() int { panic("unwritten") }

// Receive handles one message of the client, which it does not retain. Calls must
// not overlap. It returns false if the session is closing: nothing more is to be
// read. Replies may wait until Flush.
func (s *Session) Receive(message []byte) bool { panic("unwritten") }

// Flush writes what waits; transports call it after the last Receive of what one
// read brought.
func (s *Session) Flush() { panic("unwritten") }

// Writable tells that the connection takes bytes again ([Conn.AwaitWritable]).
func (s *Session) Writable() { panic("unwritten") }

// Stalled tells that the peer has taken nothing for the whole write timeout; the
// session closes with [protocol.CloseSlow].
func (s *Session) Stalled() { panic("unwritten") }

// Fail closes the session because of what the peer sent, e.g. an invalid frame; c may
// have a code of the transport (1002, 1009).
func (s *Session) Fail(c *protocol.Close) { panic("unwritten") }

// Gone tells that the peer is gone (it closed, or the connection broke). Everything
// the session held is released; [Conn.Close] is called if it was not yet.
func (s *Session) Gone() { panic("unwritten") }

// Stats are counters since start and gauges, for metrics.
type Stats struct {
	Sessions, Subscriptions, Channels, Users int64 // gauges
	QueuedBytes                              int64 // gauge: bytes waiting for sockets
	Connects, Publications, Deliveries       uint64
	RecoveredTrue, RecoveredFalse            uint64
	InsufficientState, SlowCloses            uint64
	Panics                                   uint64
}

// Stats returns the node's counters.
func (n *Node) Stats() Stats { panic("unwritten") }
