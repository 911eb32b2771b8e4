package realtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// How far a session is.
const (
	sessionNew       uint8 = iota // waits for connect
	sessionConnected              // serves commands
	sessionRefused                // connect was answered with an error; input is ignored
)

// refusedCloseDelay is what a client has to close after connect was refused
// (client-protocol.md §3.4).
const refusedCloseDelay = 5 * time.Second

// Session is one client's connection to the node. The transport calls its methods;
// all are safe for concurrent use but Receive, whose calls must not overlap.
type Session struct {
	node    *Node
	conn    Conn
	framing Framing
	id      string
	alarm   alarm // guarded by the wheel's lock
	place   place

	// Written by the goroutine in Receive while connecting, fixed afterwards.
	user       string
	serverSubs []string

	mu       sync.Mutex
	out      output
	subs     subscriptions
	info     *protocol.ClientInfo // what others see, without chan_info
	meta     []byte
	state    uint8
	released bool
	watched  bool // the watcher was told of it
	times    times
}

// Pinger is a [Conn] whose transport may do without the protocol's pings.
type Pinger interface {
	// NativePings tells whether the transport checks the connection by itself.
	NativePings() bool
}

// NewSession returns the session of a connection that has just been accepted. Nothing
// is called on c before [Session.Start].
func (n *Node) NewSession(c Conn) *Session {
	return &Session{node: n, conn: c, framing: c.Framing(), id: newID()}
}

// Start makes the node know the session and its time to connect run. The transport
// calls it once, when it is ready for calls on its [Conn].
func (s *Session) Start() {
	n := s.node
	now := n.wheel.now()
	s.times.close = now + n.o.StaleCloseDelay
	if n.draining.Load() {
		s.times.close = now + wheelTick
	}
	n.registry.add(s)
	n.wheel.set(s, s.times.close)
}

// newID makes a random UUID (RFC 9562 §5.4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var text [36]byte
	hex.Encode(text[:8], b[:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// ID returns the connection's id, which is also the client's.
func (s *Session) ID() string { return s.id }

// MessageLimit returns how many bytes the next message may have.
func (s *Session) MessageLimit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == sessionConnected {
		return s.node.o.MessageBytes
	}
	return s.node.o.FirstMessageBytes
}

// client is the session as handlers see it.
func (s *Session) client() Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Client{ID: s.id, User: s.user, Info: s.info.ConnInfo, Meta: s.meta, ServerSubs: s.serverSubs}
}

var commands = sync.Pool{New: func() any { return new(protocol.Command) }}

// Receive handles one message of the client, which it does not retain. Calls must
// not overlap. It returns false if the session is closing: nothing more is to be
// read. Replies may wait until Flush.
func (s *Session) Receive(message []byte) (open bool) {
	defer func() {
		if r := recover(); r != nil {
			s.node.panicked("receive", r)
			s.Close(protocol.CloseInternal)
			open = false
		}
	}()
	s.mu.Lock()
	ending, refused := s.out.ending, s.state == sessionRefused
	s.mu.Unlock()
	if ending || refused {
		return !ending
	}
	why := s.handleAll(message)
	if why != nil {
		s.Close(why)
	}
	return why == nil
}

// handleAll handles the commands of one message, one after the other.
func (s *Session) handleAll(message []byte) *protocol.Close {
	dec := protocol.NewCommandDecoder(s.framing.Format(), message)
	cmd := commands.Get().(*protocol.Command)
	defer commands.Put(cmd)
	for n := 0; ; {
		err := dec.Next(cmd)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return protocol.CloseBadRequest
		}
		if cmd.Subscribe == nil {
			n++
		}
		if n > s.node.o.CommandLimit {
			return protocol.CloseBadRequest
		}
		if why := s.handle(cmd); why != nil {
			return why
		}
		if s.state == sessionRefused {
			return nil
		}
	}
}

