// Package seal encrypts what a database keeps but must not reveal (guarantee S34): the keys
// are elsewhere.
//
// What was sealed can be opened with the key it was sealed with, in the context it was sealed
// in, and not changed by anybody without the key. Keys can be replaced while the server
// runs: a [Ring] seals with its first key and opens with all.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// KeySize is the length of a key, in bytes.
const KeySize = 32

// The sealed form is a version, the id of the key, a nonce, and AES-256-GCM's text and tag.
const (
	version   = 1
	idSize    = 8
	nonceSize = 12
	tagSize   = 16
	headSize  = 1 + idSize + nonceSize
)

// ErrSealed means that no key of the ring opens a text: it was sealed with another one, or
// elsewhere, or changed.
var ErrSealed = errors.New("sealed with a key that is not known")

// Ring holds keys. It does not change and is safe for concurrent use.
type Ring struct{ keys []key }

type key struct {
	id   [idSize]byte
	aead cipher.AEAD
}

// New returns the ring of keys with 32 bytes each, the one that seals first.
func New(keys ...[]byte) (*Ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key to seal with")
	}
	r := &Ring{}
	for i, k := range keys {
		if len(k) != KeySize {
			return nil, fmt.Errorf("key %d has %d bytes, must have %d", i, len(k), KeySize)
		}
		block, err := aes.NewCipher(k)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append([]byte("kuranty key id "), k...))
		r.keys = append(r.keys, key{[idSize]byte(sum[:idSize]), aead})
	}
	return r, nil
}

// Seal encrypts a text. It opens only in the same context, which is not secret: it says what
// the text is and whose.
func (r *Ring) Seal(plain, context []byte) []byte {
	k := &r.keys[0]
	out := make([]byte, headSize, headSize+len(plain)+tagSize)
	out[0] = version
	copy(out[1:], k.id[:])
	nonce := out[1+idSize : headSize]
	_, _ = rand.Read(nonce) // never fails
	return k.aead.Seal(out, nonce, plain, bind(out[:1+idSize], context))
}

// Open decrypts what Seal returned. The error is [ErrSealed].
func (r *Ring) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < headSize+tagSize || sealed[0] != version {
		return nil, ErrSealed
	}
	for i := range r.keys {
		k := &r.keys[i]
		if !bytes.Equal(sealed[1:1+idSize], k.id[:]) {
			continue
		}
		plain, err := k.aead.Open(nil, sealed[1+idSize:headSize], sealed[headSize:], bind(sealed[:1+idSize], context))
		if err == nil {
			return plain, nil
		}
	}
	return nil, ErrSealed
}

// Current returns the beginning of everything that the first key seals, by which what other
// keys sealed is found.
func (r *Ring) Current() []byte { return append([]byte{version}, r.keys[0].id[:]...) }

// bind makes the additional data: the head, so that it cannot be exchanged, and the context.
func bind(head, context []byte) []byte {
	return append(append(make([]byte, 0, len(head)+len(context)), head...), context...)
}
