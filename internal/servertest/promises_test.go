package servertest_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sync/errgroup"

	"github.com/kuranty/kuranty/internal/servertest"
)

// Subscribers come back again and again to a channel that is published into as fast as
// the server API takes it. What recovery says it brought, followed by what comes live, is
// everything, once, in order (R12, R13).
func TestR13_NoHoleAndNoRepeatAtFullRate(t *testing.T) {
	const clients, rounds = 12, 12
	in := servertest.Start(t, servertest.Config(everything))
	api := newCaller(t, in.URL, in.APIKey)
	token := in.Token("42")
	var stop atomic.Bool
	var publishers errgroup.Group
	for range 4 {
		publishers.Go(func() error {
			batch := `{"commands":[` + strings.Repeat(`{"publish":{"channel":"chat:1","data":1}},`, 15) + `{"publish":{"channel":"chat:1","data":1}}],"parallel":false}`
			for !stop.Load() {
				if status, answer, err := api.post("batch", batch); err != nil || status != 200 || strings.Contains(answer, `"error"`) {
					return fmt.Errorf("batch: %d %.200s %w", status, answer, err)
				}
			}
			return nil
		})
	}
	var recovered, missed atomic.Int64
	each(t, clients, clients, func(i int) error {
		var epoch string
		var last uint64
		for round := range rounds {
			c, err := connect(in.WSURL, token, nil)
			if err != nil {
				return err
			}
			more := ""
			if round > 0 {
				more = from(epoch, last)
			}
			got, err := c.subscribe("chat:1", more)
			if err != nil {
				return err
			}
			switch {
			case round == 0:
				last = got.Offset
			case !got.Recovered || got.Epoch != epoch:
				return fmt.Errorf("round %d: not recovered from %d of %s: %+v", round, last, epoch, got)
			default:
				recovered.Add(1)
				missed.Add(int64(len(got.Publications)))
			}
			epoch = got.Epoch
			for _, p := range got.Publications {
				if p.Offset != last+1 {
					return fmt.Errorf("round %d: recovered %d after %d", round, p.Offset, last)
				}
				last = p.Offset
			}
			for range 20 + i {
				p, err := c.push()
				if err != nil {
					return err
				}
				if p.Offset != last+1 {
					return fmt.Errorf("round %d: live %d after %d", round, p.Offset, last)
				}
				last = p.Offset
			}
			_ = c.Close()
		}
		return nil
	})
	stop.Store(true)
	if err := publishers.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d recoveries brought %d publications", recovered.Load(), missed.Load())
	if recovered.Load() != clients*(rounds-1) || missed.Load() == 0 {
		t.Errorf("%d recoveries brought %d publications", recovered.Load(), missed.Load())
	}
}

// The presence of a connection ends with it, seen through the server API.
func TestR19_PresenceLeavesAfterClose(t *testing.T) {
	in := servertest.Start(t, servertest.Config(everything))
	api := newCaller(t, in.URL, in.APIKey)
	clean, dead := must(t)(connect(in.WSURL, in.Token("1"), nil)), must(t)(connect(in.WSURL, in.Token("2"), nil))
	for _, c := range []*client{clean, dead} {
		if _, err := c.subscribe("room", ""); err != nil {
			t.Fatal(err)
		}
	}
	present := func(n int) func() bool {
		return func() bool {
			_, answer, err := api.post("presence_stats", `{"channel":"room"}`)
			return err == nil && strings.Contains(answer, fmt.Sprintf(`"num_clients":%d`, n))
		}
	}
	until(t, "both present", present(2))
	if err := ws.WriteFrame(clean, ws.MaskFrameInPlace(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "")))); err != nil {
		t.Fatal(err)
	}
	until(t, "one has left", present(1))
	_ = dead.Conn.(*net.TCPConn).SetLinger(0)
	_ = dead.Close()
	until(t, "both have left", present(0))
}

