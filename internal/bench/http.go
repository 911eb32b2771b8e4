package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// caller is one kept HTTP connection with at most one request under way.
type caller struct {
	c      *conn
	head   []byte // request line and headers up to the value of Content-Length
	buf    []byte // the request being sent
	body   []byte // its body
	answer []byte
	ready  func()
	done   func(body []byte)
}

// newCaller returns a caller of POST path; key may be empty.
func newCaller(host, path, key string) *caller {
	head := "POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\n"
	if key != "" {
		head += "X-API-Key: " + key + "\r\n"
	}
	return &caller{head: []byte(head + "Content-Length: ")}
}

// post sends body, which is copied.
func (ca *caller) post(body []byte) {
	ca.buf = append(ca.buf[:0], ca.head...)
	ca.buf = strconv.AppendInt(ca.buf, int64(len(body)), 10)
	ca.buf = append(append(ca.buf, headEnd...), body...)
	ca.c.write(ca.buf)
}

func (ca *caller) opened(c *conn) {
	ca.c = c
	ca.ready()
}

func (ca *caller) closed(c *conn, err error) {
	c.l.fail(fmt.Errorf("API connection ended: %w", err))
}

func (ca *caller) data(c *conn, b []byte) {
	ca.answer = append(ca.answer, b...)
	body, whole, err := parseResponse(ca.answer)
	switch {
	case err != nil:
		c.l.fail(err)
	case whole:
		ca.answer = ca.answer[:0]
		c.l.progress++
		ca.done(body)
	}
}

var (
	errResponse = errors.New("malformed HTTP response")
	lengthName  = []byte("content-length:")
	lastChunk   = []byte("\r\n0\r\n\r\n")
)

// parseResponse tells whether b is one whole response with status 200 and returns
// its body; a chunked one comes with the sizes of its chunks still in it.
func parseResponse(b []byte) (body []byte, whole bool, err error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return nil, false, nil
	}
	head, body := b[:end], b[end+len(headEnd):]
	status, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return nil, false, fmt.Errorf("the API answered %s", status)
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
