package search

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// HasLink tells whether a text has a link for has:link: http:// or https:// and a host,
// www. and a host, or a host and a path, as t.me/durov. Hosts may be in any script. An
// e-mail address is not a link, and neither is a host by itself: it may well be two
// sentences.
func HasLink(text string) bool {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case ':':
			if after, ok := strings.CutPrefix(text[i:], "://"); ok && beginsHost(after) && endsScheme(text[:i]) {
				return true
			}
		case '.':
			// The path first: it is there once per host at most, so looking back stays linear.
			if endsWord(text[:i], "www") && beginsHost(text[i+1:]) || beginsPath(text[i+1:]) && endsHost(text[:i]) {
				return true
			}
		}
	}
	return false
}

func inHost(r rune) bool { return unicode.In(r, unicode.L, unicode.N, unicode.M) || r == '-' }

func beginsHost(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return r == '[' || unicode.In(r, unicode.L, unicode.N)
}

// endsScheme tells whether s ends with a scheme of the web, as a word.
func endsScheme(s string) bool {
	for _, scheme := range []string{"https", "http"} {
		if endsWord(s, scheme) {
			return true
		}
	}
	return false
}

// endsWord tells whether the last word of s is word, in any case of ASCII.
func endsWord(s, word string) bool {
	at := len(s) - len(word)
	if at < 0 || !strings.EqualFold(s[at:], word) {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(s[:at])
	return at == 0 || !unicode.In(before, unicode.L, unicode.N) && before != '@'
}

// endsHost tells whether s ends with a label of a host that is not part of an e-mail
// address.
func endsHost(s string) bool {
	host := strings.TrimRightFunc(s, func(r rune) bool { return inHost(r) || r == '.' })
	first, _ := utf8.DecodeRuneInString(s[len(host):])
	last, _ := utf8.DecodeLastRuneInString(s)
	return len(host) < len(s) && inHost(first) && inHost(last) && !strings.HasSuffix(host, "@")
}

// beginsPath tells whether s begins with a top-level domain of letters, at least two,
// and a slash with something after it.
func beginsPath(s string) bool {
	n := 0
	for i, r := range s {
		if r == '/' {
			next, _ := utf8.DecodeRuneInString(s[i+1:])
			return n >= 2 && unicode.In(next, unicode.L, unicode.N)
		}
		if !unicode.IsLetter(r) {
			return false
		}
		n++
	}
	return false
}
