package protocol

// The schema (client-protocol.md §3–§14, §26): numbers and names of every field.
// protocol.proto states the same.

func (m *Command) fields(v visitor) {
	v.u32(1, "id", &m.ID)
	one(v, 4, "connect", &m.Connect)
	one(v, 5, "subscribe", &m.Subscribe)
	one(v, 6, "unsubscribe", &m.Unsubscribe)
	one(v, 7, "publish", &m.Publish)
	one(v, 8, "presence", &m.Presence)
	one(v, 9, "presence_stats", &m.PresenceStats)
	one(v, 10, "history", &m.History)
	one(v, 11, "ping", &m.Ping)
	one(v, 12, "send", &m.Send)
	one(v, 13, "rpc", &m.RPC)
	one(v, 14, "refresh", &m.Refresh)
	one(v, 15, "sub_refresh", &m.SubRefresh)
}

func (m *Reply) fields(v visitor) {
	v.u32(1, "id", &m.ID)
	one(v, 2, "error", &m.Error)
	one(v, 4, "push", &m.Push)
	one(v, 5, "connect", &m.Connect)
	one(v, 6, "subscribe", &m.Subscribe)
	one(v, 7, "unsubscribe", &m.Unsubscribe)
	one(v, 8, "publish", &m.Publish)
	one(v, 9, "presence", &m.Presence)
	one(v, 10, "presence_stats", &m.PresenceStats)
	one(v, 11, "history", &m.History)
	one(v, 12, "ping", &m.Ping)
	one(v, 13, "rpc", &m.RPC)
	one(v, 14, "refresh", &m.Refresh)
	one(v, 15, "sub_refresh", &m.SubRefresh)
}

func (m *Error) fields(v visitor) {
	v.u32(1, "code", &m.Code)
	v.str(2, "message", &m.Message)
	v.flag(3, "temporary", &m.Temporary)
}

func (m *Push) fields(v visitor) {
	v.i64(1, "id", &m.ID)
	v.str(2, "channel", &m.Channel)
	one(v, 4, "pub", &m.Pub)
	one(v, 5, "join", &m.Join)
	one(v, 6, "leave", &m.Leave)
	one(v, 7, "unsubscribe", &m.Unsubscribe)
	one(v, 8, "message", &m.Message)
	one(v, 9, "subscribe", &m.Subscribe)
	one(v, 10, "connect", &m.Connect)
	one(v, 11, "disconnect", &m.Disconnect)
	one(v, 12, "refresh", &m.Refresh)
}

func (m *ClientInfo) fields(v visitor) {
	v.always().str(1, "user", &m.User)
	v.always().str(2, "client", &m.Client)
	v.raw(3, "conn_info", &m.ConnInfo)
	v.raw(4, "chan_info", &m.ChanInfo)
}

func (m *Publication) fields(v visitor) {
	v.raw(4, "data", &m.Data)
	one(v, 5, "info", &m.Info)
	v.u64(6, "offset", &m.Offset)
	v.pairs(7, "tags", &m.Tags)
	v.flag(8, "delta", &m.Delta)
	v.i64(9, "time", &m.Time)
	v.str(10, "channel", &m.Channel)
	v.str(11, "key", &m.Key)
	v.flag(12, "removed", &m.Removed)
	v.s64(13, "score", &m.Score)
	v.str(14, "epoch", &m.Epoch)
	v.raw(15, "prev_data", &m.PrevData)
	v.u64(16, "version", &m.Version)
}

func (m *StreamPosition) fields(v visitor) {
	v.u64(1, "offset", &m.Offset)
	v.str(2, "epoch", &m.Epoch)
}

func (m *FilterNode) fields(v visitor) {
	v.str(1, "op", &m.Op)
	v.str(2, "key", &m.Key)
	v.str(3, "cmp", &m.Cmp)
	v.str(4, "val", &m.Val)
	v.strs(5, "vals", &m.Vals)
	list(v, 6, "nodes", &m.Nodes)
}

