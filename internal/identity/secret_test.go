package identity_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
)

func TestEqualSecret(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"a", "", false}, {"a", "aa", false}, {"A", "a", false}} {
		if got := identity.EqualSecret(tt.a, tt.b); got != tt.want {
			t.Errorf("EqualSecret(%q, %q) = %t", tt.a, tt.b, got)
		}
	}
}

// A comparison that stops at the first difference is a thousand times faster for
// secrets of 64 KiB that differ in the first byte than for those that differ in the last.
func TestS4_SecretsAreComparedInConstantTime(t *testing.T) {
	a := strings.Repeat("x", 64<<10)
	first, last := "y"+a[1:], a[1:]+"y"
	shortest := func(b string) time.Duration {
		least := time.Hour
		for range 200 {
			start := time.Now()
			if identity.EqualSecret(a, b) {
				t.Fatal("different secrets are equal")
			}
			least = min(least, time.Since(start))
		}
		return least
	}
	f, l := shortest(first), shortest(last)
	if f > 2*l || l > 2*f {
		t.Errorf("%v for a difference in the first byte, %v in the last", f, l)
	}
}

func TestS13_NewSecretsAreRandom(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		s := identity.NewSecret()
		if b, err := base64.RawURLEncoding.DecodeString(s); err != nil || len(b) != 32 || seen[s] {
			t.Fatalf("%q: %d bytes, %v, seen %t", s, len(b), err, seen[s])
		}
		seen[s] = true
	}
}
