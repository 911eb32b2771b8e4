package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Observation is something that happened and may be worth an alert.
type Observation struct {
	// Kind is one of the server's own; others are not taken.
	Kind string
	// Subject is who or what it is about, as "user:88" or "address:192.0.2.1".
	Subject string
	// User is the person it is about, 0 if nobody.
	User int64
	// N is how often it happened; zero means once.
	N int64
	// Detail is what else is known, for the alert's metadata; it is not changed afterwards.
	Detail map[string]string
}

// About returns the subject of a person, or of an address if there is none. Addresses of
// IPv6 count by their network of 64 bits, of which everybody has a whole one.
func About(user int64, address string) string {
	if user != 0 {
		return event.User(user)
	}
	if ip, err := netip.ParseAddr(address); err == nil {
		if ip = ip.Unmap().WithZone(""); ip.Is4() {
			address = ip.String()
		} else if network, err := ip.Prefix(64); err == nil {
			address = network.String()
		}
	}
	return "address:" + address
}

// The bounds of what waits and of what is remembered.
const (
	queued     = 4096 // observations that Run has not looked at yet
	maxTallies = 5000 // subjects that are counted, each with up to rule.n times
	maxPending = 1000 // alerts that could not be stored yet
	// maxLoud is how many subjects of a kind have alerts of their own within a window; all
	// further ones share one, of the subject "others".
	maxLoud   = 20
	loudFor   = 10 * time.Minute
	othersAre = "others"
)

// Note takes an observation. It never waits: if the queue is full, the observation is
// lost and counted.
func (s *Service) Note(o Observation) {
	select {
	case s.queue <- o:
		s.noted.Add(1)
	default:
		s.dropped.Add(1)
	}
}

// key is what alerts are folded by.
type key struct{ kind, subject string }

// watched is what Run remembers.
type watched struct {
	tallies map[key]*tally
	pending map[key]*waiting
	// loud are the subjects of each kind that had alerts lately, and when.
	loud map[string]map[string]int64
	// failing says what cannot be done at the moment.
	failing map[string]bool
}

// tally counts observations of a kind and subject.
type tally struct {
	times []int64 // of the last n within the window, by ticks
	// untold are those that no alert has counted yet.
	untold int64
}

// waiting is an alert that is to be stored.
type waiting struct {
	user   int64
	n      int64
	detail map[string]string
}

const (
	flushAfter = 100 * time.Millisecond // gathers what a storm brings
	retryAfter = time.Second
	tellEvery  = 5 * time.Second
	sweepEvery = time.Hour
	lastFlush  = 2 * time.Second
)

// Run raises alerts of what is noted, tells of those that happened again, ends scans
// that were cut off, and removes old ones, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tell, sweep, first := time.NewTicker(tellEvery), time.NewTicker(sweepEvery), time.After(tellEvery)
	defer tell.Stop()
	defer sweep.Stop()
	var flush <-chan time.Time // nil while nothing waits to be stored
	for {
		select {
		case <-ctx.Done():
			s.last(ctx)
			return nil
		case o := <-s.queue:
			s.observe(o)
			if len(s.pending) > 0 && flush == nil {
				flush = time.After(flushAfter)
			}
		case <-flush:
			if flush = nil; !s.flush(ctx) {
				flush = time.After(retryAfter)
			}
		case <-tell.C:
			s.warn(ctx, "tell of alerts that happened again", s.tellAgain(ctx))
			s.warn(ctx, "end scans that were cut off", s.endScans(ctx))
		case <-first:
			s.warn(ctx, "remove old alerts", s.sweep(ctx))
		case <-sweep.C:
			s.warn(ctx, "remove old alerts", s.sweep(ctx))
		}
	}
}

// last stores what was noted before the end.
func (s *Service) last(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	for range len(s.queue) { // not what comes meanwhile, which might have no end
		s.observe(<-s.queue)
	}
	s.flush(ctx)
}

// warn logs what could not be done, once until it can.
func (s *Service) warn(ctx context.Context, what string, err error) {
	if err != nil && !s.failing[what] && ctx.Err() == nil {
		s.log.Warn("could not "+what, "error", err)
	}
	s.failing[what] = err != nil
}

// observe counts an observation, and has an alert wait to be stored if there are enough.
func (s *Service) observe(o Observation) {
	r, known := s.rules[o.Kind]
	if !known {
		s.log.Error("an observation of an unknown kind", "kind", o.Kind)
		return
	}
	o.N = max(o.N, 1)
	o.Subject = clean(o.Subject)
	enough := o.N
	if r.n > 1 {
		if enough = s.count(key{o.Kind, o.Subject}, o.N, &r); enough == 0 {
			return
		}
	}
	if s.tooLoud(o.Kind, o.Subject) {
		o.Subject, o.User, o.Detail = othersAre, 0, nil
	}
	k := key{o.Kind, o.Subject}
	w := s.pending[k]
	if w == nil {
		if len(s.pending) >= maxPending {
			s.dropped.Add(1)
			return
		}
		w = &waiting{}
		s.pending[k] = w
	}
	w.n += enough
	w.user, w.detail = o.User, o.Detail
}

