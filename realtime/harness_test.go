package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// lines is a framing for tests: each transport message is one entry of a pipe's
// messages, so a close is told apart by its first byte.
type lines struct{ format protocol.Format }

func (f lines) Format() protocol.Format              { return f.format }
func (f lines) AppendFrame(dst, units []byte) []byte { return append(append(dst, units...), 0) }
func (f lines) AppendClose(dst []byte, c *protocol.Close) []byte {
	return append(fmt.Appendf(dst, "\x01close %d %s", c.Code, c.Reason), 0)
}

// pipe is a connection in memory. While stuck it takes nothing.
type pipe struct {
	framing realtime.Framing
	session *realtime.Session

	mu       sync.Mutex
	got      []byte
	room     int // bytes it takes before it is stuck; negative is no limit
	waiting  bool
	closed   bool
	graceful bool
}

func (p *pipe) Framing() realtime.Framing { return p.framing }
func (p *pipe) Peer() realtime.Peer       { return realtime.Peer{Transport: "test"} }

func (p *pipe) TryWrite(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(b)
	if p.room >= 0 {
		n = min(n, p.room)
		p.room -= n
	}
	p.got = append(p.got, b[:n]...)
	return n, nil
}

func (p *pipe) AwaitWritable() {
	p.mu.Lock()
	p.waiting = true
	p.mu.Unlock()
}

func (p *pipe) Close(graceful bool) {
	p.mu.Lock()
	p.closed, p.graceful = true, graceful
	p.mu.Unlock()
	if graceful {
		p.session.Gone()
	}
}

// limit makes the pipe take n more bytes, or any number if n is negative.
func (p *pipe) limit(n int) {
	p.mu.Lock()
	p.room = n
	wake := p.waiting && n != 0
	if wake {
		p.waiting = false
	}
	p.mu.Unlock()
	if wake {
		p.session.Writable()
	}
}

// take returns the transport messages that arrived since the last call.
func (p *pipe) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var messages []string
	for {
		i := strings.IndexByte(string(p.got), 0)
		if i < 0 {
			return messages
		}
		messages = append(messages, string(p.got[:i]))
		p.got = p.got[i+1:]
	}
}

// gate is an authorizer that lets in whom the test says: user and server-side
// subscriptions come from the token, a JSON object.
type gate struct {
	options func(channel string) (realtime.ChannelOptions, error)
}

type ticket struct {
	User     string          `json:"user"`
	ExpireIn int64           `json:"expire_in"`
	Subs     []string        `json:"subs"`
	Info     json.RawMessage `json:"info"`
	Only     bool            `json:"only"`
	Error    *protocol.Error `json:"error"`
	Close    *protocol.Close `json:"close"`
}

func (g gate) read(token string) (ticket, error) {
	var t ticket
	if token == "" {
		return t, nil
	}
	if err := json.Unmarshal([]byte(token), &t); err != nil {
		return t, protocol.CloseInvalidToken
	}
	if t.Close != nil {
		return t, t.Close
	}
	if t.Error != nil {
		return t, t.Error
	}
	return t, nil
}

func expireAt(in int64) int64 {
	if in == 0 {
		return 0
	}
	return time.Now().Unix() + in
}

func (g gate) ChannelOptions(channel string) (realtime.ChannelOptions, error) {
	return g.options(channel)
}

func (g gate) Connect(_ context.Context, in realtime.Connecting) (realtime.Credentials, error) {
	t, err := g.read(in.Request.Token)
	if err != nil {
		return realtime.Credentials{}, err
	}
	cred := realtime.Credentials{
		User: t.User, ExpireAt: expireAt(t.ExpireIn), Info: t.Info, TokenSubs: t.Subs, OnlyConnection: t.Only,
		Subs: make(map[string]realtime.Grant),
	}
	for _, channel := range t.Subs {
		o, err := g.options(channel)
		if err != nil {
			return realtime.Credentials{}, err
		}
		cred.Subs[channel] = realtime.Grant{
			Options: o, Positioned: o.ForcePositioning, Recoverable: o.ForceRecovery, JoinLeave: o.ForcePushJoinLeave,
		}
	}
	return cred, nil
}

