package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// listener is a connection to the event gateway (event-gateway.md, part I). It sends its
// subscribe frame with the upgrade's answer and is ready when that is answered.
type listener struct {
	*client

	server *server
	// cursor is where the log ended when the connection began.
	cursor string
	// answered is told of answers to later frames.
	answered func()
}

// listen prepares a listener with an API key. event is told of its events.
func (s *server) listen(key, subscribe string, event func(b []byte)) *listener {
	request := "GET /v1/ws HTTP/1.1\r\nHost: " + s.host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-API-Key: " + key +
		"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	ls := &listener{client: &client{request: []byte(request), hello: appendMasked(nil, opText, []byte(subscribe))}, server: s}
	ls.message = func(b []byte) {
		if bytes.HasPrefix(b, eventMark) {
			event(b)
		} else {
			ls.said(b)
		}
	}
	return ls
}

var (
	eventMark = []byte(`{"type":"event"`)
	eventPong = appendMasked(nil, opText, []byte(`{"type":"pong"}`))
)

// said takes a message that is no event.
func (ls *listener) said(b []byte) {
	var m struct {
		Type string `json:"type"`
		Data struct {
			Action, Status, Cursor string
		} `json:"data"`
	}
	err := json.Unmarshal(b, &m)
	switch {
	case err != nil || m.Type == "error" || m.Type == "response" && m.Data.Status != "ok":
		ls.c.l.fail(fmt.Errorf("the gateway said %s", b))
	case m.Type == "ping":
		ls.c.write(eventPong)
	case m.Data.Action == "auth":
		ls.cursor = m.Data.Cursor
	case ls.answered != nil:
		ls.answered()
	case m.Data.Action == "subscribe":
		ls.c.l.progress++
		ls.ready(ls.client)
	}
}

// perKey is how many connections a key may have.
const perKey = 100

// keys makes as many API keys as n connections need.
func (s *server) keys(ctx context.Context, n int) ([]string, error) {
	list := make([]string, (n+perKey-1)/perKey)
	for i := range list {
		var made struct {
			Key string `json:"key"`
		}
		err := s.rest(ctx, http.MethodPost, "/api/v2/admin/keys", s.key, map[string]any{"name": "bench-" + strconv.Itoa(i)}, &made)
		if err != nil {
			return nil, err
		}
		list[i] = made.Key
	}
	return list, nil
}

// maxJoining is how many connections may be about to authenticate; the gateway takes 20
// from one address.
const maxJoining = 16

// crowd connects n listeners with the same subscriptions.
func (s *server) crowd(ctx context.Context, l *loop, n int, subscribe string, event func(b []byte)) ([]*listener, error) {
	keys, err := s.keys(ctx, n)
	if err != nil {
		return nil, err
	}
	crowd, clients := make([]*listener, n), make([]*client, n)
	for i := range crowd {
		crowd[i] = s.listen(keys[i/perKey], subscribe, event)
		clients[i] = crowd[i].client
	}
	return crowd, s.join(ctx, l, clients, maxJoining, nil)
}

// tell sends all of them a frame and waits for the answers.
func tell(ctx context.Context, l *loop, crowd []*listener, text string) error {
	left := len(crowd)
	frame := appendMasked(nil, opText, []byte(text))
	for _, ls := range crowd {
		ls.answered = func() {
			left--
			l.progress++
		}
		ls.c.write(frame)
	}
	return l.until(ctx, func() bool { return left == 0 })
}

// What is subscribed to: by who hears nothing of what is measured, and by who hears
// everything. It is five names each.
const (
	deaf      = `{"type":"subscribe","channels":["messages","rooms","payments","tickets"],"events":["trust.*"]}`
	attentive = `{"type":"subscribe","channels":["messages","rooms","payments","tickets"],"events":["analytics.metric.updated"]}`
	deafen    = `{"type":"unsubscribe","events":["analytics.metric.updated"]}`
)

// appendMetrics appends a request for n events: values of a metric, each of which says
// its number and the time.
func appendMetrics(dst []byte, first, at int64, n int) []byte {
	dst = append(dst, '[')
	for i := range int64(n) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"name":"bench.load","value":`...), first+i, 10)
		dst = appendDigits(append(dst, `,"metadata":{"stamp":"`...), first+i, 10)
		dst = append(appendDigits(append(dst, ' '), at, 19), `"}}`...)
	}
	return append(dst, ']')
}

// metricStamp finds the number and the time in an event.
func metricStamp(b []byte) (n, at int64, ok bool) { return stampAfter(`"stamp":"`, b) }

// produceThrough makes r produce events over connections to the API, one per slot.
// answered, which may be nil, is told how long each answer took.
func produceThrough(ctx context.Context, r *rig, s *server, connections int, answered func(time.Duration)) error {
	callers, err := s.callers(ctx, r.l, "/api/v2/metrics", connections)
	if err != nil {
		return err
	}
	begun := make([]int64, connections)
	for slot, ca := range callers {
		ca.done = func([]byte) {
			if answered != nil {
				answered(time.Duration(now() - begun[slot]))
			}
			r.acked(slot)
		}
	}
	r.send = func(slot int, n, at int64) {
		ca := callers[slot]
		begun[slot] = at
		ca.body = appendMetrics(ca.body[:0], n, at, r.group)
		ca.post(ca.body)
	}
	return nil
}
