package transport

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

type expirer func(kind int, stamp uint32)

func (f expirer) expire(kind int, stamp uint32) { f(kind, stamp) }

// Each entry comes once, in its time, with its stamp, also when it adds the next one.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &clock{delays: [kinds]time.Duration{lateHead: 5 * time.Second, lateRead: time.Second}}
		start := time.Now()
		var got []string
		var who expirer
		who = func(kind int, stamp uint32) {
			got = append(got, fmt.Sprint(kind, stamp, time.Since(start).Round(time.Second)))
			if kind == lateRead && stamp < 3 {
				c.add(lateRead, who, stamp+1)
			}
		}
		c.add(lateHead, who, 7)
		c.add(lateRead, who, 1)
		for range 100 {
			time.Sleep(calmTick) // of the bubble's clock
			c.advance(time.Now())
		}
		want := []string{
			fmt.Sprint(lateRead, 1, time.Second), fmt.Sprint(lateRead, 2, 2*time.Second),
			fmt.Sprint(lateRead, 3, 3*time.Second), fmt.Sprint(lateHead, 7, 5*time.Second),
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if n := len(c.queues[lateHead].all) + len(c.queues[lateRead].all); n != 0 {
			t.Errorf("%d entries kept", n)
		}
	})
}
