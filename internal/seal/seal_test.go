package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/kuranty/kuranty/internal/seal"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, seal.KeySize) }

func ring(t testing.TB, keys ...[]byte) *seal.Ring {
	t.Helper()
	r, err := seal.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestS34_KeysAreReplaced(t *testing.T) {
	text, whose := []byte("whsec_secret"), []byte("webhook 7")
	before := ring(t, key(1))
	sealed := before.Seal(text, whose)
	if bytes.Contains(sealed, text) {
		t.Error("the text is readable")
	}
	if again := before.Seal(text, whose); bytes.Equal(sealed, again) {
		t.Error("the same text sealed twice looks the same")
	}
	both := ring(t, key(2), key(1))
	for name, r := range map[string]*seal.Ring{"the key": before, "a newer ring": both} {
		if got, err := r.Open(sealed, whose); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if bytes.HasPrefix(sealed, both.Current()) || !bytes.HasPrefix(both.Seal(text, whose), both.Current()) {
		t.Error("Current does not tell what the first key sealed")
	}
	if _, err := ring(t, key(2)).Open(both.Seal(text, whose), whose); err != nil {
		t.Errorf("the new key alone: %v", err)
	}
}

func TestS34_NothingElseOpens(t *testing.T) {
	r := ring(t, key(1))
	sealed := r.Seal([]byte("text"), []byte("a"))
	try := func(what string, r *seal.Ring, sealed []byte, context string) {
		t.Helper()
		if got, err := r.Open(sealed, []byte(context)); !errors.Is(err, seal.ErrSealed) || got != nil {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	try("another key", ring(t, key(2)), sealed, "a")
	try("another context", r, sealed, "b")
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		try("a changed byte", r, changed, "a")
		try("a cut text", r, sealed[:i], "a")
	}
}

func TestKeysHaveTheirLength(t *testing.T) {
	for _, keys := range [][][]byte{nil, {nil}, {key(1)[:31]}, {key(1), append(key(1), 0)}} {
		if _, err := seal.New(keys...); err == nil {
			t.Errorf("%d keys were taken", len(keys))
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, key(1), key(2))
	f.Add(r.Seal([]byte("text"), []byte("a")), []byte("a"))
	f.Fuzz(func(t *testing.T, sealed, context []byte) {
		if plain, err := r.Open(sealed, context); err != nil && plain != nil {
			t.Error("a text and an error")
		}
	})
}
