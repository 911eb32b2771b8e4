package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"golang.org/x/sync/errgroup"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

// TestFormats walks the ways to choose a format (client-protocol.md §1.1).
func TestFormats(t *testing.T) {
	s := serve(t, nil, transport.Options{})
	for _, c := range []struct {
		query     string
		offer     []string
		confirmed string
		kind      websocket.MessageType
	}{
		{"", nil, "", websocket.MessageText},
		{"?format=protobuf", nil, "", websocket.MessageBinary},
		{"?x=1&cf_protocol=protobuf", nil, "", websocket.MessageBinary},
		{"?format=json", nil, "", websocket.MessageText},
		{"", []string{"centrifuge-protobuf"}, "centrifuge-protobuf", websocket.MessageBinary},
		{"", []string{"centrifuge-json"}, "centrifuge-json", websocket.MessageText},
		{"", []string{"soap", "centrifuge-json", "centrifuge-protobuf"}, "centrifuge-json", websocket.MessageText},
		{"", []string{"soap"}, "", websocket.MessageText},
	} {
		conn := s.dial(t, c.query, &websocket.DialOptions{Subprotocols: c.offer})
		if got := conn.Subprotocol(); got != c.confirmed {
			t.Errorf("%q %q: subprotocol %q, want %q", c.query, c.offer, got, c.confirmed)
		}
		for _, in := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			if err := conn.Write(t.Context(), in, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			kind, p, err := conn.Read(t.Context())
			if err != nil || kind != c.kind || string(p) != "hello" {
				t.Errorf("%q %q: %v %q, %v, want %v", c.query, c.offer, kind, p, err, c.kind)
			}
		}
	}
}

func TestCompression(t *testing.T) {
	long := strings.Repeat(`{"a":"hello"}`, 100)
	for _, enabled := range []bool{true, false} {
		s := serve(t, nil, transport.Options{Compression: transport.Compression{Enabled: enabled, MinSize: 100}})
		for _, mode := range []websocket.CompressionMode{websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover} {
			c := s.dial(t, "", &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
			for range 3 {
				exchange(t, c, long)
				exchange(t, c, "short")
			}
		}
		conn, r := s.raw(t, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
		write(t, conn, masked(ws.OpText, true, []byte(long)))
		f, err := ws.ReadFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		if packed := f.Header.Rsv1(); packed != enabled || packed && f.Header.Length > 100 {
			t.Errorf("enabled %v: packed %v, %d bytes", enabled, packed, f.Header.Length)
		}
		res := s.ask(t, false, upgradeRequest+"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n\r\n")
		if got := res.Header.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("accepted a window that is too small: %q", got)
		}
	}
}

// Whatever came with the request's head is not lost, and nothing depends on how the
// bytes are cut.
func TestBytesInPieces(t *testing.T) {
	s := serve(t, nil, transport.Options{})
	stream := append([]byte(upgradeRequest+"\r\n"), masked(ws.OpText, true, []byte("first"))...)
	stream = append(stream, masked(ws.OpText, true, []byte("second"))...)
	for _, size := range []int{len(stream), 1, 7, len(upgradeRequest), len(upgradeRequest) + 3} {
		for _, kept := range []bool{false, true} {
			conn, r := s.connect(t)
			if kept {
				write(t, conn, []byte("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"))
				answer(t, r)
			}
			for rest := stream; len(rest) > 0; {
				n := min(size, len(rest))
				write(t, conn, rest[:n])
				rest = rest[n:]
			}
			if res := answer(t, r); res.StatusCode != 101 {
				t.Fatal(res.Status)
			}
			for _, want := range []string{"first", "second"} {
				if op, p := frameOf(t, r); op != ws.OpText || p != want {
					t.Errorf("pieces of %d, kept %v: %v %q, want %q", size, kept, op, p, want)
				}
			}
		}
	}
}

// Everything that is no upgrade goes to the handler, with the bytes read already.
func TestOtherRequests(t *testing.T) {
	s := serve(t, nil, transport.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %d %v", r.Method, r.URL, len(body), err)
	})})
	tr := new(http.Transport)
	defer tr.CloseIdleConnections()
	for i := range 3 {
		body := strings.Repeat("x", 300_000*i)
		res, err := (&http.Client{Transport: tr}).Post("http://"+s.addr+"/api?x=y", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		if want := fmt.Sprintf("POST /api?x=y %d <nil>", len(body)); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		_ = res.Body.Close()
	}
	// Pipelined requests.
	conn, r := s.connect(t)
	write(t, conn, []byte(strings.Repeat("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", 3)))
	for range 3 {
		if res := answer(t, r); res.StatusCode != 200 {
			t.Error(res.Status)
		}
	}
}

