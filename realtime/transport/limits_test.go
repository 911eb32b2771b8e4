package transport_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/realtime/transport"
)

// connect opens a socket; everything on it must be over in 10 s.
func (s *server) connect(t testing.TB) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// ask sends a request on a new connection, or on one that net/http has taken over
// because another request came before.
func (s *server) ask(t testing.TB, kept bool, request string) *http.Response {
	t.Helper()
	conn, r := s.connect(t)
	if kept {
		write(t, conn, []byte("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		answer(t, r)
	}
	write(t, conn, []byte(request))
	return answer(t, r)
}

func answer(t testing.TB, r *bufio.Reader) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		res.Body = io.NopCloser(bytes.NewReader(body))
	}
	return res
}

// frameOf reads one frame of the server.
func frameOf(t testing.TB, r io.Reader) (ws.OpCode, string) {
	t.Helper()
	f, err := ws.ReadFrame(r)
	if err != nil {
		t.Fatalf("read frame: %v", err)
	}
	return f.Header.OpCode, string(f.Payload)
}

// closeFrame is what frameOf finds in a close frame.
func closeFrame(code int, reason string) string {
	return string([]byte{byte(code >> 8), byte(code)}) + reason
}

// The origin is compared as a whole, on every way to a connection.
func TestS21_Origin(t *testing.T) {
	const other = "https://other.example"
	cases := []struct {
		allowed []string
		origin  string
		want    int
	}{
		{nil, "", 101},
		{nil, "http://localhost", 403},
		{[]string{"http://localhost"}, "http://localhost", 101},
		{[]string{"http://localhost"}, "", 101},
		{[]string{"http://localhost"}, "HTTP://LocalHost", 101},
		{[]string{"http://localhost"}, "http://localhost:3000", 403},
		{[]string{"http://localhost"}, "https://localhost", 403},
		{[]string{"http://localhost"}, "http://localhost.evil.example", 403},
		{[]string{"http://localhost"}, "xhttp://localhost", 403},
		{[]string{"http://localhost:*"}, "http://localhost:3000", 101},
		{[]string{"http://localhost:*"}, "http://localhost", 403},
		{[]string{"https://*.example.com"}, "https://a.example.com", 101},
		{[]string{"https://*.example.com"}, "https://a.b.example.com", 101},
		{[]string{"https://*.example.com"}, "https://example.com", 403},
		{[]string{"https://*.example.com"}, "https://evil.com/.example.com", 403},
		{[]string{"https://*.example.com"}, "https://a.example.com.evil.com", 403},
		{[]string{"https://*.example.com", other}, other, 101},
		{[]string{"*"}, "https://anything.example", 101},
		{[]string{"*"}, "null", 101},
		{[]string{"http://localhost"}, "null", 403},
		{[]string{"null"}, "null", 101},
		{[]string{other}, other + "\r\nOrigin: https://evil.example", 403},
	}
	for _, c := range cases {
		s := serve(t, nil, transport.Options{AllowedOrigins: c.allowed})
		for _, kept := range []bool{false, true} {
			request := upgradeRequest
			if c.origin != "" {
				request += "Origin: " + c.origin + "\r\n"
			}
			if got := s.ask(t, kept, request+"\r\n").StatusCode; got != c.want {
				t.Errorf("allowed %q, origin %q, kept %v: %d, want %d", c.allowed, c.origin, kept, got, c.want)
			}
		}
		if c.want == http.StatusForbidden && s.Stats().Refused["origin"] != 2 {
			t.Errorf("refused: %v", s.Stats().Refused)
		}
		s.stop()
	}
	if _, err := transport.New(nil, transport.Options{AllowedOrigins: []string{"https://[a"}}); err == nil {
		t.Error("a broken pattern was accepted")
	}
}

// A head that does not end is not waited for, however steadily it comes.
func TestS22_SlowHead(t *testing.T) {
	s := serve(t, nil, transport.Options{HeaderTimeout: 100 * time.Millisecond})
	for _, begin := range []string{"", "G", upgradeRequest} {
		conn, r := s.connect(t)
		write(t, conn, []byte(begin))
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("after %q: %v, want EOF", begin, err)
		}
	}
	if n := s.Stats().Refused["header_timeout"]; n != 3 {
		t.Errorf("%d late heads counted, want 3", n)
	}
}

