package egress_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery/egress"
)

// readRequest takes the head of a request, so that the answer is not a surprise.
func readRequest(conn net.Conn) {
	buf := make([]byte, 4096)
	var got []byte
	for !bytes.Contains(got, []byte("\r\n\r\n")) {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		got = append(got, buf[:n]...)
	}
}

// gone waits until the peer has hung up.
func gone(conn net.Conn) { io.Copy(io.Discard, conn) }

func TestR21_AttemptEndsWithinItsLimit(t *testing.T) {
	const limit = 300 * time.Millisecond
	for name, r := range map[string]*rawReceiver{
		"says nothing":       raw(t, func(conn net.Conn) { gone(conn) }),
		"reads nothing":      raw(t, func(net.Conn) { <-t.Context().Done() }),
		"headers trickle":    raw(t, trickle("HTTP/1.1 200 OK\r\n", "X-A: b\r\n")),
		"informs endlessly":  raw(t, trickle("", "HTTP/1.1 102 Processing\r\n\r\n")),
		"body trickles":      raw(t, trickle("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "x")),
		"chunks of a body":   raw(t, trickle("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n")),
		"one byte of status": raw(t, trickle("H", "")),
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, egress.Options{Policy: loopback, BodyWait: time.Minute})
			started := time.Now()
			a := client.Do(t.Context(), egress.Request{URL: r.url(), Timeout: limit, Body: make([]byte, 8<<20)})
			failed(t, a, egress.CodeTimeout)
			if a.Message != "Request timeout" {
				t.Errorf("message = %q", a.Message)
			}
			if took := time.Since(started); took < limit || took > limit+5*time.Second {
				t.Errorf("took %v, want %v", took, limit)
			}
		})
	}
}

// A connection that the receiver wants for another protocol is nobody's body: it is closed, for
// no limit would end its reading.
func TestR21_ProtocolsAreNotSwitched(t *testing.T) {
	closed := make(chan struct{})
	r := raw(t, func(conn net.Conn) {
		readRequest(conn)
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		gone(conn)
		close(closed)
	})
	a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: r.url(), Timeout: time.Minute})
	failed(t, a, "http_101")
	if a.Timings.Total > 30*time.Second {
		t.Errorf("took %v", a.Timings.Total)
	}
	<-closed
}

// trickle writes head, then piece again and again.
func trickle(head, piece string) func(net.Conn) {
	return func(conn net.Conn) {
		readRequest(conn)
		ended := make(chan struct{})
		go func() { gone(conn); close(ended) }()
		io.WriteString(conn, head)
		for {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
				io.WriteString(conn, piece)
			}
		}
	}
}

func TestBodyThatTricklesIsNotAwaitedForLong(t *testing.T) {
	for status, code := range map[string]string{"200 OK": "", "500 Oops": "http_500", "410 Gone": egress.CodeGone} {
		r := raw(t, trickle("HTTP/1.1 "+status+"\r\nContent-Length: 100000\r\n\r\n", "x"))
		client := newClient(t, egress.Options{Policy: loopback, BodyWait: 200 * time.Millisecond, Timeout: time.Minute})
		a := client.Do(t.Context(), egress.Request{URL: r.url()})
		if a.Code != code || !a.Truncated || !strings.HasPrefix(a.Body, "x") || len(a.Body) > 1000 {
			t.Errorf("%s: %+v, want code %q and the start of the body", status, a, code)
		}
	}
}

func TestSlowHandshake(t *testing.T) {
	r := raw(t, gone) // accepts, and never says hello
	client := newClient(t, egress.Options{Policy: loopback, Timeout: 200 * time.Millisecond})
	failed(t, client.Do(t.Context(), egress.Request{URL: "https://" + r.addr}), egress.CodeTimeout)
}

