package realtime

import (
	"log/slog"
	"time"
)

// Options configure a [Node]. Channels and Authorizer must be set; every other zero
// value means the default named here.
type Options struct {
	// Name is shown in node lists; empty is the host name. Version is told to clients.
	Name, Version string
	Channels      Channels
	Authorizer    Authorizer
	// RPC answers client calls; nil answers them all with [protocol.ErrNotAvailable].
	RPC RPC
	// Watcher, if not nil, is told of connections.
	Watcher Watcher
	// Broker and Presence default to memory.
	Broker   Broker
	Presence PresenceStore
	// Logger defaults to slog.Default().
	Logger *slog.Logger

	// PingInterval is the time between pings (25 s; negative sends none) and
	// PongTimeout how long the answer may take (8 s).
	PingInterval, PongTimeout time.Duration
	// StaleCloseDelay closes a connection that has not connected (10 s).
	StaleCloseDelay time.Duration
	// ExpiredCloseDelay and ExpiredSubCloseDelay are what a client has to refresh an
	// expired connection or subscription (25 s both).
	ExpiredCloseDelay, ExpiredSubCloseDelay time.Duration
	// PresenceUpdateInterval is the time between a connection's periodic duties:
	// presence refresh and the expiry of subscriptions (27 s).
	PresenceUpdateInterval time.Duration
	// PositionCheckDelay is the time between two looks at whether positioned
	// subscriptions have got up to their stream's top; what they miss is noticed
	// at the second look after (2 s, so that R16's 5 s hold).
	PositionCheckDelay time.Duration

	// QueueBytes bounds what may wait for one connection's socket (1 MiB).
	QueueBytes int
	// MessageBytes bounds one message from a client (64 KiB), FirstMessageBytes one
	// of a client that has not connected yet (16 KiB).
	MessageBytes, FirstMessageBytes int
	// CommandLimit bounds the commands of one message (64); subscribe commands do not
	// count, ChannelLimit bounds those.
	CommandLimit int
	// ChannelLimit bounds the subscriptions of one connection (128), those apart that the
	// server made, which ServerChannelLimit bounds (as many).
	ChannelLimit, ServerChannelLimit int
	// ChannelMaxLength bounds a channel's name, in bytes (255).
	ChannelMaxLength int
	// HistoryLimit and RecoveryLimit bound the publications of one history reply and
	// of one recovery (300 both).
	HistoryLimit, RecoveryLimit int
	// UserConnectionLimit bounds a user's connections to this node; 0 is no limit.
	UserConnectionLimit int
	// IncludeServerTime puts the time into connect results.
	IncludeServerTime bool
}
