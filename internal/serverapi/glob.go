package serverapi

import (
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"
)

// patternBytes bounds a pattern.
const patternBytes = 1024

var errPattern = errors.New("malformed pattern")

// compileGlob returns what tells whether a whole name matches pattern, or nil if that is
// empty, which is all names. In a pattern * is any run of characters, ? is any
// one, [abc], [a-z] and [!a-z] are one of or none of these, {a,b} is either, and \ takes
// what follows literally. Matching takes time linear in the name, whatever the pattern.
func compileGlob(pattern string) (func(name string) bool, error) {
	if pattern == "" {
		return nil, nil
	}
	if len(pattern) > patternBytes || !utf8.ValidString(pattern) {
		return nil, errPattern
	}
	var re strings.Builder
	re.WriteString(`(?s)\A(?:`)
	depth := 0 // of braces
	in := globReader{pattern}
	for in.rest != "" {
		switch c := in.next(); c {
		case '*':
			re.WriteString(`.*`)
		case '?':
			re.WriteString(`.`)
		case '[':
			if !in.class(&re) {
				return nil, errPattern
			}
		case '{':
			depth++
			re.WriteString(`(?:`)
		case '}':
			if depth--; depth < 0 {
				return nil, errPattern
			}
			re.WriteString(`)`)
		case '\\':
			if in.rest == "" {
				return nil, errPattern
			}
			re.WriteString(regexp.QuoteMeta(string(in.next())))
		case ',':
			if depth > 0 {
				c = '|'
			}
			re.WriteRune(c)
		default:
			re.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	if depth > 0 {
		return nil, errPattern
	}
	re.WriteString(`)\z`)
	compiled, err := regexp.Compile(re.String())
	if err != nil { // too deeply nested
		return nil, errPattern
	}
	return compiled.MatchString, nil
}

// globReader reads a pattern character by character.
type globReader struct{ rest string }

func (g *globReader) next() rune {
	c, n := utf8.DecodeRuneInString(g.rest)
	g.rest = g.rest[n:]
	return c
}

// class translates what follows a bracket, up to the closing one; false means that
// there is none, or nothing within.
func (g *globReader) class(re *strings.Builder) bool {
	re.WriteByte('[')
	if strings.HasPrefix(g.rest, "!") {
		g.next()
		re.WriteByte('^')
	}
	for empty := true; g.rest != ""; empty = false {
		low := g.next()
		if low == ']' {
			re.WriteByte(']')
			return !empty
		}
		low, ok := g.literal(low)
		high := low
		if ok && strings.HasPrefix(g.rest, "-") && !strings.HasPrefix(g.rest, "-]") {
			g.next()
			high, ok = g.literal(g.next())
		}
		if !ok || high < low {
			return false
		}
		re.WriteString(classChar(low) + "-" + classChar(high))
	}
	return false
}

// literal returns the character that c is or, if it is a backslash, announces.
func (g *globReader) literal(c rune) (rune, bool) {
	if c != '\\' {
		return c, true
	}
	if g.rest == "" {
		return 0, false
	}
	return g.next(), true
}

// classChar writes a character so that it stands for itself in a class.
func classChar(c rune) string {
	if c < utf8.RuneSelf && !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
		const hex = "0123456789abcdef"
		return `\x` + string(hex[c>>4]) + string(hex[c&15])
	}
	return string(c)
}
