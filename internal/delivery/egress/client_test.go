package egress_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery/egress"
)

func TestRequestAsTheReceiverSeesIt(t *testing.T) {
	body := []byte(`{"a": 1}`)
	r := plain(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.RequestURI != "/in?x=1" || string(got) != string(body) || r.ContentLength != int64(len(body)) {
			t.Errorf("%s %s, %q (length %d)", r.Method, r.RequestURI, got, r.ContentLength)
		}
		if r.Header.Get("X-Webhook-Id") != "14" || r.UserAgent() != "Kuranty-Webhooks/1" {
			t.Errorf("headers %v", r.Header)
		}
		w.Header()["Set-Cookie"] = []string{"session=secret"}
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "thanks\x00\xff, спасибо")
	})
	header := http.Header{"X-Webhook-Id": {"14"}, "User-Agent": {"Kuranty-Webhooks/1"}}
	client := newClient(t, egress.Options{Policy: loopback})
	for i := range 2 {
		a := client.Do(t.Context(), egress.Request{URL: r.URL + "/in?x=1", Header: header, Body: body})
		if !a.OK() || a.Message != "" || a.Status != 202 || a.Body != "thanks\ufffd\ufffd, спасибо" || a.Truncated {
			t.Errorf("%+v", a)
		}
		if a.Header.Get("X-Answer") != "yes" || a.Header["Set-Cookie"] != nil {
			t.Errorf("headers kept: %v", a.Header)
		}
		if a.RemoteIP != "127.0.0.1" || a.HTTPVersion != "HTTP/1.1" {
			t.Errorf("answered by %s in %s", a.RemoteIP, a.HTTPVersion)
		}
		if took := a.Timings; took.FirstByte <= 0 || took.Total < took.FirstByte || (took.Connect > 0) != (i == 0) || took.TLS != 0 {
			t.Errorf("request %d: timings %+v; only the first connects", i, took)
		}
	}
	if r.conns.Load() != 1 {
		t.Errorf("%d connections, want 1 that is kept", r.conns.Load())
	}
	if len(header) != 2 {
		t.Errorf("the caller's headers were changed: %v", header)
	}
}

func TestStatuses(t *testing.T) {
	for _, test := range []struct {
		status        int
		code, message string
	}{
		{200, "", ""},
		{299, "", ""},
		{400, "http_400", "HTTP 400: oops"},
		{404, "http_404", "HTTP 404: oops"},
		{410, egress.CodeGone, "HTTP 410: oops"},
		{429, "http_429", "HTTP 429: oops"},
		{500, "http_500", "HTTP 500: oops"},
		{503, "http_503", "HTTP 503: oops"},
		{599, "http_599", "HTTP 599: oops"},
		{999, "http_999", "HTTP 999: oops"},
	} {
		r := plain(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints) // skipped
			w.WriteHeader(test.status)
			io.WriteString(w, "oops")
		})
		a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: r.URL})
		if a.Code != test.code || a.Message != test.message || a.Status != test.status || a.Body != "oops" {
			t.Errorf("status %d: %+v", test.status, a)
		}
	}
}

// What a URL cannot have behind its host is escaped, and what is escaped stays so.
func TestTargetsAreWhatTheURLSays(t *testing.T) {
	var target string
	r := plain(t, func(_ http.ResponseWriter, r *http.Request) { target = r.RequestURI })
	for behind, want := range map[string]string{
		"":                  "/",
		"/a%2Fb?x=%zz&y=+":  "/a%2Fb?x=%zz&y=+",
		"/путь/a%2Fb?q=я b": "/%D0%BF%D1%83%D1%82%D1%8C/a%2Fb?q=%D1%8F%20b",
		"?é":                "/?%C3%A9",
	} {
		if a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: r.URL + behind}); !a.OK() || target != want {
			t.Errorf("%s: asked for %s, want %s; %+v", behind, target, want, a)
		}
	}
}

