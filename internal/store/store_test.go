package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// onNew runs a test where there is no schema yet, on each kind of database.
func onNew(t *testing.T, test func(t *testing.T, o store.Options)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, store.Options{Path: filepath.Join(t.TempDir(), "kuranty.db")})
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, store.Options{Driver: store.Postgres, DSN: pgtest.Start(t)})
	})
}

// onBoth runs a test on an empty database of each kind.
func onBoth(t *testing.T, test func(t *testing.T, o store.Options)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { test(t, storetest.Options(t, driver)) })
	}
}

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func appendEvent(ctx context.Context, tx *store.Tx, typ string) error {
	e, err := event.New(typ, time.Now(), map[string]string{"text": "Привет"})
	if err != nil {
		return err
	}
	return tx.Append(ctx, e)
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		var handed []event.Event
		var mu sync.Mutex
		o.Committed = func(events []event.Event) {
			mu.Lock()
			defer mu.Unlock()
			handed = append(handed, events...)
		}
		s := open(t, o)
		ctx := t.Context()
		refused := errors.New("refused")
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				err := s.Update(ctx, func(tx *store.Tx) error {
					if err := appendEvent(ctx, tx, "kept"); err != nil {
						return err
					}
					switch i % 4 {
					case 1:
						return refused
					case 2:
						panic("planted")
					}
					return nil
				})
				switch {
				case i%4 == 1 && !errors.Is(err, refused):
					t.Errorf("a refused update returned %v", err)
				case i%4 == 2 && (err == nil || !strings.Contains(err.Error(), "planted")):
					t.Errorf("an update that panicked returned %v", err)
				case i%2 == 0 && i%4 != 2 && err != nil:
					t.Errorf("update: %v", err)
				}
			})
		}
		wg.Wait()
		if len(handed) != 20 {
			t.Errorf("%d events were handed over, want 20", len(handed))
		}
		if s.Driver() == store.SQLite {
			got, err := s.Events(ctx, 0, 100)
			if err != nil || len(got) != 20 {
				t.Fatalf("the log has %d events (%v), want 20", len(got), err)
			}
			for i, e := range got {
				if e.Pos != int64(i+1) || e.ID != handed[i].ID {
					t.Errorf("event %d is %s at %d, handed over as %s", i, e.ID, e.Pos, handed[i].ID)
				}
			}
		}
	})
}

func TestEpochStaysUntilItIsChanged(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		s, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		first := s.Epoch()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
		if s.Epoch() != first || len(first) != 8 {
			t.Errorf("epoch is %q after reopening, was %q", s.Epoch(), first)
		}
		if err := s.NewEpoch(t.Context()); err != nil || s.Epoch() == first {
			t.Errorf("a new epoch is %q (%v)", s.Epoch(), err)
		}
	})
}

func TestStreamsAreReadUpToAPosition(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		ctx := t.Context()
		for range 5 {
			err := s.Update(ctx, func(tx *store.Tx) error {
				e, err := event.New(event.SystemNotice, time.Now(), map[string]int{})
				if err != nil {
					return err
				}
				e.Stream = event.SystemStream
				if e.Seq, err = tx.NextInStream(ctx, e.Stream); err != nil {
					return err
				}
				return tx.Append(ctx, e)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if s.Driver() == store.Postgres {
			if given, err := s.NumberEvents(ctx); err != nil || len(given) != 5 {
				t.Fatalf("numbered %d events (%v), want 5", len(given), err)
			}
		}
		for upTo := range int64(7) {
			got, top, err := s.Stream(ctx, event.SystemStream, 0, upTo, 2)
			if err != nil {
				t.Fatal(err)
			}
			want := min(upTo, 5)
			if top != want || len(got) != int(min(want, 2)) {
				t.Errorf("up to position %d: top %d with %d events, want %d", upTo, top, len(got), want)
			}
			if n := len(got); n > 0 && got[n-1].Seq != want {
				t.Errorf("up to position %d the newest is %d, want %d", upTo, got[n-1].Seq, want)
			}
		}
		if _, top, err := s.Stream(ctx, event.SystemStream, 0, 9, 0); err != nil || top != 5 {
			t.Errorf("top is %d (%v), want 5", top, err)
		}
	})
}
