package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// An operation that fails after it has changed something takes nobody else's changes with
// it and leaves none of its own, wherever in a group it comes, and so does the one after it.
func TestFailingWriteLeavesTheGroupAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		s.MustExec(t, `CREATE TABLE probe (n BIGINT PRIMARY KEY)`)
		refused := errors.New("refused")
		for round := range 20 {
			var wg sync.WaitGroup
			for i := range 30 {
				wg.Go(func() {
					n := round*100 + i
					bad := i%7 == round%7 && round%4 > 0
					err := s.Add(context.Background(), fmt.Sprintf(`INSERT INTO probe (n) VALUES (%d)`, n), func() error {
						if bad {
							return refused
						}
						return nil
					})
					if bad != errors.Is(err, refused) {
						t.Errorf("write %d: %v", n, err)
					}
				})
			}
			wg.Wait()
			var bad, stored, want int64
			for i := range 30 {
				if i%7 == round%7 && round%4 > 0 {
					bad++
				}
			}
			want = 30 - bad
			if s.MustQuery(t, `SELECT count(*) FROM probe WHERE n >= $1 AND n < $2`, []any{round * 100, round*100 + 100}, &stored); stored != want {
				t.Errorf("round %d: %d writes are stored, want %d", round, stored, want)
			}
		}
	})
}

// A write that returns what it has changed is undone with its operation too.
func TestFailingWriteThatReturnsIsUndone(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		accounts := open(t, o).Accounts()
		refused := errors.New("refused")
		update := func(f func(tx identity.Tx) error) {
			t.Helper()
			if err := accounts.Update(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		update(func(tx identity.Tx) error {
			return errors.Join(
				tx.AddToken(t.Context(), identity.OneTime{Hash: "h", Purpose: "invite", MaxUses: 1, CreatedAt: 1, ExpiresAt: 100}),
				tx.AddKey(t.Context(), identity.Key{ID: "k", Hash: "h", Name: "n", CreatedAt: 1}))
		})
		for _, write := range []func(tx identity.Tx) error{
			func(tx identity.Tx) error { _, err := tx.UseToken(t.Context(), "invite", "h", 2); return err },
			func(tx identity.Tx) error { _, err := tx.RevokeKey(t.Context(), "k", 2); return err },
		} {
			err := accounts.Update(t.Context(), func(tx identity.Tx) error { return errors.Join(write(tx), refused) })
			if !errors.Is(err, refused) {
				t.Fatalf("refused write: %v", err)
			}
			update(write) // as if it had never been tried
		}
	})
}

// Who writes while a group is under way joins it; if that write fails, the group is done
// again without it.
func TestWritesJoinTheGroupUnderWay(t *testing.T) {
	s := open(t, storetest.Options(t, store.SQLite))
	s.MustExec(t, `CREATE TABLE probe (n BIGINT PRIMARY KEY)`)
	for i, want := range []error{nil, errors.New("refused")} {
		before := s.Stats().Groups
		joined := make(chan error, 1)
		var once sync.Once
		err := s.Add(t.Context(), fmt.Sprintf(`INSERT INTO probe (n) VALUES (%d)`, 10*i), func() error {
			once.Do(func() {
				go func() {
					joined <- s.Add(context.Background(), fmt.Sprintf(`INSERT INTO probe (n) VALUES (%d)`, 10*i+1), func() error { return want })
				}()
				for s.Queued() == 0 {
					runtime.Gosched()
				}
			})
			return nil
		})
		if got := <-joined; err != nil || !errors.Is(got, want) {
			t.Errorf("writes: %v, %v, want <nil>, %v", err, got, want)
		}
		if n := s.Stats().Groups - before; n != 1 {
			t.Errorf("the writes took %d commits, want 1", n)
		}
	}
	var n, sum int64
	if s.MustQuery(t, `SELECT count(*), sum(n) FROM probe`, nil, &n, &sum); n != 3 || sum != 11 {
		t.Errorf("%d writes are stored, of sum %d, want 3 of 11", n, sum)
	}
}

// A write that is refused is done again, with a savepoint, only if it has changed something:
// who is no member may ask as often as they like.
func TestOnlyChangesAreDoneAgain(t *testing.T) {
	s := open(t, storetest.Options(t, store.SQLite))
	s.MustExec(t, `CREATE TABLE probe (n BIGINT PRIMARY KEY)`)
	refused := errors.New("refused")
	for _, c := range []struct {
		query string
		times int
	}{{`UPDATE probe SET n = n + 1`, 1}, {`INSERT INTO probe (n) VALUES (1)`, 2}} {
		times := 0
		err := s.Add(t.Context(), c.query, func() error { times++; return refused })
		if !errors.Is(err, refused) || times != c.times {
			t.Errorf("%s: %v, done %d times, want %d", c.query, err, times, c.times)
		}
	}
	var n int
	if s.MustQuery(t, `SELECT count(*) FROM probe`, nil, &n); n != 0 {
		t.Errorf("%d rows of refused writes", n)
	}
}