func TestS31_TextShownIsLimited(t *testing.T) {
	r := plain(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 40 {
			w.Header().Set(fmt.Sprintf("X-Fill-%02d", i), strings.Repeat("a", 500))
		}
		w.Header().Set("X-Huge", strings.Repeat("b", 5000))
		w.Header().Set("X-Zero", "kept, because it still fits")
		w.WriteHeader(500)
		io.WriteString(w, strings.Repeat("ж", 40000)) // 80000 bytes: the limit goes through the middle of none
	})
	a := newClient(t, egress.Options{Policy: loopback, CaptureBytes: 2001}).Do(t.Context(), egress.Request{URL: r.URL})
	if want := "HTTP 500: " + strings.Repeat("ж", 500); a.Message != want {
		t.Errorf("message of %d bytes, want the first 500 characters", len(a.Message))
	}
	if a.Body != strings.Repeat("ж", 1000) || !a.Truncated {
		t.Errorf("body of %d bytes; want whole characters only", len(a.Body))
	}
	size := 0
	for name, values := range a.Header {
		size += len(name) + len(strings.Join(values, ""))
	}
	if size > egress.MaxKeptHeader || size < egress.MaxKeptHeader/2 || a.Header.Get("X-Huge") != "" || a.Header.Get("X-Zero") == "" {
		t.Errorf("%d bytes of headers kept: %v", size, a.Header)
	}
}

func TestR21_RetryAfterAndControl(t *testing.T) {
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, test := range []struct {
		value    string
		min, max time.Duration
	}{
		{"", 0, 0},
		{"0", 0, 0},
		{"120", 2 * time.Minute, 2 * time.Minute},
		{" 7 ", 7 * time.Second, 7 * time.Second},
		{"86401", 24 * time.Hour, 24 * time.Hour},
		{"99999999999999999999999999", 24 * time.Hour, 24 * time.Hour},
		{"-5", 0, 0},
		{"1.5", 0, 0},
		{"soon", 0, 0},
		{date(time.Hour), 50 * time.Minute, time.Hour},
		{date(-time.Hour), 0, 0},
		{date(1000 * time.Hour), 24 * time.Hour, 24 * time.Hour},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 24 * time.Hour, 24 * time.Hour},
	} {
		r := plain(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", test.value)
			w.WriteHeader(503)
		})
		a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: r.URL})
		if a.RetryAfter < test.min || a.RetryAfter > test.max {
			t.Errorf("Retry-After %q is %v, want %v to %v", test.value, a.RetryAfter, test.min, test.max)
		}
	}
	for value, want := range map[string]string{
		"abort-message": egress.ControlAbort, " Disable ": egress.ControlDisable, "other": "", "": "",
	} {
		r := plain(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("webhook-delivery", value)
			w.WriteHeader(500)
		})
		a := newClient(t, egress.Options{Policy: loopback}).Do(t.Context(), egress.Request{URL: r.URL})
		if a.Control != want {
			t.Errorf("webhook-delivery %q is %q, want %q", value, a.Control, want)
		}
	}
}

func TestRequestsThatCannotBeSent(t *testing.T) {
	r := plain(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	client := newClient(t, egress.Options{Policy: loopback})
	for _, req := range []egress.Request{
		{URL: r.URL, Header: http.Header{"X-Bad": {"two\r\nlines"}}},
		{URL: r.URL, Header: http.Header{"bad name": {"x"}}},
		{URL: r.URL, TLS: egress.TLS{Cert: []byte("no PEM"), Key: []byte("no PEM")}},
		{URL: r.URL, TLS: egress.TLS{CA: []byte("no PEM")}},
	} {
		failed(t, client.Do(t.Context(), req), egress.CodeInternal)
	}
	if err := (egress.TLS{CA: []byte("no PEM")}).Check(); err == nil || !strings.Contains(err.Error(), "ca") {
		t.Errorf("Check = %v, want the field's name", err)
	}
	strict := newClient(t, egress.Options{})
	failed(t, strict.Do(t.Context(), egress.Request{URL: "http://example.com/"}), egress.CodeBlocked)
}

func TestNameThatDoesNotExist(t *testing.T) {
	nobody := newNames(t, func(string, bool) []netip.Addr { return nil })
	client := newClient(t, egress.Options{Policy: loopback, Resolver: nobody.resolver(t)})
	a := client.Do(t.Context(), egress.Request{URL: "https://nobody.test/"})
	failed(t, a, egress.CodeDNS)
	if a.Message != "Host name not found" || a.Timings.DNS <= 0 || a.Timings.Connect != 0 {
		t.Errorf("%+v", a)
	}
}

// A connection carries the certificate it was made with, so it is not for others.
func TestClientCertificate(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	})
	r.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	r.StartTLS()
	client := newClient(t, egress.Options{Policy: loopback})
	for _, name := range []string{"one", "two", "one"} {
		cert, key := keyPair(t, name)
		a := client.Do(t.Context(), egress.Request{URL: r.URL, TLS: egress.TLS{CA: r.ca(), Cert: cert, Key: key}})
		if !a.OK() || a.Body != name || a.Timings.TLS <= 0 {
			t.Errorf("with certificate %q: %+v", name, a)
		}
	}
	failed(t, client.Do(t.Context(), egress.Request{URL: r.URL, TLS: egress.TLS{CA: r.ca()}}), egress.CodeTLS)
}