func TestNameServerThatIsSilent(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	resolver := (&names{conn: silent}).resolver(t)
	// The lookup has the time to connect, the attempt has its own.
	client := newClient(t, egress.Options{Policy: loopback, Resolver: resolver, ConnectTimeout: 100 * time.Millisecond})
	failed(t, client.Do(t.Context(), egress.Request{URL: "https://receiver.test/"}), egress.CodeDNS)
	client = newClient(t, egress.Options{Policy: loopback, Resolver: resolver, Timeout: 100 * time.Millisecond, ConnectTimeout: 200 * time.Millisecond})
	failed(t, client.Do(t.Context(), egress.Request{URL: "https://receiver.test/"}), egress.CodeTimeout)
}

func TestR21_AtMost64KiBOfABodyAreRead(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(bytes.Repeat([]byte("abcdefgh"), 1024)); err != nil {
				return
			}
		}
	}
	h1 := plain(t, endless)
	h2 := newReceiver(t, nil)
	var sent atomic.Int64
	h2.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			n, err := w.Write(make([]byte, 8192))
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	h2.EnableHTTP2 = true
	h2.StartTLS()
	client := newClient(t, egress.Options{Policy: loopback})
	a := client.Do(t.Context(), egress.Request{URL: h1.URL})
	if !a.OK() || len(a.Body) != egress.MaxBody || !a.Truncated {
		t.Errorf("HTTP/1.1: code %q, %d bytes, truncated %v; want the first 64 KiB", a.Code, len(a.Body), a.Truncated)
	}
	a = client.Do(t.Context(), egress.Request{URL: h2.URL, TLS: egress.TLS{CA: h2.ca()}})
	if !a.OK() || a.HTTPVersion != "HTTP/2.0" || strings.Count(a.Body, "\ufffd") != egress.MaxBody || !a.Truncated {
		t.Errorf("HTTP/2: code %q (%s), %s, %d bytes, truncated %v; want the first 64 KiB", a.Code, a.Message, a.HTTPVersion, len(a.Body), a.Truncated)
	}
	// Our reading opens the window again, so twice and what is buffered on the way;
	// the default window would take 4 MiB before anybody has read.
	if n := sent.Load(); n > 256<<10 {
		t.Errorf("HTTP/2: the receiver got rid of %d bytes", n)
	}
}

func TestBodyOfExactlyTheLimitIsWhole(t *testing.T) {
	r := plain(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(egress.MaxBody))
		w.Write(bytes.Repeat([]byte("a"), egress.MaxBody))
	})
	a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: r.URL})
	if !a.OK() || a.Truncated || len(a.Body) != egress.MaxBody {
		t.Errorf("code %q, %d bytes, truncated %v", a.Code, len(a.Body), a.Truncated)
	}
}

func TestR21_HugeHeaders(t *testing.T) {
	r := raw(t, func(conn net.Conn) {
		readRequest(conn)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
		for {
			if _, err := fmt.Fprintf(conn, "X-Fill: %s\r\n", strings.Repeat("a", 1000)); err != nil {
				return
			}
		}
	})
	h2 := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprintf("X-Fill-%d", i), strings.Repeat("a", 1000))
		}
	})
	h2.EnableHTTP2 = true
	h2.StartTLS()
	client := newClient(t, egress.Options{Policy: loopback})
	for _, req := range []egress.Request{{URL: r.url()}, {URL: h2.URL, TLS: egress.TLS{CA: h2.ca()}}} {
		a := client.Do(t.Context(), req)
		failed(t, a, egress.CodeReset)
		if a.Status != 0 || req.URL == r.url() && a.Message != "Response headers are too large" {
			t.Errorf("%+v", a) // over HTTP/2 net/http does not say why it hung up
		}
	}
}

func TestR21_BombIsNotUnpacked(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(make([]byte, 32<<20))
	z.Close()
	r := plain(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding = %q, want identity", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(packed.Bytes())
	})
	a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: r.URL})
	if !a.OK() || !strings.HasPrefix(a.Body, "\x1f\ufffd") { // the magic number of gzip, as text
		t.Errorf("code %q, body %.20q; want the bytes as they came", a.Code, a.Body)
	}
}

