package privacy_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/privacy"
)

func TestAskingTwiceIsAskingOnce(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		anna := h.users("anna")[0]
		var wg sync.WaitGroup
		jobs := make([]string, 8)
		for i := range jobs {
			wg.Go(func() {
				var err error
				if jobs[i], err = h.privacy.RequestExport(t.Context(), anna); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, job := range jobs {
			if job != jobs[0] {
				t.Errorf("asked at the same time it is job %s, was %s", job, jobs[0])
			}
		}
		h.work()
		if e, err := h.privacy.Export(t.Context(), anna, jobs[0]); err != nil || e.State != privacy.Done || e.Size == 0 {
			t.Errorf("the export is %+v (%v), want done", e, err)
		}
	})
}

// holding is a store that tells of each claim of a job, and keeps whoever has one.
type holding struct {
	privacy.Store
	claimed chan struct{}
	release chan struct{}
	once    sync.Once
}

// View is first called by who has claimed a job.
func (s *holding) View(ctx context.Context, f func(privacy.Tx) error) error {
	s.once.Do(func() { close(s.claimed); <-s.release })
	return s.Store.View(ctx, f)
}

// TestJobBelongsToOneNode has two nodes look for the same job, and one of them out of the
// world for longer than its lease.
func TestJobBelongsToOneNode(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		users := h.users("anna", "boris")
		h.send(users[0], h.direct(users[0], users[1]), "Привет")
		_, err := h.privacy.RequestErasure(ctx, users[0], privacy.Erase, 0)
		h.must(err)
		slow := &holding{Store: h.store.Privacy(), claimed: make(chan struct{}), release: make(chan struct{})}
		node, err := privacy.New(privacy.Options{
			Store: slow, Chats: h.chats, Accounts: h.accounts, Files: h.files, Folder: t.TempDir(), Clock: h.clock, Logger: quiet,
		})
		h.must(err)
		defer node.Close()
		ended := make(chan error, 1)
		go func() { ended <- node.Work(ctx) }()
		<-slow.claimed
		h.work()
		if acc, err := h.accounts.Account(ctx, users[0]); err != nil || acc.State != identity.StateActive {
			t.Errorf("a job of another node was done too: the account is %s (%v)", acc.State, err)
		}
		h.pass(3 * time.Minute) // the lease is over
		h.work()
		if acc, err := h.accounts.Account(ctx, users[0]); err != nil || acc.State != identity.StateDeleted {
			t.Errorf("nobody took over: the account is %s (%v)", acc.State, err)
		}
		close(slow.release)
		h.must(<-ended)
		if n := h.count(`SELECT count(*) FROM jobs WHERE user_id = $1 AND state = 'done'`, users[0]); n != 1 {
			t.Errorf("%d jobs are done, want 1", n)
		}
		if n := h.count(`SELECT count(*) FROM events WHERE type = 'user.deleted'`); n != 1 {
			t.Errorf("the deletion was announced %d times", n)
		}
	})
}

// settling tells when a job has been settled.
type settling struct {
	privacy.Store
	updates chan struct{}
}

func (s *settling) Update(ctx context.Context, f func(privacy.Tx) error) error {
	err := s.Store.Update(ctx, f)
	select {
	case s.updates <- struct{}{}:
	default:
	}
	return err
}

// TestRunDoesWhatIsAskedFor has the lanes at work, and then ended in the midst.
func TestRunDoesWhatIsAskedFor(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		anna := h.users("anna")[0]
		st := &settling{Store: h.store.Privacy(), updates: make(chan struct{}, 100)}
		s, err := privacy.New(privacy.Options{
			Store: st, Chats: h.chats, Accounts: h.accounts, Files: h.files, Folder: t.TempDir(), Clock: h.clock, Logger: quiet,
		})
		h.must(err)
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		job, err := s.RequestExport(t.Context(), anna)
		h.must(err)
		for {
			e, err := s.Export(t.Context(), anna, job)
			h.must(err)
			if e.State == privacy.Done {
				break
			}
			<-st.updates
		}
		cancel()
		h.must(<-ended)
		if n := h.count(`SELECT count(*) FROM jobs WHERE state = 'running' AND lease_until > 0`); n != 0 {
			t.Errorf("after the end %d jobs are held", n)
		}
	})
}

func TestHoldsAreOfSomebody(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		anna := h.users("anna")[0]
		for _, err := range []error{h.privacy.HoldUser(ctx, 99, true), h.privacy.HoldChat(ctx, 99, true)} {
			if !errors.Is(err, privacy.ErrNotFound) {
				t.Errorf("a hold on nobody is %v", err)
			}
		}
		h.must(h.privacy.HoldUser(ctx, anna, true))
		if held, err := h.privacy.UserHeld(ctx, anna); err != nil || !held {
			t.Errorf("held is %v (%v)", held, err)
		}
	})
}
