package chequite_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/compat/chequite"
)

// nowhere keeps nothing.
type nowhere struct{}

func (nowhere) Update(context.Context, func(chat.Tx) error) error { return nil }
func (nowhere) View(context.Context, func(chat.Tx) error) error   { return nil }
func (nowhere) Words(string) string                               { return "" }

func TestA13_OfflineIsToldAfterTheGraceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := scene(t)
		c := onStage(t, s, chequite.Options{})
		var mu sync.Mutex
		var told []string
		p := chat.NewPresence(chat.PresenceOptions{Store: nowhere{}, Grace: 15 * time.Second, Changed: func(user int64, online bool, at int64) {
			var status struct {
				IsOnline bool
				UserID   int64
				LastSeen *string
			}
			if err := json.Unmarshal(unwrap(t, c.Status(user, online, at)), &status); err != nil || status.UserID != 3 {
				t.Errorf("status %+v: %v", status, err)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case status.IsOnline && status.LastSeen == nil:
				told = append(told, "online")
			case !status.IsOnline && status.LastSeen != nil:
				told = append(told, *status.LastSeen)
			default:
				t.Errorf("status %+v", status)
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		expect := func(wait time.Duration, want ...string) {
			t.Helper()
			time.Sleep(wait)
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
		}
		p.Active(3) // a call, and then a connection: only the connection counts
		p.Connected(3)
		p.Active(3)
		expect(time.Minute, "online")
		p.Disconnected(3)
		expect(14*time.Second, "online")
		p.Connected(3) // back in time
		expect(time.Minute, "online")
		left := time.Now().In(moscow(t)).Format("02.01.2006 15:04")
		p.Disconnected(3)
		expect(14*time.Second, "online")
		expect(2*time.Second+time.Minute, "online", left)
		p.Active(3) // without a connection a call counts for three minutes
		expect(2*time.Minute+50*time.Second, "online", left, "online")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