func TestR21_S31_RedirectIsAFailureAndNeverFollowed(t *testing.T) {
	trap := plain(t, func(http.ResponseWriter, *http.Request) {})
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		for _, to := range []string{"http://169.254.169.254/latest/meta-data", trap.URL, "/elsewhere"} {
			r := plain(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			})
			a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: r.URL})
			failed(t, a, egress.CodeRedirect)
			if want := fmt.Sprintf("HTTP %d: redirect not followed", status); a.Message != want || a.Status != status {
				t.Errorf("status %d, message %q, want %q", a.Status, a.Message, want)
			}
			if n := r.conns.Load(); n != 1 {
				t.Errorf("%d connections to the receiver, want 1", n)
			}
		}
	}
	if trap.conns.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

func TestConnectionsThatBreak(t *testing.T) {
	reset := func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }
	for name, test := range map[string]struct {
		receiver func(net.Conn)
		message  string
	}{
		"reset":         {func(conn net.Conn) { readRequest(conn); reset(conn) }, "Connection closed"},
		"closed":        {func(conn net.Conn) { readRequest(conn) }, "Connection closed"},
		"half a header": {func(conn net.Conn) { readRequest(conn); io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-A: b\r\n") }, "Connection closed"},
		"half a body": {func(conn net.Conn) {
			readRequest(conn)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
		}, "Connection closed"},
		"no HTTP": {func(conn net.Conn) { readRequest(conn); io.WriteString(conn, "SSH-2.0-OpenSSH\r\n\r\n") }, "Response is not HTTP"},
		"two lengths": {func(conn net.Conn) {
			readRequest(conn)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
		}, "Connection closed"},
		"half a chunked one": {func(conn net.Conn) {
			readRequest(conn)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
		}, "Connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := raw(t, test.receiver)
			a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: r.url()})
			failed(t, a, egress.CodeReset)
			if !strings.HasPrefix(a.Message, test.message) {
				t.Errorf("message = %q, want %q", a.Message, test.message)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: "http://" + address})
	failed(t, a, egress.CodeConnect)
	if a.Message != "Connection refused" {
		t.Errorf("message = %q", a.Message)
	}
}

