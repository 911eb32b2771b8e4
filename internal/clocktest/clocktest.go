// Package clocktest has clocks whose date can be set, for tests of what a set clock must
// not disturb (guarantees.md R28).
package clocktest

import (
	"testing"
	"time"
	"unsafe"
)

// Set returns t as [time.Now] says it after somebody has put the clock forth, or back if
// by is negative: the date is another, and the monotonic reading is not. That is what
// [time.Time.Add] cannot do. t must have a monotonic reading, by is of whole seconds.
func Set(t testing.TB, at time.Time, by time.Duration) time.Time {
	t.Helper()
	// The first word of a Time with a monotonic reading has bit 63 set and the seconds
	// since 1885 from bit 30 on (package time).
	set := at
	word := (*uint64)(unsafe.Pointer(&set))
	*word += uint64(by/time.Second) << 30 // two's complement subtracts
	if set.Sub(at) != 0 || set.Round(0).Sub(at.Round(0)) != by {
		t.Fatalf("%v cannot be set by %v", at, by)
	}
	return set
}
