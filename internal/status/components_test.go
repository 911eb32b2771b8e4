package status_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kuranty/kuranty/internal/status"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

func TestOverallIsTheWorst(t *testing.T) {
	for _, c := range []struct {
		states string
		want   status.State
	}{
		{"", status.Operational},
		{"operational operational", status.Operational},
		{"operational degraded", status.Degraded},
		{"partial_outage degraded", status.PartialOutage},
		{"degraded major_outage operational", status.MajorOutage},
		{"operational nonsense", status.MajorOutage},
	} {
		var all []status.Component
		for _, s := range strings.Fields(c.states) {
			all = append(all, status.Component{State: status.State(s)})
		}
		if got := status.Overall(all); got != c.want {
			t.Errorf("%q: %s, want %s", c.states, got, c.want)
		}
	}
}

// What one component says, sample by sample, and what counts after each.
func TestAChangeHoldsForTwoSamples(t *testing.T) {
	const (
		o = status.Operational
		d = status.Degraded
		p = status.PartialOutage
		m = status.MajorOutage
	)
	for name, c := range map[string]struct{ says, counts []status.State }{
		"stays":              {[]status.State{o, o, o}, []status.State{o, o, o}},
		"once":               {[]status.State{o, m, o, o}, []status.State{o, o, o, o}},
		"twice":              {[]status.State{o, d, d, o, o}, []status.State{o, o, d, d, o}},
		"flaps":              {[]status.State{o, m, o, m, o, m}, []status.State{o, o, o, o, o, o}},
		"gets worse":         {[]status.State{d, m, m, m}, []status.State{o, d, m, m}},
		"never the same":     {[]status.State{d, m, d, m}, []status.State{o, d, d, d}},
		"gets better":        {[]status.State{m, m, d, o, o}, []status.State{o, m, m, d, o}},
		"better, then worse": {[]status.State{p, p, o, m, m}, []status.State{o, p, p, p, m}},
		"nonsense":           {[]status.State{"what", "what"}, []status.State{o, m}},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, store.Options{Path: t.TempDir() + "/k.db"})
			for i := range c.says {
				n.probe["log"].state = c.says[i]
				n.sample(1)
				if got := n.Status().Components[2].State; got != c.counts[i] {
					t.Errorf("after %v: %s, want %s", c.says[:i+1], got, c.counts[i])
				}
			}
		})
	}
}

func TestChangesAreAnnounced(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		n := start(t, o)
		n.sample(2)
		if told := n.told(); len(told) > 0 {
			t.Errorf("told of a start: %v", told)
		}
		n.probe["log"].state, n.probe["log"].detail = status.Degraded, "late"
		n.sample(1)
		began := n.clock().UnixMilli()
		if n.Status().State != status.Operational || len(n.told()) > 0 {
			t.Error("one sample was enough")
		}
		n.sample(3)
		now := n.Status()
		if c := now.Components[2]; now.State != status.Degraded || c.State != status.Degraded || c.Detail != "late" || c.Since != began {
			t.Errorf("status %+v", now)
		}
		told := n.told()
		if want := "[map[actor: at:1777636820000 changedAt:2026-05-01T12:00:20Z components:map[broker:operational database:operational log:degraded] " +
			"previousStatus:operational status:degraded type:system.status.changed]]"; fmt.Sprint(told) != want {
			t.Errorf("told %v\nwant %v", told, want)
		}
		// A component alone, with the whole as it was.
		n.probe["broker"].state = status.Degraded
		n.sample(2)
		if told = n.told(); len(told) != 1 || told[0]["status"] != "degraded" || told[0]["previousStatus"] != "degraded" {
			t.Errorf("told %v", told)
		}
		// The next process goes on where this one was.
		again := start(t, o)
		again.now = n.clock()
		again.probe["log"].state, again.probe["broker"].state = status.Degraded, status.Degraded
		n.must(n.store.StatusPage().Resign(t.Context(), "nobody"))
		ended, end := context.WithCancel(t.Context())
		end()
		n.must(n.Run(ended)) // gives the lease back
		again.sample(2)
		if told := again.told(); len(told) > 0 {
			t.Errorf("told again: %v", told)
		}
		if c := again.Status().Components[2]; c.Since != began {
			t.Errorf("since %d, want %d", c.Since, began)
		}
	})
}

// away is a store that does not answer.
type away struct {
	status.Store
	gone bool
}

func (a *away) Update(ctx context.Context, f func(status.Tx) error) error {
	if a.gone {
		return store.ErrUnavailable
	}
	return a.Store.Update(ctx, f)
}

func (a *away) View(ctx context.Context, f func(status.Tx) error) error {
	if a.gone {
		return store.ErrUnavailable
	}
	return a.Store.View(ctx, f)
}

// What happened to the database is told when it is back, in order and with its time.
func TestAnOutageOfTheDatabaseIsToldAfterwards(t *testing.T) {
	n := start(t, store.Options{Path: t.TempDir() + "/k.db"})
	db := &away{Store: n.store.StatusPage()}
	n.Service = status.New(n.options(db))
	n.sample(2)
	db.gone, n.probe["database"].state = true, status.MajorOutage
	n.sample(2)
	outage := n.clock().UnixMilli()
	n.sample(5)
	if n.Status().State != status.MajorOutage {
		t.Errorf("status %+v", n.Status())
	}
	if len(n.told()) > 0 {
		t.Error("told without a database")
	}
	db.gone, n.probe["database"].state = false, status.Operational
	n.sample(3)
	told := n.told()
	if len(told) != 2 || told[0]["status"] != "major_outage" || told[0]["at"] != outage || told[1]["status"] != "operational" || told[1]["previousStatus"] != "major_outage" {
		t.Errorf("told %v", told)
	}
}

