package outbox_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/outbox"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// process is a store and the log it is read through, as one server has them.
type process struct {
	*store.Store
	log  *outbox.Log
	stop func()
}

func start(t *testing.T, o store.Options, lo outbox.Options, sinks ...outbox.Sink) *process {
	t.Helper()
	var log *outbox.Log
	ready := make(chan struct{})
	o.Committed = func(events []event.Event) { <-ready; log.Committed(events) }
	s, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	log = outbox.New(s, lo, sinks...)
	close(ready)
	if err := log.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	p := &process{Store: s, log: log}
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

// sink keeps what it was told of, and fails as it is told to.
type sink struct {
	name string
	fail func(e event.Event) error

	mu      sync.Mutex
	events  []event.Event
	changed chan struct{}
}

func (s *sink) Name() string { return s.name }

func (s *sink) Deliver(_ context.Context, events []event.Event) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	for i, e := range events {
		if s.fail != nil {
			if err := s.fail(e); err != nil {
				return i, err
			}
		}
		s.events = append(s.events, e)
	}
	return len(events), nil
}

// await waits until the sink was told of n different events and returns all of them.
func (s *sink) await(t *testing.T, n int) []event.Event {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		distinct := map[string]bool{}
		for _, e := range s.events {
			distinct[e.ID] = true
		}
		all := slices.Clone(s.events)
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if len(distinct) >= n {
			return all
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("sink %s was told of %d events, want %d", s.name, len(distinct), n)
		}
	}
}

func onBoth(t *testing.T, test func(t *testing.T, o store.Options)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { test(t, storetest.Options(t, driver)) })
	}
}

// write stores n events from several writers whose transactions overlap.
func write(t *testing.T, s *store.Store, from, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := from + w; i < from+n; i += 8 {
				ctx := context.Background()
				err := s.Update(ctx, func(tx *store.Tx) error {
					e, err := event.New("test", time.Now(), map[string]int{"n": i})
					if err != nil {
						return err
					}
					if err := tx.Append(ctx, e); err != nil {
						return err
					}
					if rand.IntN(4) == 0 {
						time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // others commit meanwhile
					}
					return nil
				})
				if err != nil {
					t.Errorf("write %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

// inOrder checks that positions rise by one, repetitions apart.
func inOrder(t *testing.T, events []event.Event) {
	t.Helper()
	var last int64
	for _, e := range events {
		if e.Pos > last+1 {
			t.Fatalf("position %d follows %d", e.Pos, last)
		}
		last = max(last, e.Pos)
	}
}

func TestEverySinkGetsEveryEventInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		quick := &sink{name: "quick"}
		failures := 0
		moody := &sink{name: "moody", fail: func(event.Event) error {
			if failures++; failures%50 == 7 {
				return errors.New("try again")
			}
			return nil
		}}
		p := start(t, o, outbox.Options{Window: 4 << 10}, quick, moody)
		write(t, p.Store, 0, 600)
		inOrder(t, quick.await(t, 600))
		inOrder(t, moody.await(t, 600))
		p.stop()

		// What is written while nobody reads is announced by the next process.
		s, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, 600, 100)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		next := &sink{name: "quick"}
		start(t, o, outbox.Options{}, next)
		for _, e := range next.await(t, 100) {
			if e.Pos <= 600 {
				t.Errorf("position %d came again after an orderly stop", e.Pos)
			}
		}
	})
}

// Who looks at the database of an idle server sees that nothing is behind.
func TestTheCursorIsSavedWhenNothingFollows(t *testing.T) {
	k := &sink{name: "idle"}
	p := start(t, store.Options{Path: filepath.Join(t.TempDir(), "k.db")}, outbox.Options{}, k)
	write(t, p.Store, 0, 8)
	k.await(t, 8)
	for late := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		pos, _, err := p.Cursor(t.Context(), "idle")
		if err != nil {
			t.Fatal(err)
		}
		if pos == 8 {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("the cursor is saved at %d, want 8", pos)
		}
	}
}

func TestARefusedEventIsSetAside(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		picky := &sink{name: "picky", fail: func(e event.Event) error {
			switch e.Pos {
			case 3:
				return outbox.Refuse(errors.New("not this one"))
			case 5:
				panic("planted")
			}
			return nil
		}}
		p := start(t, o, outbox.Options{}, picky)
		write(t, p.Store, 0, 8)
		for _, e := range picky.await(t, 6) {
			if e.Pos == 3 || e.Pos == 5 {
				t.Errorf("the event at %d was announced", e.Pos)
			}
		}
		p.stop()
		refused, err := open(t, o).Refused(t.Context(), 10)
		if err != nil || len(refused) != 2 {
			t.Fatalf("%d events are set aside (%v), want 2", len(refused), err)
		}
		for _, r := range refused {
			if want := map[int64]string{3: "not this one", 5: "panic: planted"}[r.Pos]; r.Error != want || r.Sink != "picky" {
				t.Errorf("set aside: %+v", r)
			}
		}
	})
}

// Two processes on one database: each announces everything, whoever stored it, also
// when the one that numbers dies.
func TestProcessesAnnounceWhatOthersStore(t *testing.T) {
	o := storetest.Options(t, store.Postgres)
	a, b := &sink{name: "a"}, &sink{name: "b"}
	first := start(t, o, outbox.Options{}, a)
	second := start(t, o, outbox.Options{}, b)
	var wg sync.WaitGroup
	wg.Go(func() { write(t, first.Store, 0, 200) })
	wg.Go(func() { write(t, second.Store, 200, 200) })
	wg.Wait()
	inOrder(t, a.await(t, 400))
	inOrder(t, b.await(t, 400))
	first.stop()
	write(t, second.Store, 400, 50)
	inOrder(t, b.await(t, 450))
}

// A process that numbered events and died before it told anybody leaves them to the next
// one that numbers (guarantees.md R18).
func TestR18_LeaderAnnouncesWhatTheOneBeforeNumbered(t *testing.T) {
	s := open(t, storetest.Options(t, store.Postgres))
	told := &sink{name: "a"}
	log := outbox.New(s, outbox.Options{}, told)
	if err := log.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, s, 0, 10)
	if given, err := s.NumberEvents(t.Context()); err != nil || len(given) != 10 {
		t.Fatalf("%d events were numbered, %v", len(given), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- log.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	inOrder(t, told.await(t, 10))
}

func TestPruneKeepsWhatIsNeeded(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		slow := &sink{name: "slow", fail: func(e event.Event) error {
			if e.Pos > 50 {
				return errors.New("stuck")
			}
			return nil
		}}
		p := start(t, o, outbox.Options{}, slow)
		write(t, p.Store, 0, 100)
		slow.await(t, 50)
		for pos := int64(0); pos < 100; { // all are numbered
			var err error
			if _, pos, err = p.log.Follow(t.Context(), pos); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.SaveCursor(t.Context(), "slow", 50); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			age  time.Duration
			keep int64
			want int64
		}{
			{time.Hour, 0, 0}, // too young
			{-time.Hour, 80, 20},
			{-time.Hour, 0, 30}, // up to the cursor
		} {
			if n, err := p.PruneEvents(t.Context(), c.age, c.keep, 1000); err != nil || n != c.want {
				t.Errorf("prune %v keeping %d removed %d (%v), want %d", c.age, c.keep, n, err, c.want)
			}
		}
		head, err := p.Head(t.Context())
		if err != nil || head != 100 {
			t.Errorf("head is %d (%v)", head, err)
		}
	})
}

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
