package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/store"
)

// A question that takes too long is given up, which can be said to who asked, and the
// next one is answered.
func TestEndlessQuestionIsGivenUp(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var n int64
		err := s.Ask(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n`, &n)
		if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("error = %v, want %v", err, store.ErrUnavailable)
		}
		if err := s.Ask(t.Context(), `SELECT 7`, &n); err != nil || n != 7 {
			t.Errorf("then %d, %v", n, err)
		}
	})
}
