package chat

import (
	"unicode"
	"unicode/utf8"
)

// maxEmoji bounds one emoji, in bytes; the longest in use, families and tag flags, have
// less than 50.
const maxEmoji = 64

const (
	joiner      = 0x200d
	asEmoji     = 0xfe0f
	keycap      = 0x20e3
	tagFirst    = 0xe0020
	tagEnd      = 0xe007f
	toneFirst   = 0x1f3fb
	toneLast    = 0x1f3ff
	letterFirst = 0x1f1e6
	letterLast  = 0x1f1ff
)

// isEmoji tells whether s is one emoji: a flag of two letters, a keycap, or emoji
// characters with their modifiers, joined to one (Unicode UTS #51, ED-17).
func isEmoji(s string) bool {
	if s == "" || len(s) > maxEmoji || !utf8.ValidString(s) {
		return false
	}
	r := []rune(s)
	if isLetter(r[0]) {
		return len(r) == 2 && isLetter(r[1])
	}
	if r[0] < 0x80 {
		return isKeycap(r)
	}
	for {
		rest := element(r)
		if rest == nil {
			return false
		}
		if len(rest) == 0 {
			return true
		}
		if rest[0] != joiner || len(rest) == 1 {
			return false
		}
		r = rest[1:]
	}
}

// element reads one emoji character with its modifiers and returns the rest, nil if
// there is none.
func element(r []rune) []rune {
	if r[0] < 0x80 || isLetter(r[0]) || !unicode.Is(emojiTable, r[0]) {
		return nil
	}
	bare := isTone(r[0]) // a tone alone is an emoji, but has no tone itself
	r = r[1:]
	switch {
	case len(r) > 0 && isTone(r[0]) && !bare:
		return r[1:]
	case len(r) > 0 && r[0] == asEmoji:
		r = r[1:]
	}
	if len(r) == 0 || r[0] < tagFirst || r[0] >= tagEnd {
		return r
	}
	for len(r) > 0 && r[0] >= tagFirst && r[0] < tagEnd {
		r = r[1:]
	}
	if len(r) == 0 || r[0] != tagEnd {
		return nil
	}
	return r[1:]
}

func isTone(r rune) bool { return r >= toneFirst && r <= toneLast }

func isLetter(r rune) bool { return r >= letterFirst && r <= letterLast }

// isKeycap tells whether r is a digit, # or * on a key.
func isKeycap(r []rune) bool {
	c := r[0]
	if c != '#' && c != '*' && (c < '0' || c > '9') {
		return false
	}
	r = r[1:]
	if len(r) > 0 && r[0] == asEmoji {
		r = r[1:]
	}
	return len(r) == 1 && r[0] == keycap
}

