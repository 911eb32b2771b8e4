package serverapi

import "sync/atomic"

// codes is how many error codes, from 100 on, are counted apart.
const codes = 16

// counters count calls by method and outcome: 0 for success, else a [bucket].
type counters struct {
	calls                             [methodCount][codes + 1]atomic.Uint64
	unauthorized, malformed, tooLarge atomic.Uint64
	panics                            atomic.Uint64
}

// bucket is where an error code is counted; unusual ones count as 100.
func bucket(code uint32) int {
	if code < 100 || code >= 100+codes {
		return 1
	}
	return int(code) - 100 + 1
}

// Stats are counters since start.
type Stats struct {
	// Calls that were made, also within batches and the older form.
	Calls []CallStats
	// Requests refused with status 401, 400 and 413.
	Unauthorized, Malformed, TooLarge uint64
	// Panics are those contained in parts of a request.
	Panics uint64
}

// CallStats counts the calls of a method that ended with one error code; 0 is success.
type CallStats struct {
	Method string
	Code   uint32
	Count  uint64
}

// Stats returns the API's counters; calls that never happened are left out.
func (a *API) Stats() Stats {
	c := &a.count
	s := Stats{
		Unauthorized: c.unauthorized.Load(), Malformed: c.malformed.Load(), TooLarge: c.tooLarge.Load(),
		Panics: c.panics.Load(),
	}
	for _, m := range methodList {
		for i := range c.calls[m.index] {
			if n := c.calls[m.index][i].Load(); n > 0 {
				code := uint32(0)
				if i > 0 {
					code = uint32(100 + i - 1)
				}
				s.Calls = append(s.Calls, CallStats{m.name, code, n})
			}
		}
	}
	return s
}
