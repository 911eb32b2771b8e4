package search

import (
	"strconv"
)

// gap stands in IndexText for a position that no query can ask for.
const gap = "·"

// IndexText returns what SQLite indexes of a text: tokens of letters and digits, some
// with a mark, separated by spaces. It is empty if there is nothing to find.
func IndexText(text string) string {
	words, stems := analyze(text)
	b := make([]byte, 0, 2*len(text)+4*len(stems))
	for _, lexemes := range [][]string{words, stems} {
		for _, l := range lexemes {
			if l == "" {
				l = gap
			}
			b = append(b, l...)
			b = append(b, ' ')
		}
	}
	if len(b) == 0 {
		return ""
	}
	return string(b[:len(b)-1])
}

// TSVector returns what PostgreSQL indexes of a text, as the literal of a tsvector with
// positions. It is empty if there is nothing to find.
func TSVector(text string) string {
	words, stems := analyze(text)
	b := make([]byte, 0, 2*len(text)+12*(len(words)+len(stems)))
	for _, lexemes := range [][]string{words, stems} {
		for i, l := range lexemes {
			if l == "" {
				continue
			}
			if len(b) > 0 {
				b = append(b, ' ')
			}
			b = append(b, '\'') // nothing to escape: a lexeme has no signs but the mark
			b = append(b, l...)
			b = append(b, '\'', ':')
			b = strconv.AppendInt(b, int64(i)+1, 10) // at most maxText, and PostgreSQL's limit is 16383
		}
	}
	return string(b)
}

// analyze returns the words of a text and their stems, marked; the index of each is
// its position. The empty string is a gap, which no phrase crosses.
func analyze(text string) (words, stems []string) {
	both := make([]string, 2*(len(text)/8+2))
	words, stems = both[:0:len(both)/2], both[len(both)/2:][:0]
	for t := range scan(text) {
		words = append(words, t.Text)
		if !t.cjk() || len(stems) > 0 && stems[len(stems)-1] != "" {
			stems = append(stems, t.lexeme)
		}
	}
	return bounded(words), bounded(stems)
}

// bounded makes gaps of all but the first [maxPositions] of each lexeme, because
// PostgreSQL forgets the others, and one gap of several.
func bounded(lexemes []string) []string {
	if len(lexemes) <= maxPositions {
		return lexemes
	}
	count := make(map[string]int, len(lexemes)/2)
	kept := lexemes[:0]
	for _, l := range lexemes {
		if count[l]++; count[l] > maxPositions {
			l = ""
		}
		if l != "" || len(kept) > 0 && kept[len(kept)-1] != "" {
			kept = append(kept, l)
		}
	}
	return kept
}
