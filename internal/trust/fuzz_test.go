package trust_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/trust"
)

// FuzzIdentity gives what people write to an identity: it is refused with the names of its
// fields, or taken, and then a key is one that no forged signature is good for.
func FuzzIdentity(f *testing.F) {
	f.Add("anna", "Анна С.", "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=")
	f.Add("a", strings.Repeat("x", 101), strings.Repeat("00", 32))
	f.Add("1\x00", "\xff\u202e", "not a key")
	f.Add("b.c-d_e", "\u0301", strings.Repeat("ff", 32))
	f.Fuzz(func(t *testing.T, username, name, key string) {
		i, err := trust.CheckIdentity(username, name, key)
		if err != nil {
			if !strings.Contains(err.Error(), ": ") {
				t.Errorf("%v", err)
			}
			return
		}
		if len(i.Key) != ed25519.PublicKeySize || len(i.Username) < 3 || len(i.Username) > 32 || len(i.DisplayName) > 400 || strings.ContainsAny(i.DisplayName, "\x00\n") {
			t.Errorf("taken %+v", i)
		}
		forged := make([]byte, ed25519.SignatureSize)
		forged[0] = 1
		for n := range 64 {
			if ed25519.Verify(i.Key, []byte{byte(n)}, forged) {
				t.Errorf("a forged signature is good for %x", i.Key)
			}
		}
		if again, err := trust.CheckIdentity(i.Username, i.DisplayName, key); err != nil || again.Username != i.Username || again.DisplayName != i.DisplayName {
			t.Errorf("what was taken is read as %+v, %v", again, err)
		}
	})
}
