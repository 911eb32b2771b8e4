package servertest_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/servertest"
)

// everything is a configuration with a namespace where users may do everything, with a long history.
const everything = `{"channel": {"without_namespace": {"allow_subscribe_for_client": true, "allow_publish_for_client": true, "presence": true},
	"namespaces": [{"name": "chat", "history_size": 100000, "history_ttl": "1h", "force_recovery": true,
	"allow_subscribe_for_client": true, "allow_publish_for_client": true}]},
	"client": {"recovery_max_publication_limit": 100000, "history_max_publication_limit": 100000}}`

// padded is format with so many spaces after it that it has size bytes.
func padded(text string, size int) string { return text + strings.Repeat(" ", size-len(text)) }

func TestS22_FirstMessageIsSmall(t *testing.T) {
	t.Parallel()
	in := servertest.Start(t)
	command := `{"id":1,"connect":{"token":"` + in.Token("42") + `"}}`
	for size, want := range map[int]int{16 << 10: 0, 16<<10 + 1: 1009} {
		c := must(t)(open(in.WSURL, nil))
		got, err := c.call(padded(command, size))
		var code closedError
		errors.As(err, &code)
		if int(code) != want || want == 0 && !bytes.Contains(got, []byte(`"client":`)) {
			t.Errorf("first message of %d bytes: %.80s, %v", size, got, err)
		}
		if want != 0 {
			continue
		}
		// The second one may have more.
		if got, err := c.call(padded(`{"id":2,"unsubscribe":{"channel":"x"}}`, 16<<10+1)); err != nil {
			t.Errorf("second message: %.80s, %v", got, err)
		}
	}
	c := must(t)(open(in.WSURL, nil))
	if got, err := c.call(`{"id":1,"subscribe":{"channel":"x"}}`); err == nil {
		t.Errorf("a command before connect is answered: %s", got)
	}
}

// With the server's own figures: 10 s to authenticate, 5 s for a head.
func TestS22_ConnectionsMustAuthenticate(t *testing.T) {
	t.Parallel()
	in := servertest.Start(t)
	silent, busy := must(t)(open(in.WSURL, nil)), must(t)(open(in.WSURL, nil))
	// Half a message does not help.
	if _, err := busy.Write([]byte{0x81, 0xfe, 0x10, 0x00, 1, 2, 3, 4, 5}); err != nil {
		t.Fatal(err)
	}
	head, err := net.Dial("tcp", strings.TrimPrefix(in.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer head.Close()
	head.SetDeadline(time.Now().Add(limit))
	fmt.Fprint(head, "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nX: ")
	if n, err := head.Read(make([]byte, 1)); err == nil {
		t.Errorf("half a head was answered with %d bytes", n)
	}
	for name, c := range map[string]*client{"silent": silent, "half a message": busy} {
		if code, err := c.closed(); code != 3502 {
			t.Errorf("%s: closed with %d, %v, want 3502 (stale)", name, code, err)
		}
	}
}

// One after the other, each limit of the WebSocket holds at its exact value.
func TestS23_WebSocketLimits(t *testing.T) {
	t.Parallel()
	in := servertest.Start(t, servertest.Config(everything))
	token := in.Token("42")
	publish := func(data string) string { return `{"id":2,"publish":{"channel":"x","data":` + data + `}}` }
	fragments := func(n int) []byte {
		text := publish(`"` + strings.Repeat("x", n) + `"`)
		var frames bytes.Buffer
		for i := range n {
			part, op := text[i:i+1], ws.OpContinuation
			if i == n-1 {
				part = text[i:]
			}
			if i == 0 {
				op = ws.OpText
			}
			if err := ws.WriteFrame(&frames, ws.MaskFrameInPlace(ws.NewFrame(op, i == n-1, []byte(part)))); err != nil {
				t.Fatal(err)
			}
		}
		return frames.Bytes()
	}
	text := func(s string) []byte {
		var frame bytes.Buffer
		if err := ws.WriteFrame(&frame, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(s)))); err != nil {
			t.Fatal(err)
		}
		return frame.Bytes()
	}
	rows := func(n int, command string) []byte {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(command, i+2, i)
		}
		return text(strings.Join(all, "\n"))
	}
	deep := func(n int) []byte { // two levels are of the command
		return text(publish(strings.Repeat("[", n-2) + strings.Repeat("]", n-2)))
	}
	subscribe := func(n int) []byte { return text(`{"id":2,"subscribe":{"channel":"` + strings.Repeat("x", n) + `"}}`) }
	for _, c := range []struct {
		name    string
		sent    []byte
		replies int    // that are no error
		then    string // what comes after them: a close code or an error's, nothing else
	}{
		{"message of 64 KiB", text(padded(publish("1"), 64<<10)), 1, ""},
		{"message of 64 KiB and 1", text(padded(publish("1"), 64<<10+1)), 0, "closed with 1009"},
		{"128 fragments", fragments(128), 1, ""},
		{"129 fragments", fragments(129), 0, "closed with 1009"},
		{"depth 32", deep(32), 1, ""},
		{"depth 33", deep(33), 0, "closed with 3501"},
		{"64 commands", rows(64, `{"id":%d,"unsubscribe":{"channel":"c%d"}}`), 64, ""},
		{"65 commands", rows(65, `{"id":%d,"unsubscribe":{"channel":"c%d"}}`), 64, "closed with 3501"},
		{"128 subscriptions", rows(128, `{"id":%d,"subscribe":{"channel":"c%d"}}`), 128, ""},
		{"129 subscriptions", rows(129, `{"id":%d,"subscribe":{"channel":"c%d"}}`), 128, `"code":106`},
		{"channel of 255 bytes", subscribe(255), 1, ""},
		{"channel of 256 bytes", subscribe(256), 0, `"code":107`},
	} {
		client := must(t)(connect(in.WSURL, token, nil))
		if _, err := client.Write(c.sent); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for i := range c.replies {
			if got, err := client.next(); err != nil || bytes.Contains(got, []byte(`"error"`)) {
				t.Errorf("%s: reply %d: %s %v", c.name, i+1, got, err)
				break
			}
		}
		// What the last command is answered shows that nothing else came before.
		if c.then == "" {
			c.then = `{"id":999,"unsubscribe":{}}`
			if err := client.send(`{"id":999,"unsubscribe":{"channel":"other"}}`); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		got, err := client.next()
		if err != nil {
			got = []byte(err.Error())
		}
		if !strings.Contains(string(got), c.then) {
			t.Errorf("%s: then %s, want %s", c.name, got, c.then)
		}
	}
}

