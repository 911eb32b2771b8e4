package servertest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

// sender is the address that the nth process sends webhooks from, so that receivers can tell
// one process from another (that all of 127.0.0.0/8 is this machine is so on Linux only).
func sender(n int) string { return net.IPv4(127, 1, byte(n>>8), byte(n)).String() }

func sendsFrom(n int) servertest.Option { return servertest.Flag("webhooks.egress_bind", sender(n)) }

// unreliable is a receiver that is slow, fails and hangs up now and then.
func unreliable(_ *parcel, r *http.Request) int {
	switch chance := rand.IntN(100); {
	case r.URL.Path == "/good":
		return 200
	case chance < 10:
		return 500
	case chance < 20:
		return 0
	case chance < 40:
		time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond) // what is under way when a kill comes
	}
	return 204
}

// The server is killed at random points while events are appended and sent; afterwards every
// event that was acknowledged has been delivered to every webhook that wants it, or is
// visibly given up, and nothing else was sent.
func TestR20_R22_WebhooksSurviveKillsOnSQLite(t *testing.T) {
	t.Parallel()
	surviveKills(t, nil)
}

func TestR20_R22_WebhooksSurviveKillsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	surviveKills(t, []servertest.Option{servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", pgtest.Start(t))})
}

func surviveKills(t *testing.T, more []servertest.Option) {
	dataDir := t.TempDir()
	start := func(n int) *servertest.Process {
		return servertest.Binary(t, hookOptions(dataDir, append(slices.Clone(more), sendsFrom(n))...)...)
	}
	in := newInbox(t, unreliable)
	o := newOrders()
	server := start(0)
	o.at(server.URL)
	all := func(*order) bool { return true }
	first := func(e *order) bool { return e.writer() == 0 }
	hooks := []struct {
		id    int64
		wants func(*order) bool
	}{
		{o.hook(t, in.URL+"/good", map[string]any{"generate_secret": true}).ID, all},
		{o.hook(t, in.URL+"/again", map[string]any{"retry_schedule": []int{1, 1, 1, 1, 1, 1}}).ID, all},
		{o.hook(t, in.URL+"/once", map[string]any{"retry_schedule": []int{}, "filter": map[string]any{"payload.writer": map[string]any{"$gt": 0}}}).ID, func(e *order) bool { return !first(e) }},
		{o.hook(t, in.URL+"/good", map[string]any{"ordering": "strict", "filter": map[string]any{"payload.writer": 0}}).ID, first},
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for i := range 3 {
		writers.Go(func() { o.write(ctx, i, 40*time.Millisecond) })
	}
	total := kills(t)
	for n := range total {
		time.Sleep(time.Duration(20+rand.IntN(200)) * time.Millisecond) // a crash comes at any moment
		if n%4 == 0 {                                                   // also when it has just begun to send
			for late := time.Now().Add(3 * time.Second); in.heard(sender(n)) == 0 && time.Now().Before(late); {
				time.Sleep(time.Millisecond)
			}
		}
		in.dies(sender(n))
		server.Kill()
		server = start(n + 1)
		o.at(server.URL)
	}
	stop()
	writers.Wait()
	var log []order
	until(t, "what was acknowledged is in the log", func() bool {
		log = o.log(t)
		return len(o.missing(log)) == 0
	})
	wrong := o.acknowledged(log)
	for _, h := range hooks {
		n := 0
		for i := range log {
			if h.wants(&log[i]) {
				n++
			}
		}
		o.settled(t, h.id, n)
	}
	got := in.all()
	for _, h := range hooks {
		wrong = append(wrong, o.agree(t, h.id, h.wants, log, got)...)
	}
	wrong = append(wrong, in.check(bodies(t, log))...)
	wrong = append(wrong, inOrder(strconv.FormatInt(hooks[3].id, 10), log, got)...)
	again, most := in.repeated()
	senders := map[string]bool{}
	for _, p := range got {
		senders[p.from] = true
	}
	t.Logf("%d kills, %d of the processes sent; %d events acknowledged, %d requests; %d were answered 2xx by a process that died before it had recorded that, at most %d of one process",
		total, len(senders), len(o.acked), len(got), again, most)
	if len(senders) < total/8 { // on a machine that is busy, many are killed before that
		wrong = append(wrong, fmt.Sprintf("only %d processes of %d lived to send", len(senders), total))
	}
	report(t, wrong)
	server.Stop(syscall.SIGTERM)
}

// inOrder tells where a webhook with strict order got events in another order than that of
// the log; those that came again after a kill do not count.
func inOrder(hook string, log []order, got []parcel) (wrong []string) {
	place := map[string]int{}
	for i, e := range log {
		place[e.ID] = i
	}
	seen := map[string]bool{}
	last := -1
	for _, p := range got {
		if p.webhook != hook || seen[p.event] {
			continue
		}
		seen[p.event] = true
		if place[p.event] < last {
			wrong = append(wrong, fmt.Sprintf("webhook %s: event %s came too late", hook, p.event))
		}
		last = place[p.event]
	}
	return wrong
}

// The server is killed inside the transaction of an event, right after its commit, while
// its requests are under way and others are claimed, and between an answer and its record
// (spec/webhooks.md §7).
func TestR20_R22_KilledAtEachPointOnSQLite(t *testing.T) {
	t.Parallel()
	killedAtEachPoint(t, nil)
}

func TestR20_R22_KilledAtEachPointOnPostgreSQL(t *testing.T) {
	t.Parallel()
	killedAtEachPoint(t, []servertest.Option{servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", pgtest.Start(t))})
}

func killedAtEachPoint(t *testing.T, more []servertest.Option) {
	const rounds = 5
	pausing := servertest.BuildPlanted(t)
	dataDir := t.TempDir()
	begun := 0
	start := func(extra ...servertest.Option) *servertest.Process {
		begun++
		return servertest.Binary(t, hookOptions(dataDir, append(append(slices.Clone(more), sendsFrom(begun)), extra...)...)...)
	}
	o := newOrders()
	// A request may be held, or its answer be the last that happens.
	var hold atomic.Bool
	held, answered := make(chan struct{}, 100), make(chan struct{}, 1000)
	in := newInbox(t, func(_ *parcel, r *http.Request) int {
		if hold.Load() {
			held <- struct{}{}
			<-r.Context().Done() // the server's end
			return 0
		}
		return 200
	})
	in.after = func() { answered <- struct{}{} }
	server := start()
	o.at(server.URL)
	hook := o.hook(t, in.URL, map[string]any{"max_in_flight": 1})
	n := 0
	next := func() string { n++; return o.prepare(0, n) }
	again := func() { in.dies(sender(begun)); server.Kill(); hold.Store(false); server = start(); o.at(server.URL) }
	succeeded := func() bool {
		log := o.log(t)
		all := o.deliveries(t, hook.ID)
		return len(o.missing(log)) == 0 && len(all) == len(log) && !slices.ContainsFunc(all, func(d consigned) bool { return d.State != "succeeded" })
	}

	for range rounds { // inside the transaction
		server.Kill()
		server = start(servertest.Executable(pausing), servertest.Env("PLANTED_MISTAKE", "pause-before-commit"))
		o.at(server.URL)
		id := next()
		ended := make(chan error, 1)
		go func() { ended <- o.post(context.WithoutCancel(t.Context()), id) }()
		if _, paused := server.Await("planted pause", limit); !paused {
			t.Fatal("the transaction did not pause")
		}
		again()
		if err := <-ended; err == nil {
			t.Error("an event was acknowledged before its transaction had ended")
		}
		if slices.ContainsFunc(o.log(t), func(e order) bool { return e.ID == id }) {
			t.Error("what was killed inside its transaction is in the log")
		}
		if err := o.insist(t.Context(), next()); err != nil {
			t.Fatal(err)
		}
		until(t, "what came later is delivered", succeeded)
		if slices.ContainsFunc(in.all(), func(p parcel) bool { return p.event == id }) {
			t.Error("an event was delivered that was never stored")
		}
	}
	for range rounds { // after the commit
		if err := o.insist(t.Context(), next()); err != nil {
			t.Fatal(err)
		}
		again()
		until(t, "what was acknowledged is delivered", succeeded)
	}
	for range rounds { // one request is in the receiver's hands, others are claimed for it
		hold.Store(true)
		for range 5 {
			if err := o.insist(t.Context(), next()); err != nil {
				t.Fatal(err)
			}
		}
		<-held
		again()
		until(t, "what was under way or claimed is delivered", succeeded)
	}
	for range 2 * rounds { // between the answer and its record
		for len(answered) > 0 {
			<-answered
		}
		if err := o.insist(t.Context(), next()); err != nil {
			t.Fatal(err)
		}
		<-answered
		again()
		until(t, "what was answered is recorded", succeeded)
	}
	log := o.log(t)
	wrong := append(o.acknowledged(log), in.check(bodies(t, log))...)
	wrong = append(wrong, o.agree(t, hook.ID, func(*order) bool { return true }, log, in.all())...)
	twice, most := in.repeated()
	t.Logf("%d answers were not recorded, %d of one process at most", twice, most)
	if twice == 0 || most > 1 {
		wrong = append(wrong, fmt.Sprintf("%d answers were lost, of one process at most %d: want some, and one at a time", twice, most))
	}
	if most > 1 {
		for _, p := range in.all() {
			t.Logf("%v %s from %s attempt %s status %d", p.began.Format("05.000"), p.event, p.from, p.attempt, p.status)
		}
	}
	report(t, wrong)
}
