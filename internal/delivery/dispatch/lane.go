package dispatch

import (
	"net/url"
	"time"

	"golang.org/x/time/rate"

	"github.com/kuranty/kuranty/internal/delivery"
)

const (
	// maxClaimed bounds the deliveries in memory that wait for a slot.
	maxClaimed = 2000
	// A lane whose attempts take less than quick has ahead times its limit claimed in
	// advance, so that it need not wait for the database.
	quick = 50 * time.Millisecond
	ahead = 8
	// A success frees its place before it is recorded, but no more than unwritten times the
	// lane's limit are under way or not recorded: they are sent again if the process dies.
	unwritten = 16
	// smoothing is the part that the newest attempt has in a lane's latency.
	smoothing = 0.1
)

// lane is the way of one webhook's deliveries. It belongs to [sending], which locks it.
type lane struct {
	w delivery.Webhook
	// asSet is w as its owner set it last, for attempts: it never changes.
	asSet *delivery.Webhook
	host  string
	// fresh are claimed deliveries never attempted before, again the others. reserved are
	// promised to fan-out. They are pointers because the front of a queue stays in memory until
	// its end grows.
	fresh, again []*Claimed
	turn         bool // whose turn it is, when both have some
	reserved     int
	inFlight     int
	unrecorded   int  // successes that are not in inFlight any more
	ready        bool // is in sending.ready
	waits        bool // is in the waiting of a room
	// next is when the next delivery in the database is due; zero if there is none. stirred
	// counts what makes it uncertain.
	next    time.Time
	stirred uint64
	limiter *rate.Limiter // nil without a limit
	latency time.Duration
	// waiting may be below zero for a moment: what fan-out has stored can be sent and recorded
	// before fan-out counts it.
	waiting Waiting
}

func newLane(w delivery.Webhook) *lane {
	l := &lane{}
	l.adopt(w)
	return l
}

// adopt takes over settings and state.
func (l *lane) adopt(w delivery.Webhook) {
	old := l.w
	l.w, l.asSet = w, &w
	l.host = w.URL
	if u, err := url.Parse(w.URL); err == nil {
		l.host = u.Host
	}
	if l.limiter != nil && old.RateLimit != nil && w.RateLimit != nil && *old.RateLimit == *w.RateLimit {
		return
	}
	l.limiter = nil
	if r := w.RateLimit; r != nil {
		l.limiter = rate.NewLimiter(rate.Limit(float64(r.Max)/float64(r.PerSeconds)), r.Max)
	}
}

// update takes over how the webhook does, as it was stored just now. A probe that is under
// way stays so unless it was recorded.
func (l *lane) update(w *delivery.Webhook, probed bool) {
	probing := l.w.Circuit.Probing && !probed
	settings := l.w.Settings
	secret, until := l.w.PreviousSecret, l.w.PreviousUntil
	l.w = *w
	l.w.Settings, l.w.PreviousSecret, l.w.PreviousUntil = settings, secret, until
	l.w.Circuit.Probing = probing
}

func (l *lane) queued() int { return len(l.fresh) + len(l.again) }

// add queues a delivery that was claimed.
func (l *lane) add(c Claimed) {
	if c.Attempts == 0 {
		l.fresh = append(l.fresh, &c)
	} else {
		l.again = append(l.again, &c)
	}
}

// pop takes the next delivery; retries tells whether one that was attempted before may go.
func (l *lane) pop(retries bool) (c Claimed, ok bool) {
	retries = retries && len(l.again) > 0
	if len(l.fresh) > 0 && (!retries || !l.turn) {
		l.turn = true
		return take(&l.fresh), true
	}
	if !retries {
		return Claimed{}, false
	}
	l.turn = false
	return take(&l.again), true
}

// take takes the first of a queue that has one.
func take(queue *[]*Claimed) Claimed {
	all := *queue
	c := *all[0]
	all[0], *queue = nil, all[1:]
	return c
}

// held returns until when nothing is to begin, zero if something may.
func (l *lane) held(now time.Time) time.Time {
	at := l.w.HeldUntil
	if c := &l.w.Circuit; c.Open() && c.OpenUntil.After(at) {
		at = c.OpenUntil
	}
	if !at.After(now) {
		return time.Time{}
	}
	return at
}

// sends tells whether deliveries are sent as they become due; those of a locked webhook wait.
func (l *lane) sends() bool { return l.w.IsActive && !l.w.Locked }

// free tells whether an attempt may begin now.
func (l *lane) free(now time.Time) bool {
	return l.sends() && !l.w.HeldUntil.After(now) && l.inFlight+l.unrecorded < unwritten*l.w.InFlight() && l.w.Circuit.Room(now, l.inFlight, l.w.InFlight()) > 0
}

// credit is how many deliveries more can be claimed for it.
func (l *lane) credit(now time.Time) int {
	if !l.sends() || !l.held(now).IsZero() {
		return 0
	}
	have := l.inFlight + l.queued() + l.reserved
	room := l.w.Circuit.Room(now, have, l.w.InFlight())
	if l.latency < quick && !l.w.Circuit.Open() && l.w.Circuit.Drain == 0 && l.w.Ordering != delivery.OrderStrict {
		room = ahead*l.w.InFlight() - have
	}
	if l.limiter != nil {
		room = min(room, int(l.limiter.TokensAt(now))-l.queued()-l.reserved)
	}
	return max(room, 0)
}

// handsOver tells whether a delivery that is made now can be sent without asking the
// database: nothing there comes first.
func (l *lane) handsOver(now time.Time) bool {
	return !l.w.Ordered() && (l.next.IsZero() || l.next.After(now)) && l.credit(now) > 0
}

// stir notes that the database has a delivery due at a time.
func (l *lane) stir(at time.Time) {
	l.stirred++
	if l.next.IsZero() || at.Before(l.next) {
		l.next = at
	}
}

// took notes how long an attempt took.
func (l *lane) took(d time.Duration) {
	l.latency += time.Duration(smoothing * float64(d-l.latency))
}

// jobRoom is how many deliveries jobs may make due now: as many as the receiver takes until
// jobs are looked at again, so that what happens meanwhile comes soon, and none while the
// database has some that are due. What waits for its time to be tried again does not count.
func (l *lane) jobRoom(now time.Time) int {
	if !l.next.IsZero() && !l.next.After(now) {
		return 0
	}
	takes := float64(l.w.InFlight())
	if l.latency > 0 {
		takes *= tendEvery.Seconds() / l.latency.Seconds()
	}
	if l.limiter != nil {
		takes = min(takes, float64(l.limiter.Limit())*tendEvery.Seconds())
	}
	return int(min(max(takes, 1), jobStep)) - l.inFlight - l.queued() - l.reserved
}

// wakes returns when the lane can do something that it cannot do now; zero if time alone
// changes nothing.
func (l *lane) wakes(now time.Time) time.Time {
	if !l.sends() || l.next.IsZero() && l.queued() == 0 {
		return time.Time{}
	}
	if at := l.held(now); !at.IsZero() {
		return at
	}
	if l.queued() == 0 && l.next.After(now) {
		return l.next
	}
	if !l.next.IsZero() && !l.next.After(now) && l.credit(now) > 0 { // it became due while others were claimed
		return now
	}
	if l.limiter != nil && l.limiter.TokensAt(now) < 1 {
		missing := 1 - l.limiter.TokensAt(now)
		return now.Add(time.Duration(missing / float64(l.limiter.Limit()) * float64(time.Second)))
	}
	return time.Time{}
}