// Changes that wait for the database are bounded; the last of them is kept.
func TestChangesThatWaitAreBounded(t *testing.T) {
	n := start(t, store.Options{Path: t.TempDir() + "/k.db"})
	db := &away{Store: n.store.StatusPage(), gone: true}
	n.Service = status.New(n.options(db))
	for i := range 200 {
		n.probe["log"].state = []status.State{status.Degraded, status.Operational}[i%2]
		n.sample(2)
	}
	n.probe["log"].state = status.PartialOutage
	n.sample(2)
	db.gone = false
	n.sample(1)
	told := n.told()
	if len(told) != 64 || told[63]["status"] != "partial_outage" {
		t.Errorf("%d told, at last %v", len(told), told[len(told)-1])
	}
}

// Of two processes one announces; the other shows what that one says, and takes over.
func TestOneProcessAnnounces(t *testing.T) {
	o := storetest.Options(t, store.Postgres)
	a, b := start(t, o), start(t, o)
	a.sample(2)
	b.sample(2)
	for _, n := range []*node{a, b} {
		n.probe["log"].state = status.Degraded
	}
	b.probe["broker"].state = status.MajorOutage // as only b sees it
	for range 3 {
		a.sample(1)
		b.sample(1)
	}
	if told := a.told(); len(told) != 1 || told[0]["status"] != "degraded" {
		t.Errorf("the first told %v", told)
	}
	if told := b.told(); len(told) != 0 {
		t.Errorf("the second told %v", told)
	}
	if got := b.Status(); got.State != status.Degraded {
		t.Errorf("the second shows %+v", got)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	a.must(a.Run(ended))
	b.sample(2)
	if told := b.told(); len(told) != 1 || told[0]["status"] != "major_outage" || told[0]["previousStatus"] != "degraded" {
		t.Errorf("the second told %v", told)
	}
	// A process that died without giving the lease back loses it with the time, by the clock
	// of the database, also if that is set back.
	for _, until := range []string{"- interval '1 second'", "+ interval '1 day'"} {
		exec(t, o, `UPDATE status_lease SET holder = 'dead', held_until = now() `+until)
		if leads, err := a.store.StatusPage().Lead(t.Context(), "next"); err != nil || !leads {
			t.Errorf("%s: %v, %v", until, leads, err)
		}
	}
	if leads, err := b.store.StatusPage().Lead(t.Context(), "other"); err != nil || leads {
		t.Errorf("two lead: %v, %v", leads, err)
	}
}

// An error after the change leaves neither the change nor its event.
func TestChangeAndEventAreOne(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		n := start(t, o)
		failing := &broken{Store: n.store.StatusPage()}
		n.Service = status.New(n.options(failing))
		n.sample(1)
		failing.now = true
		n.probe["log"].state = status.Degraded
		n.sample(3)
		if _, err := n.Plan(t.Context(), "user:1", status.Plan{Title: "x", StartsAt: n.clock().UnixMilli()}); !errors.Is(err, errBroken) {
			t.Fatalf("planned: %v", err)
		}
		if told := n.told(); len(told) > 0 {
			t.Errorf("told %v", told)
		}
		page, err := n.List(t.Context(), status.Query{})
		if err != nil || len(page.Maintenance) > 0 {
			t.Errorf("%+v, %v", page, err)
		}
		failing.now = false
		n.sample(1)
		if told := n.told(); len(told) != 1 {
			t.Errorf("told %v", told)
		}
	})
}

var errBroken = errors.New("broken")

// broken fails transactions that have done all they wanted to.
type broken struct {
	status.Store
	now bool
}

func (b *broken) Update(ctx context.Context, f func(status.Tx) error) error {
	return b.Store.Update(ctx, func(tx status.Tx) error {
		if err := f(tx); err != nil || !b.now {
			return err
		}
		return errBroken
	})
}

// slow is a probe that answers when it is given up.
type slow struct{ component }

func (s *slow) Status(ctx context.Context) (status.State, string) {
	<-ctx.Done()
	return status.MajorOutage, "no answer"
}

// nowhere is a store with nothing in it.
type nowhere struct{ status.Store }

func (nowhere) Update(context.Context, func(status.Tx) error) error { return store.ErrUnavailable }
func (nowhere) View(context.Context, func(status.Tx) error) error   { return store.ErrUnavailable }
func (nowhere) Resign(context.Context, string) error                { return store.ErrUnavailable }

// A component that does not answer is waited for 2 s, and looked at every 5 s.
func TestRunLooksEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := status.New(status.Options{Store: nowhere{}, Probes: []status.Probe{&slow{component{name: "log"}}}})
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(6900 * time.Millisecond)
		synctest.Wait()
		if got := s.Status(); got.State != status.Operational || got.SampledAt == 0 {
			t.Errorf("after one look: %+v", got)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if got := s.Status(); got.State != status.MajorOutage || got.Components[0].Detail != "no answer" {
			t.Errorf("after two looks: %+v", got)
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
