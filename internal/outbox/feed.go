package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/kuranty/kuranty/event"
)

const (
	// batch bounds the events a sink gets at once.
	batch = 500
	// saveEvery is how often a cursor that moves is saved; after a crash events since then
	// are announced again.
	saveEvery = time.Second
	// A sink that fails is tried again after a wait that doubles, within these.
	retryFirst, retryLast = 20 * time.Millisecond, 5 * time.Second
)

func sortByPos(events []event.Event) {
	slices.SortFunc(events, func(a, b event.Event) int { return cmp.Compare(a.Pos, b.Pos) })
}

// feed gives a sink its events until ctx ends, and then saves its cursor.
func (l *Log) feed(ctx context.Context, r *reader) {
	r.saved = r.cursor.Load()
	defer func() {
		if end := r.cursor.Load(); end != r.saved {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			l.save(last, r, end)
		}
	}()
	lastSave := time.Now()
	wait := retryFirst
	for ctx.Err() == nil {
		before := r.cursor.Load()
		events, err := l.after(ctx, r)
		if err == nil {
			err = l.deliver(ctx, r, events)
		}
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			r.failures.Add(1)
			if r.cursor.Load() != before {
				wait = retryFirst
			}
			l.o.Logger.Warn("events wait", "sink", r.sink.Name(), "after", r.cursor.Load(), "again_in", wait, "error", err)
			sleep(ctx, wait)
			wait = min(wait*2, retryLast)
			continue
		}
		wait = retryFirst
		if now := time.Now(); now.Sub(lastSave) >= saveEvery {
			lastSave = now
			if end := r.cursor.Load(); l.save(ctx, r, end) {
				r.saved = end
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (l *Log) save(ctx context.Context, r *reader, pos int64) bool {
	if err := l.store.SaveCursor(ctx, r.sink.Name(), pos); err != nil {
		l.o.Logger.Warn("save cursor", "sink", r.sink.Name(), "error", err)
		return false
	}
	return true
}

// after waits until there are events after the sink's cursor and returns some of them,
// from memory if they are there; or none, once the cursor should be saved although
// nothing follows.
func (l *Log) after(ctx context.Context, r *reader) ([]event.Event, error) {
	for {
		cursor := r.cursor.Load()
		events, head, grown, err := l.page(ctx, cursor)
		switch {
		case err != nil:
			return nil, err
		case len(events) > 0:
			r.since.Store(events[0].At)
			return events, nil
		case cursor < head: // pruned
			r.cursor.Store(head)
			continue
		}
		var save <-chan time.Time
		if cursor != r.saved {
			save = time.After(saveEvery)
		}
		select {
		case <-grown:
		case <-save:
			return nil, nil
		case <-ctx.Done():
			return nil, errStopped
		}
	}
}

// page returns some of the events after a position, from memory if they are there, how far
// the log reaches, and what is closed when it reaches further. No events although the log
// reaches further means that they were pruned.
func (l *Log) page(ctx context.Context, after int64) (events []event.Event, head int64, grown <-chan struct{}, err error) {
	l.mu.Lock()
	head, grown = l.head, l.grown
	if n := len(l.window); n > 0 && after < head && l.window[0].Pos <= after+1 {
		from := int(after + 1 - l.window[0].Pos)
		events = slices.Clone(l.window[from:min(n, from+batch)])
	}
	l.mu.Unlock()
	if events == nil && after < head {
		events, err = l.store.Events(ctx, after, batch)
	}
	return events, head, grown, err
}

// Follow waits until there are events after a position, or ctx ends, and returns some of
// them, in order and without a gap. It is for a reader that keeps its own cursor: what it
// has done with the events and how far it is are stored in one transaction. reached is the
// position up to which nothing else is left, also where events were pruned.
func (l *Log) Follow(ctx context.Context, after int64) (events []event.Event, reached int64, err error) {
	for {
		events, head, grown, err := l.page(ctx, after)
		switch {
		case err != nil:
			return nil, after, err
		case len(events) > 0:
			return events, events[len(events)-1].Pos, nil
		case after < head:
			return nil, head, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, after, ctx.Err()
		}
	}
}

// deliver announces events and moves the cursor past those that were, and past those
// that the sink refuses.
func (l *Log) deliver(ctx context.Context, r *reader, events []event.Event) error {
	size := len(events)
	for len(events) > 0 {
		n, err := l.contain(ctx, r, events[:min(size, len(events))])
		if n > 0 {
			r.delivered.Add(uint64(n))
			r.cursor.Store(events[n-1].Pos)
			events = events[n:]
		}
		var no *refusal
		switch {
		case errors.Is(err, errPanicked) && size > 1:
			size = 1 // one by one, to find which it is
		case err == nil && n == 0:
			return errors.New("the sink announced nothing")
		case (errors.As(err, &no) || errors.Is(err, errPanicked)) && len(events) > 0:
			if stored := l.store.Refuse(ctx, r.sink.Name(), events[0], err); stored != nil {
				return stored
			}
			l.o.Logger.Error("event refused", "sink", r.sink.Name(), "event", events[0].ID, "type", events[0].Type, "error", err)
			r.refused.Add(1)
			r.cursor.Store(events[0].Pos)
			events = events[1:]
		case err != nil:
			return err
		}
	}
	return nil
}

var errPanicked = errors.New("panic")

// contain contains a panic of the sink.
func (l *Log) contain(ctx context.Context, r *reader, events []event.Event) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			l.o.Logger.Error("panic", "where", "sink "+r.sink.Name(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			n, err = 0, fmt.Errorf("%w: %v", errPanicked, p)
		}
	}()
	return r.sink.Deliver(ctx, events)
}