func (m *Dictionary) fields(v visitor) {
	v.str(1, "id", &m.ID)
	v.raw(2, "data", &m.Data)
	v.str(3, "data_b64", &m.DataB64)
}

func (m *KeyedItem) fields(v visitor) {
	v.str(1, "key", &m.Key)
	v.u64(2, "version", &m.Version)
}

func (m *TrackBatch) fields(v visitor) {
	v.str(1, "signature", &m.Signature)
	list(v, 2, "items", &m.Items)
}

func (m *ConnectRequest) fields(v visitor) {
	v.str(1, "token", &m.Token)
	v.raw(2, "data", &m.Data)
	dict(v, 3, "subs", &m.Subs)
	v.str(4, "name", &m.Name)
	v.str(5, "version", &m.Version)
	v.pairs(6, "headers", &m.Headers)
	v.i64(7, "flag", &m.Flag)
	v.str(8, "dict", &m.Dict)
	v.str(9, "profile", &m.Profile)
}

func (m *ConnectResult) fields(v visitor) {
	v.str(1, "client", &m.Client)
	v.str(2, "version", &m.Version)
	v.flag(3, "expires", &m.Expires)
	v.u32(4, "ttl", &m.TTL)
	v.raw(5, "data", &m.Data)
	dict(v, 6, "subs", &m.Subs)
	v.u32(7, "ping", &m.Ping)
	v.flag(8, "pong", &m.Pong)
	v.str(9, "session", &m.Session)
	v.str(10, "node", &m.Node)
	v.i64(11, "time", &m.Time)
	v.i64(12, "flag", &m.Flag)
	one(v, 13, "dict", &m.Dict)
}

func (m *SubscribeRequest) fields(v visitor) {
	v.str(1, "channel", &m.Channel)
	v.str(2, "token", &m.Token)
	v.flag(3, "recover", &m.Recover)
	v.str(6, "epoch", &m.Epoch)
	v.u64(7, "offset", &m.Offset)
	v.raw(8, "data", &m.Data)
	v.flag(9, "positioned", &m.Positioned)
	v.flag(10, "recoverable", &m.Recoverable)
	v.flag(11, "join_leave", &m.JoinLeave)
	v.str(12, "delta", &m.Delta)
	one(v, 13, "tf", &m.TF)
	v.i64(14, "flag", &m.Flag)
	v.i32(15, "type", &m.Type)
	v.i32(16, "phase", &m.Phase)
	v.str(17, "cursor", &m.Cursor)
	v.i32(18, "limit", &m.Limit)
	v.flag(19, "asc", &m.Asc)
}

func (m *SubscribeResult) fields(v visitor) {
	v.flag(1, "expires", &m.Expires)
	v.u32(2, "ttl", &m.TTL)
	v.flag(3, "recoverable", &m.Recoverable)
	v.str(6, "epoch", &m.Epoch)
	list(v, 7, "publications", &m.Publications)
	v.flag(8, "recovered", &m.Recovered)
	v.u64(9, "offset", &m.Offset)
	v.flag(10, "positioned", &m.Positioned)
	v.raw(11, "data", &m.Data)
	v.flag(12, "was_recovering", &m.WasRecovering)
	v.flag(13, "delta", &m.Delta)
	v.i64(14, "id", &m.ID)
	v.i32(15, "type", &m.Type)
	v.i32(16, "phase", &m.Phase)
	v.str(17, "cursor", &m.Cursor)
	list(v, 18, "state", &m.State)
	v.u32(19, "publish_debounce", &m.PublishDebounce)
}

func (m *UnsubscribeRequest) fields(v visitor) { v.str(1, "channel", &m.Channel) }
func (m *UnsubscribeResult) fields(visitor)    {}

func (m *PublishRequest) fields(v visitor) {
	v.str(1, "channel", &m.Channel)
	v.raw(2, "data", &m.Data)
	v.i32(3, "type", &m.Type)
	v.str(4, "key", &m.Key)
	v.flag(5, "removed", &m.Removed)
}
func (m *PublishResult) fields(visitor) {}

