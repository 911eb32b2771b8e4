package search

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Query is a search that somebody typed: what the text must have, which the FTS5 and
// TSQuery expressions ask for, and what the message must be, which is up to SQL. All
// of it holds together. The zero Query finds nothing.
type Query struct {
	// From is the sender's username, folded, without the @. Empty means anybody.
	From string
	// In is the chat's title as typed; compare it with [Fold]. Empty means any chat.
	In string
	// File, Image and Link ask for a message with an attachment, an image among the
	// attachments, a link in the text ([HasLink]).
	File, Image, Link bool
	// After and Before bound when the message was sent: at or after After, before
	// Before. The zero time is no bound.
	After, Before time.Time
	// Pinned asks for pinned messages, MentionsMe for messages that mention who searches.
	Pinned, MentionsMe bool

	terms, without []term
}

// term is a word or a phrase. It is in a text if stems are in its stems, or words are
// in its words, one after the other.
type term struct {
	words, stems []string // either may be empty, but not both; stems are marked
	prefix       bool     // the last of words needs only begin so
	completions  []string // the indexed words that begin so, if they were looked up
}

// HasText tells whether the query asks for words, so that the full-text index has to
// be asked.
func (q Query) HasText() bool { return len(q.terms) > 0 }

// HasFilter tells whether the query asks for something other than words.
func (q Query) HasFilter() bool {
	return q.From != "" || q.In != "" || q.File || q.Image || q.Link ||
		!q.After.IsZero() || !q.Before.IsZero() || q.Pinned || q.MentionsMe
}

// Nothing tells whether the query finds nothing in any text: it asks for nothing, or
// says only what a text must not have.
func (q Query) Nothing() bool {
	return !q.HasText() && (!q.HasFilter() || len(q.without) > 0)
}

// FTS5 is the MATCH expression for a table filled with [IndexText]. It is empty if the
// query asks for no words.
func (q Query) FTS5() string {
	return q.expression(fts5)
}

// indexedPrefix is up to how many characters a prefix has an index of its own (prefix='2 3').
const indexedPrefix = 3

// Unfinished returns the beginning of a word which the query also asks for, if looking up
// the indexed words that begin so ([Query.Complete]) is better than asking FTS5 for all
// that begins so: it would gather all rows of a long prefix before it gives the first.
func (q Query) Unfinished() string {
	for _, t := range q.terms {
		if t.prefix && len(t.words) == 1 && utf8.RuneCountInString(t.words[0]) > indexedPrefix {
			return t.words[0]
		}
	}
	return ""
}

// Complete returns the query with the indexed words that begin as [Query.Unfinished] says
// in its place. They must be all of them.
func (q Query) Complete(words []string) Query {
	unfinished := q.Unfinished()
	q.terms = slices.Clone(q.terms)
	for i := range q.terms {
		if t := &q.terms[i]; t.prefix && len(t.words) == 1 && t.words[0] == unfinished {
			t.completions = words
		}
	}
	return q
}

// TSQuery is the literal of a tsquery for vectors made by [TSVector]. It is empty if
// the query asks for no words.
func (q Query) TSQuery() string {
	return q.expression(tsquery)
}

// syntax is how a database writes queries.
type syntax struct {
	and, or, not string
	phrase       func(lexemes []string, prefix bool) string
}

var fts5 = syntax{and: " AND ", or: " OR ", not: " NOT ", phrase: func(lexemes []string, prefix bool) string {
	s := `"` + strings.Join(lexemes, " ") + `"`
	if prefix {
		s += " *"
	}
	return s
}}

var tsquery = syntax{and: " & ", or: " | ", not: " & !", phrase: func(lexemes []string, prefix bool) string {
	s := "'" + strings.Join(lexemes, "' <-> '") + "'"
	if prefix {
		s += ":*"
	}
	if len(lexemes) > 1 {
		s = "(" + s + ")"
	}
	return s
}}

func (q Query) expression(in syntax) string {
	switch {
	case !q.HasText():
		return ""
	case len(q.without) == 0:
		return in.join(q.terms, in.and)
	}
	return "(" + in.join(q.terms, in.and) + ")" + in.not + "(" + in.join(q.without, in.or) + ")"
}

func (in syntax) join(terms []term, with string) string {
	list := make([]string, len(terms))
	for i, t := range terms {
		var any []string
		if len(t.stems) > 0 {
			any = append(any, in.phrase(t.stems, false))
		}
		switch {
		case len(t.completions) > 0:
			for _, word := range t.completions {
				any = append(any, in.phrase([]string{word}, false))
			}
		case len(t.words) > 0:
			any = append(any, in.phrase(t.words, t.prefix))
		}
		if list[i] = strings.Join(any, in.or); len(any) > 1 {
			list[i] = "(" + list[i] + ")"
		}
	}
	return strings.Join(list, with)
}

// Matches tells whether a text has the words the query asks for, as the databases
// would. It does not look at the rest of the query, and is false if there are none.
func (q Query) Matches(text string) bool {
	words, stems := analyze(text)
	for _, t := range q.terms {
		if !t.in(words, stems) {
			return false
		}
	}
	for _, t := range q.without {
		if t.in(words, stems) {
			return false
		}
	}
	return q.HasText()
}

func (t term) in(words, stems []string) bool {
	for i := range words {
		if at(words[i:], t.words, t.prefix) {
			return true
		}
	}
	for i := range stems {
		if at(stems[i:], t.stems, false) {
			return true
		}
	}
	return false
}

// at tells whether a phrase begins where lexemes do.
func at(lexemes, phrase []string, prefix bool) bool {
	if len(phrase) == 0 || len(lexemes) < len(phrase) {
		return false
	}
	last := len(phrase) - 1
	for i, l := range phrase[:last] {
		if lexemes[i] != l {
			return false
		}
	}
	return lexemes[last] == phrase[last] || prefix && strings.HasPrefix(lexemes[last], phrase[last])
}
