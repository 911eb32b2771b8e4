package identity

import (
	"fmt"
	"testing"
	"time"
)

func TestLimiterForgetsWhenFull(t *testing.T) {
	l := newLimiter(2, time.Minute, time.Second)
	l.most = 1000
	for i := range 3 * l.most {
		if wait := l.take(fmt.Sprint(i), int64(i)); wait != 0 {
			t.Fatalf("key %d waits %v", i, wait)
		}
	}
	if n := len(l.keys); n > l.most {
		t.Errorf("%d keys", n)
	}
}

func TestCallersAreBounded(t *testing.T) {
	now := int64(0)
	c := newCallers(func() int64 { return now }, nil)
	c.most = 1000
	for i := range int64(3 * c.most) {
		now = i / 100
		if _, err := c.get(fmt.Sprint(i), func() (Caller, int64, error) { return Caller{User: i + 1, Session: fmt.Sprint("s", i)}, 0, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.kept); n > c.most || len(c.bySubject) != 2*n {
		t.Errorf("%d callers, %d subjects", n, len(c.bySubject))
	}
	now += rememberFor * 10
	c.mu.Lock()
	c.makeRoom()
	c.mu.Unlock()
	if len(c.kept)+len(c.bySubject) != 0 {
		t.Errorf("%d callers, %d subjects are left", len(c.kept), len(c.bySubject))
	}
}

// What a look-up found before something was forgotten is not remembered after it.
func TestS08_LookUpThatMeetsAForgetting(t *testing.T) {
	c := newCallers(func() int64 { return 0 }, nil)
	loads := 0
	load := func() (Caller, int64, error) {
		loads++
		if loads == 1 {
			c.forget(subject{user: 1})
		}
		return Caller{User: 1}, 0, nil
	}
	for range 3 {
		if _, err := c.get("k", load); err != nil {
			t.Fatal(err)
		}
	}
	if loads != 2 {
		t.Errorf("%d look-ups, want 2", loads)
	}
}

func TestAddressKey(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "", "pipe": "pipe",
	} {
		if got := addressKey(address); got != want {
			t.Errorf("%q counts as %q, want %q", address, got, want)
		}
	}
}
