package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/kuranty/kuranty/protocol"
)

// Publication is one message of a channel.
type Publication = protocol.Publication

// SubscribeOptions say what [Subscribe] follows and how it gets in.
type SubscribeOptions struct {
	// URL is the server's address, as http://127.0.0.1:8000; Path is where the
	// WebSocket is ("/connection/websocket" if empty).
	URL, Path string
	// Channel is the channel to follow.
	Channel string
	// Token and ChannelToken return the connection and subscription tokens of a new
	// connection; nil, or an empty token, is none.
	Token, ChannelToken func() (string, error)
	// Publication takes each publication; an error from it ends the subscription.
	Publication func(*Publication) error
	// Notice, if not nil, takes what a person should know: interruptions and losses.
	Notice func(string)
}

// Waits between attempts to connect: at most firstWait before the second, then twice
// as much each time up to longestWait.
const (
	firstWait   = 250 * time.Millisecond
	longestWait = 10 * time.Second
	// dialTimeout bounds an attempt, writeTimeout one write.
	dialTimeout  = 10 * time.Second
	writeTimeout = 5 * time.Second
	// pingSlack is how much later than announced a ping may come.
	pingSlack = 10 * time.Second
)

// Subscribe follows a channel until ctx ends, when it returns nil. A lost connection is
// made again and recovers what it missed where the channel has recovery. What cannot
// be mended by another attempt is returned: a refused token or channel, a server that
// says not to come back, a first attempt that reaches no server.
func Subscribe(ctx context.Context, o SubscribeOptions) error {
	s := &subscriber{o: o}
	if s.o.Notice == nil {
		s.o.Notice = func(string) {}
	}
	return persist(ctx, s.o.Notice, func(ctx context.Context) (bool, error) {
		s.subscribed = false
		err := s.connection(ctx)
		return s.subscribed, err
	})
}

// persist connects, and again whenever the connection is lost, until ctx ends, when it
// returns nil. What another attempt does not mend is returned, and so is every error before
// a first connection.
func persist(ctx context.Context, notice func(string), connect func(context.Context) (connected bool, err error)) error {
	wait, ever := firstWait, false
	for {
		connected, err := connect(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the caller ended it
		}
		if ever = ever || connected; !ever || final(err) {
			return err
		}
		if connected {
			wait = firstWait
		}
		notice(fmt.Sprintf("connection lost (%v); connecting again", err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, longestWait)
	}
}

// errFinal marks errors that another attempt does not mend.
type errFinal struct{ error }

func (e errFinal) Unwrap() error { return e.error }

// final tells whether another attempt is in vain.
func final(err error) bool {
	var f errFinal
	if errors.As(err, &f) {
		return true
	}
	var closed *protocol.Close
	return errors.As(err, &closed) && !closed.Reconnect()
}

type subscriber struct {
	o SubscribeOptions
	// subscribed says that the subscription of this connection succeeded.
	subscribed bool
	// recoverable, epoch and offset are where the next subscription goes on.
	recoverable bool
	epoch       string
	offset      uint64
}

// Ids of the two commands.
const (
	connectID   = 1
	subscribeID = 2
)

// connection makes one connection and follows the channel on it until it ends.
func (s *subscriber) connection(ctx context.Context) error {
	conn, err := dial(ctx, s.o.URL, s.o.Path)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := s.hello(conn); err != nil {
		return err
	}
	return s.follow(conn)
}

// dial opens the WebSocket at path, which is [SubscribeOptions.Path], of the server at base.
func dial(ctx context.Context, base, path string) (net.Conn, error) {
	u, err := address(base, cmp.Or(path, "/connection/websocket"))
	if err != nil {
		return nil, errFinal{err}
	}
	target := *u
	target.Scheme = "ws" + strings.TrimPrefix(u.Scheme, "http")
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, early, _, err := ws.Dial(ctx, target.String())
	if err != nil {
		return nil, unreachable(u, err)
	}
	if early != nil && early.Buffered() > 0 {
		return buffered{conn, early}, nil
	}
	return conn, nil
}

// buffered is a connection of which some bytes were already read into r.
type buffered struct {
	net.Conn
	r io.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// hello sends the connect and subscribe commands in one message.
func (s *subscriber) hello(conn net.Conn) error {
	token, err := call(s.o.Token)
	if err != nil {
		return err
	}
	channelToken, err := call(s.o.ChannelToken)
	if err != nil {
		return err
	}
	b := protocol.AppendCommand(nil, protocol.JSON, &protocol.Command{
		ID: connectID, Connect: &protocol.ConnectRequest{Token: token, Name: "kuranty"},
	})
	b = protocol.AppendCommand(b, protocol.JSON, &protocol.Command{
		ID: subscribeID,
		Subscribe: &protocol.SubscribeRequest{
			Channel: s.o.Channel, Token: channelToken, Recoverable: true, Positioned: true,
			Recover: s.recoverable, Epoch: s.epoch, Offset: s.offset,
		},
	})
	return send(conn, b)
}

func call(token func() (string, error)) (string, error) {
	if token == nil {
		return "", nil
	}
	t, err := token()
	if err != nil {
		return "", errFinal{err}
	}
	return t, nil
}

func send(conn net.Conn, b []byte) error {
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := wsutil.WriteClientText(conn, b); err != nil {
		return err
	}
	// Reading answers close frames; a deadline left behind would hide their code.
	return conn.SetWriteDeadline(time.Time{})
}

// follow reads messages until the connection ends; its error is never nil.
func (s *subscriber) follow(conn net.Conn) error {
	var silence time.Duration // how long the server may say nothing; zero is for ever
	for {
		if silence > 0 {
			if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
				return err
			}
		}
		message, err := wsutil.ReadServerText(conn)
		if closed := (wsutil.ClosedError{}); errors.As(err, &closed) {
			return &protocol.Close{Code: uint32(closed.Code), Reason: closed.Reason}
		}
		if err != nil {
			return err
		}
		replies := protocol.NewReplyDecoder(protocol.JSON, message)
		for {
			var r protocol.Reply
			if err := replies.Next(&r); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return errFinal{fmt.Errorf("read what the server sent: %w", err)}
			}
			if r.Connect != nil && r.Connect.Ping > 0 {
				silence = time.Duration(r.Connect.Ping)*time.Second + pingSlack
			}
			if err := s.reply(conn, &r); err != nil {
				return err
			}
		}
	}
}