func TestR23_HangingReceiverHoldsNobodyElse(t *testing.T) {
	hangs := raw(t, gone)
	well := plain(t, func(http.ResponseWriter, *http.Request) {})
	client := newClient(t, egress.Options{Policy: loopback, ConnsPerHost: 2, Timeout: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	const attempts = 6
	done := make(chan egress.Attempt, attempts)
	for range attempts {
		go func() { done <- client.Do(ctx, egress.Request{URL: hangs.url()}) }()
	}
	for hangs.conns.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if a := client.Do(t.Context(), egress.Request{URL: well.URL}); !a.OK() {
		t.Errorf("the other receiver: %+v", a)
	}
	if n := hangs.conns.Load(); n != 2 {
		t.Errorf("%d connections to one host, want 2", n)
	}
	cancel()
	for range attempts {
		failed(t, <-done, egress.CodeTimeout)
	}
}

func TestWrongCertificates(t *testing.T) {
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	r.StartTLS()
	client := newClient(t, egress.Options{Policy: loopback, Resolver: newNames(t, always("127.0.0.1")).resolver(t)})
	other := plain(t, func(http.ResponseWriter, *http.Request) {})
	for name, test := range map[string]struct {
		req     egress.Request
		message string
	}{
		"unknown authority": {egress.Request{URL: r.URL}, "unknown authority"},
		"wrong name":        {egress.Request{URL: "https://wrong.test:" + r.port(), TLS: egress.TLS{CA: r.ca()}}, "for another host"},
		"not TLS":           {egress.Request{URL: "https://" + other.Listener.Addr().String()}, "does not speak TLS"},
	} {
		a := client.Do(t.Context(), test.req)
		failed(t, a, egress.CodeTLS)
		if !strings.Contains(a.Message, test.message) {
			t.Errorf("%s: message = %q, want %q", name, a.Message, test.message)
		}
	}
}

// The two ways in which one name has several addresses to choose from.
func TestS31_AddressDialledIsTheOneChecked(t *testing.T) {
	trap := raw(t, func(net.Conn) {})
	// At creation the name was public; each lookup may say something else.
	var asked atomic.Int64
	rebinding := newNames(t, func(_ string, v6 bool) []netip.Addr {
		if v6 {
			return []netip.Addr{}
		}
		if asked.Add(1)%2 == 1 {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	})
	client := newClient(t, egress.Options{
		Policy: egress.Policy{
			AllowHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, // stands for a public address
		},
		Resolver: rebinding.resolver(t),
	})
	for i := range 6 {
		before := rebinding.lookups.Load()
		a := client.Do(t.Context(), egress.Request{URL: "http://rebinding.test:" + trap.port()})
		if blocked := a.Code == egress.CodeBlocked; blocked != (i%2 == 0) {
			t.Errorf("lookup %d: code %q (%s)", i, a.Code, a.Message)
		}
		if n := rebinding.lookups.Load() - before; n > 2 { // one for each family
			t.Errorf("the name was resolved %d times for one attempt", n)
		}
	}
	if n := trap.conns.Load(); n != 0 {
		t.Errorf("%d connections reached the refused address", n)
	}

	// Of many addresses only those that pass are dialled, wherever they stand.
	well := plain(t, func(http.ResponseWriter, *http.Request) {})
	several := newClient(t, egress.Options{
		Policy: egress.Policy{AllowHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Resolver: newNames(t, always("127.0.0.9", "169.254.169.254", "10.0.0.1", "127.0.0.1", "::1", "fd00:ec2::254",
			"64:ff9b::127.0.0.1", "::ffff:127.0.0.9")).resolver(t),
	})
	if a := several.Do(t.Context(), egress.Request{URL: "http://several.test:" + well.port()}); !a.OK() || a.RemoteIP != "127.0.0.1" {
		t.Errorf("several addresses: %+v, want an answer of the one that is allowed", a)
	}
}

func TestS31_NamesOfRefusedAddresses(t *testing.T) {
	trap := raw(t, func(net.Conn) {})
	for _, ip := range []string{
		"127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "::1", "::", "::7f00:1", "::ffff:7f00:1",
		"64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
	} {
		client := newClient(t, egress.Options{Policy: egress.Policy{AllowHTTP: true}, Resolver: newNames(t, always(ip)).resolver(t)})
		a := client.Do(t.Context(), egress.Request{URL: "http://inside.test:" + trap.port()})
		failed(t, a, egress.CodeBlocked)
		if a.Timings != (egress.Timings{}) || a.RemoteIP != "" || a.Message != "Target address is not allowed" {
			t.Errorf("%s: more than the refusal was reported: %+v", ip, a)
		}
	}
	if n := trap.conns.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestS31_ConnectionIsOfTheHostItWasVettedFor(t *testing.T) {
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	r.EnableHTTP2 = true
	r.StartTLS()
	client := newClient(t, egress.Options{
		Policy:   egress.Policy{AllowHosts: []string{"example.com"}}, // a name of the test server's certificate
		Resolver: newNames(t, always("127.0.0.1")).resolver(t),
	})
	trust := egress.TLS{CA: r.ca()}
	for range 2 {
		if a := client.Do(t.Context(), egress.Request{URL: "https://example.com:" + r.port(), TLS: trust}); !a.OK() {
			t.Fatalf("the allowed host: %+v", a)
		}
	}
	if n := r.conns.Load(); n != 1 {
		t.Errorf("%d connections for two requests, want 1", n)
	}
	// The certificate covers this name, too, and the address is the same.
	failed(t, client.Do(t.Context(), egress.Request{URL: "https://www.example.com:" + r.port(), TLS: trust}), egress.CodeBlocked)
}

func TestS31_ProxyVariablesAreIgnored(t *testing.T) {
	r := plain(t, func(http.ResponseWriter, *http.Request) {})
	target := "http://receiver.test:" + r.port()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := http.ProxyFromEnvironment(req); u == nil || err != nil { // TestMain sets it
		t.Fatalf("the environment has no proxy for %s (%v), so this would prove nothing", target, err)
	}
	client := newClient(t, egress.Options{Policy: loopback, Resolver: newNames(t, always("127.0.0.1")).resolver(t)})
	if a := client.Do(t.Context(), egress.Request{URL: target}); !a.OK() {
		t.Errorf("%+v", a)
	}
}