// The head's limit holds at its exact value for first requests, upgrades or not; for later
// ones net/http reads up to 4 KiB more.
func TestS23_HeaderBytes(t *testing.T) {
	s := serve(t, nil, transport.Options{HeaderBytes: 8 << 10})
	other := "GET /other HTTP/1.1\r\nHost: localhost\r\n"
	for _, kept := range []bool{false, true} {
		for request, want := range map[string]int{upgradeRequest: 101, other: 404} {
			above := 8<<10 + 1
			if kept {
				above += 4 << 10
			}
			for size, want := range map[int]int{8 << 10: want, above: 431, 100 << 10: 431} {
				filler := size - len(request) - len("X: \r\n\r\n")
				got := s.ask(t, kept, request+"X: "+strings.Repeat("x", filler)+"\r\n\r\n").StatusCode
				if got != want {
					t.Errorf("head of %d bytes, kept %v: %d, want %d", size, kept, got, want)
				}
			}
		}
	}
}

// The message's limit holds at its exact value, and the close frame arrives although
// the peer goes on sending.
func TestS23_MessageLimit(t *testing.T) {
	s := serve(t, &hooks{limit: 5000}, transport.Options{})
	conn, r := s.raw(t)
	write(t, conn, masked(ws.OpText, true, []byte(strings.Repeat("x", 5000))))
	if _, p := frameOf(t, r); len(p) != 5000 {
		t.Errorf("%d bytes back", len(p))
	}
	write(t, conn, masked(ws.OpText, true, []byte(strings.Repeat("x", 5001))))
	write(t, conn, masked(ws.OpText, true, []byte(strings.Repeat("x", 1<<20))))
	if op, p := frameOf(t, r); op != ws.OpClose || p != closeFrame(1009, "message too big") {
		t.Errorf("got %v %q", op, p)
	}
}

func TestGates(t *testing.T) {
	s := serve(t, nil, transport.Options{ConnectionLimit: 2})
	first, _ := s.raw(t)
	s.raw(t)
	for _, kept := range []bool{false, true} {
		res := s.ask(t, kept, upgradeRequest+"\r\n")
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("third connection: %v", res)
		}
	}
	_ = first.Close()
	for s.ask(t, false, upgradeRequest+"\r\n").StatusCode != 101 {
		continue // until the server has noticed
	}
	s.stop()

	s = serve(t, nil, transport.Options{ConnectionRateLimit: 1})
	s.raw(t)
	if res := s.ask(t, false, upgradeRequest+"\r\n"); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("second connection within a second: %v", res)
	}
	if n := s.Stats().Refused["rate"]; n != 1 {
		t.Errorf("%d refused", n)
	}
}