func TestClosing(t *testing.T) {
	const timeout = 200 * time.Millisecond
	s := serve(t, &hooks{receive: func(e *echo, m []byte) (bool, bool) {
		if string(m) == "close me" {
			e.Close(protocol.CloseForceDisconnect)
			return true, false
		}
		return false, true
	}}, transport.Options{CloseTimeout: timeout})

	t.Run("by the client", func(t *testing.T) {
		for _, p := range []string{"", closeFrame(1000, ""), closeFrame(4999, "own reason")} {
			conn, r := s.raw(t)
			write(t, conn, masked(ws.OpText, true, []byte("last")))
			write(t, conn, masked(ws.OpClose, true, []byte(p)))
			frameOf(t, r)
			if op, got := frameOf(t, r); op != ws.OpClose || got != p[:min(2, len(p))] {
				t.Errorf("%q answered with %v %q", p, op, got)
			}
			if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("after the answer: %v", err)
			}
		}
	})
	t.Run("by the server", func(t *testing.T) {
		c := s.dial(t, "", nil)
		if err := c.Write(t.Context(), websocket.MessageText, []byte("close me")); err != nil {
			t.Fatal(err)
		}
		_, _, err := c.Read(t.Context())
		var ce websocket.CloseError
		if !errors.As(err, &ce) || ce.Code != 3503 || ce.Reason != "force disconnect" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("without an answer", func(t *testing.T) {
		conn, r := s.raw(t)
		start := time.Now()
		write(t, conn, masked(ws.OpText, true, []byte("close me")))
		frameOf(t, r)
		// The peer's side stays open, so only the server's timeout ends the connection.
		untilBroken(t, conn)
		if d := time.Since(start); d < timeout {
			t.Errorf("gave up after %v", d)
		}
	})
	t.Run("by a broken connection", func(t *testing.T) {
		ended := make(chan struct{})
		s := serve(t, &hooks{ended: func(*echo) { close(ended) }}, transport.Options{})
		conn, _ := s.raw(t)
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
		<-ended
	})
}

// untilBroken writes pings until that fails.
func untilBroken(t *testing.T, conn net.Conn) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	for {
		if _, err := conn.Write(masked(ws.OpPing, true, nil)); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection was never closed")
			}
			return
		}
	}
}

func TestPings(t *testing.T) {
	s := serve(t, nil, transport.Options{})
	conn, r := s.raw(t)
	for i := range 10 {
		write(t, conn, masked(ws.OpPing, true, []byte{byte(i)}))
	}
	for i := range 10 {
		if op, p := frameOf(t, r); op != ws.OpPong || p != string([]byte{byte(i)}) {
			t.Errorf("got %v %q", op, p)
		}
	}
}

// A client that asked for ping frames gets them, and is cut off when it answers no more.
func TestNativePings(t *testing.T) {
	s := serve(t, nil, transport.Options{PingInterval: 50 * time.Millisecond, PongTimeout: 40 * time.Millisecond})
	conn, r := s.connect(t)
	write(t, conn, []byte(strings.Replace(upgradeRequest, "websocket ", "websocket?cf_ws_frame_ping_pong=true ", 1)+"\r\n"))
	answer(t, r)
	for range 3 {
		if op, _ := frameOf(t, r); op != ws.OpPing {
			t.Fatalf("got %v", op)
		}
		write(t, conn, masked(ws.OpPong, true, nil))
	}
	for {
		f, err := ws.ReadFrame(r)
		if err != nil {
			break // without a close frame
		}
		if f.Header.OpCode != ws.OpPing {
			t.Errorf("got %v", f.Header.OpCode)
		}
	}
}

// One connection that is held up by its handler holds up no other, not even with one
// poller, and goes on where it was.
func TestPollerIsReplaced(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, &hooks{receive: func(_ *echo, m []byte) (bool, bool) {
		if string(m) == "wait" {
			<-release
		}
		return false, true
	}}, transport.Options{Pollers: 1})
	var held []*bufio.Reader
	for range 5 {
		conn, r := s.raw(t)
		write(t, conn, masked(ws.OpText, true, []byte("wait")))
		write(t, conn, masked(ws.OpText, true, []byte("then")))
		held = append(held, r)
		exchange(t, s.dial(t, "", nil), "meanwhile")
	}
	close(release)
	for _, r := range held {
		for _, want := range []string{"wait", "then"} {
			if _, p := frameOf(t, r); p != want {
				t.Errorf("got %q, want %q", p, want)
			}
		}
	}
}

