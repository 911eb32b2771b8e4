package client

import (
	"context"
	"encoding/json"
	"fmt"
)

// Position is a place in the stream of a channel. It is zero where a channel keeps no
// history.
type Position struct {
	// Offset counts the publications of the stream.
	Offset uint64 `json:"offset"`
	// Epoch names the stream; with another epoch offsets mean nothing.
	Epoch string `json:"epoch"`
}

// publication is what publish and broadcast send (server-api.md §3.1, §3.2).
type publication struct {
	Channel        string            `json:"channel,omitempty"`
	Channels       []string          `json:"channels,omitempty"`
	Data           json.RawMessage   `json:"data,omitempty"`
	B64Data        []byte            `json:"b64data,omitempty"`
	SkipHistory    bool              `json:"skip_history,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	IdempotencyKey string            `json:"idempotency_key,omitempty"`
	Version        uint64            `json:"version,omitempty"`
	VersionEpoch   string            `json:"version_epoch,omitempty"`
}

// PublishOption changes how something is published.
type PublishOption func(*publication)

// SkipHistory delivers to present subscribers only; nobody recovers the publication.
func SkipHistory() PublishOption { return func(p *publication) { p.SkipHistory = true } }

// IdempotencyKey makes a repetition harmless: with a key that the channel has seen in
// the last five minutes nothing is published, and the position is that of the first time.
func IdempotencyKey(key string) PublishOption {
	return func(p *publication) { p.IdempotencyKey = key }
}

// Tags are delivered and kept with the publication. The map is not copied.
func Tags(tags map[string]string) PublishOption { return func(p *publication) { p.Tags = tags } }

// Version numbers publications that each carry a whole state: what is not above the
// last version of the same epoch is dropped. It works in channels with history; version
// 0 is none.
func Version(version uint64, epoch string) PublishOption {
	return func(p *publication) { p.Version, p.VersionEpoch = version, epoch }
}

func newPublication(data any, opts []PublishOption) (*publication, error) {
	p := &publication{}
	if raw, ok := data.([]byte); ok {
		p.B64Data = raw
	} else {
		var err error
		if p.Data, err = encode(data); err != nil {
			return nil, fmt.Errorf("client: encode data: %w", err)
		}
	}
	for _, o := range opts {
		o(p)
	}
	return p, nil
}

// Publish publishes data into a channel. Data is encoded as JSON, but a []byte is
// published as it is, be it JSON or not. The position is zero if the channel keeps no
// history.
//
// In the channel of a chat, a message of that chat's member becomes one of the chat;
// other data is passed on (chat.guard_server_publish of the server).
func (c *Client) Publish(ctx context.Context, channel string, data any, opts ...PublishOption) (Position, error) {
	var at Position
	p, err := newPublication(data, opts)
	if err == nil {
		p.Channel = channel
		err = c.Call(ctx, "publish", p, &at)
	}
	return at, err
}

// Published is what became of a publication in one channel of a broadcast.
type Published struct {
	Position
	// Err is nil if it was published.
	Err *Error
}

// Broadcast publishes the same data into several channels, like [Client.Publish] into
// each. The results are in the order of channels; a channel that was refused does not
// keep the others from getting it, and is not an error of the call.
func (c *Client) Broadcast(ctx context.Context, channels []string, data any, opts ...PublishOption) ([]Published, error) {
	p, err := newPublication(data, opts)
	if err != nil {
		return nil, err
	}
	p.Channels = channels
	var result struct {
		Responses []struct {
			Error  *Error   `json:"error"`
			Result Position `json:"result"`
		} `json:"responses"`
	}
	if err := c.Call(ctx, "broadcast", p, &result); err != nil {
		return nil, err
	}
	if len(result.Responses) != len(channels) {
		return nil, fmt.Errorf("client: broadcast: %d results for %d channels", len(result.Responses), len(channels))
	}
	all := make([]Published, len(channels))
	for i, r := range result.Responses {
		all[i] = Published{r.Result, r.Error}
	}
	return all, nil
}

// channel is the only parameter of several methods.
type channel struct {
	Channel string `json:"channel"`
}

// ClientInfo is one connection that is subscribed to a channel.
type ClientInfo struct {
	// User is empty for anonymous connections, Client is the connection's id.
	User   string `json:"user"`
	Client string `json:"client"`
	// ConnInfo is the info of the connection token, ChanInfo that of the subscription
	// token, as JSON; nil if there is none.
	ConnInfo json.RawMessage `json:"conn_info,omitempty"`
	ChanInfo json.RawMessage `json:"chan_info,omitempty"`
}

// Presence returns the connections subscribed to a channel, by id. Without presence in
// the channel's options the error has [CodeNotAvailable].
func (c *Client) Presence(ctx context.Context, name string) (map[string]ClientInfo, error) {
	var result struct {
		Presence map[string]ClientInfo `json:"presence"`
	}
	err := c.Call(ctx, "presence", channel{name}, &result)
	return result.Presence, err
}

// PresenceStats counts who is subscribed to a channel.
type PresenceStats struct {
	Clients int `json:"num_clients"` // connections
	Users   int `json:"num_users"`   // different users
}

// PresenceStats is [Client.Presence] in numbers.
func (c *Client) PresenceStats(ctx context.Context, name string) (PresenceStats, error) {
	var stats PresenceStats
	err := c.Call(ctx, "presence_stats", channel{name}, &stats)
	return stats, err
}

// HistoryOptions say which part of a channel's history is wanted.
type HistoryOptions struct {
	// Limit is the most publications wanted; negative is all that are kept, 0 none but
	// the position.
	Limit int
	// Since, if not nil, is the position after which to begin, or before which with
	// Reverse. Of another epoch than the stream's it is an [Error] with
	// [CodeUnknownPosition].
	Since *Position
	// Reverse begins with the newest.
	Reverse bool
}

// Publication is one that a channel keeps.
type Publication struct {
	Offset uint64
	// Data is what was published. Publications that are not JSON cannot be read this way;
	// the server answers with an error if there is one among them.
	Data json.RawMessage
	// Info is the connection that published it; nil if it was a server.
	Info *ClientInfo
	Tags map[string]string
}

// History is a part of what a channel keeps, and the position of its newest publication.
type History struct {
	Position
	Publications []Publication
}

// History returns the publications that a channel keeps. Without history in the
// channel's options the error has [CodeNotAvailable].
func (c *Client) History(ctx context.Context, name string, o HistoryOptions) (History, error) {
	params := struct {
		Channel string    `json:"channel"`
		Limit   int       `json:"limit,omitempty"`
		Since   *Position `json:"since,omitempty"`
		Reverse bool      `json:"reverse,omitempty"`
	}{name, o.Limit, o.Since, o.Reverse}
	var h History
	err := c.Call(ctx, "history", params, &h)
	return h, err
}

// Unsubscribe ends the subscriptions of all connections of a user to a channel. It
// succeeds also if there are none.
func (c *Client) Unsubscribe(ctx context.Context, name, user string) error {
	if user == "" {
		return fmt.Errorf("client: unsubscribe: %w", ErrNoUser)
	}
	return c.Call(ctx, "unsubscribe", map[string]string{"channel": name, "user": user}, nil)
}

// DisconnectOptions say which connections of a user are closed, and how. The zero value
// closes all with code 3503, after which clients do not come back.
type DisconnectOptions struct {
	// Client, unless empty, is the one connection to close.
	Client string
	// Keep are connections that stay.
	Keep []string
	// Code, unless 0, is what clients are told: 4000 to 4499 let them come back, 4500 to
	// 4999 do not. Reason is a word with it, at most 32 ASCII characters.
	Code   uint32
	Reason string
}

// Disconnect closes connections of a user on all nodes. It succeeds also if there are
// none.
func (c *Client) Disconnect(ctx context.Context, user string, o DisconnectOptions) error {
	if user == "" {
		return fmt.Errorf("client: disconnect: %w", ErrNoUser)
	}
	type disconnect struct {
		Code   uint32 `json:"code"`
		Reason string `json:"reason,omitempty"`
	}
	params := struct {
		User       string      `json:"user"`
		Client     string      `json:"client,omitempty"`
		Whitelist  []string    `json:"whitelist,omitempty"`
		Disconnect *disconnect `json:"disconnect,omitempty"`
	}{User: user, Client: o.Client, Whitelist: o.Keep}
	if o.Code != 0 {
		params.Disconnect = &disconnect{o.Code, o.Reason}
	}
	return c.Call(ctx, "disconnect", params, nil)
}