func TestBadUpgrades(t *testing.T) {
	s := serve(t, nil, transport.Options{})
	const path = "GET /connection/websocket HTTP/1.1\r\n"
	replace := func(old, new string) string { return strings.Replace(upgradeRequest, old, new, 1) + "\r\n" }
	for name, c := range map[string]struct {
		request string
		first   int // on a new connection
		kept    int // through net/http
	}{
		"no upgrade":          {path + "Host: localhost\r\n\r\n", 400, 426},
		"post":                {replace("GET", "POST"), 405, 405},
		"version":             {replace("Version: 13", "Version: 8"), 426, 426},
		"no version":          {replace("Sec-WebSocket-Version: 13\r\n", ""), 400, 400},
		"short key":           {replace("dGhl", ""), 400, 400},
		"other upgrade":       {replace("Upgrade: websocket", "Upgrade: h2c"), 400, 426},
		"no connection":       {replace("Connection: Upgrade\r\n", ""), 400, 400},
		"body":                {upgradeRequest + "Content-Length: 5\r\n\r\nhello", 400, 400},
		"chunks":              {upgradeRequest + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 400},
		"two hosts":           {upgradeRequest + "Host: other\r\n\r\n", 400, 400},
		"bare line feed":      {upgradeRequest + "X: a\nY: b\r\n\r\n", 400, 400},
		"bare return":         {upgradeRequest + "X: a\rY: b\r\n\r\n", 400, 400},
		"NUL":                 {upgradeRequest + "X: a\x00b\r\n\r\n", 400, 400},
		"other path":          {replace("/connection/websocket", "/connection/websocketx"), 404, 404},
		"HTTP/1.0":            {replace("HTTP/1.1", "HTTP/1.0"), 0, 0},
		"absolute":            {replace("GET /", "GET http://localhost/"), 101, 101},
		"unknown subprotocol": {upgradeRequest + "Sec-WebSocket-Protocol: soap\r\n\r\n", 101, 101},
	} {
		for _, kept := range []bool{false, true} {
			res, want := s.ask(t, kept, c.request), c.first
			if kept {
				want = c.kept
			}
			if want == 0 && res.StatusCode < 400 || want != 0 && res.StatusCode != want {
				t.Errorf("%s, kept %v: %d, want %d", name, kept, res.StatusCode, want)
			}
			if p := res.Header.Get("Sec-WebSocket-Protocol"); p != "" {
				t.Errorf("%s: subprotocol %q confirmed", name, p)
			}
		}
	}
	s = serve(t, nil, transport.Options{Disabled: true})
	for _, kept := range []bool{false, true} {
		if res := s.ask(t, kept, upgradeRequest+"\r\n"); res.StatusCode != 404 {
			t.Errorf("disabled: %d", res.StatusCode)
		}
	}
}

// A connection whose code panics is closed with 3004 and nothing else happens.
func TestR35_Panic(t *testing.T) {
	s := serve(t, &hooks{receive: func(_ *echo, m []byte) (bool, bool) {
		if string(m) == "panic" {
			panic("as asked")
		}
		return false, true
	}}, transport.Options{Pollers: 1})
	well := s.dial(t, "", nil)
	for range 3 {
		conn, r := s.raw(t)
		write(t, conn, masked(ws.OpText, true, []byte("panic")))
		if op, p := frameOf(t, r); op != ws.OpClose || p != closeFrame(3004, "internal server error") {
			t.Errorf("got %v %q", op, p)
		}
	}
	exchange(t, well, "still here")
	if n := s.Stats().Panics; n != 3 {
		t.Errorf("%d panics counted", n)
	}

	s = serve(t, &hooks{opened: func(*echo) { panic("at once") }}, transport.Options{})
	for _, kept := range []bool{false, true} {
		conn, r := s.connect(t)
		if kept {
			write(t, conn, []byte("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"))
			answer(t, r)
		}
		write(t, conn, []byte(upgradeRequest+"\r\n"))
		answer(t, r)
		if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("kept %v: %v, want EOF", kept, err)
		}
	}
	if stats := s.Stats(); stats.Open != 0 || stats.Panics < 2 {
		t.Errorf("after panics: %+v", stats)
	}
}

func exchange(t testing.TB, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, p, err := c.Read(t.Context()); err != nil || string(p) != text {
		t.Fatalf("read %q, %v, want %q", p, err, text)
	}
}

// A peer that takes nothing is reported within the write timeout; one that begins to
// again gets every byte.
func TestR30_StalledPeer(t *testing.T) {
	stalled := make(chan struct{})
	once := sync.OnceFunc(func() { close(stalled) })
	const messages, size = 100, 60_000
	h := &hooks{
		receive: func(e *echo, m []byte) (bool, bool) {
			for i := range messages {
				e.send([]byte(fmt.Sprintf("%s %5d%s", m, i, strings.Repeat("x", size))))
			}
			return true, true
		},
		stalled: func(*echo) { once() },
	}
	s := serve(t, h, transport.Options{WriteTimeout: 200 * time.Millisecond})
	conn, _ := s.raw(t)
	write(t, conn, masked(ws.OpText, true, []byte("never read")))
	<-stalled

	conn, r := s.raw(t)
	write(t, conn, masked(ws.OpText, true, []byte("read")))
	for i := range messages {
		if _, p := frameOf(t, r); !strings.HasPrefix(p, fmt.Sprintf("read %5d", i)) || len(p) != size+10 {
			t.Fatalf("message %d: %.20q, %d bytes", i, p, len(p))
		}
	}
}