// Descriptors are reused at once by the kernel; whoever still holds a closed connection
// must not reach the next one with the same descriptor.
func TestNoDescriptorIsUsedAfterItsEnd(t *testing.T) {
	var serial atomic.Uint32
	var writers sync.WaitGroup
	writers.Add(1) // so that none of them is the first, which must be ordered before Wait
	s := serve(t, &hooks{opened: func(e *echo) {
		id := binary.BigEndian.AppendUint32(nil, serial.Add(1))
		frame := e.conn.Framing().AppendFrame(nil, id)
		writers.Go(func() { // writes on until told that the connection is closed
			for {
				if _, err := e.conn.TryWrite(frame); err != nil {
					return
				}
			}
		})
	}}, transport.Options{})
	var g errgroup.Group
	g.SetLimit(8)
	for range 100 {
		g.Go(func() error {
			conn, r := s.raw(t)
			defer func() { _ = conn.Close() }()
			var first []byte
			for range 20 {
				f, err := ws.ReadFrame(r)
				if err != nil {
					return fmt.Errorf("read: %w", err)
				}
				if first == nil {
					first = f.Payload
				}
				if !bytes.Equal(first, f.Payload) {
					return fmt.Errorf("connection %x got bytes of connection %x", first, f.Payload)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	writers.Done()
	writers.Wait()
}

// Serve waits for what is under way and refuses what comes.
func TestStop(t *testing.T) {
	entered, finish := make(chan struct{}), make(chan struct{})
	var conns sync.Map
	s := serve(t, &hooks{opened: func(e *echo) { conns.Store(e, nil) }}, transport.Options{
		StopTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-finish
			_, _ = io.WriteString(w, "done")
		}),
	})
	c := s.dial(t, "", nil)
	conn, r := s.connect(t)
	write(t, conn, []byte("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	<-entered
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
	close(finish)
	if res := answer(t, r); res.StatusCode != 200 {
		t.Error(res.Status)
	}
	conns.Range(func(e, _ any) bool { e.(*echo).Close(protocol.CloseShutdown); return true })
	var ce websocket.CloseError
	if _, _, err := c.Read(t.Context()); !errors.As(err, &ce) || ce.Code != 3001 {
		t.Errorf("got %v", err)
	}
	<-stopped
}

// Serve closes what nobody else does.
func TestStopTimeout(t *testing.T) {
	s := serve(t, nil, transport.Options{StopTimeout: 50 * time.Millisecond})
	idle, _ := s.connect(t)
	conn, r := s.raw(t) // accepted after the idle one
	s.stop()
	for _, c := range []io.Reader{r, idle} {
		if _, err := io.ReadAll(c); err != nil {
			t.Error(err)
		}
	}
	_ = conn
	if err := s.Serve(context.Background(), nil); err == nil {
		t.Error("served twice")
	}
}

func TestPeer(t *testing.T) {
	peers := make(chan realtime.Peer, 2)
	s := serve(t, &hooks{opened: func(e *echo) { peers <- e.conn.Peer() }}, transport.Options{KeepHeaders: []string{"x-user-id"}})
	for _, kept := range []bool{false, true} {
		s.ask(t, kept, upgradeRequest+"X-User-ID: 42\r\nCookie: secret\r\n\r\n")
		p := <-peers
		if p.Transport != "websocket" || !p.Addr.Addr().IsLoopback() || len(p.Headers) != 1 || p.Headers["X-User-Id"][0] != "42" {
			t.Errorf("peer: %+v", p)
		}
	}
}

func TestCloseFrames(t *testing.T) {
	s, err := transport.NewWith(nil, transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := s.Framings()
	for _, c := range []struct {
		in   protocol.Close
		want string
	}{
		{protocol.Close{Code: 3001, Reason: "shutdown"}, closeFrame(3001, "shutdown")},
		{protocol.Close{Code: 3503}, closeFrame(3503, "disconnect")},
		{protocol.Close{Code: 4000, Reason: strings.Repeat("x", 200)}, closeFrame(4000, strings.Repeat("x", 123))},
		{protocol.Close{Code: 4000, Reason: strings.Repeat("é", 62)}, closeFrame(4000, strings.Repeat("é", 61))},
		{protocol.Close{Code: 70000, Reason: "r"}, closeFrame(4999, "r")},
		{protocol.Close{Reason: "r"}, closeFrame(1000, "r")},
	} {
		op, got := frameOf(t, bytes.NewReader(plain[0].AppendClose(nil, &c.in)))
		if op != ws.OpClose || got != c.want {
			t.Errorf("%v: %v %q, want %q", c.in, op, got, c.want)
		}
	}
}
