package chat_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/clocktest"
)

// forgetful is a store in which nothing is.
type forgetful struct{ chat.Store }

func (forgetful) Update(context.Context, func(chat.Tx) error) error { return nil }

// The clock is set while people are there and typing: neither ends earlier or later for
// that, or is told twice.
func TestR28_TypingAndPresenceWithASetClock(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			real := time.Now() // with a monotonic reading, which those of a bubble have not
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var set time.Duration
				var told []string
				began := time.Now()
				tell := func(what string) {
					mu.Lock()
					defer mu.Unlock()
					told = append(told, fmt.Sprintf("%v %s", time.Since(began).Round(time.Second), what))
				}
				clock := func() time.Time {
					mu.Lock()
					defer mu.Unlock()
					return clocktest.Set(t, real.Add(time.Since(began)), set)
				}
				typing := chat.NewTyping(chat.TypingOptions{
					Allowed: func(context.Context, int64, int64) (chat.Person, bool, error) { return chat.Person{}, true, nil },
					Tell:    func(who chat.Typist) { tell(fmt.Sprintf("typing %v", who.Typing)) }, Clock: clock,
				})
				presence := chat.NewPresence(chat.PresenceOptions{
					Store: forgetful{}, Grace: 15 * time.Second, Clock: clock,
					Changed: func(_ int64, online bool, _ int64) { tell(fmt.Sprintf("online %v", online)) },
				})
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { _ = typing.Run(ctx) })
				running.Go(func() { _ = presence.Run(ctx) })
				presence.Connected(1)
				if err := typing.Set(t.Context(), 1, 7, true); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				presence.Disconnected(1) // and comes back within the grace
				mu.Lock()
				set = by
				mu.Unlock()
				time.Sleep(10 * time.Second)
				presence.Connected(1)
				time.Sleep(20 * time.Second)
				presence.Disconnected(1)
				time.Sleep(time.Second)
				mu.Lock()
				set = 0
				mu.Unlock()
				time.Sleep(30 * time.Second)
				stop()
				running.Wait()
				want := []string{"0s online true", "0s typing true", "6s typing false", "46s online false"}
				if !slices.Equal(told, want) {
					t.Errorf("told %q, want %q", told, want)
				}
			})
		})
	}
}
