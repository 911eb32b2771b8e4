package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kuranty/kuranty/internal/apierror"
)

// limitsKept bounds the callers that are remembered; those who may ask as often as
// anybody are forgotten first, which changes nothing.
const limitsKept = 50_000

// limiter bounds how often each caller may ask in a minute.
type limiter struct {
	perMinute int // negative is no limit
	clock     func() time.Time
	// refused is told who asked too often.
	refused func(who string)

	mu   sync.Mutex
	held map[string]*rate.Limiter
}

func newLimiter(perMinute int, clock func() time.Time) *limiter {
	return &limiter{perMinute: perMinute, clock: clock, held: make(map[string]*rate.Limiter)}
}

// take counts one call of who, or returns an [*apierror.Error] about it.
func (l *limiter) take(who string) error {
	if l.perMinute < 0 {
		return nil
	}
	now := l.clock()
	r := l.of(who, now).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	l.refused(who)
	return &apierror.Error{Code: apierror.RateLimited, Limit: l.perMinute, Window: time.Minute, RetryAfter: wait}
}

func (l *limiter) of(who string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.held[who]
	if b == nil {
		if len(l.held) >= limitsKept {
			l.forget(now)
		}
		b = rate.NewLimiter(rate.Limit(float64(l.perMinute)/60), l.perMinute)
		l.held[who] = b
	}
	return b
}

// forget drops those that are full again, and any others if that is not enough.
func (l *limiter) forget(now time.Time) {
	for who, b := range l.held {
		if b.TokensAt(now) >= float64(l.perMinute) {
			delete(l.held, who)
		}
	}
	for who := range l.held {
		if len(l.held) < limitsKept*9/10 {
			return
		}
		delete(l.held, who)
	}
}
