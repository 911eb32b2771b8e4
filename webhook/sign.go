package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	secretPrefix    = "whsec_" // before the base64 of a secret's bytes
	publicKeyPrefix = "whpk_"  // before the base64 of an Ed25519 public key
	minKey, maxKey  = 24, 64   // bytes behind whsec_
	newKey          = 32       // bytes of a secret that we make
)

// ErrSecret is returned for a secret that nothing can be signed with.
var ErrSecret = errors.New("not a secret")

// A Secret signs requests. What it signs with differs between the schemes when it begins
// with whsec_: the documented header takes the whole text, Standard Webhooks the bytes that
// are behind it in base64 (webhooks.md §4.4). It never prints itself.
type Secret struct {
	text string
	key  []byte
}

// ParseSecret checks a secret: text that is not empty, and behind whsec_ the standard base64
// of 24 to 64 bytes. Errors are [ErrSecret], and do not repeat it.
func ParseSecret(text string) (Secret, error) {
	encoded, standard := strings.CutPrefix(text, secretPrefix)
	switch {
	case text == "":
		return Secret{}, fmt.Errorf("%w: it is empty", ErrSecret)
	case !standard:
		return Secret{text: text, key: []byte(text)}, nil
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") { // which the decoder passes over
		return Secret{}, fmt.Errorf("%w: what follows %s must be standard base64", ErrSecret, secretPrefix)
	}
	if len(key) < minKey || len(key) > maxKey {
		return Secret{}, fmt.Errorf("%w: what follows %s has %d bytes, must have %d to %d", ErrSecret, secretPrefix, len(key), minKey, maxKey)
	}
	return Secret{text: text, key: key}, nil
}

// NewSecret makes a secret of 32 random bytes, in the form whsec_….
func NewSecret() Secret {
	key := make([]byte, newKey)
	_, _ = rand.Read(key) // never fails
	return Secret{text: secretPrefix + base64.StdEncoding.EncodeToString(key), key: key}
}

// Reveal returns the secret as its receiver has to know it.
func (s Secret) Reveal() string { return s.text }

// String keeps secrets out of logs.
func (s Secret) String() string { return "secret" }

// GoString keeps secrets out of logs.
func (s Secret) GoString() string { return "webhook.Secret" }

// Sign returns the value of X-Webhook-Signature: sha256= and 64 hex digits.
func (s Secret) Sign(body []byte) string {
	return "sha256=" + hex.EncodeToString(mac([]byte(s.text), body))
}

// SignStandard returns the part of webhook-signature that this secret makes: v1, and base64.
// id is that of the event, at the time of the attempt, of which whole seconds are signed.
func (s Secret) SignStandard(id string, at time.Time, body []byte) string {
	return "v1," + base64.StdEncoding.EncodeToString(mac(s.key, signed(id, at, body)))
}

// SignEd25519 returns the part of webhook-signature that a private key makes: v1a, and base64.
func SignEd25519(key ed25519.PrivateKey, id string, at time.Time, body []byte) string {
	return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed(id, at, body)))
}

// FormatPublicKey writes the key that receivers check v1a signatures with: whpk_ and base64.
func FormatPublicKey(key ed25519.PublicKey) string {
	return publicKeyPrefix + base64.StdEncoding.EncodeToString(key)
}

// ParsePublicKey reads what [FormatPublicKey] wrote.
func ParsePublicKey(text string) (ed25519.PublicKey, error) {
	encoded, ok := strings.CutPrefix(text, publicKeyPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("a public key is %s and the standard base64 of %d bytes", publicKeyPrefix, ed25519.PublicKeySize)
	}
	return key, nil
}

func mac(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

func signed(id string, at time.Time, body []byte) []byte {
	b := make([]byte, 0, len(id)+len(body)+16)
	b = append(append(b, id...), '.')
	b = append(strconv.AppendInt(b, at.Unix(), 10), '.')
	return append(b, body...)
}
