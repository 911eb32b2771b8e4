package gateway

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestHubKnowsWhoWaits follows sessions through random changes beside a plain account of
// them; lists that were handed out must not change.
func TestHubKnowsWhoWaits(t *testing.T) {
	h := newHub()
	sessions := make([]*session, 20)
	wants := make(map[*session][]string)
	for i := range sessions {
		sessions[i] = new(session)
		h.join(sessions[i])
	}
	type handed struct{ list, copy []*session }
	var lists []handed
	for range 5000 {
		s := sessions[rand.IntN(len(sessions))]
		var types []string
		for k := range 6 {
			if rand.IntN(2) == 0 {
				types = append(types, fmt.Sprint("t", k))
			}
		}
		rand.Shuffle(len(types), func(i, k int) { types[i], types[k] = types[k], types[i] })
		if rand.IntN(10) == 0 {
			types = nil
			h.leave(s)
			h.join(s)
		} else {
			h.follow(s, slices.Clone(types))
		}
		wants[s] = types
		for k := range 6 {
			typ := fmt.Sprint("t", k)
			list := h.waiting(typ)
			lists = append(lists, handed{list, slices.Clone(list)})
			for _, s := range sessions {
				if n := count(list, s); n > 1 || (n == 1) != slices.Contains(wants[s], typ) {
					t.Fatalf("a session is %d times among those that wait for %s", n, typ)
				}
			}
		}
	}
	for _, l := range lists {
		if !slices.Equal(l.list, l.copy) {
			t.Fatal("a list that was handed out has changed")
		}
	}
}

func count(list []*session, s *session) (n int) {
	for _, other := range list {
		if other == s {
			n++
		}
	}
	return n
}

// BenchmarkLeave is a session that goes away among others that wait for the same 20 types,
// and comes back.
func BenchmarkLeave(b *testing.B) {
	for _, n := range []int{1000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			h := newHub()
			types := make([]string, 20)
			for i := range types {
				types[i] = fmt.Sprintf("type.%02d", i)
			}
			sessions := make([]*session, n)
			for i := range sessions {
				sessions[i] = new(session)
				h.join(sessions[i])
				h.follow(sessions[i], types)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				s := sessions[i*7919%n]
				h.leave(s)
				h.join(s)
				h.follow(s, types)
				i++
			}
		})
	}
}
