package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// EqualSecret tells whether a and b are the same, in a time that depends on their
// lengths only. Two empty secrets are equal: callers refuse an empty one first.
func EqualSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// NewSecret returns 32 random bytes as 43 characters that may stand in a URL.
func NewSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}
