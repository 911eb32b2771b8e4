package outbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/outbox"
	"github.com/kuranty/kuranty/internal/store"
)

// A reader with a cursor of its own gets every event once, whether it is in memory or not,
// and its waiting ends with its context.
func TestFollowersReadWithoutAGap(t *testing.T) {
	const half = 700 // more than one page
	onBoth(t, func(t *testing.T, o store.Options) {
		p := start(t, o, outbox.Options{Window: 2000}) // a few events: most are read from the database
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		at := p.log.Head()
		write(t, p.Store, 0, half)
		var got []event.Event
		for len(got) < 2*half {
			events, reached, err := p.log.Follow(ctx, at)
			if err != nil {
				t.Fatalf("after %d of %d events: %v", len(got), 2*half, err)
			}
			for _, e := range events {
				if e.Pos != at+1 {
					t.Fatalf("event at %d follows %d", e.Pos, at)
				}
				at = e.Pos
			}
			if reached != at {
				t.Fatalf("reached %d, the last event is at %d", reached, at)
			}
			if got = append(got, events...); len(got) == half {
				write(t, p.Store, half, half)
			}
		}
		short, stop := context.WithTimeout(ctx, 10*time.Millisecond)
		defer stop()
		if events, reached, err := p.log.Follow(short, at); !errors.Is(err, context.DeadlineExceeded) || len(events) > 0 || reached != at {
			t.Errorf("at the end of the log: %d events, %d, %v", len(events), reached, err)
		}
	})
}