// clean makes a subject one that every database can hold; what is in it may be a
// stranger's.
func clean(subject string) string {
	subject = strings.Map(func(r rune) rune {
		if r < ' ' || r == '\uFFFD' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(subject, ""))
	for i := range subject {
		if i >= maxSubject {
			return subject[:i]
		}
	}
	return subject
}

// count returns how many observations are to become an alert; 0 if there are not enough.
func (s *Service) count(k key, n int64, r *rule) int64 {
	now := s.ticks()
	t := s.tallies[k]
	if t == nil {
		if len(s.tallies) >= maxTallies {
			s.forget(now)
		}
		t = &tally{}
		s.tallies[k] = t
	}
	t.expire(now - r.window.Milliseconds())
	for range min(n, int64(r.n)) {
		if len(t.times) == r.n {
			t.times = t.times[1:]
		}
		t.times = append(t.times, now)
	}
	t.untold += n
	if len(t.times) < r.n {
		return 0
	}
	n, t.untold = t.untold, 0
	return n
}

// expire drops what is as old as a time, and counts no longer what was not enough then.
func (t *tally) expire(before int64) {
	for len(t.times) > 0 && t.times[0] <= before {
		t.times = t.times[1:]
		t.untold = min(t.untold, int64(len(t.times)))
	}
}

// forget makes room: it drops what has run out, and if that is not enough, any.
func (s *Service) forget(now int64) {
	for k, t := range s.tallies {
		if t.expire(now - s.rules[k.kind].window.Milliseconds()); len(t.times) == 0 {
			delete(s.tallies, k)
		}
	}
	for k := range s.tallies {
		if len(s.tallies) < maxTallies*9/10 {
			return
		}
		delete(s.tallies, k)
	}
}

// tooLoud tells whether so many subjects of a kind have had alerts lately that this one
// is to have none of its own.
func (s *Service) tooLoud(kind, subject string) bool {
	now := s.ticks()
	lately := s.loud[kind]
	if lately == nil {
		lately = make(map[string]int64)
		s.loud[kind] = lately
	}
	if _, there := lately[subject]; !there && len(lately) >= maxLoud {
		maps.DeleteFunc(lately, func(_ string, at int64) bool { return now-at >= loudFor.Milliseconds() })
		if len(lately) >= maxLoud {
			return true
		}
	}
	lately[subject] = now
	return false
}

// flush stores what waits. It returns false if something could not be stored yet.
func (s *Service) flush(ctx context.Context) bool {
	for k, w := range s.pending {
		a, err := s.noticed(k, w)
		if err == nil {
			_, _, err = s.raise(ctx, "", a)
		}
		s.warn(ctx, "store an alert; it is tried again", err)
		if err != nil {
			return false
		}
		delete(s.pending, k)
	}
	return true
}

// noticed makes the alert of what was observed.
func (s *Service) noticed(k key, w *waiting) (Alert, error) {
	r := s.rules[k.kind]
	m := make(map[string]any, len(w.detail)+3)
	for name, value := range w.detail {
		m[name] = value
	}
	m["attempts"] = w.n
	if w.user != 0 {
		m["userId"] = strconv.FormatInt(w.user, 10)
	}
	text := fmt.Sprintf("%d %s", w.n, r.what)
	if r.n > 1 {
		m["timeWindow"] = span(r.window)
		text += " within " + span(r.window)
	}
	metadata, err := json.Marshal(m)
	return Alert{
		Kind: k.kind, Subject: k.subject, User: w.user, Title: r.title, Description: text + ": " + k.subject, Severity: r.severity,
		Category: r.category, Source: r.source, Metadata: metadata, Count: w.n,
	}, err
}

// span is a duration without the units that are zero at its end: 5m, not 5m0s.
func span(d time.Duration) string {
	text := d.String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}

// batch bounds what one transaction of the background work touches.
const batch = 100

// tellAgain announces alerts that happened again in a minute that is over.
func (s *Service) tellAgain(ctx context.Context) error {
	now := s.now()
	var due []int64
	err := s.store.View(ctx, func(tx Tx) (err error) {
		due, err = tx.Untold(ctx, now-announceEvery.Milliseconds(), now, batch)
		return err
	})
	for _, id := range due {
		if err == nil {
			err = s.tellOne(ctx, id, now)
		}
	}
	return err
}

func (s *Service) tellOne(ctx context.Context, id, now int64) error {
	return s.store.Update(ctx, func(tx Tx) error {
		a, err := tx.LockAlert(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return nil
		case err != nil:
			return err
		case a.Announced >= a.Count || a.toldLately(now): // another node was faster
			return nil
		}
		return s.tell(ctx, tx, &a, now)
	})
}

// sweep removes what is older than the retention.
func (s *Service) sweep(ctx context.Context) error {
	before := s.now() - s.o.Retention.Milliseconds()
	for {
		var alerts, scans int64
		err := s.store.Update(ctx, func(tx Tx) (err error) {
			if alerts, err = tx.SweepAlerts(ctx, before, batch); err != nil {
				return err
			}
			scans, err = tx.SweepScans(ctx, before, batch)
			return err
		})
		if err != nil || alerts < batch && scans < batch {
			return err
		}
	}
}
