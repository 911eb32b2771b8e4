package search

import (
	"iter"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// Token is a word of a text, or two neighbouring characters of a script that writes
// without spaces.
type Token struct {
	// Text is the word, folded as [Fold] does it, and cut after 64 letters.
	Text string
	// Stem is the word without its endings, in letters of Text: by the Snowball rules
	// for Russian if all letters are Cyrillic, for English if all are a to z, and
	// otherwise Text. It is empty for Chinese, Japanese and Korean.
	Stem string
	// Start and End bound the word in the text, in UTF-16 code units.
	Start, End int

	lexeme string // the stem, marked
	head   int    // where the first character of a pair ends
}

func (t *Token) cjk() bool { return t.lexeme == "" }

// Tokens splits a text into words: runs of letters, digits and their marks. Whatever
// else there is separates them, apostrophes, hyphens and dots included, so "don't" is
// two words. The position of a token is its index.
//
// In a run of Han, kana or Hangul each character makes a token with its successor,
// and the last one alone: 日本語 gives 日本, 本語 and 語. So each character begins a
// token, and a single one is found as a prefix.
//
// Only the first 16,000 code points are looked at.
func Tokens(text string) []Token {
	return slices.AppendSeq(make([]Token, 0, len(text)/8+1), scan(text))
}

// scan is [Tokens], one by one.
func scan(text string) iter.Seq[Token] {
	return func(yield func(Token) bool) {
		s := scanner{rest: text, left: maxText}
		var word, char, pair []byte // so far; char and pair of Han, kana, Hangul
		var open, before span       // of word and of char
		letters := 0
		for more := true; more; {
			more = s.next()
			if len(word) > 0 && s.kind != letter {
				known := lookup(word)
				if !yield(Token{
					Text: known.word, Stem: known.lexeme[len(mark):], Start: open.start, End: open.end,
					lexeme: known.lexeme, head: open.end,
				}) {
					return
				}
				word = word[:0]
			}
			if len(char) > 0 {
				pair = append(pair[:0], char...)
				end := before.end
				if s.kind == ideograph {
					pair, end = append(pair, s.folded...), s.end
				}
				if !yield(Token{Text: string(pair), Start: before.start, End: end, head: before.end}) {
					return
				}
				char = char[:0]
			}
			switch s.kind {
			case letter:
				if len(word) == 0 {
					letters, open.start = 0, s.start
				}
				if letters++; letters <= maxWord {
					word = append(word, s.folded...)
				}
				open.end = s.end
			case ideograph:
				char, before = append(char, s.folded...), s.span
			case separator:
			}
		}
	}
}

type span struct{ start, end int }

type kind int

const (
	separator kind = iota
	letter         // or digit
	ideograph      // or a letter of kana or Hangul
)

// scanner reads a text character by character: a code point with the marks after it.
type scanner struct {
	rest string
	left int // code points that may still be read

	kind   kind
	folded []byte
	span
}

// next reads the next character. At the end of the text it returns false and stands at
// a separator.
func (s *scanner) next() bool {
	s.start, s.folded = s.end, s.folded[:0]
	s.kind = separator
	if s.rest == "" || s.left == 0 {
		return false
	}
	r, size := s.take()
	if s.kind = kindOf(r); s.kind == separator {
		return true
	}
	if !joinable(s.rest) {
		s.folded = appendFolded(s.folded, r)
		return true
	}
	whole := s.rest
	for s.left > 0 && joins(s.rest) {
		_, n := s.take()
		size += n
	}
	if len(whole) == len(s.rest) {
		s.folded = appendFolded(s.folded, r)
		return true
	}
	// и with a breve is й, which is folded otherwise than и.
	marked := string(r) + whole[:len(whole)-len(s.rest)]
	count := 0
	for _, r := range norm.NFC.String(width.Fold.String(marked)) {
		before := len(s.folded)
		if s.folded = appendFolded(s.folded, r); len(s.folded) == before {
			continue
		}
		if count++; count == maxMarked {
			break
		}
	}
	return true
}

func (s *scanner) take() (r rune, size int) {
	r, size = utf8.DecodeRuneInString(s.rest)
	s.rest = s.rest[size:]
	s.left--
	s.end += utf16Len(r)
	return r, size
}

func utf16Len(r rune) int {
	if r > 0xFFFF {
		return 2
	}
	return 1
}

// joinable is a quick no for [joins]: before ASCII and Cyrillic letters.
func joinable(rest string) bool {
	return rest != "" && rest[0] >= utf8.RuneSelf && rest[0] != 0xD0 && rest[0] != 0xD1
}

// joins tells whether rest begins with a sign that belongs to the character before.
func joins(rest string) bool {
	if !joinable(rest) {
		return false
	}
	r, _ := utf8.DecodeRuneInString(rest)
	// The halfwidth voicing marks of kana are letters for Unicode.
	return unicode.Is(unicode.M, r) || unicode.Is(dropped, r) || r == 0xFF9E || r == 0xFF9F
}

func kindOf(r rune) kind {
	switch {
	case r < utf8.RuneSelf:
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return letter
		}
		return separator
	case 'А' <= r && r <= 'я':
		return letter
	case r == 0x02BC: // an apostrophe that Unicode calls a letter; it separates as the others do
		return separator
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) && unicode.In(r, unicode.L, unicode.Nl),
		r == 0x30FC, r == 0xFF70: // the sign for long vowels belongs to both kana
		return ideograph
	case unicode.In(r, unicode.L, unicode.N):
		return letter
	}
	return separator
}