// emojiTable has the characters with the property Emoji that may stand alone (Unicode
// 16, emoji-data.txt).
var emojiTable = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0xa9, 0xae, 5},
		{0x203c, 0x2049, 13},
		{0x2122, 0x2139, 23},
		{0x2194, 0x2199, 1},
		{0x21a9, 0x21aa, 1},
		{0x231a, 0x231b, 1},
		{0x2328, 0x23cf, 167},
		{0x23e9, 0x23f3, 1},
		{0x23f8, 0x23fa, 1},
		{0x24c2, 0x24c2, 1},
		{0x25aa, 0x25ab, 1},
		{0x25b6, 0x25c0, 10},
		{0x25fb, 0x25fe, 1},
		{0x2600, 0x2604, 1},
		{0x260e, 0x2611, 3},
		{0x2614, 0x2615, 1},
		{0x2618, 0x261d, 5},
		{0x2620, 0x2622, 2},
		{0x2623, 0x2626, 3},
		{0x262a, 0x262e, 4},
		{0x262f, 0x262f, 1},
		{0x2638, 0x263a, 1},
		{0x2640, 0x2642, 2},
		{0x2648, 0x2653, 1},
		{0x265f, 0x2660, 1},
		{0x2663, 0x2665, 2},
		{0x2666, 0x2668, 2},
		{0x267b, 0x267e, 3},
		{0x267f, 0x267f, 1},
		{0x2692, 0x2697, 1},
		{0x2699, 0x269b, 2},
		{0x269c, 0x269c, 1},
		{0x26a0, 0x26a1, 1},
		{0x26a7, 0x26aa, 3},
		{0x26ab, 0x26ab, 1},
		{0x26b0, 0x26b1, 1},
		{0x26bd, 0x26be, 1},
		{0x26c4, 0x26c5, 1},
		{0x26c8, 0x26ce, 6},
		{0x26cf, 0x26d1, 2},
		{0x26d3, 0x26d4, 1},
		{0x26e9, 0x26ea, 1},
		{0x26f0, 0x26f5, 1},
		{0x26f7, 0x26fa, 1},
		{0x26fd, 0x2702, 5},
		{0x2705, 0x2708, 3},
		{0x2709, 0x270d, 1},
		{0x270f, 0x2712, 3},
		{0x2714, 0x2716, 2},
		{0x271d, 0x2721, 4},
		{0x2728, 0x2728, 1},
		{0x2733, 0x2734, 1},
		{0x2744, 0x2747, 3},
		{0x274c, 0x274e, 2},
		{0x2753, 0x2755, 1},
		{0x2757, 0x2757, 1},
		{0x2763, 0x2764, 1},
		{0x2795, 0x2797, 1},
		{0x27a1, 0x27b0, 15},
		{0x27bf, 0x27bf, 1},
		{0x2934, 0x2935, 1},
		{0x2b05, 0x2b07, 1},
		{0x2b1b, 0x2b1c, 1},
		{0x2b50, 0x2b55, 5},
		{0x3030, 0x303d, 13},
		{0x3297, 0x3299, 2},
	},
	R32: []unicode.Range32{
		{0x1f004, 0x1f004, 1},
		{0x1f0cf, 0x1f0cf, 1},
		{0x1f170, 0x1f171, 1},
		{0x1f17e, 0x1f17f, 1},
		{0x1f18e, 0x1f18e, 1},
		{0x1f191, 0x1f19a, 1},
		{0x1f201, 0x1f202, 1},
		{0x1f21a, 0x1f22f, 21},
		{0x1f232, 0x1f23a, 1},
		{0x1f250, 0x1f251, 1},
		{0x1f300, 0x1f321, 1},
		{0x1f324, 0x1f393, 1},
		{0x1f396, 0x1f397, 1},
		{0x1f399, 0x1f39b, 1},
		{0x1f39e, 0x1f3f0, 1},
		{0x1f3f3, 0x1f3f5, 1},
		{0x1f3f7, 0x1f4fd, 1},
		{0x1f4ff, 0x1f53d, 1},
		{0x1f549, 0x1f54e, 1},
		{0x1f550, 0x1f567, 1},
		{0x1f56f, 0x1f570, 1},
		{0x1f573, 0x1f57a, 1},
		{0x1f587, 0x1f587, 1},
		{0x1f58a, 0x1f58d, 1},
		{0x1f590, 0x1f590, 1},
		{0x1f595, 0x1f596, 1},
		{0x1f5a4, 0x1f5a5, 1},
		{0x1f5a8, 0x1f5a8, 1},
		{0x1f5b1, 0x1f5b2, 1},
		{0x1f5bc, 0x1f5bc, 1},
		{0x1f5c2, 0x1f5c4, 1},
		{0x1f5d1, 0x1f5d3, 1},
		{0x1f5dc, 0x1f5de, 1},
		{0x1f5e1, 0x1f5e3, 2},
		{0x1f5e8, 0x1f5ef, 7},
		{0x1f5f3, 0x1f5f3, 1},
		{0x1f5fa, 0x1f64f, 1},
		{0x1f680, 0x1f6c5, 1},
		{0x1f6cb, 0x1f6d2, 1},
		{0x1f6d5, 0x1f6d7, 1},
		{0x1f6dc, 0x1f6e5, 1},
		{0x1f6e9, 0x1f6e9, 1},
		{0x1f6eb, 0x1f6ec, 1},
		{0x1f6f0, 0x1f6f0, 1},
		{0x1f6f3, 0x1f6fc, 1},
		{0x1f7e0, 0x1f7eb, 1},
		{0x1f7f0, 0x1f7f0, 1},
		{0x1f90c, 0x1f93a, 1},
		{0x1f93c, 0x1f945, 1},
		{0x1f947, 0x1f9ff, 1},
		{0x1fa70, 0x1fa7c, 1},
		{0x1fa80, 0x1fa89, 1},
		{0x1fa8f, 0x1fac6, 1},
		{0x1face, 0x1fadc, 1},
		{0x1fadf, 0x1fae9, 1},
		{0x1faf0, 0x1faf8, 1},
	},
}
