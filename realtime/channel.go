package realtime

import (
	"context"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// Channels knows what each channel is like. It is asked often and must be fast.
type Channels interface {
	// ChannelOptions returns the options of channel, or [protocol.ErrUnknownChannel]
	// if its namespace does not exist.
	ChannelOptions(channel string) (ChannelOptions, error)
}

// ChannelOptions are the features of a channel. The zero value is a channel that
// only delivers.
type ChannelOptions struct {
	// Presence keeps who is subscribed; JoinLeave publishes coming and going.
	Presence, JoinLeave bool
	// HistorySize and HistoryTTL bound what is retained, in publications and time;
	// history is off unless both are positive. HistoryMetaTTL is how long offset and
	// epoch outlive the publications; zero means 30 days.
	HistorySize    int
	HistoryTTL     time.Duration
	HistoryMetaTTL time.Duration
	// RecoveryMode says what recovery restores. AutoCacheRecover recovers in mode
	// [RecoverCache] also when the client did not ask.
	RecoveryMode     RecoveryMode
	AutoCacheRecover bool
	// ForcePositioning, ForceRecovery and ForcePushJoinLeave are the features of
	// subscriptions that nobody asks for: those the server makes.
	ForcePositioning, ForceRecovery, ForcePushJoinLeave bool
	// DataFormat is what publications must be.
	DataFormat DataFormat
	// Source, if not nil, is where the channel's past is read from instead of the
	// broker; publications then bring their own position.
	Source Source
	// Intake, if not nil, takes what clients publish, instead of the broker: what
	// becomes of it is published by somebody else.
	Intake Intake
	// DefaultHistory is how many publications a client's history request without a limit
	// gets; zero is none, only the position.
	DefaultHistory int
}

// Intake takes what a client publishes, with the errors of [Authorizer]. It may block.
type Intake func(ctx context.Context, c Client, channel string, data []byte) error

// History tells whether the channel has a past.
func (o *ChannelOptions) History() bool {
	return o.Source != nil || (o.HistorySize > 0 && o.HistoryTTL > 0)
}

// RecoveryMode is what a returning subscriber gets.
type RecoveryMode uint8

const (
	// RecoverStream restores every missed publication or none.
	RecoverStream RecoveryMode = iota
	// RecoverCache restores the latest publication.
	RecoverCache
)

// DataFormat is what the data of a channel's publications must be.
type DataFormat uint8

const (
	// DataAny is any non-empty data.
	DataAny DataFormat = iota
	// DataJSON is valid JSON.
	DataJSON
	// DataJSONObject is a JSON object.
	DataJSONObject
	// DataBinary is anything, also nothing.
	DataBinary
)

// Accepts tells whether data is of format f.
func (f DataFormat) Accepts(data []byte) bool {
	switch f {
	case DataJSON:
		return protocol.ValidJSON(data)
	case DataJSONObject:
		for _, c := range data {
			switch c {
			case ' ', '\t', '\r', '\n':
				continue
			}
			return c == '{' && protocol.ValidJSON(data)
		}
		return false
	case DataBinary:
		return true
	default:
		return len(data) > 0
	}
}

// Source is a channel's past kept outside the broker, for channels whose
// publications bring their own position ([PublishOptions.Position]).
type Source interface {
	// History is [Broker.History] for such a channel.
	History(ctx context.Context, channel string, f HistoryFilter) (Past, error)
}
