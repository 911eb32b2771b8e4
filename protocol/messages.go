package protocol

// Format is an encoding of the protocol's messages. The zero value is [JSON].
type Format uint8

// The two formats a connection can negotiate.
const (
	JSON Format = iota
	Protobuf
)

// String returns "json" or "protobuf", the names backends and metrics use.
func (f Format) String() string {
	if f == Protobuf {
		return "protobuf"
	}
	return "json"
}

// Raw is a payload the protocol carries without looking into it: any JSON value
// in the JSON format (embedded as it is), any bytes in Protobuf. Nil and empty
// mean absent; the JSON text null is a payload.
type Raw []byte

// Command is what a client sends; at most one of the pointers is set. An entirely
// empty Command answers a ping.
type Command struct {
	ID            uint32
	Connect       *ConnectRequest
	Subscribe     *SubscribeRequest
	Unsubscribe   *UnsubscribeRequest
	Publish       *PublishRequest
	Presence      *PresenceRequest
	PresenceStats *PresenceStatsRequest
	History       *HistoryRequest
	Ping          *PingRequest
	Send          *SendRequest
	RPC           *RPCRequest
	Refresh       *RefreshRequest
	SubRefresh    *SubRefreshRequest
}

// Reply is what the server sends: {ID, Error}, {ID, a result}, {Push}, or nothing
// at all, which is a ping.
type Reply struct {
	ID            uint32
	Error         *Error
	Push          *Push
	Connect       *ConnectResult
	Subscribe     *SubscribeResult
	Unsubscribe   *UnsubscribeResult
	Publish       *PublishResult
	Presence      *PresenceResult
	PresenceStats *PresenceStatsResult
	History       *HistoryResult
	Ping          *PingResult
	RPC           *RPCResult
	Refresh       *RefreshResult
	SubRefresh    *SubRefreshResult
}

// Push is a message that answers no command. Channel is empty for pushes that
// concern the whole connection.
type Push struct {
	ID          int64
	Channel     string
	Pub         *Publication
	Join        *Join
	Leave       *Leave
	Unsubscribe *UnsubscribePush
	Message     *Message
	Subscribe   *SubscribePush
	Connect     *ConnectPush
	Disconnect  *DisconnectPush
	Refresh     *RefreshPush
}

// ClientInfo describes one connection, as presence, join, leave and publications
// made by clients show it. User and Client are always written.
type ClientInfo struct {
	User     string
	Client   string
	ConnInfo Raw
	ChanInfo Raw
}

// Publication is one message of a channel. Offset is set only where the channel
// keeps history; Epoch only on the publication with offset 1.
type Publication struct {
	Data     Raw
	Info     *ClientInfo
	Offset   uint64
	Tags     map[string]string
	Delta    bool
	Time     int64
	Channel  string
	Key      string
	Removed  bool
	Score    int64
	Epoch    string
	PrevData Raw
	Version  uint64

	// Binary says that Data or an info is not JSON, so that it cannot go to JSON
	// clients. The server keeps it beside the publication; it is never on the wire.
	Binary bool
}

// StreamPosition is a place in a channel's stream: Offset publications into Epoch.
type StreamPosition struct {
	Offset uint64
	Epoch  string
}

// FilterNode is a publication filter over tags.
type FilterNode struct {
	Op    string
	Key   string
	Cmp   string
	Val   string
	Vals  []string
	Nodes []*FilterNode
}

// Dictionary is a compression dictionary (the newest protocol; never sent by us).
type Dictionary struct {
	ID      string
	Data    Raw
	DataB64 string
}

// KeyedItem is one key a shared-poll subscription tracks.
type KeyedItem struct {
	Key     string
	Version uint64
}

// TrackBatch is a signed list of keys to track.
type TrackBatch struct {
	Signature string
	Items     []*KeyedItem
}

// ConnectRequest is the first command of every connection.
type ConnectRequest struct {
	Token   string
	Data    Raw
	Subs    map[string]*SubscribeRequest
	Name    string
	Version string
	Headers map[string]string
	Flag    int64
	Dict    string
	Profile string
}

// ConnectResult answers [ConnectRequest]. TTL and Ping are seconds, Time is
// milliseconds since 1970.
type ConnectResult struct {
	Client  string
	Version string
	Expires bool
	TTL     uint32
	Data    Raw
	Subs    map[string]*SubscribeResult
	Ping    uint32
	Pong    bool
	Session string
	Node    string
	Time    int64
	Flag    int64
	Dict    *Dictionary
}

