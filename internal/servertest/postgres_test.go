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

// newProxy returns a proxy, and the DSN that leads through it, of a server that waits for
// the database as long as it does of itself.
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
	q := u.Query()
	q.Del("statement_timeout")
	u.RawQuery = q.Encode()
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
			// More than there are connections to the database, and of every kind.
			var calls sync.WaitGroup
			for range 4 {
				for _, c := range []struct{ method, path, body string }{
					{"POST", fmt.Sprintf("/api/v2/chats/%d/messages", chats[0]), `{"text":"away","client_id":"away"}`},
					{"POST", "/api/v2/chats", `{"kind":"group","title":"New"}`},
					{"POST", fmt.Sprintf("/api/v2/chats/%d/read", chats[0]), `{"seq":1}`},
					{"PATCH", "/api/v2/me", `{"name":"Renamed"}`},
					{"POST", "/api/v2/auth/login", `{"login":"writer0","password":"correct horse battery staple"}`},
					{"POST", "/api/v2/auth/register", `{"name":"New","username":"newcomer","password":"correct horse battery staple"}`},
					{"POST", "/api/v2/files/uploads", `{"name":"a","size":3}`},
					{"GET", fmt.Sprintf("/api/v2/chats/%d/messages", chats[0]), ""},
					{"GET", "/api/v2/chats", ""},
				} {
					calls.Go(func() {
						began := time.Now()
						got := request(t, server.URL, people[0], c.method, c.path, "application/json", []byte(c.body))
						took := time.Since(began)
						if got.status != http.StatusServiceUnavailable || got.retry == "" || took > 2*time.Second {
							t.Errorf("%s %s was answered after %v with %d, Retry-After %q, %.200s; want 503 within 2 s",
								c.method, c.path, took.Round(time.Millisecond), got.status, got.retry, got.body)
						}
					})
				}
			}
			calls.Wait()
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
			took := time.Since(back)
			t.Logf("back after %v", took.Round(time.Millisecond))
			if took > 5*time.Second {
				t.Errorf("writes were back after %v, want at most 5 s", took)
			}
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
// another within 5 s, under the same numbers. Each time the one that dies is the older,
// which numbers the log.
func TestR18_AnotherNodeAnnouncesWhatOneStored(t *testing.T) {
	dsn := pgtest.Start(t)
	secret := "a-secret-of-both-nodes-that-is-long-enough"
	node := func() (*servertest.Process, *ledger) {
		p := servertest.Binary(t, ledgerOptions(t.TempDir(),
			servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", dsn),
			servertest.Flag("auth.secret", secret), servertest.Flag("client.token.hmac_secret_key", secret+"-for-clients"))...)
		l := newLedger()
		l.at(p.URL)
		return p, l
	}
	older, l := node()
	people, chats := l.people(t, 2, 1)
	ctx, stop := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop()
	for round := range 4 {
		newer, other := node()
		c := newCollector(other, people[1], chats)
		reading.Go(func() { c.run(ctx) })
		send := func(id string) (m struct{ ID, Seq int64 }) {
			_, err := l.call(t.Context(), people[0], "POST", fmt.Sprintf("/api/v2/chats/%d/messages", chats[0]), map[string]any{
				"client_id": id, "text": "said by who then died",
			}, &m)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		reached := func(seq int64) func() bool {
			return func() bool { return c.reached(map[int64]int64{chats[0]: seq}) }
		}
		until(t, "the other node's subscriber is there", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.epoch[chats[0]] != "" })
		until(t, "it is told what the older node stores", reached(send(fmt.Sprintf("living-%d", round)).Seq))
		var last struct{ ID, Seq int64 }
		for i := range 3 {
			last = send(fmt.Sprintf("dying-%d-%d", round, i))
		}
		older.Kill()
		died := time.Now()
		until(t, fmt.Sprintf("round %d: message %d reaches the other node's subscriber", round, last.Seq), reached(last.Seq))
		took := time.Since(died)
		t.Logf("round %d: all was announced after %v", round, took.Round(time.Millisecond))
		if took > 5*time.Second {
			t.Errorf("round %d: message %d was announced after %v, want at most 5 s", round, last.Seq, took)
		}
		messages := map[int64]entry{}
		for _, e := range other.stored(t, people[0], chats[0]) {
			messages[e.Seq] = e
		}
		for _, w := range c.compare(chats[0], messages) {
			t.Errorf("round %d: %s", round, w)
		}
		older, l = newer, other
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
