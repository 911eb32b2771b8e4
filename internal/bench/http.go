package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// caller is one kept HTTP connection with at most one request under way. One that
// the server closes between requests is opened again by the next.
type caller struct {
	l      *loop
	addr   netip.AddrPort
	head   []byte // request line and headers up to the value of Content-Length
	c      *conn  // nil while there is none
	buf    []byte // the request being sent
	body   []byte // its body, for who builds one
	answer []byte
	busy   bool
	ready  func()            // the connection is open for the first time
	done   func(body []byte) // the request is answered
}

// dialCallers opens n connections for POST path; key may be empty.
func dialCallers(ctx context.Context, l *loop, addr netip.AddrPort, host, path, key string, n int) ([]*caller, error) {
	head := "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\n"
	if key != "" {
		head += "X-API-Key: " + key + "\r\n"
	}
	head += "Content-Length: "
	callers, ready := make([]*caller, n), 0
	for i := range callers {
		callers[i] = &caller{l: l, addr: addr, head: []byte(head), ready: func() { ready++ }}
		if err := callers[i].dial(); err != nil {
			return nil, err
		}
	}
	if err := l.until(ctx, func() bool { return ready == n }); err != nil {
		return nil, fmt.Errorf("connect to the API: %w", err)
	}
	return callers, nil
}

func (ca *caller) dial() (err error) {
	ca.c, err = ca.l.dial(ca.addr, netip.Addr{}, ca)
	return err
}

// post sends body, which is copied.
func (ca *caller) post(body []byte) {
	ca.buf = append(ca.buf[:0], ca.head...)
	ca.buf = strconv.AppendInt(ca.buf, int64(len(body)), 10)
	ca.buf = append(append(ca.buf, headEnd...), body...)
	ca.busy = true
	if ca.c != nil {
		ca.c.write(ca.buf)
	} else if err := ca.dial(); err != nil {
		ca.l.fail(err)
	}
}

func (ca *caller) opened(c *conn) {
	if ca.busy {
		c.write(ca.buf)
		return
	}
	ca.ready()
}

func (ca *caller) closed(c *conn, err error) {
	if ca.busy || !c.open {
		c.l.fail(fmt.Errorf("API connection ended: %w", err))
	}
	ca.c = nil
}

func (ca *caller) data(c *conn, b []byte) {
	ca.answer = append(ca.answer, b...)
	body, whole, err := parseResponse(ca.answer)
	switch {
	case err != nil:
		c.l.fail(err)
	case whole:
		ca.answer, ca.busy = ca.answer[:0], false
		c.l.progress++
		ca.done(body)
	}
}

var (
	errResponse = errors.New("malformed HTTP response")
	lengthName  = []byte("content-length:")
	lastChunk   = []byte("\r\n0\r\n\r\n")
)

// parseResponse tells whether b is one whole response with status 200 or 201 and returns
// its body; a chunked one comes with the sizes of its chunks still in it.
func parseResponse(b []byte) (body []byte, whole bool, err error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return nil, false, nil
	}
	head, body := b[:end], b[end+len(headEnd):]
	status, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) && !bytes.HasPrefix(status, []byte("HTTP/1.1 201 ")) {
		return nil, false, fmt.Errorf("the API answered %s: %.200s", status, body)
	}
	for line := range bytes.SplitSeq(fields, []byte("\r\n")) {
		if len(line) >= len(lengthName) && bytes.EqualFold(line[:len(lengthName)], lengthName) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(line[len(lengthName):])))
			if err != nil || n < 0 {
				return nil, false, fmt.Errorf("%w: %s", errResponse, line)
			}
			return body, len(body) >= n, nil
		}
	}
	return body, bytes.HasSuffix(body, lastChunk), nil
}

// apiError returns the error of an API answer, which comes with status 200.
func apiError(body []byte) error {
	if bytes.Contains(body, []byte(`"error":`)) {
		return fmt.Errorf("the API answered %.200s", body)
	}
	return nil
}
