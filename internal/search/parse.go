package search

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Parse reads a query (chat-api.md C.11):
//
//	word           in any form: книга finds книгами; the last word also as a prefix,
//	               if it has at least two letters
//	"exact phrase" these forms in this order; “ ” „ « » are quotes too
//	-word -"…"     not in the text; a query of nothing else finds nothing
//	from:@name     by this user; the @ may be missing
//	in:"title"     in the chat of this title; one word needs no quotes
//	has:file       or has:image, has:link; several hold together
//	before:2024-01-24, after:2024-01-24
//	               sent before that day, or after it: the day itself is in neither; also
//	               today and yesterday. Days are those of loc.
//	is:pinned, mentions:me
//
// Of several from, in, before or after the last one counts. A word that is several
// tokens (e-mail, 3.14) is found where they follow each other. What is not of this form
// is plain words. Only the first 500 code points and the first 16 words and phrases count.
func Parse(q string, now time.Time, loc *time.Location) Query {
	p := parser{rest: prepared(q), today: now.In(loc)}
	for p.skipSpace(); p.rest != ""; p.skipSpace() {
		p.item()
	}
	if p.last.stems != nil {
		p.terms[p.lastAt] = p.last
	}
	return p.Query
}

// prepared is the query in the form texts have, and bounded.
func prepared(q string) string {
	q = strings.ToValidUTF8(q, "\uFFFD")
	n := 0
	for i := range q {
		if n++; n > maxQuery {
			q = q[:i]
			break
		}
	}
	return norm.NFC.String(q)
}

type parser struct {
	Query

	rest   string
	today  time.Time
	last   term // the last plain word, as a prefix too; it belongs at lastAt of terms
	lastAt int
}

func (p *parser) skipSpace() { p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace) }

// item reads one item at the beginning of rest, which is not empty.
func (p *parser) item() {
	if p.filter() {
		return
	}
	after, negative := strings.CutPrefix(p.rest, "-")
	if text, rest, ok := quoted(after); ok {
		p.rest = rest
		p.add(phrase(Tokens(text)), negative)
		return
	}
	word := p.rest[:wordEnd(p.rest)]
	p.rest = p.rest[len(word):]
	tokens := Tokens(word)
	forms, ok := anyForm(tokens)
	if !ok {
		forms = phrase(tokens)
	}
	if p.add(forms, negative) && !negative {
		p.last, p.lastAt = completed(tokens, forms), len(p.terms)-1
	}
}

// add takes a term into the query, unless there is nothing in it or it is one too many.
func (p *parser) add(t term, negative bool) bool {
	switch {
	case len(t.words)+len(t.stems) == 0 || len(p.terms)+len(p.without) == maxTerms:
		return false
	case negative:
		p.without = append(p.without, t)
	default:
		p.terms = append(p.terms, t)
	}
	return true
}

// phrase finds the tokens as they are.
func phrase(tokens []Token) term {
	var t term
	if n := len(tokens) - 1; n >= 0 && tokens[n].cjk() {
		// The run of characters may go on in the text: its last one need not stand alone.
		if n > 0 && tokens[n-1].cjk() && tokens[n-1].End == tokens[n].End {
			tokens = tokens[:n]
		} else {
			t.prefix = true
		}
	}
	for i := range tokens {
		t.words = append(t.words, tokens[i].Text)
	}
	return t
}

// anyForm finds the tokens' words in any form. It is false for Chinese, Japanese and
// Korean, which have no stems.
func anyForm(tokens []Token) (t term, ok bool) {
	for i := range tokens {
		if tokens[i].cjk() {
			return term{}, false
		}
		t.stems = append(t.stems, tokens[i].lexeme)
	}
	return t, true
}

// completed makes the last word of what finds any form a prefix: perhaps it is still
// being typed. One letter begins too many words to be worth asking for.
func completed(tokens []Token, forms term) term {
	if len(forms.stems) > 0 && utf8.RuneCountInString(tokens[len(tokens)-1].Text) > 1 {
		forms.words, forms.prefix = phrase(tokens).words, true
	}
	return forms
}

// filter reads key:value. If that is not what rest begins with, it reads nothing.
func (p *parser) filter() bool {
	key, after, ok := strings.Cut(p.rest[:wordEnd(p.rest)], ":")
	if !ok || after == "" {
		return false
	}
	value, rest, ok := quoted(p.rest[len(key)+1:])
	switch {
	case ok:
	case strings.ContainsAny(after, quotes): // not closed, or not all of the value
		return false
	default:
		value, rest = after, p.rest[len(key)+1+len(after):]
	}
	if !p.set(strings.ToLower(key), strings.TrimSpace(value)) {
		return false
	}
	p.rest = rest
	return true
}

func (p *parser) set(key, value string) bool {
	switch key {
	case "from":
		value = Fold(strings.TrimPrefix(value, "@"))
		if value != "" {
			p.From = value
		}
		return value != ""
	case "in":
		if value != "" {
			p.In = value
		}
		return value != ""
	case "before", "after":
		day, ok := p.day(value)
		switch {
		case ok && key == "before":
			p.Before = day
		case ok:
			p.After = day.AddDate(0, 0, 1)
		}
		return ok
	}
	switch key + ":" + strings.ToLower(value) {
	case "has:file":
		p.File = true
	case "has:image":
		p.Image = true
	case "has:link":
		p.Link = true
	case "is:pinned":
		p.Pinned = true
	case "mentions:me":
		p.MentionsMe = true
	default:
		return false
	}
	return true
}

// day is the beginning of a day.
func (p *parser) day(value string) (time.Time, bool) {
	year, month, day := p.today.Date()
	switch strings.ToLower(value) {
	case "today":
	case "yesterday":
		day--
	default:
		t, err := time.ParseInLocation(time.DateOnly, value, p.today.Location())
		return t, err == nil
	}
	return time.Date(year, month, day, 0, 0, 0, 0, p.today.Location()), true
}

// wordEnd is where the word at the beginning of s ends.
func wordEnd(s string) int {
	if i := strings.IndexFunc(s, unicode.IsSpace); i >= 0 {
		return i
	}
	return len(s)
}

// quotes are signs that open and close phrases: phones replace one by the other.
const quotes = "\"“”„«»"

// quoted reads a phrase in quotes at the beginning of s.
func quoted(s string) (text, rest string, ok bool) {
	r, size := utf8.DecodeRuneInString(s)
	if s == "" || !strings.ContainsRune(quotes, r) {
		return "", s, false
	}
	end := strings.IndexAny(s[size:], quotes)
	if end < 0 {
		return "", s, false
	}
	text, rest = s[size:size+end], s[size+end:]
	_, size = utf8.DecodeRuneInString(rest)
	return text, rest[size:], true
}
