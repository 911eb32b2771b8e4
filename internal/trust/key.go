package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
)

// Fingerprint names a key as people compare it: SHA256: and the unpadded base64 of the
// SHA-256 of its 32 bytes.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// parseKey reads an Ed25519 public key.
func parseKey(text string) (ed25519.PublicKey, error) {
	if strings.TrimSpace(text) == "" {
		return nil, &FieldError{"public_key", "is required"}
	}
	b, ok := decode(text, ed25519.PublicKeySize)
	if !ok {
		return nil, &FieldError{"public_key", "must be the 32 bytes of an Ed25519 public key in base64 or hexadecimal"}
	}
	if !sound(b) {
		return nil, &FieldError{"public_key", "is no Ed25519 public key that anybody has the private key of"}
	}
	return b, nil
}

// decode reads n bytes in hexadecimal, or in base64 of either alphabet, padded or not.
func decode(text string, n int) ([]byte, bool) {
	text = strings.TrimSpace(text)
	if len(text) == hex.EncodedLen(n) {
		b, err := hex.DecodeString(text)
		return b, err == nil
	}
	if len(text) > base64.StdEncoding.EncodedLen(n) {
		return nil, false
	}
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	return b, err == nil && len(b) == n
}

// The field of edwards25519 and the d of its equation −x² + y² = 1 + d·x²·y² (RFC 8032, §5.1).
var (
	one       = big.NewInt(1)
	prime     = new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	equationD = new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), prime))
)

// sound tells whether a key is a point of the curve, canonically encoded, and none of the
// eight of small order: under those, which [ed25519.Verify] takes, everybody can make
// signatures.
func sound(key []byte) bool {
	y := make([]byte, len(key))
	for i, b := range key { // the encoding is little-endian, its top bit the sign of x
		y[len(key)-1-i] = b
	}
	y[0] &= 0x7f
	n := new(big.Int).SetBytes(y)
	if n.Cmp(prime) >= 0 {
		return false
	}
	mod := func(x *big.Int) *big.Int { return x.Mod(x, prime) }
	yy := mod(new(big.Int).Mul(n, n))
	u := mod(new(big.Int).Sub(yy, one))
	v := mod(new(big.Int).Add(new(big.Int).Mul(equationD, yy), one))
	// x² = u/v, so u·v must be a square.
	if big.Jacobi(mod(new(big.Int).Mul(u, v)), prime) == -1 {
		return false
	}
	// Orders 1 and 2 have y² = 1, order 4 has y = 0, and order 8 doubles to y = 0, which
	// is y² = −x², or y²·v + u = 0.
	eighth := mod(new(big.Int).Add(new(big.Int).Mul(yy, v), u))
	return n.Sign() != 0 && u.Sign() != 0 && eighth.Sign() != 0
}
