//go:build planted

package store

import (
	"context"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
)

// planted names the one mistake that this process makes.
var planted = os.Getenv("PLANTED_MISTAKE")

// heldBack are events that wait until after the commit.
type heldBack struct{ late []event.Event }

// The mistakes that there are.
const (
	announceBeforeCommit = "announce-before-commit" // channels hear of what may never be stored
	answerBeforeCommit   = "answer-before-commit"   // callers are told of what may never be stored
	cursorByID           = "cursor-by-id"           // the order of ids is taken for the order of commits (PostgreSQL)
	noUniqueKey          = "no-unique-key"          // a repeated client id is a new message
	noRollback           = "no-rollback"            // what failed half-way is kept
	eventOutside         = "event-outside"          // the event is stored after the change, not with it

	// pauseBeforeCommit is no mistake: it lets a test end the process at that point.
	pauseBeforeCommit = "pause-before-commit"
)

// mistakenlyAnswered is called right before a commit.
func mistakenlyAnswered(s *Store, tx *Tx, answer func()) {
	switch planted {
	case announceBeforeCommit:
		if len(tx.events) > 0 && s.o.Committed != nil {
			events := tx.events
			tx.events = nil
			s.o.Committed(events)
			time.Sleep(2 * time.Millisecond)
		}
	case answerBeforeCommit:
		// Messages only: the test's own set-up reads what it has just written.
		if len(tx.events) > 0 && tx.events[0].Type == event.MessageCreated {
			answer()
			time.Sleep(2 * time.Millisecond)
		}
	case pauseBeforeCommit:
		// Events of services only: what a start itself stores goes on.
		if len(tx.events) > 0 && tx.events[0].Type == "order.paid" {
			s.o.Logger.Info("planted pause")
			select {} // until the process is killed
		}
	}
}

func mistakenlyKept() bool { return planted == noRollback }

// mistakenlyLate is called instead of appending an event.
func mistakenlyLate(tx *Tx, e any) bool {
	if planted != eventOutside {
		return false
	}
	tx.late = append(tx.late, e.(event.Event))
	return true
}

// mistakenlyAfter is called after a commit.
func mistakenlyAfter(ctx context.Context, s *Store, tx *Tx) error {
	if len(tx.late) == 0 {
		return nil
	}
	late := tx.late
	go func() {
		time.Sleep(2 * time.Millisecond)
		_ = s.Update(context.WithoutCancel(ctx), func(tx *Tx) error {
			for _, e := range late {
				if err := tx.append(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	return nil
}

func mistakenlyOpened(ctx context.Context, s *Store) error {
	if planted != noUniqueKey {
		return nil
	}
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, `DROP INDEX IF EXISTS messages_client`)
		return err
	})
}

func mistakenlyInserted(query string) string {
	if planted == noUniqueKey {
		return strings.Replace(query, "ON CONFLICT (chat_id, sender_id, client_id) DO NOTHING", "", 1)
	}
	return query
}

// mistakenlyNumbered gives an event its position when it is inserted.
func mistakenlyNumbered(ctx context.Context, tx *Tx, row int64) (pos int64, err error) {
	if planted != cursorByID {
		return 0, nil
	}
	_, err = tx.exec(ctx, `UPDATE events SET pos = id WHERE id = $1`, row)
	if rand.IntN(3) == 0 {
		time.Sleep(150 * time.Millisecond) // so that others overtake it, on a busy machine too
	}
	return row, err
}
