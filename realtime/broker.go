package realtime

import (
	"context"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// Broker keeps the streams of channels and carries publications between nodes. All
// methods but Attach are safe for concurrent use. brokertest states what every
// implementation must do; its tests are the exact contract.
type Broker interface {
	// Attach tells the broker where to hand what arrives; it is called once, before
	// any other method.
	Attach(sink Sink)
	// Run does the broker's background work until ctx ends.
	Run(ctx context.Context) error
	// Subscribe makes publications of channel reach the sink; when it has returned,
	// each publication accepted later does. It is called for the node's first
	// subscriber of a channel, Unsubscribe after the last one left.
	Subscribe(ctx context.Context, channel string) error
	Unsubscribe(ctx context.Context, channel string) error
	// Publish accepts pub, whose ownership passes to the broker, and hands it to
	// the sinks of all nodes. With history it is appended to the channel's stream: its
	// Offset is one above the last, its Epoch is set if the offset is 1.
	Publish(ctx context.Context, channel string, pub *protocol.Publication, o StreamOptions) (Published, error)
	// PublishJoin and PublishLeave tell the subscribers of all nodes, at most once.
	PublishJoin(ctx context.Context, channel string, info *protocol.ClientInfo) error
	PublishLeave(ctx context.Context, channel string, info *protocol.ClientInfo) error
	// History returns retained publications of channel, which the caller must not
	// change. Asking creates the stream, with an epoch and offset 0, if need be.
	// metaTTL is [ChannelOptions.HistoryMetaTTL].
	History(ctx context.Context, channel string, f HistoryFilter, metaTTL time.Duration) (Past, error)
	// RemoveHistory removes what is retained; offset and epoch stay.
	RemoveHistory(ctx context.Context, channel string) error
}

// Sink takes what arrives from a broker. Its methods only append to a queue: they do
// not block, do no I/O and call nothing back, so a broker may call them while
// holding the lock that orders the channel. Of one channel, calls come in order
// of offset and never two at once. The sink neither changes nor copies what it gets.
type Sink interface {
	// Publication takes pub at position pos; pos is zero for publications that are
	// not part of a stream.
	Publication(channel string, pub *protocol.Publication, pos protocol.StreamPosition)
	Join(channel string, info *protocol.ClientInfo)
	Leave(channel string, info *protocol.ClientInfo)
	// Flush delivers what was taken. Brokers whose Publish only sends call it after
	// each batch they received; it is never called under a lock. (A node calls it
	// itself after its own Publish, PublishJoin and PublishLeave.)
	Flush(channel string)
}

// StreamOptions say how [Broker.Publish] treats one publication.
type StreamOptions struct {
	// HistorySize, HistoryTTL and HistoryMetaTTL are those of [ChannelOptions]; the
	// publication is not retained unless size and TTL are positive.
	HistorySize    int
	HistoryTTL     time.Duration
	HistoryMetaTTL time.Duration
	// IdempotencyKey, scoped to the channel, makes a repeat within 5 minutes return
	// the first result and do nothing, also for channels without history.
	IdempotencyKey string
	// Version and VersionEpoch drop a publication that is not newer
	// (server-api.md §2); they need history. A dropped one returns the top.
	Version      uint64
	VersionEpoch string
	// Position, if not nil, is the publication's own position: nothing is retained or
	// numbered, and a position of the same epoch that is not above the highest
	// handed over so far is dropped.
	Position *protocol.StreamPosition
}

// Published is what [Broker.Publish] did.
type Published struct {
	// Position is where the publication stands, zero without history.
	Position protocol.StreamPosition
	// Suppressed says that nothing was published, because of idempotency key,
	// version or position.
	Suppressed bool
}

// HistoryFilter selects publications.
type HistoryFilter struct {
	// Limit is how many at most; 0 asks for the position only, negative for all.
	Limit int
	// Since, if not nil, selects those after its offset, or before it when Reverse.
	// Its epoch is not compared.
	Since *protocol.StreamPosition
	// Reverse returns the newest first.
	Reverse bool
	// Reader is the user that asked for the past, if a client did; brokers do not look at
	// it, but a [Source] may show each user another part.
	Reader string
}

// Past is what is retained of a channel and the top of its stream.
type Past struct {
	Publications []*protocol.Publication
	Top          protocol.StreamPosition
}

// PresenceStore keeps who is subscribed to which channel, over all nodes. Entries
// may disappear 60 s after their last Add. Methods are safe for concurrent use.
type PresenceStore interface {
	// Add keeps info as the entry of its client in channel, or refreshes it.
	Add(ctx context.Context, channel string, info *protocol.ClientInfo) error
	// Remove removes the entry of client.
	Remove(ctx context.Context, channel, client string) error
	// Presence returns the entries of channel by client id; the caller owns the map.
	Presence(ctx context.Context, channel string) (map[string]*protocol.ClientInfo, error)
	// Stats counts the connections and the distinct users of channel.
	Stats(ctx context.Context, channel string) (clients, users int, err error)
}
