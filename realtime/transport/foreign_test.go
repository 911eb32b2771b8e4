package transport_test

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

// foreign is a server with foreign sessions at /events, on sockets without and with TLS.
type foreign struct {
	plain, secure *server
	client        *http.Client
	refused       atomic.Int64 // requests that had got no session when Accept returned
}

// serveForeign lets the sessions of h speak the subprotocol events.v1.
func serveForeign(t *testing.T, h *hooks, o transport.Options) *foreign {
	t.Helper()
	config, client := secure(t)
	f := &foreign{client: client}
	start := func(c *tls.Config) *server {
		var at atomic.Pointer[server] // the handler is made before
		o.Disabled, o.TLSConfig = true, c
		o.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path != "/events":
				http.NotFound(w, r)
			case r.URL.Query().Has("refuse"):
				http.Error(w, "not you", http.StatusUnauthorized)
			default:
				made := false
				at.Load().Accept(w, r, "events.v1", func(c realtime.Conn) transport.Session {
					made = true
					return h.session(c)
				})
				if !made {
					f.refused.Add(1)
				}
			}
		})
		s := serve(t, nil, o)
		at.Store(s)
		return s
	}
	f.plain, f.secure = start(nil), start(config)
	return f
}

const eventsRequest = "GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// each runs test over every way to a connection: by a first request, by a later one, and
// over TLS.
func (f *foreign) each(t *testing.T, test func(t *testing.T, ask func(request string) (*http.Response, net.Conn, *bufio.Reader))) {
	t.Helper()
	for _, way := range []string{"first", "kept", "TLS"} {
		t.Run(way, func(t *testing.T) {
			test(t, func(request string) (*http.Response, net.Conn, *bufio.Reader) {
				s := f.plain
				if way == "TLS" {
					s = f.secure
				}
				conn, r := s.connect(t)
				switch way {
				case "kept":
					write(t, conn, []byte("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"))
					answer(t, r)
				case "TLS":
					conn = tls.Client(conn, f.client.Transport.(*http.Transport).TLSClientConfig)
					r = bufio.NewReader(conn)
				}
				write(t, conn, []byte(request))
				return answer(t, r), conn, r
			})
		})
	}
}

func TestForeignSessions(t *testing.T) {
	peers := make(chan realtime.Peer, 1)
	f := serveForeign(t, &hooks{opened: func(e *echo) { peers <- e.conn.Peer() }}, transport.Options{KeepHeaders: []string{"Origin"}})
	f.each(t, func(t *testing.T, ask func(string) (*http.Response, net.Conn, *bufio.Reader)) {
		for offer, confirmed := range map[string]string{
			"": "", "events.v1": "events.v1", "bearer.secret, events.v1": "events.v1", "bearer.secret": "", "centrifuge-json": "",
		} {
			request := eventsRequest
			if offer != "" {
				request += "Sec-WebSocket-Protocol: " + offer + "\r\n"
			}
			// What came with the request is not lost.
			res, conn, r := ask(request + "\r\n" + string(masked(ws.OpText, true, []byte("early"))))
			if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Protocol") != confirmed {
				t.Errorf("offered %q: %v", offer, res)
			}
			if op, p := frameOf(t, r); op != ws.OpText || p != "early" {
				t.Errorf("got %v %q", op, p)
			}
			if p := <-peers; p.Transport != "websocket" || !p.Addr.Addr().IsLoopback() {
				t.Errorf("peer: %+v", p)
			}
			// The format of the node's sessions means nothing here, and fragments are fine.
			write(t, conn, masked(ws.OpText, false, []byte("frag")))
			write(t, conn, masked(ws.OpPing, true, []byte("?")))
			if op, p := frameOf(t, r); op != ws.OpPong || p != "?" {
				t.Errorf("got %v %q", op, p)
			}
			write(t, conn, masked(ws.OpContinuation, true, []byte("ments")))
			if op, p := frameOf(t, r); op != ws.OpText || p != "fragments" {
				t.Errorf("got %v %q", op, p)
			}
			write(t, conn, masked(ws.OpClose, true, []byte(closeFrame(4001, "bye"))))
			if op, p := frameOf(t, r); op != ws.OpClose || p != closeFrame(4001, "") {
				t.Errorf("got %v %q", op, p)
			}
			if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after the close frame: %v", err)
			}
		}
	})
	f.plain.stop()
	f.secure.stop()
	if n := f.refused.Load(); n != 0 {
		t.Errorf("%d sessions were made late", n)
	}
}

