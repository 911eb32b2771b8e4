package realtime

import (
	"context"

	"github.com/kuranty/kuranty/protocol"
)

// PublishOptions say how [Node.Publish] treats one publication.
type PublishOptions struct {
	// Info is the publishing connection, nil for a server's publication.
	Info *protocol.ClientInfo
	Tags map[string]string
	// SkipHistory delivers without retaining or numbering.
	SkipHistory bool
	// JSON says that data is known to be valid JSON, which saves looking.
	JSON bool
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
	options, err := n.options(channel)
	if err != nil {
		return protocol.StreamPosition{}, err
	}
	if !options.DataFormat.Accepts(data) {
		return protocol.StreamPosition{}, protocol.ErrBadRequest
	}
	return n.publish(ctx, channel, &options, data, o)
}

// options returns the options of a channel that a server names. Only clients' names are
// limited in length: the server API takes any (server-api.md §2).
func (n *Node) options(channel string) (ChannelOptions, error) {
	if channel == "" {
		return ChannelOptions{}, protocol.ErrBadRequest
	}
	return n.o.Channels.ChannelOptions(channel)
}

func (n *Node) publish(ctx context.Context, channel string, c *ChannelOptions, data []byte, o PublishOptions) (protocol.StreamPosition, error) {
	if err := n.hub.wait(ctx, channel); err != nil {
		return protocol.StreamPosition{}, err
	}
	pub := &protocol.Publication{Data: data, Info: o.Info, Tags: o.Tags}
	pub.Binary = !(o.JSON || protocol.ValidJSON(data)) || !jsonInfo(o.Info)
	stream := StreamOptions{
		IdempotencyKey: o.IdempotencyKey,
		Version:        o.Version, VersionEpoch: o.VersionEpoch,
		Position: o.Position,
	}
	if !o.SkipHistory && c.Source == nil {
		stream.HistorySize, stream.HistoryTTL, stream.HistoryMetaTTL = c.HistorySize, c.HistoryTTL, c.HistoryMetaTTL
	}
	done, err := n.o.Broker.Publish(ctx, channel, pub, stream)
	if err != nil {
		return protocol.StreamPosition{}, err
	}
	n.count.publications.Add(1)
	n.hub.Flush(channel)
	return done.Position, nil
}

// past reads the channel's past from where it is kept.
func (n *Node) past(ctx context.Context, channel string, o *ChannelOptions, f HistoryFilter) (Past, error) {
	if o.Source != nil {
		return o.Source.History(ctx, channel, f)
	}
	return n.o.Broker.History(ctx, channel, f, o.HistoryMetaTTL)
}

// History returns retained publications of channel; a Since with an epoch that is
// not the stream's is [protocol.ErrUnrecoverable].
func (n *Node) History(ctx context.Context, channel string, f HistoryFilter) (Past, error) {
	o, err := n.options(channel)
	if err != nil {
		return Past{}, err
	}
	if !o.History() {
		return Past{}, protocol.ErrNotAvailable
	}
	past, err := n.past(ctx, channel, &o, f)
	if err != nil {
		return Past{}, err
	}
	if f.Since != nil && f.Since.Epoch != "" && f.Since.Epoch != past.Top.Epoch {
		return Past{}, protocol.ErrUnrecoverable
	}
	return past, nil
}

// RemoveHistory removes what channel retains; offset and epoch stay.
func (n *Node) RemoveHistory(ctx context.Context, channel string) error {
	o, err := n.options(channel)
	if err != nil {
		return err
	}
	if !o.History() || o.Source != nil {
		return protocol.ErrNotAvailable
	}
	return n.o.Broker.RemoveHistory(ctx, channel)
}

// Presence returns who is subscribed to channel, by client id.
func (n *Node) Presence(ctx context.Context, channel string) (map[string]*protocol.ClientInfo, error) {
	o, err := n.options(channel)
	if err != nil {
		return nil, err
	}
	if !o.Presence {
		return nil, protocol.ErrNotAvailable
	}
	return n.o.Presence.Presence(ctx, channel)
}

// PresenceStats counts the connections and the distinct users subscribed to channel.
func (n *Node) PresenceStats(ctx context.Context, channel string) (clients, users int, err error) {
	o, err := n.options(channel)
	if err != nil {
		return 0, 0, err
	}
	if !o.Presence {
		return 0, 0, protocol.ErrNotAvailable
	}
	return n.o.Presence.Stats(ctx, channel)
}
