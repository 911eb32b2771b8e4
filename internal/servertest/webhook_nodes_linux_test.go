package servertest_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

// Two nodes are on one database, and events come to both. One of them sends, never both
// the same at the same time; when it is killed in the middle of its work, the other takes
// over within 60 s and nothing is lost.
func TestR24_AnotherNodeSendsWhenOneDies(t *testing.T) {
	const rounds, patience = 4, 60 * time.Second
	dsn := pgtest.Start(t)
	started := 0
	node := func() (*servertest.Process, string) {
		started++
		p := servertest.Binary(t, hookOptions(t.TempDir(), sendsFrom(started),
			servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", dsn), servertest.Flag("auth.secret", hookKey+hookKey),
			servertest.Flag("webhooks.secret_encryption_key", encryptionKey(1)))...)
		return p, sender(started)
	}
	alive := map[string]*servertest.Process{} // by the address that it sends from
	add := func() *servertest.Process { p, from := node(); alive[from] = p; return p }
	one, two := add(), add()
	in := newInbox(t, func(*parcel, *http.Request) int {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		return 200
	})
	a, b := newOrders(), newOrders()
	a.at(one.URL)
	b.at(two.URL)
	hook := a.hook(t, in.URL, map[string]any{"generate_secret": true})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	for i, o := range []*orders{a, b} {
		writers.Go(func() { o.write(ctx, i, 15*time.Millisecond) })
	}
	for round := range rounds {
		var sends string
		until(t, "one of the nodes sends", func() bool {
			sends = in.last()
			return alive[sends] != nil && in.heard(sends) > 20
		})
		for from := range alive {
			if from != sends && in.heard(from) > 0 {
				t.Errorf("round %d: both nodes have sent, %s beside %s", round, from, sends)
			}
		}
		in.dies(sends)
		alive[sends].Kill()
		died := time.Now()
		delete(alive, sends)
		var other string
		for from := range alive {
			other = from
		}
		for in.heard(other) == 0 && time.Since(died) < patience {
			time.Sleep(5 * time.Millisecond) // another process is waited for
		}
		took := time.Since(died)
		t.Logf("round %d: %s took over from %s after %v", round, other, sends, took.Round(time.Millisecond))
		if took >= patience {
			t.Errorf("round %d: nobody sent within %v", round, patience)
		}
		a.at(alive[other].URL)
		b.at(add().URL)
	}
	stop()
	writers.Wait()
	log := a.log(t)
	a.settled(t, hook.ID, len(log))
	maps.Copy(a.sent, b.sent)
	maps.Copy(a.acked, b.acked)
	a.wrong = append(a.wrong, b.wrong...)
	got := in.all()
	wrong := append(a.acknowledged(log), in.check(bodies(t, log))...)
	wrong = append(wrong, a.agree(t, hook.ID, func(*order) bool { return true }, log, got)...)
	again, most := in.repeated()
	t.Logf("%d events, %d requests, %d answered twice, at most %d of one node", len(log), len(got), again, most)
	report(t, wrong)
}