// What the peer may not send ends in the code for it, and so does a panic.
func TestForeignCloseCodes(t *testing.T) {
	f := serveForeign(t, &hooks{limit: 5000, receive: func(e *echo, m []byte) (bool, bool) {
		switch string(m) {
		case "panic":
			panic("as asked")
		case "close":
			e.Close(&protocol.Close{Code: 4001, Reason: "4001 invalid token"})
			return true, false
		case "close bare":
			e.Close(&protocol.Close{Code: 1000})
			return true, false
		}
		return false, true
	}}, transport.Options{Foreign: transport.ForeignOptions{Compression: transport.Compression{Enabled: true}}})
	long := strings.Repeat("x", 5001)
	f.each(t, func(t *testing.T, ask func(string) (*http.Response, net.Conn, *bufio.Reader)) {
		for name, c := range map[string]struct {
			send []byte
			want string
		}{
			"binary":           {masked(ws.OpBinary, true, []byte("x")), closeFrame(1003, "binary messages are not taken")},
			"binary fragment":  {masked(ws.OpBinary, false, nil), closeFrame(1003, "binary messages are not taken")},
			"no UTF-8":         {masked(ws.OpText, true, []byte("a\xff")), closeFrame(1007, "invalid UTF-8")},
			"too long":         {masked(ws.OpText, true, []byte(long)), closeFrame(1009, "message too big")},
			"too long inside":  {frame(0x41, packed(long)), closeFrame(1009, "message too big")},
			"protocol":         {masked(ws.OpContinuation, true, nil), closeFrame(1002, "protocol error")},
			"panic":            {masked(ws.OpText, true, []byte("panic")), closeFrame(1011, "internal error")},
			"own code":         {masked(ws.OpText, true, []byte("close")), closeFrame(4001, "4001 invalid token")},
			"code, no reason":  {masked(ws.OpText, true, []byte("close bare")), closeFrame(1000, "")},
			"just long enough": {frame(0x41, packed(long[1:])), long[1:]},
		} {
			_, conn, r := ask(eventsRequest + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
			write(t, conn, c.send)
			if op, p := frameOf(t, r); p != c.want && name != "just long enough" {
				t.Errorf("%s: %v %q, want %q", name, op, p, c.want)
			} else if op == ws.OpClose == (name == "just long enough") {
				t.Errorf("%s: got %v", name, op)
			}
		}
	})
}

// Every refusal is answered before the upgrade, those of the handler included, and counted.
func TestForeignRefusals(t *testing.T) {
	none := &hooks{opened: func(*echo) { panic("a session was made") }}
	f := serveForeign(t, none, transport.Options{AllowedOrigins: []string{"https://ok.example"}})
	f.each(t, func(t *testing.T, ask func(string) (*http.Response, net.Conn, *bufio.Reader)) {
		for name, c := range map[string]struct {
			request string
			want    int
		}{
			"handler's":    {strings.Replace(eventsRequest, "/events", "/events?refuse", 1), 401},
			"origin":       {eventsRequest + "Origin: https://evil.example\r\n", 403},
			"two origins":  {eventsRequest + "Origin: https://ok.example\r\nOrigin: https://ok.example\r\n", 403},
			"no upgrade":   {"GET /events HTTP/1.1\r\nHost: localhost\r\n", 426},
			"post":         {strings.Replace(eventsRequest, "GET", "POST", 1), 405},
			"body":         {eventsRequest + "Content-Length: 1\r\n\r\nx", 400},
			"version":      {strings.Replace(eventsRequest, "Version: 13", "Version: 8", 1), 426},
			"no key":       {strings.Replace(eventsRequest, "dGhlIHNhbXBsZSBub25jZQ==", "", 1), 400},
			"other path":   {strings.Replace(eventsRequest, "/events", "/event", 1), 404},
			"node's place": {upgradeRequest, 404},
		} {
			if res, _, _ := ask(c.request + "\r\n"); res.StatusCode != c.want {
				t.Errorf("%s: %d, want %d", name, res.StatusCode, c.want)
			}
		}
	})
	for _, s := range []*server{f.plain, f.secure} {
		for end := time.Now().Add(5 * time.Second); s.Stats().Open != 0 && time.Now().Before(end); {
			runtime.Gosched() // an answer may be read before it is counted
		}
		if stats := s.Stats(); stats.Open != 0 || stats.Accepted != 0 || stats.Refused["origin"] == 0 || stats.Refused["bad_request"] == 0 {
			t.Errorf("%+v", stats)
		}
	}

	for name, o := range map[string]transport.Options{"limit": {ConnectionLimit: 1}, "rate": {ConnectionRateLimit: 1}} {
		f := serveForeign(t, new(hooks), o)
		f.each(t, func(t *testing.T, ask func(string) (*http.Response, net.Conn, *bufio.Reader)) {
			ask(eventsRequest + "\r\n") // or the way before it was the one
			if res, _, _ := ask(eventsRequest + "\r\n"); res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" {
				t.Errorf("%s: %v", name, res)
			}
		})
		if n := f.plain.Stats().Refused[name]; n == 0 {
			t.Errorf("%s: not counted", name)
		}
	}
}

