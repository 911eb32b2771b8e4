package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// limit bounds everything a test waits for, on a loaded machine.
const limit = 30 * time.Second

// peer is a client of another make, which speaks JSON.
type peer struct {
	t     testing.TB
	conn  *websocket.Conn
	ready []string // units read but not asked for yet
}

// dial opens a WebSocket; origin is sent if not empty.
func dial(t testing.TB, url, origin string) (*peer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	if origin != "" {
		o.HTTPHeader.Set("Origin", origin)
	}
	conn, resp, err := websocket.Dial(ctx, url, o)
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &peer{t: t, conn: conn}, nil
}

// connect opens a WebSocket and connects with token.
func connect(t testing.TB, url, token string) *peer {
	t.Helper()
	p, err := dial(t, url, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.call(`{"id":1,"connect":{"token":"` + token + `"}}`); !strings.Contains(got, `"client":`) {
		t.Fatalf("connect: %s", got)
	}
	return p
}

// leave closes the connection without a word.
func (p *peer) leave() { _ = p.conn.CloseNow() }

// call sends a command and returns the next unit that is no ping.
func (p *peer) call(command string) string {
	p.t.Helper()
	p.send(command)
	return p.next()
}

func (p *peer) send(message string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	if err := p.conn.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		p.t.Fatalf("send %s: %v", message, err)
	}
}

// next returns the next unit that is no ping.
func (p *peer) next() string {
	p.t.Helper()
	unit, err := p.read()
	if err != nil {
		p.t.Fatalf("read: %v", err)
	}
	return unit
}

func (p *peer) read() (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), limit)
	defer cancel()
	for {
		for len(p.ready) > 0 {
			unit := p.ready[0]
			p.ready = p.ready[1:]
			if unit != "{}" {
				return unit, nil
			}
			if err := p.conn.Write(ctx, websocket.MessageText, []byte("{}")); err != nil {
				return "", err
			}
		}
		_, message, err := p.conn.Read(ctx)
		if err != nil {
			return "", err
		}
		p.ready = strings.Split(string(message), "\n")
	}
}

// closed reads until the server closes and returns its code and reason.
func (p *peer) closed() (code int, reason string) {
	p.t.Helper()
	for {
		_, err := p.read()
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			return int(closed.Code), closed.Reason
		}
		if err != nil {
			p.t.Fatalf("waiting to be closed: %v", err)
		}
	}
}

// subscribe subscribes and returns the result.
func (p *peer) subscribe(channel, more string) (result struct {
	Recovered    bool
	Epoch        string
	Offset       uint64
	Publications []json.RawMessage
},
) {
	p.t.Helper()
	got := p.call(`{"id":2,"subscribe":{"channel":"` + channel + `"` + more + `}}`)
	reply := struct{ Subscribe any }{&result}
	if err := json.Unmarshal([]byte(got), &reply); err != nil || !strings.Contains(got, `"subscribe":`) {
		p.t.Fatalf("subscribe to %s: %s %v", channel, got, err)
	}
	return result
}

// get returns the status and body of GET url.
func get(t testing.TB, url string, header ...string) (int, string) {
	t.Helper()
	return request(t, http.MethodGet, url, "", header...)
}

// request returns the status and body of the answer to a request.
func request(t testing.TB, method, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// publish publishes data through the server API and returns the answer.
func publish(t testing.TB, url, key, channel, data string) string {
	t.Helper()
	status, answer := request(t, http.MethodPost, url+"/api/publish", `{"channel":"`+channel+`","data":`+data+`}`, "X-API-Key", key)
	if status != http.StatusOK || !strings.Contains(answer, `"result"`) {
		t.Fatalf("publish into %s: %d %s", channel, status, answer)
	}
	return answer
}
