package search

import (
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// Fold returns s as names, usernames and titles are compared: without letter case
// and diacritics in any script, е for ё, in one width, with white space trimmed and
// each run of it one space. Everything else stays, so % and _ mean themselves.
// Folding twice changes nothing.
//
// Cyrillic letters that have a code point of their own are letters of an alphabet,
// not letters with a mark: й is not и, ї is not і. Only ё, ѐ and ѝ are folded.
func Fold(s string) string {
	s = norm.NFC.String(width.Fold.String(strings.ToValidUTF8(s, "\uFFFD")))
	b := make([]byte, 0, len(s))
	space := false
	for _, r := range s {
		if unicode.IsSpace(r) {
			space = true
			continue
		}
		before := len(b)
		if space && before > 0 {
			b = append(b, ' ')
		}
		start := len(b)
		if b = appendFolded(b, r); len(b) == start {
			b = b[:before] // r folds to nothing, so the space still waits
			continue
		}
		space = false
	}
	return norm.NFC.String(string(b))
}

// appendFolded appends r folded: usually one letter, sometimes more (ß) or none (a
// combining accent).
func appendFolded(b []byte, r rune) []byte {
	switch {
	case r < utf8.RuneSelf:
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return append(b, byte(r))
	case 'а' <= r && r <= 'я':
		return utf8.AppendRune(b, r)
	case 'А' <= r && r <= 'Я':
		return utf8.AppendRune(b, r+'а'-'А')
	case r < pagesEnd:
		return append(b, page(r)[r%256]...)
	case r >= 0x3400 && r <= 0x9FFF, r >= 0xAC00 && r <= 0xD7A3: // ideographs and Hangul syllables
		return utf8.AppendRune(b, r)
	default:
		return append(b, foldRune(r)...)
	}
}

// pages remembers what the letters of alphabets fold to, 256 at a time, filled when
// first needed.
var pages [pagesEnd / 256]atomic.Pointer[[256]string]

const pagesEnd = 0x3100 // after kana

func page(r rune) *[256]string {
	at := &pages[r/256]
	if p := at.Load(); p != nil {
		return p
	}
	p := new([256]string)
	for i := range p {
		p[i] = foldRune(r&^255 + rune(i))
	}
	at.Store(p)
	return p
}

// plain are the letters that people leave the strokes off when they cannot type them,
// but that Unicode does not take apart. ß and the like are full case folding's.
var plain = map[rune]string{
	'æ': "ae", 'œ': "oe", 'ø': "o", 'ł': "l", 'đ': "d", 'ð': "d", 'þ': "th", 'ħ': "h", 'ŧ': "t", 'ı': "i",
}

func foldRune(r rune) string {
	if f := width.LookupRune(r).Folded(); f != 0 {
		r = f
	}
	switch {
	case unicode.Is(dropped, r):
		return ""
	case unicode.Is(unicode.Cyrillic, r):
		switch r = unicode.ToLower(unicode.ToUpper(r)); r { // up and down: ᲀ is a form of в
		case 'ё', 'ѐ':
			r = 'е'
		case 'ѝ':
			r = 'и'
		}
		return string(r)
	case unicode.Is(unicode.Nd, r):
		return string(digit(r))
	}
	if unicode.Is(unicode.Cherokee, r) {
		return string(unicode.ToLower(r)) // cases.Fold exchanges upper and lower case
	}
	var b strings.Builder
	for _, c := range norm.NFD.String(cases.Fold().String(norm.NFD.String(string(r)))) {
		if unicode.Is(dropped, c) {
			continue
		}
		if s, ok := plain[c]; ok {
			b.WriteString(s)
		} else {
			b.WriteRune(c)
		}
	}
	return norm.NFC.String(b.String())
}

// digit is the ASCII digit of the same value: the digits of a script follow each
// other from zero to nine.
func digit(r rune) rune {
	for _, in := range unicode.Nd.R16 {
		if rune(in.Lo) <= r && r <= rune(in.Hi) {
			return '0' + (r-rune(in.Lo))%10
		}
	}
	for _, in := range unicode.Nd.R32 {
		if rune(in.Lo) <= r && r <= rune(in.Hi) {
			return '0' + (r-rune(in.Lo))%10
		}
	}
	return r
}

// dropped are the signs that do not count: accents, the points of Hebrew and Arabic,
// and signs that only say how letters join. Marks of other scripts are part of the
// word: the vowels of Devanagari and Thai, the voicing of kana.
var dropped = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x00AD, Hi: 0x00AD, Stride: 1}, // soft hyphen
		{Lo: 0x0300, Hi: 0x036F, Stride: 1},
		{Lo: 0x0483, Hi: 0x0489, Stride: 1}, // titlo and the like
		{Lo: 0x0591, Hi: 0x05BD, Stride: 1},
		{Lo: 0x05BF, Hi: 0x05BF, Stride: 1},
		{Lo: 0x05C1, Hi: 0x05C2, Stride: 1},
		{Lo: 0x05C4, Hi: 0x05C5, Stride: 1},
		{Lo: 0x05C7, Hi: 0x05C7, Stride: 1},
		{Lo: 0x0610, Hi: 0x061A, Stride: 1},
		{Lo: 0x0640, Hi: 0x0640, Stride: 1}, // tatweel
		{Lo: 0x064B, Hi: 0x065F, Stride: 1},
		{Lo: 0x0670, Hi: 0x0670, Stride: 1},
		{Lo: 0x06D6, Hi: 0x06DC, Stride: 1},
		{Lo: 0x06DF, Hi: 0x06E4, Stride: 1},
		{Lo: 0x06E7, Hi: 0x06E8, Stride: 1},
		{Lo: 0x06EA, Hi: 0x06ED, Stride: 1},
		{Lo: 0x1AB0, Hi: 0x1AFF, Stride: 1},
		{Lo: 0x1DC0, Hi: 0x1DFF, Stride: 1},
		{Lo: 0x200C, Hi: 0x200D, Stride: 1}, // (non-)joiner
		{Lo: 0x2060, Hi: 0x2060, Stride: 1}, // word joiner
		{Lo: 0x20D0, Hi: 0x20FF, Stride: 1},
		{Lo: 0xFE00, Hi: 0xFE0F, Stride: 1}, // variation selectors
		{Lo: 0xFE20, Hi: 0xFE2F, Stride: 1},
	},
	LatinOffset: 1,
}
