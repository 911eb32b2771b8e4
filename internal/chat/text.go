package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Normalize returns text as it is stored: NFC, without control characters but line feed
// and tab, without white space at its end (chat-api.md §0.1). Bytes that are no UTF-8
// become replacement characters.
func Normalize(text string) string {
	text = norm.NFC.String(strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
	return strings.TrimRightFunc(text, unicode.IsSpace)
}

// text normalizes the text of a message and checks its length.
func (s *Service) text(text string) (string, error) {
	if len(text) > 16*4*maxTextLimit { // far above what any normal form shrinks to the limit
		return "", &LimitError{Field: "text", Got: utf8.RuneCountInString(text), Limit: s.o.TextLimit, Unit: "characters"}
	}
	text = Normalize(text)
	if n := utf8.RuneCountInString(text); n > s.o.TextLimit {
		return "", &LimitError{Field: "text", Got: n, Limit: s.o.TextLimit, Unit: "characters"}
	}
	return text, nil
}

// maxTextLimit is the most that can be configured, in code points.
const maxTextLimit = 16_000

// Excerpt returns the beginning of text, at most n code points, in one line.
func Excerpt(text string, n int) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	runes := []rune(text)
	return string(runes[:n-1]) + "…"
}

// validClientID tells whether id is 1 to 100 printable ASCII characters (chat-api.md §0.11).
func validClientID(id string) bool {
	if len(id) < 1 || len(id) > 100 {
		return false
	}
	for i := range len(id) {
		if id[i] < 0x20 || id[i] > 0x7e {
			return false
		}
	}
	return true
}
