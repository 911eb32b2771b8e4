package realtime

import (
	"sync"

	"github.com/kuranty/kuranty/protocol"
)

// What a session's output is doing. Only the goroutine that moved it to writing
// writes; blocked waits for the transport.
const (
	outIdle uint8 = iota
	outWriting
	outBlocked
	outClosed
)

// writeChunk is how much is gathered for one write, and sealBytes the size of
// encoded replies from which a frame is made before the message is fully handled.
const (
	writeChunk = 64 << 10
	sealBytes  = 16 << 10
)

// output is the bytes on their way to one connection: encoded units that are not
// framed yet, behind frames that are. Frames may be shared with other sessions and
// are never changed. Its fields are guarded by the session's lock, which is not held
// while writing.
type output struct {
	units  *buffer  // nil if there are none
	queue  [][]byte // while blocked, the first is what is left of a write
	queued int      // bytes in queue and units
	state  uint8
	// ending says that nothing more is accepted, and the connection is closed when
	// all is written; dead that writing is pointless.
	ending, dead bool
}

// buffer is a scratch buffer from one of the pools.
type buffer struct{ b []byte }

var (
	unitBuffers  = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 1024)} }}
	chunkBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, writeChunk)} }}
)

// recycle returns a buffer of units to the pool, unless it has grown too large to keep.
func recycle(u *buffer) {
	if cap(u.b) <= 2*sealBytes {
		u.b = u.b[:0]
		unitBuffers.Put(u)
	}
}

// appendUnits queues what add appends: one unit. s.mu is held.
func (s *Session) appendUnits(add func(units []byte) []byte) {
	if s.out.ending {
		return
	}
	u := s.out.units
	if u == nil {
		u = unitBuffers.Get().(*buffer)
		s.out.units = u
	}
	before := len(u.b)
	u.b = add(u.b)
	s.account(len(u.b) - before)
	if len(u.b) >= sealBytes {
		s.seal()
	}
}

// appendReply queues r. s.mu is held.
func (s *Session) appendReply(r *protocol.Reply) {
	s.appendUnits(func(units []byte) []byte {
		return protocol.AppendReply(units, s.framing.Format(), r)
	})
}

// appendUnit queues a unit that is already encoded. s.mu is held.
func (s *Session) appendUnit(unit []byte) {
	s.appendUnits(func(units []byte) []byte {
		if len(units) > 0 && s.framing.Format() == protocol.JSON {
			units = append(units, '\n')
		}
		return append(units, unit...)
	})
}

// appendFrame queues a frame, which is not copied. It reports false if the queue has
// no room for it: the client is too slow. s.mu is held.
func (s *Session) appendFrame(frame []byte) bool {
	if s.out.ending {
		return true
	}
	if s.out.queued > 0 && s.out.queued+len(frame) > s.node.o.QueueBytes {
		return false
	}
	s.seal()
	s.out.queue = append(s.out.queue, frame)
	s.account(len(frame))
	return true
}

// seal makes a frame of the units that wait. s.mu is held.
func (s *Session) seal() {
	u := s.out.units
	if u == nil {
		return
	}
	s.out.units = nil
	frame := s.framing.AppendFrame(make([]byte, 0, len(u.b)+16), u.b)
	s.out.queue = append(s.out.queue, frame)
	s.account(len(frame) - len(u.b))
	recycle(u)
}

// account adds to the bytes that wait. s.mu is held.
func (s *Session) account(n int) {
	s.out.queued += n
	s.node.queuedBytes.Add(int64(n))
}

// takeChunk takes what is to be written next, up to writeChunk bytes unless one
// frame is larger; nil if nothing waits. A scratch buffer that is not nil goes back
// to its pool after the write. s.mu is held.
func (s *Session) takeChunk() (chunk []byte, scratch *buffer) {
	o := &s.out
	if len(o.queue) == 0 && o.units == nil {
		return nil, nil
	}
	if len(o.queue) > 0 && (len(o.queue) == 1 && o.units == nil || len(o.queue[0]) >= writeChunk/2) {
		chunk = o.queue[0]
		s.dropFrames(1)
		return chunk, nil
	}
	scratch = chunkBuffers.Get().(*buffer)
	b := scratch.b[:0]
	taken := 0
	for _, frame := range o.queue {
		if len(b)+len(frame) > writeChunk {
			break
		}
		b = append(b, frame...)
		taken++
	}
	s.dropFrames(taken)
	if u := o.units; u != nil && len(o.queue) == 0 {
		o.units = nil
		s.account(-len(u.b))
		b = s.framing.AppendFrame(b, u.b)
		recycle(u)
	}
	scratch.b = b
	return b, scratch
}

