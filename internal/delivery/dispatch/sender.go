package dispatch

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/egress"
)

// start is an attempt that has a slot.
type start struct {
	lane    *lane
	webhook *delivery.Webhook // as it was then
	host    string
	claimed Claimed
	// probe says that it tries whether an open circuit can be closed; manual that it is by
	// hand, which asks no circuit and no limit.
	probe, manual bool
	begun         time.Time
}

func (st *start) retry() bool { return st.claimed.Attempts > 0 }

// end is how a claimed delivery ended.
type end int

const (
	attempted end = iota
	tooOld        // when its turn came
	unsent        // given back
	overfull      // not a delivery: its webhook has too many
)

// result is what the recorder is told.
type result struct {
	claimed Claimed
	end     end
	attempt delivery.Attempt
	result  delivery.Result
	verdict delivery.Verdict
	probe   bool
	manual  bool
	// holding says that the lane counts it as in flight until it was recorded: what is next
	// depends on how it ended. pressing says that somebody waits for it to be recorded.
	holding, pressing bool
}

// dispatch begins whatever attempts can begin.
func (s *sending) dispatch() { s.start(s.startable()) }

func (s *sending) start(all []start) {
	for _, st := range all {
		go s.launch(st)
	}
}

// startable takes the slots of the attempts that can begin.
func (s *sending) startable() (starts []start) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.stopped && s.slots.busy < s.slots.size && s.bytes < maxBytes && len(s.ready) > 0 {
		l := s.ready[0]
		s.ready = s.ready[1:]
		l.ready = false
		if st, ok := s.begin(l, now); ok {
			starts = append(starts, st)
			s.prepare(l)
		}
	}
	return starts
}

// begin takes the next delivery of a lane, if it may begin; s.mu is held.
func (s *sending) begin(l *lane, now time.Time) (start, bool) {
	for {
		retries := s.retrying < s.o.Slots-int(float64(s.o.Slots)*max(s.o.Reserve, 0))
		if !l.free(now) {
			return start{}, false
		}
		if l.limiter != nil && l.limiter.TokensAt(now) < 1 {
			return start{}, false
		}
		h := s.host(l.host)
		if !s.slots.admits(l) || !h.admits(l) {
			return start{}, false
		}
		c, ok := l.pop(retries)
		if !ok {
			return start{}, false
		}
		s.claimed--
		if s.o.Retries.Expired(c.CycleStart, now) {
			s.attempts.Add(1)
			go func() { defer s.attempts.Done(); s.results <- &result{claimed: c, end: tooOld, pressing: true} }()
			continue
		}
		if l.limiter != nil {
			l.limiter.AllowN(now, 1)
		}
		l.inFlight++
		s.slots.busy++
		h.busy++
		s.hosts[l.host] = h
		st := start{lane: l, webhook: l.asSet, host: l.host, claimed: c, begun: now}
		st.probe = l.w.Circuit.Begin()
		if st.retry() {
			s.retrying++
		}
		s.attempts.Add(1)
		return st, true
	}
}

// send makes an attempt, and goes on with the first of those that can begin then: its stack has
// grown to what a request needs, which costs as much as all else that a goroutine does.
func (s *sending) send(ctx context.Context, st start) {
	for next := []start{st}; len(next) > 0; {
		s.attempt(ctx, next[0])
		if next = s.startable(); len(next) > 1 {
			s.start(next[1:])
		}
		s.attempts.Done()
	}
}

// attempt makes an attempt and hands on how it went.
func (s *sending) attempt(ctx context.Context, st start) {
	var due time.Duration
	if at := dueSince(&st.claimed); !st.manual && !at.IsZero() {
		due = max(st.begun.Sub(at), 0)
	}
	a, r := s.exchange(ctx, &st)
	res := &result{
		claimed: st.claimed, attempt: a, result: r, verdict: delivery.Judge(r), probe: st.probe, manual: st.manual,
	}
	s.o.Observer.Attempted(r.Code, due, a.Duration)
	s.log(ctx, &st, res)
	s.keep(&st, res)
	s.results <- res // holds the slot while the recorder is behind
	s.release(&st, res)
}

// exchange makes the request of an attempt. A panic is an attempt that failed by our fault.
func (s *sending) exchange(ctx context.Context, st *start) (a delivery.Attempt, r delivery.Result) {
	defer s.contain("webhook attempt", func() {
		now := time.Now().UTC()
		a = delivery.Attempt{
			DeliveryID: st.claimed.ID, WebhookID: st.webhook.ID, Number: st.claimed.Attempts + 1, Trigger: st.claimed.Trigger,
			Started: st.begun.UTC(), Duration: now.Sub(st.begun), Code: egress.CodeInternal, Message: internalError,
		}
		r = a.Result()
	})
	letter := s.letter(ctx, st)
	s.weigh(len(letter.body))
	defer s.weigh(-len(letter.body))
	return s.o.Requests.send(ctx, st.webhook, letter)
}

