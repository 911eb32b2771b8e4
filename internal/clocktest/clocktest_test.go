package clocktest_test

import (
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/clocktest"
)

func TestSet(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		set := clocktest.Set(t, now, by)
		if got := set.Round(0).Sub(now.Round(0)); got != by {
			t.Errorf("set by %v the date has changed by %v", by, got)
		}
		if got := set.Sub(now); got != 0 {
			t.Errorf("set by %v the monotonic reading has changed by %v", by, got)
		}
	}
}