func (g gate) Refresh(_ context.Context, _ realtime.Client, token string) (realtime.Credentials, error) {
	t, err := g.read(token)
	return realtime.Credentials{User: t.User, ExpireAt: expireAt(t.ExpireIn), TokenSubs: t.Subs, Info: t.Info}, err
}

func (g gate) Subscribe(_ context.Context, _ realtime.Client, req *protocol.SubscribeRequest) (realtime.Grant, error) {
	o, err := g.options(req.Channel)
	if err != nil {
		return realtime.Grant{}, err
	}
	t, err := g.read(req.Token)
	return realtime.Grant{
		Options: o, Info: t.Info, ExpireAt: expireAt(t.ExpireIn),
		Positioned:  o.ForcePositioning || req.Positioned,
		Recoverable: o.ForceRecovery || req.Recoverable,
		JoinLeave:   o.JoinLeave && (o.ForcePushJoinLeave || req.JoinLeave),
	}, err
}

func (g gate) SubRefresh(_ context.Context, _ realtime.Client, _, token string) (realtime.Grant, error) {
	t, err := g.read(token)
	return realtime.Grant{ExpireAt: expireAt(t.ExpireIn), Info: t.Info}, err
}

func (g gate) Publish(_ context.Context, _ realtime.Client, channel string, data []byte, _ bool) error {
	o, err := g.options(channel)
	if err != nil {
		return err
	}
	if !o.DataFormat.Accepts(data) {
		return protocol.ErrBadRequest
	}
	return nil
}

func (g gate) Presence(context.Context, realtime.Client, string, bool) error { return nil }
func (g gate) History(context.Context, realtime.Client, string, bool) error  { return nil }

// namespaces are the channels tests use.
func namespaces(channel string) (realtime.ChannelOptions, error) {
	o := realtime.ChannelOptions{}
	ns, _, _ := strings.Cut(channel, ":")
	switch ns {
	case "plain":
	case "chat":
		o.HistorySize, o.HistoryTTL = 10, time.Minute
		o.Presence, o.JoinLeave = true, true
	case "big":
		o.HistorySize, o.HistoryTTL = 1000, time.Hour
		o.ForceRecovery, o.ForcePositioning = true, true
	case "last":
		o.HistorySize, o.HistoryTTL = 1, time.Hour
		o.ForceRecovery, o.ForcePositioning, o.RecoveryMode = true, true, realtime.RecoverCache
	case "people":
		o.Presence, o.JoinLeave, o.ForcePushJoinLeave = true, true, true
	case "json":
		o.DataFormat = realtime.DataJSONObject
	default:
		return o, protocol.ErrUnknownChannel
	}
	return o, nil
}

// world is a node with its clients. It must be used inside a synctest bubble or with
// care for the clock.
type world struct {
	t    testing.TB
	node *realtime.Node
	stop context.CancelFunc
	done chan error
}

func newWorld(t testing.TB, change func(*realtime.Options)) *world {
	t.Helper()
	g := gate{options: namespaces}
	o := realtime.Options{Version: "test", Channels: g, Authorizer: g, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	node, err := realtime.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &world{t: t, node: node, stop: stop, done: make(chan error, 1)}
	go func() { w.done <- node.Run(ctx) }()
	return w
}

// close stops the node and waits for it.
func (w *world) close() {
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Errorf("run: %v", err)
	}
}

// dial opens a connection that has not connected yet.
func (w *world) dial(f protocol.Format) *pipe {
	p := &pipe{framing: lines{f}, room: -1}
	p.session = w.node.NewSession(p)
	p.session.Start()
	return p
}

// send hands a message to the session as a transport would.
func (p *pipe) send(message string) bool {
	open := p.session.Receive([]byte(message))
	p.session.Flush()
	return open
}

// connected opens a connection of user.
func (w *world) connected(user string) *pipe {
	w.t.Helper()
	p := w.dial(protocol.JSON)
	p.send(fmt.Sprintf(`{"id":1,"connect":{"token":%q}}`, fmt.Sprintf(`{"user":%q}`, user)))
	if got := p.take(); len(got) != 1 || !strings.Contains(got[0], `"connect":{`) {
		w.t.Fatalf("connect = %q", got)
	}
	return p
}
