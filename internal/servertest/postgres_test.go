package servertest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

// proxy stands between a server and its PostgreSQL, and can make it look away.
type proxy struct {
	ln net.Listener
	to string
	// hung lets nothing through in either direction; refused closes what comes.
	hung, refused atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

// newProxy returns a proxy, and the DSN that leads through it.
func newProxy(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, to: u.Host}
	t.Cleanup(func() { ln.Close(); p.cut() })
	go p.run()
	u.Host = ln.Addr().String()
	return p, u.String()
}

func (p *proxy) run() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		if p.refused.Load() {
			c.Close()
			continue
		}
		db, err := net.Dial("tcp", p.to)
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, c, db)
		p.mu.Unlock()
		go p.carry(c, db)
		go p.carry(db, c)
	}
}

func (p *proxy) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		for p.hung.Load() {
			time.Sleep(5 * time.Millisecond) // the other side waits for what does not come
		}
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// The database is away, refuses, and hangs: the server stays, writes get an error that
// says to come back, channels go on, and all is well again by itself.
func TestR25_DatabaseAwayAndHung(t *testing.T) {
	way, dsn := newProxy(t, pgtest.Start(t))
	server := servertest.Binary(t, ledgerOptions(t.TempDir(),
		servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", dsn),
		servertest.Config(`{"channel": {"namespaces": [{"name": "news", "allow_subscribe_for_client": true}]}}`))...)
	l := newLedger()
	l.at(server.URL)
	people, chats := l.people(t, 2, 1)
	live := must(t)(connect(server.WSURL, server.Token("reader"), nil))
	if _, err := live.call(`{"id":2,"subscribe":{"channel":"news:today"}}`); err != nil {
		t.Fatal(err)
	}
	key := server.APIKey()
	n := 0
	send := func() (int, string, error) {
		n++
		res, err := sendRaw(server.URL, people[0], chats[0], fmt.Sprintf("r25-%d", n))
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, res.Header.Get("Retry-After"), err
	}
	for _, fault := range []struct {
		name       string
		begin, end func()
	}{
		{"refusing", func() { way.refused.Store(true); way.cut() }, func() { way.refused.Store(false) }},
		{"hung", func() { way.hung.Store(true) }, func() { way.cut(); way.hung.Store(false) }},
	} {
		t.Run(fault.name, func(t *testing.T) {
			fault.begin()
			status, retry, err := send()
			if err != nil || status != http.StatusServiceUnavailable || retry == "" {
				t.Errorf("a write was answered with %d, Retry-After %q (%v), want 503", status, retry, err)
			}
			if got := readiness(t, server.URL); got != http.StatusServiceUnavailable {
				t.Errorf("readiness is %d without a database", got)
			}
			publishNews(t, server.URL, key, fault.name)
			if unit, err := live.next(); err != nil || !strings.Contains(string(unit), fault.name) {
				t.Errorf("the live channel got %s (%v)", unit, err)
			}
			fault.end()
			back := time.Now()
			for {
				if status, _, err := send(); err == nil && status == http.StatusCreated {
					break
				}
				if time.Since(back) > limit {
					t.Fatal("writes never came back")
				}
				time.Sleep(20 * time.Millisecond) // another process is waited for
			}
			if got := readiness(t, server.URL); got != http.StatusOK {
				t.Errorf("readiness is %d after the database came back", got)
			}
			t.Logf("back after %v", time.Since(back).Round(time.Millisecond))
		})
	}
	seen := map[string]bool{}
	for i, e := range l.stored(t, people[0], chats[0]) {
		if e.Seq != int64(i+1) || e.ClientID != "" && seen[e.ClientID] {
			t.Errorf("stored %+v as number %d", e, i+1)
		}
		seen[e.ClientID] = true
	}
}

func sendRaw(base string, p person, chat int64, clientID string) (*http.Response, error) {
	body := strings.NewReader(fmt.Sprintf(`{"client_id":%q,"text":"hello"}`, clientID))
	req, err := http.NewRequest("POST", fmt.Sprintf("%s/api/v2/chats/%d/messages", base, chat), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.token)
	return http.DefaultClient.Do(req)
}

func readiness(t *testing.T, base string) int {
	t.Helper()
	res, err := http.Get(base + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func publishNews(t *testing.T, base, key, text string) {
	t.Helper()
	req, err := http.NewRequest("POST", base+"/api/publish", strings.NewReader(fmt.Sprintf(`{"channel":"news:today","data":{"text":%q}}`, text)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// What one node stored and acknowledged before it was killed reaches the subscribers of
// another, under the same numbers.
func TestR18_AnotherNodeAnnouncesWhatOneStored(t *testing.T) {
	dsn := pgtest.Start(t)
	secret := "a-secret-of-both-nodes-that-is-long-enough"
	node := func() *servertest.Process {
		return servertest.Binary(t, ledgerOptions(t.TempDir(),
			servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", dsn),
			servertest.Flag("auth.secret", secret), servertest.Flag("client.token.hmac_secret_key", secret+"-for-clients"))...)
	}
	staying := node()
	l := newLedger()
	l.at(staying.URL)
	people, chats := l.people(t, 2, 1)
	c := newCollector(l, people[1], chats)
	ctx, stop := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() { c.run(ctx) })
	defer reading.Wait()
	defer stop()
	for round := range 5 {
		dying := node()
		at := dying.URL
		var m struct{ ID, Seq int64 }
		other := newLedger()
		other.at(at)
		for i := range 3 {
			_, err := other.call(t.Context(), people[0], "POST", fmt.Sprintf("/api/v2/chats/%d/messages", chats[0]), map[string]any{
				"client_id": fmt.Sprintf("dying-%d-%d", round, i), "text": "said by who then died",
			}, &m)
			if err != nil {
				t.Fatal(err)
			}
		}
		dying.Kill()
		for late := time.Now().Add(limit); !c.reached(map[int64]int64{chats[0]: m.Seq}); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("round %d: message %d never reached the other node's subscriber", round, m.Seq)
			}
		}
	}
	stop()
	reading.Wait()
	for _, w := range l.check(t, people[0], nil, nil) {
		t.Error(w)
	}
	messages := map[int64]entry{}
	for _, e := range l.stored(t, people[0], chats[0]) {
		messages[e.Seq] = e
	}
	for _, w := range c.compare(chats[0], messages) {
		t.Error(w)
	}
}

// A database that may lose what it acknowledged, which the operator wants so, is shown to
// whoever asks for the server's health, and is in its log.
func TestR02_UnsafeDurabilityIsInHealth(t *testing.T) {
	p := servertest.Binary(t, servertest.Flag("storage.driver", "postgres"),
		servertest.Flag("storage.dsn", pgtest.Start(t)+"&synchronous_commit=off"), servertest.Flag("storage.unsafe_durability", "true"))
	status, answer, err := newCaller(t, p.URL, "").do("GET", "/health", "")
	if want := `{"unsafe_durability":true}`; err != nil || status != http.StatusOK || answer != want {
		t.Errorf("health is %d %s, %v; want %s", status, answer, err, want)
	}
	if !strings.Contains(p.Log(), "storage.unsafe_durability") {
		t.Errorf("the log does not say it:\n%s", p.Log())
	}
}
