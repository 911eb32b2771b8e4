package serverapi

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct{ pattern, matches, others string }{
		{"*", "a|a:b|я", ""},
		{"chat:*", "chat:|chat:1|chat:a:b", "chat|xchat:1"},
		{"*:1", "a:1|:1|a:b:1", "1|a:1x"},
		{"a*b*c", "abc|aXbXc|abbcc", "ab|acb"},
		{"?", "a|:|я", "ab"},
		{"a?c", "abc|a:c", "ac|abbc"},
		{"[abc]", "a|b|c", "d|ab|[abc]"},
		{"[a-c]x", "ax|cx", "dx|-x"},
		{"[!a-c]x", "dx|!x|яx", "ax|x"},
		{"[a-]", "a|-", "b"},
		{"[-a]", "a|-", "b"},
		{"[^a]", "^|a", "b"},
		{`[\]\\]`, `]|\`, "a"},
		{"[.$]", ".|$", "a"},
		{"[а-я]", "ж", "z"},
		{"{a,b}", "a|b", "c|{a,b}"},
		{"{a,b*}c", "ac|bc|bxc", "a|cc"},
		{"{a,{b,c}d}", "a|bd|cd", "b|ad"},
		{"x{,y}", "x|xy", "xyy"},
		{"{*,x}:1", "a:1|x:1", "1"},
		{"a,b", "a,b", "a"},
		{`\*`, "*", "a"},
		{`\{\}\[\?`, "{}[?", "a"},
		{`a\,b`, "a,b", "a"},
		{`{a\,b,c}`, "a,b|c", "a"},
		{"a.b+c(d)|^$", "", "axb"},
		{"a.b", "a.b", "axb"},
		{"]", "]", "a"},
		{"news", "news", "new|newss|NEWS"},
	} {
		match, err := compileGlob(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		for _, name := range strings.Split(c.matches, "|") {
			if c.matches != "" && !match(name) {
				t.Errorf("%s does not match %q", c.pattern, name)
			}
		}
		for _, name := range strings.Split(c.others, "|") {
			if c.others != "" && match(name) {
				t.Errorf("%s matches %q", c.pattern, name)
			}
		}
	}
	for _, pattern := range []string{
		"[", "[]", "[!]", "[a", "[a-", "[b-a]", `[\`, `[\]`, `[a-\`, "{", "{a,b", "}", "a}", "{a}}", `\`, `a\`, "\xff",
		strings.Repeat("a", patternBytes+1), strings.Repeat("{", 2000),
	} {
		if _, err := compileGlob(pattern); err == nil {
			t.Errorf("%q is taken", pattern)
		}
	}
	if match, err := compileGlob(""); match != nil || err != nil {
		t.Error("the empty pattern is not all names")
	}
}

// matches is the definition of matching, slow and simple: pattern is well formed.
func matches(pattern, name []rune) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	switch c, rest := pattern[0], pattern[1:]; c {
	case '*':
		return matches(rest, name) || len(name) > 0 && matches(pattern, name[1:])
	case '?':
		return len(name) > 0 && matches(rest, name[1:])
	case '\\':
		return len(name) > 0 && name[0] == rest[0] && matches(rest[1:], name[1:])
	case '[':
		if len(name) == 0 {
			return false
		}
		in, negated := false, rest[0] == '!'
		if negated {
			rest = rest[1:]
		}
		char := func() rune {
			if rest[0] == '\\' {
				rest = rest[1:]
			}
			c := rest[0]
			rest = rest[1:]
			return c
		}
		for rest[0] != ']' {
			low := char()
			high := low
			if rest[0] == '-' && rest[1] != ']' {
				rest = rest[1:]
				high = char()
			}
			in = in || low <= name[0] && name[0] <= high
		}
		return in != negated && matches(rest[1:], name[1:])
	case '{':
		var options [][]rune
		depth, start, end := 1, 1, 1
		for ; depth > 0; end++ {
			switch pattern[end] {
			case '\\':
				end++
			case '[': // up to its end
				end++
				if pattern[end] == '!' {
					end++
				}
				for ; pattern[end] != ']'; end++ {
					if pattern[end] == '\\' {
						end++
					}
				}
			case '{':
				depth++
			case '}':
				depth--
			case ',':
				if depth == 1 {
					options = append(options, pattern[start:end])
					start = end + 1
				}
			}
		}
		options = append(options, pattern[start:end-1])
		for _, option := range options {
			if matches(append(append([]rune{}, option...), pattern[end:]...), name) {
				return true
			}
		}
		return false
	default:
		return len(name) > 0 && name[0] == c && matches(rest, name[1:])
	}
}

func FuzzGlob(f *testing.F) {
	for _, pattern := range []string{"*", "a*b?c", "[a-c]", "[!a]x", "{a,b{c,d}}*", `\*`, `[\]-a]`, "{[,],b}", "{,a}"} {
		f.Add(pattern, "abc")
		f.Add(pattern, "b")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		match, err := compileGlob(pattern)
		if err != nil || match == nil || !utf8.ValidString(name) {
			return
		}
		// The definition takes exponential time.
		if len(pattern) > 24 || len(name) > 12 {
			match(name)
			return
		}
		if got, want := match(name), matches([]rune(pattern), []rune(name)); got != want {
			t.Fatalf("pattern %q, name %q: %t, want %t", pattern, name, got, want)
		}
	})
}