// reply handles one reply.
func (s *subscriber) reply(conn net.Conn, r *protocol.Reply) error {
	switch {
	case r.Error != nil:
		err := error(&Error{Code: int(r.Error.Code), Message: r.Error.Message})
		if !r.Error.Temporary {
			err = errFinal{err}
		}
		return err
	case r.Subscribe != nil:
		return s.subscribe(r.Subscribe)
	case r.Push != nil && r.Push.Channel == s.o.Channel && r.Push.Pub != nil:
		return s.publication(r.Push.Pub)
	case r.Push != nil && r.Push.Channel == s.o.Channel && r.Push.Unsubscribe != nil:
		u := r.Push.Unsubscribe
		err := fmt.Errorf("the server ended the subscription: %d, %s", u.Code, u.Reason)
		if u.Code < 2500 { // client-protocol.md §20.3: clients stay away
			err = errFinal{err}
		}
		return err
	case r.ID == 0 && r.Push == nil:
		return send(conn, []byte("{}")) // the answer to a ping
	}
	return nil
}

// subscribe takes the result of a subscribe command.
func (s *subscriber) subscribe(r *protocol.SubscribeResult) error {
	if s.recoverable && !r.Recovered {
		s.o.Notice("publications were missed and are not in the channel's history any more")
	}
	s.subscribed = true
	s.recoverable, s.epoch = r.Recoverable, r.Epoch
	for _, p := range r.Publications {
		if err := s.publication(p); err != nil {
			return err
		}
	}
	s.offset = max(r.Offset, s.offset)
	if !r.Recovered {
		s.offset = r.Offset
	}
	return nil
}

// publication hands p on and remembers where it stands.
func (s *subscriber) publication(p *Publication) error {
	if p.Offset > 0 {
		s.offset = p.Offset
	}
	if p.Epoch != "" {
		s.epoch = p.Epoch
	}
	if err := s.o.Publication(p); err != nil {
		return errFinal{err}
	}
	return nil
}
