package search

import (
	"slices"
	"strings"
	"unicode"
)

// Highlight is a piece of a text that a query found, in UTF-16 code units.
type Highlight struct {
	Offset, Length int
}

// Highlights returns what the words of a query found in a text, in order, without
// overlaps. A word found by its beginning is highlighted whole. A text that does not
// match may have highlights too.
func Highlights(text string, q Query) []Highlight {
	if !q.HasText() {
		return nil
	}
	tokens := Tokens(text)
	words, stems := make([]string, len(tokens)), make([]string, len(tokens))
	for i := range tokens {
		words[i], stems[i] = tokens[i].Text, tokens[i].lexeme
	}
	var found []Highlight
	for i := range tokens {
		for _, t := range q.terms {
			var last *Token
			switch {
			case at(words[i:], t.words, t.prefix):
				last = &tokens[i+len(t.words)-1]
			case at(stems[i:], t.stems, false):
				last = &tokens[i+len(t.stems)-1]
			default:
				continue
			}
			end := last.End
			if t.prefix && last.cjk() {
				end = last.head // one character was asked for, and the token may be two
			}
			found = append(found, Highlight{Offset: tokens[i].Start, Length: end - tokens[i].Start})
		}
	}
	return merged(found)
}

// merged sorts highlights and joins those that overlap.
func merged(found []Highlight) []Highlight {
	slices.SortFunc(found, func(a, b Highlight) int { return a.Offset - b.Offset })
	kept := found[:0]
	for _, h := range found {
		if n := len(kept) - 1; n >= 0 && h.Offset < kept[n].Offset+kept[n].Length {
			kept[n].Length = max(kept[n].Length, h.Offset+h.Length-kept[n].Offset)
			continue
		}
		kept = append(kept, h)
	}
	return kept
}

const ellipsis = '…'

// Snippet returns a piece of a text, of at most maxRunes code points, that shows the
// first thing the query found with some of what is before it, and the highlights in
// the piece. White space is one space; left out text is an ellipsis. If maxRunes is
// below 3 there is nothing to show.
func Snippet(text string, q Query, maxRunes int) (snippet string, hl []Highlight) {
	if maxRunes < 3 {
		return "", nil
	}
	runes, hl := flat(text, Highlights(text, q))
	if len(runes) <= maxRunes {
		return string(runes), hl
	}
	from := 0
	if len(hl) > 0 {
		from = window(runes, runeIndex(runes, hl[0].Offset), maxRunes)
	}
	room := maxRunes
	if from > 0 {
		room--
	}
	to := len(runes)
	if to-from > room {
		to = cutAfter(runes, from, from+room-1)
	}
	var b strings.Builder
	shift := 0
	if from > 0 {
		b.WriteRune(ellipsis)
		shift = 1
	}
	b.WriteString(string(runes[from:to]))
	if to < len(runes) {
		b.WriteRune(ellipsis)
	}
	return b.String(), within(hl, utf16Count(runes[:from]), utf16Count(runes[:to]), shift)
}

// flat makes one space of each run of white space and moves the highlights along.
func flat(text string, hl []Highlight) ([]rune, []Highlight) {
	runes := make([]rune, 0, len(text))
	moved := slices.Clone(hl)
	at, lost, next := 0, 0, 0 // UTF-16 units read, left out; the highlight still to move
	for _, r := range text {
		for ; next < len(moved) && moved[next].Offset <= at; next++ {
			moved[next].Offset -= lost
		}
		units := utf16Len(r)
		at += units
		if unicode.IsSpace(r) {
			r = ' '
			if len(runes) == 0 || runes[len(runes)-1] == ' ' {
				lost += units
				shrink(moved[:next], at-lost, units)
				continue
			}
		}
		runes = append(runes, r)
	}
	return runes, moved
}

// shrink shortens the last highlight if what was left out at offset is inside it.
func shrink(moved []Highlight, offset, units int) {
	if n := len(moved) - 1; n >= 0 && offset < moved[n].Offset+moved[n].Length {
		moved[n].Length -= units
	}
}

// window is where a piece of size runes should begin so that it shows the rune at hit.
func window(runes []rune, hit, size int) int {
	if hit <= size/2 {
		return 0
	}
	// A quarter before, or more if the end is in reach. An ellipsis takes one place.
	from := min(hit-size/4, len(runes)-(size-1))
	for i := from; i < hit; i++ { // a piece begins with a word
		if runes[i-1] == ' ' {
			return i
		}
	}
	for from > 0 && inside(runes, from) {
		from--
	}
	return from
}

// cutAfter is where a piece that begins at from ends, at most at limit: after a word if
// there is one, and never inside a character.
func cutAfter(runes []rune, from, limit int) int {
	for to := limit; to > from+(limit-from)*3/4; to-- {
		if runes[to] == ' ' {
			return to
		}
	}
	to := limit
	for to > from+1 && inside(runes, to) {
		to--
	}
	return to
}

// inside tells whether what one sees as a character goes on at i: with a mark, a skin
// tone, or what a joiner has joined.
func inside(runes []rune, i int) bool {
	r := runes[i]
	return unicode.In(r, unicode.M) || unicode.Is(dropped, r) || 0x1F3FB <= r && r <= 0x1F3FF ||
		i > 0 && runes[i-1] == 0x200D
}

// within keeps the parts of highlights between two offsets, counted from the first, and
// moves them by shift.
func within(hl []Highlight, from, to, shift int) []Highlight {
	var kept []Highlight
	for _, h := range hl {
		start, end := max(h.Offset, from), min(h.Offset+h.Length, to)
		if start < end {
			kept = append(kept, Highlight{Offset: start - from + shift, Length: end - start})
		}
	}
	return kept
}

// runeIndex is the index of the rune at an offset in UTF-16 code units.
func runeIndex(runes []rune, offset int) int {
	for i, r := range runes {
		if offset <= 0 {
			return i
		}
		offset -= utf16Len(r)
	}
	return len(runes)
}

func utf16Count(runes []rune) int {
	n := 0
	for _, r := range runes {
		n += utf16Len(r)
	}
	return n
}
