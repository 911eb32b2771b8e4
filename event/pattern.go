package event

import "strings"

// IsPattern tells whether a name of types has a * in it.
func IsPattern(name string) bool { return strings.Contains(name, "*") }

// Matches tells whether a type is one of a pattern: * stands for one word, as the last word
// for one or more (event-gateway.md §11). A pattern without * matches its own name.
func Matches(pattern, typ string) bool {
	for {
		p, morePattern, patternGoesOn := strings.Cut(pattern, ".")
		t, moreType, typeGoesOn := strings.Cut(typ, ".")
		switch {
		case t == "", p != "*" && p != t:
			return false
		case !patternGoesOn:
			return p == "*" || !typeGoesOn
		case !typeGoesOn:
			return false
		}
		pattern, typ = morePattern, moreType
	}
}

// Matching returns the types of a pattern, in the order of the documentation.
func (c *Catalogue) Matching(pattern string) (found []*Kind) {
	if newer := TypeAliases[pattern]; newer != "" {
		pattern = newer
	}
	for _, k := range c.kinds {
		if Matches(pattern, k.Type) {
			found = append(found, k)
		}
	}
	return found
}