// reply queues the answer to a command. A client that asks faster than it reads is
// slow; one answer may be larger than what may wait.
func (s *Session) reply(r *protocol.Reply) {
	if s.full() {
		if s.Flush(); s.full() {
			s.Close(protocol.CloseSlow)
			return
		}
	}
	s.mu.Lock()
	s.appendReply(r)
	s.mu.Unlock()
}

func (s *Session) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.queued > s.node.o.QueueBytes
}

// refuse answers a command with err, or returns why the connection must be closed.
func (s *Session) refuse(id uint32, doing string, err error) *protocol.Close {
	var why *protocol.Close
	if errors.As(err, &why) {
		return why
	}
	s.reply(&protocol.Reply{ID: id, Error: s.node.asError(doing, err)})
	return nil
}

// end ends a subscription and, unless push is nil, tells the client. When it has
// returned, the channel may be subscribed to again.
func (s *Session) end(ctx context.Context, sub *subscription, push *protocol.UnsubscribePush) {
	s.mu.Lock()
	if gone := sub.gone; gone != nil {
		s.mu.Unlock()
		<-gone
		return
	}
	if s.released {
		s.mu.Unlock()
		return
	}
	if sub.phase == subReserved || sub.phase == subHolding {
		if push != nil {
			sub.doomed = push
		}
		s.mu.Unlock()
		return
	}
	sub.phase = subEnded
	sub.gone = make(chan struct{})
	s.mu.Unlock()
	s.withdraw(ctx, sub)
	s.mu.Lock()
	s.subs.remove(sub)
	close(sub.gone)
	if push != nil {
		s.appendReply(&protocol.Reply{Push: &protocol.Push{Channel: sub.channel, Unsubscribe: push}})
	}
	s.mu.Unlock()
	if push != nil {
		s.Flush()
	}
}

// watch tells the watcher that the session is connected.
func (s *Session) watch() {
	if s.node.o.Watcher == nil {
		return
	}
	s.mu.Lock()
	s.watched = !s.released
	told := s.watched
	s.mu.Unlock()
	if told {
		s.node.o.Watcher.Connected(s.client())
	}
}

// withdraw removes a subscription that is not live any more from the hub and from
// presence, and says so to the others.
func (s *Session) withdraw(ctx context.Context, sub *subscription) {
	n := s.node
	if err := n.hub.leave(ctx, sub); err != nil {
		n.o.Logger.Error("unsubscribe at the broker", "channel", sub.channel, "error", err)
	}
	if sub.presence {
		if err := n.o.Presence.Remove(ctx, sub.channel, s.id); err != nil {
			n.o.Logger.Error("remove presence", "channel", sub.channel, "error", err)
		}
	}
	if sub.announce {
		if err := n.o.Broker.PublishLeave(ctx, sub.channel, s.infoIn(sub)); err != nil {
			n.o.Logger.Error("publish leave", "channel", sub.channel, "error", err)
		}
		n.hub.Flush(sub.channel)
	}
}

// infoIn is what others see of the session in the channel of sub, which may be nil.
func (s *Session) infoIn(sub *subscription) *protocol.ClientInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub == nil || len(sub.info) == 0 {
		return s.info
	}
	info := *s.info
	info.ChanInfo = sub.info
	return &info
}

// release gives back what the session holds in the node, once.
func (s *Session) release() {
	s.mu.Lock()
	if s.released {
		s.mu.Unlock()
		return
	}
	s.released = true
	var live []*subscription
	for _, sub := range s.subs.list {
		if sub.phase == subLive || (sub.phase == subEnded && sub.gone == nil) {
			sub.phase = subEnded
			live = append(live, sub)
		}
	}
	s.subs = subscriptions{}
	watched := s.watched
	s.mu.Unlock()
	if watched {
		s.node.o.Watcher.Disconnected(s.client())
	}
	s.node.wheel.set(s, 0)
	s.node.registry.remove(s)
	for _, sub := range live {
		s.withdraw(s.node.ctx, sub)
	}
}
