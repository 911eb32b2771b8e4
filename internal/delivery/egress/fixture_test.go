package egress_test

import (
	"context"
	"encoding/binary"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/kuranty/kuranty/internal/delivery/egress"
)

func TestMain(m *testing.M) {
	// Nobody listens there. Here, because net/http reads the environment only once.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		os.Setenv(name, "http://127.0.0.1:1")
	}
	os.Unsetenv("REQUEST_METHOD") // with it HTTP_PROXY counts for nothing
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}

// loopback lets receivers of the tests be called, and nothing else that is forbidden.
var loopback = egress.Policy{
	AllowHTTP:     true,
	AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
}

func newClient(t *testing.T, opts egress.Options) *egress.Client {
	t.Helper()
	c, err := egress.NewClient(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// receiver is an HTTP server that counts connections. It is closed without
// waiting for its handlers' peers.
type receiver struct {
	*httptest.Server
	conns atomic.Int64
}

func newReceiver(t *testing.T, h http.HandlerFunc) *receiver {
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(h)
	r.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			r.conns.Add(1)
		}
	}
	r.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what is tested
	t.Cleanup(func() { r.CloseClientConnections(); r.Close() })
	return r
}

func plain(t *testing.T, h http.HandlerFunc) *receiver {
	r := newReceiver(t, h)
	r.Start()
	return r
}

func (r *receiver) port() string {
	_, port, _ := net.SplitHostPort(r.Listener.Addr().String())
	return port
}

func (r *receiver) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})
}

// rawReceiver answers each connection with what f does, and counts them.
type rawReceiver struct {
	addr  string
	conns atomic.Int64
}

func raw(t *testing.T, f func(net.Conn)) *rawReceiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rawReceiver{addr: l.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.conns.Add(1)
			all.Go(func() {
				defer conn.Close()
				f(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return r
}

func (r *rawReceiver) url() string  { return "http://" + r.addr + "/" }
func (r *rawReceiver) port() string { return r.addr[strings.LastIndexByte(r.addr, ':')+1:] }

// names is a DNS server that answers as lookup says; nil means no such name.
type names struct {
	lookup  func(name string, v6 bool) []netip.Addr
	lookups atomic.Int64
	conn    net.PacketConn
}

func newNames(t *testing.T, lookup func(name string, v6 bool) []netip.Addr) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{lookup: lookup, conn: conn}
	done := make(chan struct{})
	go func() { n.serve(); close(done) }()
	t.Cleanup(func() { conn.Close(); <-done })
	return n
}

// always answers every name with the same addresses.
func always(texts ...string) func(string, bool) []netip.Addr {
	return func(_ string, v6 bool) []netip.Addr {
		ips := []netip.Addr{}
		for _, text := range texts {
			if ip := netip.MustParseAddr(text); ip.Is6() == v6 {
				ips = append(ips, ip)
			}
		}
		return ips
	}
}

// resolver asks n. A lookup that was given up waits on in package net until its
// own limit, of seconds; the end of the test ends it.
func (n *names) resolver(t *testing.T) *net.Resolver {
	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			conn.Close()
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "udp", n.conn.LocalAddr().String())
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
		}
		return conn, err
	}}
}

// serve speaks as much of RFC 1035 as a question for A or AAAA needs.
func (n *names) serve() {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		query := buf[:size]
		end := 12
		var labels []string
		for query[end] != 0 {
			labels = append(labels, string(query[end+1:end+1+int(query[end])]))
			end += 1 + int(query[end])
		}
		end += 5 // the root label, type, class
		kind := binary.BigEndian.Uint16(query[end-4:])
		var ips []netip.Addr
		code := byte(0)
		if kind == 1 || kind == 28 {
			n.lookups.Add(1)
			if ips = n.lookup(strings.Join(labels, "."), kind == 28); ips == nil {
				code = 3
			}
		}
		answer := append([]byte{}, query[:end]...)
		answer[2], answer[3] = 0x84, 0x80|code // an authoritative response
		clear(answer[6:12])
		binary.BigEndian.PutUint16(answer[6:], uint16(len(ips)))
		for _, ip := range ips {
			answer = append(answer, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(ip.BitLen()/8))
			answer = append(answer, ip.AsSlice()...)
		}
		n.conn.WriteTo(answer, from)
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// failed checks that an attempt failed with code and that its message names no address.
func failed(t *testing.T, a egress.Attempt, code string) {
	t.Helper()
	if a.Code != code {
		t.Errorf("code = %q (%s), want %q", a.Code, a.Message, code)
	}
	if a.Message == "" || strings.Contains(a.Message, "127.0.0.1") || strings.Contains(a.Message, ":0") {
		t.Errorf("message = %q, want a text without an address", a.Message)
	}
}
