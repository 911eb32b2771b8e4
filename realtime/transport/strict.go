package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"time"
)

// errAmbiguous ends a connection whose requests others on their way may have divided
// otherwise (guarantees.md S26). net/http answers it with 400.
var errAmbiguous = errors.New("ambiguous HTTP request")

// strict looks at the bytes of a connection on their way to net/http, which takes more
// than it should: line feeds without a carriage return, and heads that give both a length
// and a coding. It follows the requests of a connection from one to the next, so it reads
// their lengths, and copies nothing but a line that comes in pieces.
//
// What net/http refuses by itself is left to it.
type strict struct {
	in     uint8 // one of the in constants
	blind  bool  // net/http will end the connection at what has come
	coded  bool  // the head says Transfer-Encoding
	sized  bool  // and Content-Length
	middle bool  // the request line has come
	left   int64 // bytes of the body or the chunk still to come
	line   []byte
	limit  int // of a line, beyond which net/http refuses it
}

// The parts of a request.
const (
	inHead = iota
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
)

// check returns how many bytes of p may pass; if these are not all, what follows is not to
// be answered.
func (s *strict) check(p []byte) (n int) {
	for n < len(p) && !s.blind {
		if s.in == inBody || s.in == inChunk {
			skip := min(int64(len(p)-n), s.left)
			n += int(skip)
			s.left -= skip
			switch {
			case s.left > 0:
			case s.in == inBody:
				s.in = inHead
			default:
				s.in = inChunkEnd
			}
			continue
		}
		used, ok := s.take(p[n:])
		if !ok {
			return n
		}
		n += used
	}
	return len(p)
}

// take reads up to the end of a line.
func (s *strict) take(p []byte) (used int, ok bool) {
	if len(s.line) > 0 && s.line[len(s.line)-1] == '\r' && p[0] != '\n' {
		return 0, false
	}
	end := bytes.IndexByte(p, '\n')
	piece := p
	if end >= 0 {
		piece = p[:end]
	}
	// A carriage return is the last before the line feed, which may not have come yet.
	if i := bytes.IndexByte(piece, '\r'); i >= 0 && i != len(piece)-1 {
		return 0, false
	}
	if end < 0 {
		if s.line = append(s.line, piece...); len(s.line) > s.limit {
			s.line, s.blind = nil, s.in == inHead
			return len(p), s.blind
		}
		return len(p), true
	}
	line := piece
	if len(s.line) > 0 {
		line = append(s.line, piece...)
		s.line = s.line[:0]
	}
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return 0, false
	}
	return end + 1, s.next(line[:len(line)-1])
}

// next reads a line without its end. It reports false if the request may be read in more
// than one way.
func (s *strict) next(line []byte) bool {
	switch s.in {
	case inHead:
		return s.header(line)
	case inChunkSize:
		size, ok := chunkSize(line)
		s.left, s.in = size, inChunk
		if size == 0 {
			s.in = inTrailer
		}
		return ok
	case inChunkEnd:
		s.in = inChunkSize
		return len(line) == 0
	default:
		if len(line) == 0 {
			s.in = inHead
		}
		return true
	}
}

// header reads a line of a head.
func (s *strict) header(line []byte) bool {
	switch {
	case len(line) == 0:
		switch {
		case s.coded:
			s.in = inChunkSize
		case s.left > 0:
			s.in = inBody
		}
		s.coded, s.sized, s.middle = false, false, false
		return true
	case !s.middle:
		s.middle = true
		return true
	case line[0] == ' ' || line[0] == '\t':
		return false // the rest of a header above it, for those who still know of that
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.Trim(value, " \t")
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil || s.sized || s.coded {
			return false
		}
		s.left, s.sized = int64(n), true
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if s.sized || s.coded {
			return false
		}
		s.coded = true
		s.blind = !bytes.EqualFold(value, []byte("chunked")) // and net/http knows no other
	}
	return true
}

// chunkSize reads the line before a chunk: digits, and what others may have to say of it
// (RFC 9112 §7.1.1).
func chunkSize(line []byte) (int64, bool) {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	digits = bytes.TrimRight(digits, " \t")
	for _, c := range digits {
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(string(digits), 16, 63)
	return int64(n), err == nil && n < math.MaxInt64
}

// filter is strict for one connection: it keeps what it does not let pass.
type filter struct {
	strict

	held []byte // what came with, and after, the bytes that are not to be answered
	bad  bool
}

// pass returns how many of the bytes read into p may be seen, and the error that follows
// them, if that is not err.
func (f *filter) pass(p []byte, err error) (int, error) {
	n := f.check(p)
	if n == len(p) {
		return n, err
	}
	f.held, f.bad = slices.Clone(p[n:]), true
	if n == 0 {
		return 0, errAmbiguous
	}
	return n, nil
}

// filtered makes the connections of ln strict. Those of an [engine] are without it.
type filtered struct {
	net.Listener

	limit     int           // of a line
	handshake time.Duration // how long it may take
}

// Accept implements [net.Listener].
func (l filtered) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &filteredConn{Conn: conn, filter: filter{strict: strict{limit: l.limit}}}
	if secure, ok := conn.(*tls.Conn); ok {
		return &secureConn{c, secure, l.handshake}, nil
	}
	return c, nil
}

// filteredConn is a connection of which net/http sees what is unambiguous.
type filteredConn struct {
	net.Conn

	filter filter
}

// Read implements [net.Conn].
func (c *filteredConn) Read(p []byte) (int, error) {
	if c.filter.bad {
		return 0, errAmbiguous
	}
	n, err := c.Conn.Read(p)
	return c.filter.pass(p[:n], err)
}

// CloseWrite lets net/http end its side first, so that its last answer arrives.
func (c *filteredConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// unfiltered returns the connection itself, once it is no longer one of requests, and
// what was not read yet.
func (c *filteredConn) unfiltered() (net.Conn, []byte) { return c.Conn, c.filter.held }

// secureConn is a filteredConn with TLS, whose handshake net/http leaves to it.
type secureConn struct {
	*filteredConn

	tls  *tls.Conn
	time time.Duration
}

// ConnectionState is called by net/http before it reads. A handshake that fails also
// fails the reading.
func (c *secureConn) ConnectionState() tls.ConnectionState {
	ctx, cancel := context.WithTimeout(context.Background(), c.time)
	defer cancel()
	var plain tls.RecordHeaderError
	if err := c.tls.HandshakeContext(ctx); errors.As(err, &plain) && plain.Conn != nil {
		_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis server speaks TLS: use https.\n")
		_ = plain.Conn.Close() // whoever it was has been told
	}
	return c.tls.ConnectionState()
}
