package realtime

import (
	"context"

	"github.com/kuranty/kuranty/protocol"
)

// Authorizer decides who may connect and what they may do. Its methods may block;
// the commands of one connection wait for each other, those of others do not.
//
// An error that is (or wraps) a [*protocol.Error] is answered to the command, a
// [*protocol.Close] closes the connection, and any other is logged and answered as
// [protocol.ErrInternal].
type Authorizer interface {
	// Connect authenticates a connection.
	Connect(ctx context.Context, in Connecting) (Credentials, error)
	// Refresh checks a token that prolongs the connection of c.
	Refresh(ctx context.Context, c Client, token string) (Credentials, error)
	// Subscribe checks a client's subscription. The name's length, the number of
	// subscriptions and repeated ones have been checked.
	Subscribe(ctx context.Context, c Client, req *protocol.SubscribeRequest) (Grant, error)
	// SubRefresh checks a token that prolongs a subscription of c. Only ExpireAt and
	// Info of the grant count.
	SubRefresh(ctx context.Context, c Client, channel, token string) (Grant, error)
	// Publish checks a client's publication, its data's format included.
	Publish(ctx context.Context, c Client, channel string, data []byte, subscribed bool) error
	// Presence checks presence and presence stats.
	Presence(ctx context.Context, c Client, channel string, subscribed bool) error
	// History checks history.
	History(ctx context.Context, c Client, channel string, subscribed bool) error
}

// RPC answers a client's call, with the errors of [Authorizer]. It may block.
type RPC func(ctx context.Context, c Client, method string, data []byte) ([]byte, error)

// Watcher is told of connections. Its methods must not block; for a connection that
// is closed while it is being opened they may come in either order.
type Watcher interface {
	// Connected tells that c has been let in, Disconnected that it is gone.
	Connected(c Client)
	Disconnected(c Client)
}

// Client is a connection as handlers see it.
type Client struct {
	// ID is unique over all nodes and times.
	ID string
	// User is empty for anonymous connections.
	User string
	// Info is what others see of the connection (conn_info), Meta what only
	// backends see; both are JSON or nil.
	Info, Meta []byte
	// ServerSubs are the channels the connection's token subscribed it to, sorted.
	ServerSubs []string
}

// Connecting is a connection that asks to be let in.
type Connecting struct {
	// Client is the id the connection will have.
	Client string
	Peer   Peer
	Format protocol.Format
	// Request is what the client sent; it is valid during the call only.
	Request *protocol.ConnectRequest
}

// Credentials are what a connection was authenticated as.
type Credentials struct {
	User string
	// ExpireAt is when the connection expires, in seconds since 1970; 0 is never.
	ExpireAt int64
	// Info and Meta are described at [Client]; nil in a refresh keeps the old ones.
	Info, Meta []byte
	// Data is returned to the client in the connect result.
	Data []byte
	// Subs are the server-side subscriptions by channel; those of the token are
	// named in TokenSubs too (sorted), whose change in a refresh closes the connection.
	Subs      map[string]Grant
	TokenSubs []string
	// OnlyConnection closes the user's other connections with code 3504.
	OnlyConnection bool
	// Confirm, if not nil, is asked once the connection and its server-side subscriptions
	// can be found by [Node.Disconnect] and [Node.Unsubscribe]: whatever was taken away
	// while the credentials were being made could not reach them, and must be noticed here.
	// Its error refuses the connection.
	Confirm func() error
}

// Grant is a permission to be subscribed to a channel, with the features the
// subscription has: what the namespace forces, and of the rest what the client
// asked for and may have.
type Grant struct {
	Options ChannelOptions
	// Info is the subscription's chan_info, Data is returned in the subscribe result.
	Info, Data []byte
	// ExpireAt is when the subscription expires, in seconds since 1970; 0 is never.
	ExpireAt int64
	// Positioned, Recoverable and JoinLeave are features of this subscription:
	// gap detection, recovery, and join and leave pushes. Recoverable implies Positioned.
	Positioned, Recoverable, JoinLeave bool
}