// SubscribeRequest asks for a channel; Flag bits are [FlagChannelID] and
// [FlagRecoverOrError].
type SubscribeRequest struct {
	Channel     string
	Token       string
	Recover     bool
	Epoch       string
	Offset      uint64
	Data        Raw
	Positioned  bool
	Recoverable bool
	JoinLeave   bool
	Delta       string
	TF          *FilterNode
	Flag        int64
	Type        int32
	Phase       int32
	Cursor      string
	Limit       int32
	Asc         bool
}

// Bits of [SubscribeRequest.Flag].
const (
	// FlagChannelID says that the client understands numeric channel ids.
	FlagChannelID = 1 << 0
	// FlagRecoverOrError asks for error 112 instead of a result without recovery.
	FlagRecoverOrError = 1 << 1
)

// SubscribeResult answers [SubscribeRequest]; TTL is seconds.
type SubscribeResult struct {
	Expires         bool
	TTL             uint32
	Recoverable     bool
	Epoch           string
	Publications    []*Publication
	Recovered       bool
	Offset          uint64
	Positioned      bool
	Data            Raw
	WasRecovering   bool
	Delta           bool
	ID              int64
	Type            int32
	Phase           int32
	Cursor          string
	State           []*Publication
	PublishDebounce uint32
}

// UnsubscribeRequest leaves a channel.
type UnsubscribeRequest struct{ Channel string }

// UnsubscribeResult answers [UnsubscribeRequest].
type UnsubscribeResult struct{}

// PublishRequest publishes Data into Channel.
type PublishRequest struct {
	Channel string
	Data    Raw
	Type    int32
	Key     string
	Removed bool
}

// PublishResult answers [PublishRequest].
type PublishResult struct{}

// PresenceRequest asks who is subscribed to Channel.
type PresenceRequest struct{ Channel string }

// PresenceResult maps client ids to their infos; always written, even empty.
type PresenceResult struct{ Presence map[string]*ClientInfo }

// PresenceStatsRequest asks how many are subscribed to Channel.
type PresenceStatsRequest struct{ Channel string }

// PresenceStatsResult counts connections and distinct users; both always written.
type PresenceStatsResult struct {
	NumClients uint32
	NumUsers   uint32
}

// HistoryRequest asks for retained publications; Limit 0 asks for the position only.
type HistoryRequest struct {
	Channel string
	Limit   int32
	Since   *StreamPosition
	Reverse bool
}

// HistoryResult answers [HistoryRequest]; every field is always written, and
// Epoch and Offset are the top of the stream.
type HistoryResult struct {
	Publications []*Publication
	Epoch        string
	Offset       uint64
}

// PingRequest is a command current clients never send.
type PingRequest struct{}

// PingResult would answer [PingRequest].
type PingResult struct{}

// SendRequest is a message to the server without reply.
type SendRequest struct{ Data Raw }

// RPCRequest calls a method of the server.
type RPCRequest struct {
	Data   Raw
	Method string
}

// RPCResult answers [RPCRequest].
type RPCResult struct{ Data Raw }

// RefreshRequest prolongs the connection with a new token.
type RefreshRequest struct{ Token string }

// RefreshResult answers [RefreshRequest]; TTL is seconds.
type RefreshResult struct {
	Client  string
	Version string
	Expires bool
	TTL     uint32
}

// SubRefreshRequest prolongs one subscription with a new token.
type SubRefreshRequest struct {
	Channel string
	Token   string
	Type    int32
	Track   []*TrackBatch
	Untrack []string
}

// SubRefreshResult answers [SubRefreshRequest]; TTL is seconds.
type SubRefreshResult struct {
	Expires bool
	TTL     uint32
	Items   []*Publication
}

// Join says that a connection subscribed to the channel.
type Join struct{ Info *ClientInfo }

// Leave says that a connection left the channel.
type Leave struct{ Info *ClientInfo }

// UnsubscribePush says that the server ended a subscription.
type UnsubscribePush struct {
	Code   uint32
	Reason string
}

// Message is an asynchronous message outside any channel.
type Message struct{ Data Raw }

// SubscribePush says that the server subscribed the connection.
type SubscribePush struct {
	Recoverable bool
	Epoch       string
	Offset      uint64
	Positioned  bool
	Data        Raw
}

// ConnectPush opens a unidirectional connection.
type ConnectPush struct {
	Client  string
	Version string
	Data    Raw
	Subs    map[string]*SubscribeResult
	Expires bool
	TTL     uint32
	Ping    uint32
	Pong    bool
	Session string
	Node    string
	Time    int64
}

// DisconnectPush says why the server is about to close.
type DisconnectPush struct {
	Code      uint32
	Reason    string
	Reconnect bool
}

// RefreshPush says that the connection's expiry changed; TTL is seconds.
type RefreshPush struct {
	Expires bool
	TTL     uint32
}
