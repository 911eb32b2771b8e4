package search

import (
	"hash/maphash"
	"sync/atomic"
	"unicode"

	"github.com/kljensen/snowball/english"
	"github.com/kljensen/snowball/russian"
)

// mark distinguishes stems from words in an index. Words have letters and digits only;
// a sign of ASCII would be a separator for the tokenizer of SQLite.
const mark = "§"

// known is a word and its stem, marked.
type known struct{ word, lexeme string }

// recent remembers words: stemming one takes microseconds, and most words of a chat
// were in it before. A word stands in the place its hash says, until another one
// replaces it there; so this is bounded, at some megabytes, and needs no lock.
var (
	recent [1 << 14]atomic.Pointer[known]
	seed   = maphash.MakeSeed()
)

// lookup stems a folded word.
func lookup(word []byte) *known {
	place := &recent[maphash.Bytes(seed, word)%uint64(len(recent))]
	if k := place.Load(); k != nil && k.word == string(word) {
		return k
	}
	k := &known{word: string(word)}
	k.lexeme = mark + stem(k.word)
	place.Store(k)
	return k
}

func stem(word string) string {
	latin, cyrillic := true, true
	for _, r := range word {
		latin = latin && 'a' <= r && r <= 'z'
		cyrillic = cyrillic && unicode.Is(unicode.Cyrillic, r)
	}
	stem := word
	// Words of grammar keep their form: "his" is not "hi".
	switch {
	case latin:
		stem = english.Stem(word, false)
	case cyrillic:
		stem = russian.Stem(word, false)
	}
	if stem == "" {
		return word
	}
	return stem
}