func (m *PresenceRequest) fields(v visitor)      { v.str(1, "channel", &m.Channel) }
func (m *PresenceResult) fields(v visitor)       { dict(v.always(), 1, "presence", &m.Presence) }
func (m *PresenceStatsRequest) fields(v visitor) { v.str(1, "channel", &m.Channel) }

func (m *PresenceStatsResult) fields(v visitor) {
	v.always().u32(1, "num_clients", &m.NumClients)
	v.always().u32(2, "num_users", &m.NumUsers)
}

func (m *HistoryRequest) fields(v visitor) {
	v.str(1, "channel", &m.Channel)
	v.i32(7, "limit", &m.Limit)
	one(v, 8, "since", &m.Since)
	v.flag(9, "reverse", &m.Reverse)
}

func (m *HistoryResult) fields(v visitor) {
	list(v.always(), 1, "publications", &m.Publications)
	v.always().str(2, "epoch", &m.Epoch)
	v.always().u64(3, "offset", &m.Offset)
}

func (m *PingRequest) fields(visitor) {}
func (m *PingResult) fields(visitor)  {}

func (m *SendRequest) fields(v visitor) { v.raw(1, "data", &m.Data) }

func (m *RPCRequest) fields(v visitor) {
	v.raw(1, "data", &m.Data)
	v.str(2, "method", &m.Method)
}
func (m *RPCResult) fields(v visitor) { v.raw(1, "data", &m.Data) }

func (m *RefreshRequest) fields(v visitor) { v.str(1, "token", &m.Token) }

func (m *RefreshResult) fields(v visitor) {
	v.str(1, "client", &m.Client)
	v.str(2, "version", &m.Version)
	v.flag(3, "expires", &m.Expires)
	v.u32(4, "ttl", &m.TTL)
}

func (m *SubRefreshRequest) fields(v visitor) {
	v.str(1, "channel", &m.Channel)
	v.str(2, "token", &m.Token)
	v.i32(3, "type", &m.Type)
	list(v, 4, "track", &m.Track)
	v.strs(5, "untrack", &m.Untrack)
}

func (m *SubRefreshResult) fields(v visitor) {
	v.flag(1, "expires", &m.Expires)
	v.u32(2, "ttl", &m.TTL)
	list(v, 3, "items", &m.Items)
}

func (m *Join) fields(v visitor)  { one(v, 1, "info", &m.Info) }
func (m *Leave) fields(v visitor) { one(v, 1, "info", &m.Info) }

func (m *UnsubscribePush) fields(v visitor) {
	v.u32(2, "code", &m.Code)
	v.str(3, "reason", &m.Reason)
}

func (m *Message) fields(v visitor) { v.raw(1, "data", &m.Data) }

func (m *SubscribePush) fields(v visitor) {
	v.flag(1, "recoverable", &m.Recoverable)
	v.str(4, "epoch", &m.Epoch)
	v.u64(5, "offset", &m.Offset)
	v.flag(6, "positioned", &m.Positioned)
	v.raw(7, "data", &m.Data)
}

func (m *ConnectPush) fields(v visitor) {
	v.str(1, "client", &m.Client)
	v.str(2, "version", &m.Version)
	v.raw(3, "data", &m.Data)
	dict(v, 4, "subs", &m.Subs)
	v.flag(5, "expires", &m.Expires)
	v.u32(6, "ttl", &m.TTL)
	v.u32(7, "ping", &m.Ping)
	v.flag(8, "pong", &m.Pong)
	v.str(9, "session", &m.Session)
	v.str(10, "node", &m.Node)
	v.i64(11, "time", &m.Time)
}

func (m *DisconnectPush) fields(v visitor) {
	v.u32(1, "code", &m.Code)
	v.str(2, "reason", &m.Reason)
	v.flag(3, "reconnect", &m.Reconnect)
}

func (m *RefreshPush) fields(v visitor) {
	v.flag(1, "expires", &m.Expires)
	v.u32(2, "ttl", &m.TTL)
}