func TestOldTLSIsRefused(t *testing.T) {
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	r.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	r.StartTLS()
	client := newClient(t, egress.Options{Policy: loopback})
	failed(t, client.Do(t.Context(), egress.Request{URL: r.URL, TLS: egress.TLS{CA: r.ca()}}), egress.CodeTLS)
}

func keyPair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	template.Subject.CommonName = name
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// Identities come and go; what is held of them does not grow, and one whose
// connections were let go of is met again.
func TestManyIdentities(t *testing.T) {
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	r.StartTLS()
	client := newClient(t, egress.Options{Policy: loopback, IdleTimeout: time.Hour})
	for i := range 150 { // more than are kept
		ca := slices.Concat(r.ca(), fmt.Appendf(nil, "# %d\n", i%140))
		if a := client.Do(t.Context(), egress.Request{URL: r.URL, TLS: egress.TLS{CA: ca}}); !a.OK() {
			t.Fatalf("identity %d: %+v", i, a)
		}
	}
	if n := r.conns.Load(); n != 150 { // the first ten were forgotten when they came again
		t.Errorf("%d connections, want 150", n)
	}
}

func TestSourceAddresses(t *testing.T) {
	seen := make(chan string, 10)
	r := plain(t, func(_ http.ResponseWriter, r *http.Request) {
		seen <- netip.MustParseAddrPort(r.RemoteAddr).Addr().String()
	})
	client := newClient(t, egress.Options{
		Policy: loopback, Bind: []netip.Addr{netip.MustParseAddr("127.0.0.5"), netip.MustParseAddr("127.0.0.6"), netip.IPv6Loopback()},
	})
	var from []string
	for range 6 {
		if a := client.Do(t.Context(), egress.Request{URL: r.URL, Header: http.Header{"Connection": {"close"}}}); !a.OK() {
			t.Fatalf("%+v", a)
		}
		from = append(from, <-seen)
	}
	slices.Sort(from)
	if got := slices.Compact(from); !slices.Equal(got, []string{"127.0.0.5", "127.0.0.6"}) {
		t.Errorf("requests came from %v, want both addresses of the family", got)
	}
	only6 := newClient(t, egress.Options{Policy: loopback, Bind: []netip.Addr{netip.IPv6Loopback()}})
	failed(t, only6.Do(t.Context(), egress.Request{URL: r.URL}), egress.CodeConnect)
}

func TestProxyOfTheOperator(t *testing.T) {
	proxy := plain(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.WriteString(w, r.RequestURI+" "+r.Header.Get("Proxy-Authorization"))
	})
	u := mustURL(t, proxy.URL) // on loopback, which a receiver may not be
	client := newClient(t, egress.Options{Policy: egress.Policy{AllowHTTP: true}, Proxy: u})
	a := client.Do(t.Context(), egress.Request{URL: "http://receiver.test/in"})
	if !a.OK() || a.Body != "http://receiver.test/in " || a.RemoteIP != "" {
		t.Errorf("%+v, want the proxy's answer and nothing of where it is", a)
	}
	failed(t, client.Do(t.Context(), egress.Request{URL: "https://receiver.test/in"}), egress.CodeConnect)
	failed(t, client.Do(t.Context(), egress.Request{URL: "http://127.1/"}), egress.CodeBlocked)
}