// One after the other, each limit of the server API holds at its exact value.
func TestS23_ServerAPILimits(t *testing.T) {
	t.Parallel()
	in := servertest.Start(t, servertest.Config(everything))
	api := newCaller(t, in.URL, in.APIKey)
	publish := func(channel, data string) string {
		return `{"channel":"` + channel + `","data":` + data + `}`
	}
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"body of 1 MiB", padded(publish("x", "1"), 1<<20), 200, `"result"`},
		{"body of 1 MiB and 1", padded(publish("x", "1"), 1<<20+1), 413, ""},
		{"depth 32", publish("x", deep(32)), 200, `"result"`},
		{"depth 33", publish("x", deep(33)), 400, ""},
		{"channel of 255 bytes", publish(strings.Repeat("x", 255), "1"), 200, `"result"`},
		// The contract of the server API: the limit of names is for clients' (server-api.md §2).
		{"channel of 256 bytes", publish(strings.Repeat("x", 256), "1"), 200, `"result"`},
	} {
		status, answer, err := api.post("publish", c.body)
		if err != nil || status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s: %d %s %v, want %d with %s", c.name, status, answer, err, c.status, c.want)
		}
	}
}

// A head of 16 KiB is read, one with a byte more is refused, on all paths.
func TestS23_HeadLimit(t *testing.T) {
	t.Parallel()
	in := servertest.Start(t)
	upgrade := "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	api := "POST /api/info HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nX-API-Key: " + in.APIKey + "\r\n"
	for _, c := range []struct {
		name, head, body string
		want             int
	}{{"WebSocket", upgrade, "", 101}, {"server API", api, "{}", 200}, {"health", "GET /health HTTP/1.1\r\nHost: localhost\r\n", "", 200}} {
		for over, want := range []int{c.want, 431} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(in.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(limit))
			filler := strings.Repeat("x", 16<<10+over-len(c.head)-len("X: \r\n\r\n"))
			fmt.Fprint(conn, c.head, "X: ", filler, "\r\n\r\n", c.body)
			status := make([]byte, len("HTTP/1.1 200"))
			if _, err := conn.Read(status); err != nil || string(status) != fmt.Sprintf("HTTP/1.1 %d", want) {
				t.Errorf("%s, 16 KiB and %d: %q %v, want %d", c.name, over, status, err, want)
			}
			_ = conn.Close()
		}
	}
}

// Before it has authenticated, a connection costs at most 32 KiB, whatever it sends.
func TestS22_MemoryBeforeAuthentication(t *testing.T) {
	const connections = 500
	p := servertest.Binary(t, servertest.Flag("client.stale_close_delay", "40s"))
	api := newCaller(t, p.URL, p.APIKey())
	started := api.metrics(t)["process_resident_memory_bytes"]
	begun := append([]byte{0x81, 0xfe, 0x40, 0x00, 1, 2, 3, 4}, make([]byte, 16<<10-1)...) // a byte is missing
	clients := make([]*client, connections)
	defer closeAll(clients)
	each(t, connections, 16, func(i int) (err error) {
		if clients[i], err = open(p.WSURL, nil); err == nil {
			_, err = clients[i].Write(begun)
		}
		return err
	})
	before := api.metrics(t)
	if n := before["kuranty_connections"]; n != 0 {
		t.Errorf("%v connections are authenticated", n)
	}
	held := (before["process_resident_memory_bytes"] - started) / connections
	t.Logf("%.1f KiB for each connection with an unfinished message", held/1024)
	if held > 32<<10 {
		t.Errorf("a connection holds %.0f bytes before authentication, want at most %d", held, 32<<10)
	}
}

// A missed publication cannot be brought about from outside, so realtime tests that it
// is told at the second look; here, that two looks fit into 5 s unless configured otherwise.
func TestR16_TheServerLooksOftenEnough(t *testing.T) {
	res, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	if d := res.Config.Client.ChannelPositionCheckDelay; d <= 0 || 2*d > 5*time.Second {
		t.Errorf("looks are %v apart", d)
	}
}