// Messages are compressed each on its own, from the size the server was told for foreign
// sessions.
func TestForeignCompression(t *testing.T) {
	f := serveForeign(t, new(hooks), transport.Options{
		Compression: transport.Compression{MinSize: 1}, // of the node's sessions
		Foreign:     transport.ForeignOptions{Compression: transport.Compression{Enabled: true, MinSize: 512}},
	})
	f.each(t, func(t *testing.T, ask func(string) (*http.Response, net.Conn, *bufio.Reader)) {
		res, conn, r := ask(eventsRequest + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n")
		got := res.Header.Get("Sec-WebSocket-Extensions")
		if !strings.Contains(got, "server_no_context_takeover") || !strings.Contains(got, "client_no_context_takeover") {
			t.Errorf("negotiated %q", got)
		}
		for size, want := range map[int]bool{511: false, 512: true} {
			write(t, conn, masked(ws.OpText, true, []byte(strings.Repeat("x", size))))
			frame, err := ws.ReadFrame(r)
			if err != nil || frame.Header.Rsv1() != want {
				t.Errorf("%d bytes: compressed %v, %v", size, frame.Header.Rsv1(), err)
			}
		}
	})
	_, conn, r := func() (*http.Response, net.Conn, *bufio.Reader) {
		conn, r := f.plain.connect(t)
		write(t, conn, []byte(eventsRequest+"\r\n"))
		return answer(t, r), conn, r
	}()
	write(t, conn, frame(0x41, packed("x"))) // was not negotiated
	if op, p := frameOf(t, r); op != ws.OpClose || p != closeFrame(1002, "protocol error") {
		t.Errorf("got %v %q", op, p)
	}
}

// watched is a session that sends pings and hears of the answers.
type watched struct {
	*echo
	alive chan<- struct{}
}

func (w watched) Start()                { w.WriteControl(transport.AppendPing(nil)) }
func (w watched) Alive()                { w.alive <- struct{}{} }
func (w watched) Close(*protocol.Close) { w.Gone() }

func TestForeignPings(t *testing.T) {
	alive := make(chan struct{}, 8)
	f := serveForeign(t, &hooks{wrap: func(e *echo) transport.Session { return watched{e, alive} }}, transport.Options{})
	conn, r := f.plain.connect(t)
	write(t, conn, []byte(eventsRequest+"\r\n"))
	answer(t, r)
	if op, p := frameOf(t, r); op != ws.OpPing || p != "" {
		t.Errorf("got %v %q", op, p)
	}
	for _, op := range []ws.OpCode{ws.OpPong, ws.OpPing} {
		write(t, conn, masked(op, true, nil))
		<-alive
	}
	if op, _ := frameOf(t, r); op != ws.OpPong {
		t.Errorf("got %v", op)
	}
}

// A session may have more to say at once than the kernel takes.
func TestForeignSessionThatBeginsLate(t *testing.T) {
	const size = 32 << 20
	f := serveForeign(t, &hooks{receive: func(e *echo, _ []byte) (bool, bool) {
		e.send([]byte(strings.Repeat("x", size)))
		return true, true
	}}, transport.Options{})
	f.each(t, func(t *testing.T, ask func(string) (*http.Response, net.Conn, *bufio.Reader)) {
		_, _, r := ask(eventsRequest + "\r\n" + string(masked(ws.OpText, true, []byte("all"))))
		if _, p := frameOf(t, r); len(p) != size {
			t.Errorf("%d bytes", len(p))
		}
	})
}

// Foreign sessions have a write timeout of their own.
func TestForeignWriteTimeout(t *testing.T) {
	stalled := make(chan struct{}, 3)
	flood := &hooks{
		receive: func(e *echo, _ []byte) (bool, bool) {
			p := make([]byte, 24<<20)
			_, _ = rand.Read(p)
			e.send([]byte(base64.StdEncoding.EncodeToString(p)))
			return true, true
		},
		stalled: func(*echo) { stalled <- struct{}{} },
	}
	f := serveForeign(t, flood, transport.Options{
		WriteTimeout: time.Hour, Foreign: transport.ForeignOptions{WriteTimeout: 100 * time.Millisecond},
	})
	f.each(t, func(t *testing.T, ask func(string) (*http.Response, net.Conn, *bufio.Reader)) {
		_, conn, _ := ask(eventsRequest + "\r\n")
		write(t, conn, masked(ws.OpText, true, []byte("all")))
		<-stalled
	})
}

// A peer that takes little, but takes it all the time, is not stalled, although the kernel
// does not say so for longer than the write timeout.
func TestForeignSlowReader(t *testing.T) {
	stalled := make(chan struct{})
	f := serveForeign(t, &hooks{
		receive: func(e *echo, _ []byte) (bool, bool) {
			e.send(make([]byte, 64<<20))
			return true, true
		},
		stalled: func(*echo) { close(stalled) },
	}, transport.Options{Foreign: transport.ForeignOptions{WriteTimeout: 600 * time.Millisecond}})
	conn, _ := f.plain.connect(t)
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	write(t, conn, []byte(eventsRequest+"\r\n"+string(masked(ws.OpText, true, []byte("all")))))
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for range 40 {
		<-pace.C
		if _, err := io.ReadFull(conn, make([]byte, 16<<10)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-stalled:
			t.Fatal("stalled while the peer was reading")
		default:
		}
	}
	<-stalled // now that it reads no more
}

// Serve waits for foreign sessions, too.
func TestForeignStop(t *testing.T) {
	opened := make(chan *echo, 1)
	f := serveForeign(t, &hooks{opened: func(e *echo) { opened <- e }}, transport.Options{StopTimeout: 10 * time.Second})
	for _, s := range []*server{f.plain, f.secure} {
		scheme := "ws://"
		if s == f.secure {
			scheme = "wss://"
		}
		c, _, err := websocket.Dial(t.Context(), scheme+s.addr+"/events", &websocket.DialOptions{HTTPClient: f.client})
		if err != nil {
			t.Fatal(err)
		}
		stopped := make(chan struct{})
		go func() { s.stop(); close(stopped) }()
		for { // until the listener is closed
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				break
			}
			_ = conn.Close()
		}
		exchange(t, c, "still served")
		(<-opened).Close(&protocol.Close{Code: 1012, Reason: "restart"})
		var ce websocket.CloseError
		if _, _, err := c.Read(t.Context()); !errors.As(err, &ce) || ce.Code != 1012 {
			t.Errorf("got %v", err)
		}
		<-stopped
	}
}