// dueSince is when a claimed delivery was due: claiming leaves NextRetryAt as it was.
func dueSince(c *Claimed) time.Time {
	if c.NextRetryAt.IsZero() {
		return c.CycleStart
	}
	return c.NextRetryAt
}

// letter is what an attempt says.
func (s *sending) letter(ctx context.Context, st *start) letter {
	c := &st.claimed
	l := letter{
		event:    delivery.Event{ID: c.EventID, Type: c.EventType, OrderingKey: c.OrderingKey},
		delivery: c.ID, number: c.Attempts + 1, trigger: c.Trigger,
	}
	if st.manual {
		l.trigger = delivery.TriggerManual
	}
	format := st.webhook.PayloadFormat
	if c.Attempts == 0 {
		if b, ok := s.bodies.get(c.EventID, format, st.begun); ok {
			l.event, l.body = b.event, b.bytes
			return l
		}
	}
	wait := retryFirst
	for {
		kept, err := s.o.Store.Events(ctx, []string{c.EventID}, 1)
		if err == nil {
			if e, known := kept[c.EventID]; known {
				l.event = e
			}
			break
		}
		if !pause(ctx, wait) {
			l.err = err
			return l
		}
		wait = min(2*wait, retryLast)
	}
	l.body, l.err = s.o.Requests.body(format, &l.event)
	l.event.Payload = nil
	if l.err == nil && c.Attempts == 0 {
		s.bodies.put(l.event, format, l.body, st.begun)
	}
	return l
}

// weigh counts the bytes of bodies that are being sent.
func (s *sending) weigh(n int) {
	s.mu.Lock()
	s.bytes += n
	s.mu.Unlock()
}

// keep counts the bytes of a result until it was recorded, and decides whether its lane
// counts it as in flight until then: if what may be sent next depends on it.
func (s *sending) keep(st *start, res *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += res.size()
	c := &st.lane.w.Circuit
	res.holding = !st.manual && (res.verdict.Failed() || c.Open() || c.Drain > 0)
	res.pressing = st.manual || res.holding || st.lane.w.Ordered()
	if !st.manual && !res.holding {
		st.lane.unrecorded++
	}
}

// size is about what a result takes in memory, in bytes.
func (r *result) size() int { return 2048 + len(r.attempt.ResponseBody) + len(r.result.Body) }

// release gives the slot of an attempt back.
func (s *sending) release(st *start, res *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := st.lane
	if !st.manual {
		l.took(res.attempt.Duration)
		if !res.holding {
			l.inFlight--
			s.prepare(l)
		}
	}
	s.leave(&s.slots)
	if st.manual {
		return
	}
	if st.retry() {
		s.retrying--
	}
	h := s.hosts[st.host]
	if s.leave(h); h.busy == 0 {
		delete(s.hosts, st.host)
	}
	if !l.next.IsZero() {
		signal(s.wake)
	}
}

// log writes one line for an attempt: no payload, no secret, of the URL only the host.
func (s *sending) log(ctx context.Context, st *start, res *result) {
	level := slog.LevelDebug
	if res.verdict.Failed() {
		level = slog.LevelInfo
	}
	if s.o.Logger.Enabled(ctx, level) {
		s.o.Logger.Log(ctx, level, "webhook attempt", "webhook", st.webhook.ID, "host", st.host, "delivery", st.claimed.ID, "event", st.claimed.EventID,
			"type", st.claimed.EventType, "attempt", res.attempt.Number, "status", res.result.Status, "code", res.result.Code, "took", res.attempt.Duration)
	}
	if res.verdict.Failed() && s.o.Failed != nil {
		s.o.Failed(st.webhook, res.result)
	}
	if res.verdict.Internal && res.result.Message == internalError && s.o.Troubled != nil { // not for a payload that has expired
		s.o.Troubled(st.webhook, res.result)
	}
}

// halt begins no attempt any more.
func (s *sending) halt() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
}

// stop returns what was claimed and not begun.
func (s *sending) stop() (left []Claimed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, l := range s.lanes {
		for _, c := range slices.Concat(l.fresh, l.again) {
			left = append(left, *c)
		}
		l.fresh, l.again = nil, nil
	}
	s.ready, s.claimed = nil, 0
	return left
}