// dropFrames removes the first n frames of the queue. s.mu is held.
func (s *Session) dropFrames(n int) {
	o := &s.out
	for _, frame := range o.queue[:n] {
		s.account(-len(frame))
	}
	rest := copy(o.queue, o.queue[n:])
	clear(o.queue[rest:])
	o.queue = o.queue[:rest]
	if rest == 0 && cap(o.queue) > 4 {
		o.queue = nil
	}
}

// dropAll removes everything that waits but the first keep frames. s.mu is held.
func (s *Session) dropAll(keep int) {
	o := &s.out
	for _, frame := range o.queue[keep:] {
		s.account(-len(frame))
	}
	clear(o.queue[keep:])
	o.queue = o.queue[:keep]
	if u := o.units; u != nil {
		o.units = nil
		s.account(-len(u.b))
		recycle(u)
	}
}

// Flush writes what waits; transports call it after the last Receive of what one
// read brought.
func (s *Session) Flush() {
	s.mu.Lock()
	s.resume(outIdle)
}

// Writable tells that the connection takes bytes again ([Conn.AwaitWritable]).
func (s *Session) Writable() {
	s.mu.Lock()
	s.resume(outBlocked)
}

// Stalled tells that the peer has taken nothing for the whole write timeout; the
// session closes with [protocol.CloseSlow].
func (s *Session) Stalled() {
	s.mu.Lock()
	ending := s.out.ending
	s.mu.Unlock()
	if ending {
		s.Gone() // the close frame had its chance
		return
	}
	s.Close(protocol.CloseSlow)
	s.mu.Lock()
	blocked := s.out.state == outBlocked
	s.mu.Unlock()
	if blocked {
		s.conn.AwaitWritable()
	}
}

// WriteControl queues bytes that are framed already, such as a pong of the
// transport's own protocol, in order with everything else. framed is not copied.
func (s *Session) WriteControl(framed []byte) {
	s.mu.Lock()
	ok := s.appendFrame(framed)
	s.mu.Unlock()
	if !ok {
		s.Close(protocol.CloseSlow)
		return
	}
	s.Flush()
}

// resume writes what waits if the output is in state from. s.mu is held; it is
// released on return.
func (s *Session) resume(from uint8) {
	if s.out.state != from {
		s.mu.Unlock()
		return
	}
	s.out.state = outWriting
	for {
		if s.out.dead {
			s.finish(false)
			return
		}
		chunk, scratch := s.takeChunk()
		if len(chunk) == 0 {
			if s.out.ending {
				s.finish(true)
				return
			}
			s.out.state = outIdle
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		n, err := s.conn.TryWrite(chunk)
		var rest []byte
		if err == nil && n < len(chunk) {
			rest = append(rest, chunk[n:]...)
		}
		if scratch != nil {
			chunkBuffers.Put(scratch)
		}
		if rest != nil {
			s.block(rest)
			return
		}
		s.mu.Lock()
		if err != nil {
			s.out.dead, s.out.ending = true, true
			s.node.spawn(s.release)
		}
	}
}

// block puts rest, which the kernel did not take, before what waits, and waits for
// the transport.
func (s *Session) block(rest []byte) {
	s.mu.Lock()
	if s.out.dead {
		s.finish(false)
		return
	}
	s.out.queue = append(s.out.queue, nil)
	copy(s.out.queue[1:], s.out.queue)
	s.out.queue[0] = rest
	s.account(len(rest))
	s.out.state = outBlocked
	s.mu.Unlock()
	s.conn.AwaitWritable()
}

// finish ends the connection. s.mu is held; it is released on return.
func (s *Session) finish(graceful bool) {
	done := s.out.state == outClosed
	s.out.state = outClosed
	s.dropAll(0)
	s.mu.Unlock()
	if !done {
		s.conn.Close(graceful)
	}
}

// Close ends the session for the reason c, which a transport gives a code of its own
// (1002, 1009) for what the peer sent: what waits is written first, unless the client is
// too slow for it. Only the first reason counts.
func (s *Session) Close(c *protocol.Close) {
	s.mu.Lock()
	if s.out.ending {
		s.mu.Unlock()
		return
	}
	if c.Code == protocol.CloseSlow.Code {
		s.node.count.slowCloses.Add(1)
		keep := 0
		if s.out.state == outBlocked {
			keep = 1 // part of it is on the wire
		}
		s.dropAll(keep)
	}
	s.seal()
	frame := s.framing.AppendClose(nil, c)
	s.out.queue = append(s.out.queue, frame)
	s.account(len(frame))
	s.out.ending = true
	s.resume(outIdle)
	s.node.spawn(s.release)
}

// Gone tells that the peer is gone (it closed, or the connection broke). Everything
// the session held is released; [Conn.Close] is called if it was not yet.
func (s *Session) Gone() {
	s.mu.Lock()
	s.out.ending, s.out.dead = true, true
	if s.out.state == outWriting {
		s.mu.Unlock() // the writer finishes
	} else {
		s.finish(false)
	}
	s.release()
}
