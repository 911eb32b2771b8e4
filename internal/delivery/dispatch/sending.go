package dispatch

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
)

const (
	// lease is how long a claimed delivery is left to this process, should it never say how
	// its attempt ended.
	lease = 5 * time.Minute
	// maxBytes bounds the bodies that are being sent, and the results that are not recorded
	// yet, in bytes.
	maxBytes = 32 << 20
	// restartAfter is how long sending rests after a panic.
	restartAfter = time.Second
	// lastWords is for how long at the end a database is tried that fails.
	lastWords = 5 * time.Second
	// A failing database is asked again after a wait that doubles, within these.
	retryFirst, retryLast = 50 * time.Millisecond, 5 * time.Second
)

// sending is the time during which this process sends.
type sending struct {
	*Dispatcher

	mu    sync.Mutex
	lanes map[int64]*lane
	index *delivery.Index
	// version is that of the webhooks that lanes and index are of.
	version int64
	// ready are the lanes that have something to send, as far as they know themselves.
	ready []*lane
	// slots are those of the process, hosts those of each host and port that takes some.
	slots    room
	hosts    map[string]*room
	retrying int // slots of attempts that are not the first
	bytes    int
	claimed  int // in queues of lanes
	// manual are the deliveries that an attempt by hand is made for.
	manual   map[int64]bool
	stopped  bool
	position int64
	trouble  string

	launch   func(start)
	jobs     chan struct{} // some are running
	wake     chan struct{} // there may be something to claim
	results  chan *result
	reload   chan chan struct{}
	attempts sync.WaitGroup
}

func newSending(d *Dispatcher) *sending {
	return &sending{
		Dispatcher: d, lanes: map[int64]*lane{}, index: delivery.NewIndex(nil), slots: room{size: d.o.Slots}, hosts: map[string]*room{}, manual: map[int64]bool{},
		jobs: make(chan struct{}, 1), wake: make(chan struct{}, 1), results: make(chan *result, maxRecorded), reload: make(chan chan struct{}),
	}
}

// run sends until ctx ends.
func (s *sending) run(ctx context.Context) {
	if !s.load(ctx) {
		return
	}
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s.launch = func(st start) { s.send(sending, st) }
	var work sync.WaitGroup
	ctx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(ctx, s.halt)()
	for _, f := range []func(context.Context){s.fanOut, s.claim, s.tend, s.runJobs, s.prune} {
		work.Go(func() {
			defer s.contain("webhooks", end)
			f(ctx)
		})
	}
	recording, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		defer func() {
			for range s.results { // only after a panic is there any: their leases make them due again
			}
		}()
		defer s.contain("record of webhooks", end)
		s.record(recording)
	}()

	work.Wait() // all of it ends with ctx
	left := s.stop()
	ended := make(chan struct{})
	go func() { s.attempts.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(s.o.Grace):
		cut()
		<-ended
	}
	for _, c := range left {
		s.results <- &result{claimed: c, end: unsent, pressing: true}
	}
	close(s.results)
	defer time.AfterFunc(lastWords, giveUp).Stop()
	<-recorded
}

// contain ends a part that panicked, and what is sending with it: then all of it begins
// anew (guarantees.md R35).
func (s *sending) contain(where string, end func()) {
	if p := recover(); p != nil {
		s.o.Logger.Error("panic", "where", where, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		if s.o.Panicked != nil {
			s.o.Panicked()
		}
		end()
	}
}

// load reads the webhooks, and makes deliveries due again that another process left. It
// returns false if ctx ended before.
func (s *sending) load(ctx context.Context) bool {
	return s.insist(ctx, "read webhooks", func() error {
		for {
			n, err := s.o.Store.Abandon(ctx, time.Now().Add(2*lease), 1000)
			if err != nil {
				return err
			}
			if n < 1000 {
				break
			}
		}
		if err := s.refresh(ctx, true); err != nil {
			return err
		}
		waiting, err := s.o.Store.Waiting(ctx)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for id, l := range s.lanes {
			l.waiting = waiting[id]
		}
		return nil
	})
}

// insist calls f until it succeeds; it returns false if ctx ended first.
func (s *sending) insist(ctx context.Context, what string, f func() error) bool {
	wait := retryFirst
	for {
		err := f()
		if err == nil {
			s.note("")
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.note(err.Error())
		s.o.Logger.Warn("webhooks wait", "for", what, "again_in", wait, "error", err)
		pause(ctx, wait)
		wait = min(2*wait, retryLast)
	}
}

// pause waits; it returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *sending) note(trouble string) {
	s.mu.Lock()
	s.trouble = trouble
	s.mu.Unlock()
}

// refresh takes over the webhooks as they are stored. Only the recorder calls it once that
// runs, so that what it stored and what it reads have one order.
func (s *sending) refresh(ctx context.Context, restarted bool) error {
	all, version, err := s.o.Store.Webhooks(ctx)
	if err != nil {
		return err
	}
	matchers := make([]*delivery.Matcher, 0, len(all))
	for i := range all {
		m, err := delivery.NewMatcher(&all[i])
		if err != nil { // stored by a version that knew more
			s.o.Logger.Error("webhook left out", "webhook", all[i].ID, "error", err)
			continue
		}
		matchers = append(matchers, m)
		if all[i].Locked {
			s.o.Logger.Error("deliveries of a webhook wait: there is no key for its secrets", "webhook", all[i].ID,
				"keys", "webhooks.secret_encryption_key, webhooks.previous_encryption_keys")
		}
	}
	index := delivery.NewIndex(matchers)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index, s.version = index, version
	before := s.lanes
	s.lanes = make(map[int64]*lane, len(all))
	now := time.Now()
	for _, w := range all {
		l := before[w.ID]
		if l == nil {
			if restarted {
				w.Circuit.Restart()
			}
			l = newLane(w)
			l.stir(now)
		} else {
			w.Circuit.Probing = l.w.Circuit.Probing
			l.adopt(w)
			l.stir(now)
		}
		s.lanes[w.ID] = l
		s.prepare(l)
	}
	for id, l := range before {
		if s.lanes[id] == nil { // removed
			s.claimed -= l.queued()
			l.fresh, l.again = nil, nil
		}
	}
	signal(s.wake)
	return nil
}

// prepare puts a lane among those that have something to send; s.mu is held.
func (s *sending) prepare(l *lane) {
	if !l.ready && l.queued() > 0 {
		l.ready = true
		s.ready = append(s.ready, l)
	}
}
