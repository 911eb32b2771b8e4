package servertest_test

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/internal/servertest"
)

// spoil changes, repeats, drops and inserts some bytes.
func spoil(r *rand.Rand, text string) string {
	b := []byte(text)
	for range 1 + r.IntN(4) {
		at := r.IntN(len(b) + 1)
		switch r.IntN(4) {
		case 0:
			b = append(b[:at:at], append([]byte{byte(r.Uint32())}, b[at:]...)...)
		case 1:
			b = b[:at]
		case 2:
			b = append(b, b[at:]...)
		case 3:
			if at < len(b) {
				b[at] ^= 1 << r.IntN(8)
			}
		}
	}
	return string(b)
}

// Bytes nobody would send in earnest, on every surface: the process lives, no panic had to
// be contained, and a client that came before is served as before.
func TestR35_HostileBytes(t *testing.T) {
	const attempts = 300 // on each surface
	p := servertest.Binary(t, servertest.Config(everything))
	api, token := newCaller(t, p.URL, p.APIKey()), p.Token("42")
	well := must(t)(connect(p.WSURL, token, nil))
	if _, err := well.subscribe("chat:well", ""); err != nil {
		t.Fatal(err)
	}
	commands := []string{
		`{"id":1,"connect":{"token":"` + token + `","data":{"a":[1,2]},"subs":{"chat:1":{"recover":true,"epoch":"x","offset":7}}}}`,
		`{"id":2,"subscribe":{"channel":"chat:1","recover":true,"epoch":"abcd","offset":18446744073709551615,"tf":{"op":"and","nodes":[{"key":"a"}]}}}`,
		`{"id":3,"publish":{"channel":"chat:1","data":{"x":"\ud800"}}}`,
		`{"id":4,"history":{"channel":"chat:1","limit":-1,"since":{"offset":0,"epoch":""},"reverse":true}}`,
		`{"id":5,"presence":{"channel":"x"}}` + "\n" + `{"id":6,"presence_stats":null}` + "\n{}\n\n",
		`{"id":7,"rpc":{"method":"m","data":null}}` + "\n" + `{"id":8,"refresh":{"token":"a.b.c"}}`,
		`{"id":9,"unsubscribe":{"channel":"chat:1"}}` + "\n" + `{"send":{"data":[]}}` + "\n" + `{"id":10,"sub_refresh":{"channel":"x","token":""}}`,
		"\x05\x08\x01\x22\x01\x00", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", // Protobuf, more or less
	}
	heads := []string{
		"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: centrifuge-protobuf\r\nSec-WebSocket-Extensions: permessage-deflate; a=\"b\"\r\n\r\n",
		"POST /api/publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n0\r\n\r\n",
		"GET /metrics?x=%00 HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
	}
	calls := map[string]string{
		"publish":   `{"channel":"chat:2","data":{"a":1},"tags":{"a":"b"},"idempotency_key":"x","skip_history":true,"b64data":""}`,
		"broadcast": `{"channels":["a","chat:2"],"data":1}`,
		"batch":     `{"commands":[{"publish":{"channel":"a","data":1}},{"history":{"channel":"chat:2","limit":5}}],"parallel":true}`,
		"history":   `{"channel":"chat:2","limit":10,"since":{"offset":5,"epoch":"x"},"reverse":true}`,
		"subscribe": `{"user":"7","channel":"chat:2","client":"c","session":"s","recover_since":{"offset":1,"epoch":"e"}}`, "channels": `{"pattern":"*[a-"}`,
		"disconnect": `{"user":"7","disconnect":{"code":4000,"reason":"x"},"whitelist":["a"]}`, "presence": `{"channel":"a"}`, "info": `{}`,
	}
	// On a raw socket nothing is waited for but the end.
	raw := func(text string) error {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
		if err != nil {
			return err
		}
		conn.SetDeadline(time.Now().Add(limit))
		if _, err := conn.Write([]byte(text)); err != nil {
			_ = conn.Close()
			return nil //nolint:nilerr // it was already cut off
		}
		return conn.Close()
	}
	each(t, attempts, 16, func(i int) error {
		r := rand.New(rand.NewPCG(35, uint64(i)))
		if err := raw(spoil(r, heads[r.IntN(len(heads))])); err != nil {
			return err
		}
		if err := raw(heads[0] + spoil(r, "\x82\x85\x01\x02\x03\x04\x04\x0a\x02\x26\x01")); err != nil {
			return err
		}
		c, err := connect(p.WSURL, token, nil)
		if err != nil {
			return err
		}
		defer c.Close()
		for range 5 {
			if c.send(spoil(r, commands[r.IntN(len(commands))])) != nil {
				break // closed
			}
		}
		if _, err := c.Write([]byte(spoil(r, string(ws.MustCompileFrame(ws.MaskFrame(ws.NewTextFrame([]byte("{}")))))))); err == nil {
			_ = c.send("{}")
		}
		for method, body := range calls {
			status, answer, err := api.post(method, spoil(r, body))
			if err != nil || status >= http.StatusInternalServerError {
				return fmt.Errorf("%s: %d %s %w", method, status, answer, err)
			}
		}
		return nil
	})
	if _, err := tls.Dial("tcp", strings.TrimPrefix(p.URL, "http://"), &tls.Config{MinVersion: tls.VersionTLS12}); err == nil {
		t.Error("a listener without TLS speaks it")
	}
	if _, err := api.publish("chat:well", `"still"`); err != nil {
		t.Fatal(err)
	}
	if got, err := well.push(); err != nil || string(got.Data) != `"still"` {
		t.Errorf("after the attack: %s %v", got.Data, err)
	}
	if n := api.metrics(t)["kuranty_panics_total"]; n != 0 {
		t.Errorf("%v panics were contained\n%s", n, p.Log())
	}
}
