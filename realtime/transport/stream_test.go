package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime/transport"
)

// secure returns a configuration with a certificate for 127.0.0.1, and a client that
// trusts it.
func secure(t *testing.T) (*tls.Config, *http.Client) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}}
	t.Cleanup(tr.CloseIdleConnections)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, &http.Client{Transport: tr}
}

// TestTLS covers connections that are not polled.
func TestTLS(t *testing.T) {
	config, client := secure(t)
	stalled := make(chan struct{}, 1)
	s := serve(t, &hooks{
		receive: func(e *echo, m []byte) (bool, bool) {
			switch string(m) {
			case "close me":
				e.Close(protocol.CloseForceDisconnect)
				return true, false
			case "panic":
				panic("as asked")
			case "flood":
				p := make([]byte, 8<<20) // random, so that compressing does not help
				_, _ = rand.Read(p)
				e.send(p)
				return true, true
			}
			return false, true
		},
		stalled: func(*echo) { stalled <- struct{}{} },
	}, transport.Options{TLSConfig: config, WriteTimeout: 200 * time.Millisecond, Compression: transport.Compression{Enabled: true}})
	dial := func(query string) *websocket.Conn {
		c, _, err := websocket.Dial(t.Context(), "wss://"+s.addr+"/connection/websocket"+query, &websocket.DialOptions{
			HTTPClient: client, CompressionMode: websocket.CompressionContextTakeover,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.CloseNow() })
		return c
	}

	c := dial("")
	c.SetReadLimit(1 << 20)
	for _, text := range []string{"hello", strings.Repeat("long ", 12_000), strings.Repeat("x", 64<<10)} {
		exchange(t, c, text)
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
	for send, code := range map[string]websocket.StatusCode{"close me": 3503, "panic": 3004, strings.Repeat("x", 640<<10+1): 1009} {
		c := dial("")
		if err := c.Write(t.Context(), websocket.MessageText, []byte(send)); err != nil {
			t.Fatal(err)
		}
		_, _, err := c.Read(t.Context())
		var ce websocket.CloseError
		if !errors.As(err, &ce) || ce.Code != code {
			t.Errorf("%.10q: %v, want code %d", send, err, code)
		}
	}
	c = dial("")
	if err := c.Write(t.Context(), websocket.MessageText, []byte("flood")); err != nil {
		t.Fatal(err)
	}
	<-stalled
	c = dial("?cf_protocol=protobuf")
	if err := c.Write(t.Context(), websocket.MessageBinary, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if kind, p, err := c.Read(t.Context()); kind != websocket.MessageBinary || string(p) != "x" || err != nil {
		t.Errorf("%v %q, %v", kind, p, err)
	}
	res, err := client.Get("https://" + s.addr + "/other")
	if err != nil || res.StatusCode != 404 {
		t.Fatalf("%v, %v", res, err)
	}
	_ = res.Body.Close()
}