// Readers get everything, in order, while others take nothing: those are closed or cut,
// and what waited for them is given back.
func TestR30_StalledAmongReading(t *testing.T) {
	const stalled, reading, messages, size = 20, 40, 300, 16 << 10
	// Without pings, which who takes nothing does not answer either: on a slow machine that came first.
	p := servertest.Binary(t, servertest.Config(everything), servertest.Flag("client.ping_interval", "-1s"))
	api, token := newCaller(t, p.URL, p.APIKey()), p.Token("42")
	clients := make([]*client, stalled+reading)
	defer closeAll(clients)
	each(t, len(clients), 16, func(i int) (err error) {
		if clients[i], err = connect(p.WSURL, token, nil); err != nil {
			return err
		}
		if i < stalled { // else the kernel would take it all for them
			if err = clients[i].Conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				return err
			}
		}
		_, err = clients[i].subscribe("chat:1", "")
		return err
	})
	var most float64 // of memory
	var g errgroup.Group
	for i, c := range clients[stalled:] {
		g.Go(func() error {
			for n := range messages {
				if p, err := c.push(); err != nil || p.Offset != uint64(n+1) || len(p.Data) != size {
					return fmt.Errorf("reader %d: message %d: offset %d, %d bytes, %w", i, n+1, p.Offset, len(p.Data), err)
				}
			}
			return nil
		})
	}
	data := `"` + strings.Repeat("x", size-2) + `"`
	for n := range messages {
		if _, err := api.publish("chat:1", data); err != nil {
			t.Fatal(err)
		}
		if n%50 == 0 {
			most = max(most, api.metrics(t)["process_resident_memory_bytes"])
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	until(t, "only readers connected, nothing waiting", func() bool {
		m := api.metrics(t)
		return m["kuranty_connections"] == reading && m["kuranty_queue_bytes"] == 0
	})
	m := api.metrics(t)
	t.Logf("at most %.1f MiB, %v closed as slow", most/(1<<20), m["kuranty_slow_closes_total"])
	if n := m["kuranty_slow_closes_total"]; n != stalled {
		t.Errorf("%v connections closed as slow, want %d", n, stalled)
	}
	// The history of 5 MiB, a queue of 1 MiB for each, and as much again until collected.
	if bound := float64(2*(messages*size+len(clients)<<20) + 64<<20); most > bound {
		t.Errorf("%.0f bytes of memory, want at most %.0f", most, bound)
	}
}

// Memory of idle connections, each authenticated and with a recoverable subscription.
func TestR32_MemoryOfIdleConnections(t *testing.T) {
	cert, key := servertest.Certificate(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	for _, c := range []struct {
		name        string
		connections int
		most        float64
		tls         *tls.Config
		options     []servertest.Option
	}{
		{"plain", 2000, 20 << 10, nil, nil},
		{"TLS", 1000, 45 << 10, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, []servertest.Option{
			servertest.Flag("http_server.tls.enabled", "true"),
			servertest.Flag("http_server.tls.cert_pem", cert), servertest.Flag("http_server.tls.key_pem", key),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := servertest.Binary(t, append(c.options, servertest.Config(everything))...)
			api, token := newCaller(t, p.URL, p.APIKey()), p.Token("42")
			before := api.metrics(t)["process_resident_memory_bytes"]
			clients := make([]*client, c.connections)
			defer closeAll(clients)
			each(t, c.connections, 16, func(i int) (err error) {
				if clients[i], err = connect(p.WSURL, token, c.tls); err != nil {
					return err
				}
				_, err = clients[i].subscribe(fmt.Sprintf("chat:%d", i), "")
				return err
			})
			m := api.metrics(t)
			if m["kuranty_connections"] != float64(c.connections) || m["kuranty_subscriptions"] != float64(c.connections) {
				t.Fatalf("%v connections with %v subscriptions", m["kuranty_connections"], m["kuranty_subscriptions"])
			}
			held := func(m map[string]float64) float64 {
				return (m["process_resident_memory_bytes"] - before) / float64(c.connections)
			}
			t.Logf("%.1f KiB for each of %d connections at first", held(m)/1024, c.connections)
			// A server gives garbage back when it is left alone.
			untilEvery(t, time.Second, fmt.Sprintf("at most %.0f bytes for each connection", c.most), func() bool {
				m = api.metrics(t)
				return held(m) <= c.most
			})
			t.Logf("%.1f KiB for each of %d connections", held(m)/1024, c.connections)
		})
	}
}

// All clients are cut off at once, publications go on, and all come back at once: each
// recovers exactly what it missed.
func TestR34_AllComeBackAtOnce(t *testing.T) {
	const clients, channels = 2000, 20
	p := servertest.Binary(t, servertest.Config(everything))
	api, token := newCaller(t, p.URL, p.APIKey()), p.Token("42")
	all, epochs := make([]*client, clients), make([]string, clients)
	defer closeAll(all)
	channel := func(i int) string { return fmt.Sprintf("chat:%d", i%channels) }
	each(t, clients, 16, func(i int) (err error) {
		if all[i], err = connect(p.WSURL, token, nil); err != nil {
			return err
		}
		at, err := all[i].subscribe(channel(i), "")
		epochs[i] = at.Epoch
		return err
	})
	for _, c := range all {
		_ = c.Conn.(*net.TCPConn).SetLinger(0) // no goodbye
		_ = c.Close()
	}
	for i := range 3 * channels {
		if _, err := api.publish(channel(i), "1"); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	each(t, clients, clients, func(i int) (err error) {
		if all[i], err = connect(p.WSURL, token, nil); err != nil {
			return err
		}
		got, err := all[i].subscribe(channel(i), from(epochs[i], 0))
		if err == nil && (!got.Recovered || len(got.Publications) != 3 || got.Publications[2].Offset != 3) {
			err = fmt.Errorf("recovered %+v", got)
		}
		return err
	})
	t.Logf("%d clients were back after %v", clients, time.Since(began))
	if took := time.Since(began); took > limit {
		t.Errorf("%d clients were back after %v, want at most %v", clients, took, limit)
	}
	until(t, "only the new connections are left", func() bool { return api.metrics(t)["kuranty_connections"] == clients })
	if m := api.metrics(t); m[`kuranty_recoveries_total{recovered="true"}`] != clients || m["kuranty_panics_total"] != 0 {
		t.Errorf("recoveries %v, panics %v", m[`kuranty_recoveries_total{recovered="true"}`], m["kuranty_panics_total"])
	}
}

// collected returns the figures after garbage was collected twice more, which bodies that
// are thrown away bring about.
func collected(t *testing.T, api *caller) map[string]float64 {
	t.Helper()
	const runs = "go_gc_duration_seconds_count"
	body := padded(`{"channel":"nobody","data":1}`, 64<<10)
	m := api.metrics(t)
	for enough := m[runs] + 2; m[runs] < enough; m = api.metrics(t) {
		if _, _, err := api.post("publish", body); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// After load has ended, goroutines, files and memory are what they were.
func TestR36_LoadLeavesNothing(t *testing.T) {
	const clients, rounds = 1000, 3
	t.Setenv("GOGC", "100") // so that the next collection tells what lives
	p := servertest.Binary(t, servertest.Config(everything))
	api, token := newCaller(t, p.URL, p.APIKey()), p.Token("42")
	load := func() {
		all := make([]*client, clients)
		each(t, clients, 16, func(i int) (err error) {
			if all[i], err = connect(p.WSURL, token, nil); err == nil {
				_, err = all[i].subscribe(fmt.Sprintf("x%d", i%10), "")
			}
			return err
		})
		for i := range 100 {
			if _, err := api.publish(fmt.Sprintf("x%d", i%10), "1"); err != nil {
				t.Fatal(err)
			}
		}
		each(t, clients, 16, func(i int) error {
			for range 10 {
				if _, err := all[i].push(); err != nil {
					return err
				}
			}
			return all[i].Close()
		})
	}
	settled := func() map[string]float64 {
		until(t, "all connections have ended", func() bool {
			m := api.metrics(t)
			return m["kuranty_connections"] == 0 && m["kuranty_channels"] == 0
		})
		return collected(t, api)
	}
	load() // fills pools
	before := settled()
	for range rounds {
		load()
	}
	var after map[string]float64
	// Slack: two goroutines and files of the requests that ask; of memory, what 3,000 connections
	// would leave behind if each left 350 bytes.
	slack := map[string]float64{"go_goroutines": 2, "process_open_fds": 2, "go_memstats_next_gc_bytes": 1 << 20}
	until(t, "what is left is what was there before", func() bool { // timers let go of ended connections after 5 s
		after = settled()
		for name, s := range slack {
			if after[name] > before[name]*1.02+s {
				return false
			}
		}
		return true
	})
	for name := range slack {
		t.Logf("%s: %.0f before, %.0f after", name, before[name], after[name])
	}
}

// What was acknowledged while the server was told to stop is there after the restart.
func TestR37_AckedPublicationsAreKept(t *testing.T) {
	dir := servertest.DataDir(t.TempDir())
	p := servertest.Binary(t, servertest.Config(everything), dir)
	api := newCaller(t, p.URL, p.APIKey())
	const channels = 8
	var acked [channels]uint64
	var publishers sync.WaitGroup
	var first sync.WaitGroup
	first.Add(channels)
	for i := range channels {
		publishers.Go(func() {
			once := sync.OnceFunc(first.Done)
			defer once()
			for n := uint64(1); ; n++ {
				offset, err := api.publish(fmt.Sprintf("chat:%d", i), fmt.Sprint(n))
				if err != nil {
					return // it is down
				}
				if offset != n {
					t.Errorf("channel %d: publication %d has offset %d", i, n, offset)
				}
				if acked[i] = n; n == 50 {
					once()
				}
			}
		})
	}
	first.Wait()
	p.Stop(syscall.SIGTERM)
	publishers.Wait()

	again := servertest.Binary(t, servertest.Config(everything), dir)
	c := must(t)(connect(again.WSURL, again.Token("42"), nil))
	for i, n := range acked {
		got, err := c.subscribe(fmt.Sprintf("chat:%d", i), "")
		if err != nil {
			t.Fatal(err)
		}
		if got.Offset < n || n < 50 {
			t.Errorf("channel %d: %d acknowledged, %d kept", i, n, got.Offset)
		}
		history := newCaller(t, again.URL, again.APIKey())
		_, answer, err := history.post("history", fmt.Sprintf(`{"channel":"chat:%d","limit":-1}`, i))
		if want := fmt.Sprintf(`"data":%d,"offset":%d`, n, n); err != nil || !strings.Contains(answer, want) {
			t.Errorf("channel %d: %s is not in the history: %.200s %v", i, want, answer, err)
		}
	}
}

// Hang-ups that come while the server stops, up to its very end, do not make it a crash.
func TestR37_HangupsDoNotSpoilTheStop(t *testing.T) {
	p := servertest.Binary(t, servertest.Config(everything))
	stormy, calm := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(calm)
		for n := 0; ; n++ {
			select {
			case <-p.Ended():
				return
			default:
				p.Signal(syscall.SIGHUP)
			}
			if n == 20 {
				close(stormy)
			}
		}
	}()
	<-stormy
	p.Stop(syscall.SIGTERM)
	<-calm
}
