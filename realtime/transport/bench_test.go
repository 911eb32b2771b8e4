package transport_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

const upgradeRequest = "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// raw opens a connection with a bare socket.
func (s *server) raw(t testing.TB, headers ...string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	write(t, conn, []byte(upgradeRequest+strings.Join(append(headers, "\r\n"), "")))
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v, %v", res, err)
	}
	return conn, r
}

func write(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
}

// masked is a frame of a client.
func masked(op ws.OpCode, fin bool, payload []byte) []byte {
	h := ws.Header{Fin: fin, OpCode: op, Masked: true, Mask: [4]byte{1, 2, 3, 4}, Length: int64(len(payload))}
	var b strings.Builder
	if err := ws.WriteHeader(&b, h); err != nil {
		panic(err)
	}
	body := append([]byte(nil), payload...)
	ws.Cipher(body, h.Mask, 0)
	return append([]byte(b.String()), body...)
}

// detach returns a blocking descriptor of conn, so that the client's side does not
// use the runtime's poller.
func detach(b *testing.B, conn net.Conn) int {
	f, err := conn.(*net.TCPConn).File()
	if err != nil {
		b.Fatal(err)
	}
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		b.Fatal(err)
	}
	_ = f.Close()
	_ = syscall.SetNonblock(fd, false)
	b.Cleanup(func() { _ = syscall.Close(fd) })
	return fd
}

func cpu() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkEcho sends a message on each connection, then awaits all the answers. cpu-ns
// counts client and server.
func BenchmarkEcho(b *testing.B) {
	for _, n := range []int{1, 64} {
		for _, pollers := range []int{1, 2} {
			b.Run(fmt.Sprintf("connections=%d/pollers=%d", n, pollers), func(b *testing.B) {
				s := serve(b, nil, transport.Options{Pollers: pollers})
				fds := make([]int, n)
				for i := range fds {
					conn, _ := s.raw(b)
					fds[i] = detach(b, conn)
				}
				message := masked(ws.OpText, true, []byte(strings.Repeat("x", 100)))
				buf := make([]byte, 4096)
				b.ReportAllocs()
				start := cpu()
				for b.Loop() {
					for _, fd := range fds {
						_, _ = syscall.Write(fd, message)
					}
					for _, fd := range fds {
						if k, err := syscall.Read(fd, buf); k != 102 {
							b.Fatal(k, err)
						}
					}
				}
				per := float64(b.N * n)
				b.ReportMetric(float64(cpu()-start)/per, "cpu-ns/message")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/per, "ns/message")
			})
		}
	}
}

// BenchmarkTryWrite writes a frame of a fan-out and reads it away.
func BenchmarkTryWrite(b *testing.B) {
	var conn realtime.Conn
	s := serve(b, &hooks{opened: func(e *echo) { conn = e.conn }}, transport.Options{})
	client, _ := s.raw(b)
	fd := detach(b, client)
	frame := conn.Framing().AppendFrame(nil, []byte(strings.Repeat("x", 150)))
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if k, err := conn.TryWrite(frame); k != len(frame) {
			b.Fatal(k, err)
		}
		if i%64 == 63 {
			_, _ = syscall.Read(fd, buf)
		}
	}
}

// BenchmarkReader reads a stream of small messages.
func BenchmarkReader(b *testing.B) {
	const messages = 64
	var stream []byte
	for range messages {
		stream = append(stream, masked(ws.OpText, true, []byte(strings.Repeat("x", 100)))...)
	}
	buf := make([]byte, len(stream))
	r := transport.NewReader(false)
	n := 0
	found := &transport.Found{Limit: 1 << 16, Message: func([]byte) bool { n++; return true }}
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, stream)
		if _, fail := r.Feed(buf, found); fail != nil {
			b.Fatal(fail)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/message")
}

// BenchmarkAppendFrame frames a publication.
func BenchmarkAppendFrame(b *testing.B) {
	s, err := transport.NewWith(nil, transport.Options{})
	if err != nil {
		b.Fatal(err)
	}
	plain, packed := s.Framings()
	for name, f := range map[string]realtime.Framing{"plain": plain[protocol.JSON], "deflate": packed[protocol.JSON]} {
		b.Run("framing="+name, func(b *testing.B) {
			units := []byte(strings.Repeat(`{"data":{"text":"hello"}}`, 6))
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				dst = f.AppendFrame(dst[:0], units)
			}
		})
	}
}

// BenchmarkConnect opens a connection, with the closing handshake of the last.
func BenchmarkConnect(b *testing.B) {
	s := serve(b, nil, transport.Options{})
	b.ReportAllocs()
	start := cpu()
	for b.Loop() {
		conn, _ := s.raw(b)
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
}

// BenchmarkIdle measures what an idle connection costs this package; the session of
// the test is counted too.
func BenchmarkIdle(b *testing.B) {
	const n = 2000
	for b.Loop() {
		b.StopTimer()
		s := serve(b, nil, transport.Options{})
		before := heap()
		for range n {
			conn, r := s.raw(b)
			detach(b, conn)
			_ = conn.Close()
			_ = r
		}
		b.ReportMetric(float64(heap()-before)/n, "B/connection")
		b.StartTimer()
		s.stop()
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
