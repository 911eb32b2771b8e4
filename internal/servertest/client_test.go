package servertest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sync/errgroup"
)

// limit bounds everything a test waits for, on a loaded machine.
const limit = 60 * time.Second

// client is a small client of its own, which costs no goroutine, so that thousands of
// them fit into a test. It speaks JSON.
type client struct {
	net.Conn
	r     *bufio.Reader
	ready [][]byte // units read but not asked for yet
}

// open opens a WebSocket; everything on it must be over within limit.
func open(url string, tlsConfig *tls.Config) (*client, error) {
	dialer := ws.Dialer{TLSConfig: tlsConfig, Timeout: limit}
	conn, early, _, err := dialer.Dial(context.Background(), url)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if early == nil {
		early = bufio.NewReaderSize(conn, 1024)
	}
	return &client{Conn: conn, r: early}, conn.SetDeadline(time.Now().Add(limit))
}

// connect opens a WebSocket and connects with token.
func connect(url, token string, tlsConfig *tls.Config) (*client, error) {
	c, err := open(url, tlsConfig)
	if err != nil {
		return nil, err
	}
	got, err := c.call(`{"id":1,"connect":{"token":"` + token + `"}}`)
	if err == nil && !bytes.Contains(got, []byte(`"client":`)) {
		err = fmt.Errorf("connect: %s", got)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// closeAll closes those of clients that were opened.
func closeAll(clients []*client) {
	for _, c := range clients {
		if c != nil {
			_ = c.Close()
		}
	}
}

// must fails the test if there is an error, and closes the client at its end.
func must(t testing.TB) func(*client, error) *client {
	return func(c *client, err error) *client {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func (c *client) send(text string) error {
	return ws.WriteFrame(c, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(text))))
}

// call sends a command and returns the next unit.
func (c *client) call(command string) ([]byte, error) {
	if err := c.send(command); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	return c.next()
}

// closedError is the code of a close frame.
type closedError int

func (e closedError) Error() string { return "closed with " + strconv.Itoa(int(e)) }

// next returns the next unit that is no ping, or a [closedError].
func (c *client) next() ([]byte, error) {
	for {
		for len(c.ready) > 0 {
			unit := c.ready[0]
			c.ready = c.ready[1:]
			if string(unit) != "{}" {
				return unit, nil
			}
			if err := c.send("{}"); err != nil {
				return nil, fmt.Errorf("pong: %w", err)
			}
		}
		frame, err := ws.ReadFrame(c.r)
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		switch {
		case frame.Header.OpCode == ws.OpText:
			c.ready = bytes.Split(frame.Payload, []byte("\n"))
		case frame.Header.OpCode == ws.OpClose && len(frame.Payload) >= 2:
			return nil, closedError(binary.BigEndian.Uint16(frame.Payload))
		default:
			return nil, fmt.Errorf("frame %v %q", frame.Header, frame.Payload)
		}
	}
}

// closed reads until the connection is closed and returns the code.
func (c *client) closed() (int, error) {
	for {
		_, err := c.next()
		var code closedError
		if errors.As(err, &code) {
			return int(code), nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// publication is what subscribers get.
type publication struct {
	Offset uint64
	Data   json.RawMessage
}

// subscription is the result of a subscribe command.
type subscription struct {
	Recovered    bool
	Epoch        string
	Offset       uint64
	Publications []publication
}

func (c *client) subscribe(channel, more string) (result subscription, err error) {
	got, err := c.call(`{"id":2,"subscribe":{"channel":"` + channel + `"` + more + `}}`)
	if err != nil {
		return result, err
	}
	reply := struct {
		ID        int
		Subscribe *subscription
	}{Subscribe: &result}
	if err := json.Unmarshal(got, &reply); err != nil || reply.ID != 2 || !bytes.Contains(got, []byte(`"subscribe":`)) {
		return result, fmt.Errorf("subscribe to %s: %s %w", channel, got, err)
	}
	return result, nil
}

// push reads the next publication.
func (c *client) push() (publication, error) {
	var unit struct{ Push struct{ Pub *publication } }
	got, err := c.next()
	if err != nil {
		return publication{}, err
	}
	if err := json.Unmarshal(got, &unit); err != nil || unit.Push.Pub == nil {
		return publication{}, fmt.Errorf("not a publication: %s %w", got, err)
	}
	return *unit.Push.Pub, nil
}

// from is the rest of a subscribe command that recovers from a position.
func from(epoch string, offset uint64) string {
	return fmt.Sprintf(`,"recover":true,"epoch":%q,"offset":%d`, epoch, offset)
}

// caller makes requests to a server.
type caller struct {
	url, key string
	http     http.Client
}

func newCaller(t testing.TB, url, key string) *caller {
	tr := &http.Transport{MaxIdleConnsPerHost: 64, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(tr.CloseIdleConnections)
	return &caller{url: url, key: key, http: http.Client{Transport: tr, Timeout: limit}}
}

// post returns the status and the body of the answer of the server API.
func (c *caller) post(method, body string) (int, string, error) {
	return c.do(http.MethodPost, "/api/"+method, body)
}

func (c *caller) do(method, path, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("X-API-Key", c.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// publish publishes and returns the offset.
func (c *caller) publish(channel, data string) (uint64, error) {
	status, answer, err := c.post("publish", `{"channel":"`+channel+`","data":`+data+`}`)
	if err != nil {
		return 0, err
	}
	var got struct{ Result *struct{ Offset uint64 } }
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusOK || got.Result == nil {
		return 0, fmt.Errorf("publish into %s: %d %s %w", channel, status, answer, err)
	}
	return got.Result.Offset, nil
}

// metrics returns the figures of the server; those with labels also as the sum of all.
func (c *caller) metrics(t testing.TB) map[string]float64 {
	t.Helper()
	status, text, err := c.do(http.MethodGet, "/metrics", "")
	if err != nil || status != http.StatusOK {
		t.Fatalf("metrics: %d %v", status, err)
	}
	found := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		v, err := strconv.ParseFloat(value, 64)
		if name == "#" || err != nil {
			continue
		}
		found[name] = v
		if family, _, labelled := strings.Cut(name, "{"); labelled {
			found[family] += v
		}
	}
	return found
}

// until waits for done to hold.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	untilEvery(t, 20*time.Millisecond, what, done)
}

// untilEvery looks less often, for what asking would disturb.
func untilEvery(t testing.TB, wait time.Duration, what string, done func() bool) {
	t.Helper()
	late := time.After(limit)
	again := time.NewTicker(wait)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("%v passed without: %s", limit, what)
		}
	}
}

// each runs f for 0 to n-1, so many at a time, and fails the test at the first error.
func each(t testing.TB, n, parallel int, f func(i int) error) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(parallel)
	for i := range n {
		g.Go(func() error {
			if err := f(i); err != nil {
				return fmt.Errorf("%d of %d: %w", i, n, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}
