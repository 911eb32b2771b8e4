package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gobwas/ws/wsutil"

	"github.com/kuranty/kuranty/protocol"
)

// Conn is a connection of the client protocol on which commands are sent one after the
// other. It is not safe for concurrent use, and of no use any more after an error that is
// no [*Error].
type Conn struct {
	// Client is the id that the server gave the connection.
	Client string

	conn   net.Conn
	lastID uint32
	pushes []*protocol.Push // came while a reply was waited for
}

// Dial opens a connection to the server at base, where the WebSocket is at path as in
// [SubscribeOptions], and sends the connect command with a token unless that is empty.
func Dial(ctx context.Context, base, path, token string) (*Conn, error) {
	conn, err := dial(ctx, base, path)
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn}
	r, err := c.Do(ctx, &protocol.Command{Connect: &protocol.ConnectRequest{Token: token, Name: "kuranty"}})
	if err == nil && r.Connect == nil {
		err = errors.New("the server answered connect with something else")
	}
	if err != nil {
		c.Cut()
		return nil, err
	}
	c.Client = r.Connect.Client
	return c, nil
}

// Cut ends the connection without a word to the server, as a network would.
func (c *Conn) Cut() { _ = c.conn.Close() }

// Do sends a command, whose id it sets, and returns the reply to it. The error is an
// [*Error] if the server refused.
func (c *Conn) Do(ctx context.Context, command *protocol.Command) (*protocol.Reply, error) {
	c.lastID++
	command.ID = c.lastID
	if err := send(c.conn, protocol.AppendCommand(nil, protocol.JSON, command)); err != nil {
		return nil, fmt.Errorf("send to the server: %w", err)
	}
	var reply *protocol.Reply
	for reply == nil {
		err := c.read(ctx, func(r *protocol.Reply) {
			if r.ID == command.ID {
				reply = r
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if reply.Error != nil {
		return nil, &Error{Code: int(reply.Error.Code), Message: reply.Error.Message}
	}
	return reply, nil
}

// Publication returns the next publication of a channel, waiting for it until ctx ends.
func (c *Conn) Publication(ctx context.Context, channel string) (*Publication, error) {
	for {
		for len(c.pushes) > 0 {
			p := c.pushes[0]
			c.pushes = c.pushes[1:]
			if p.Channel == channel && p.Pub != nil {
				return p.Pub, nil
			}
			if p.Channel == channel && p.Unsubscribe != nil {
				return nil, fmt.Errorf("the server ended the subscription: %d, %s", p.Unsubscribe.Code, p.Unsubscribe.Reason)
			}
		}
		if err := c.read(ctx, func(*protocol.Reply) {}); err != nil {
			return nil, err
		}
	}
}

// read takes one message of the server: pushes are kept, pings answered, replies given to
// take.
func (c *Conn) read(ctx context.Context, take func(*protocol.Reply)) error {
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) })()
	message, err := wsutil.ReadServerText(c.conn)
	if closed := (wsutil.ClosedError{}); errors.As(err, &closed) {
		return &protocol.Close{Code: uint32(closed.Code), Reason: closed.Reason}
	}
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("read from the server: %w", err)
	}
	replies := protocol.NewReplyDecoder(protocol.JSON, message)
	for {
		r := new(protocol.Reply)
		switch err := replies.Next(r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read what the server sent: %w", err)
		case r.Push != nil:
			c.pushes = append(c.pushes, r.Push)
		case r.ID != 0:
			take(r)
		default: // a ping
			if err := send(c.conn, []byte("{}")); err != nil {
				return fmt.Errorf("answer a ping: %w", err)
			}
		}
	}
}
