package identity

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// maxValues bounds how many values a group that fills a URL may take.
const maxValues = 1000

// finiteGroup checks that the group called name takes values from a finite list only:
// that it is made of literals and alternatives. The values "." and ".." are refused,
// since in a path they mean another one.
func finiteGroup(key string, r *regexp.Regexp, name string) error {
	tree, err := syntax.Parse(r.String(), syntax.Perl)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	values, ok := enumerate(group(tree, name), maxValues)
	if !ok {
		return fmt.Errorf("{{%s}} may fill the URL only if the group in %s is a list of literal alternatives, at most %d", name, key, maxValues)
	}
	for _, v := range values {
		if v == "." || v == ".." {
			return fmt.Errorf("{{%s}} may not be %q", name, v)
		}
	}
	return nil
}

// group returns what the group called name encloses; [regexp.Regexp.SubexpIndex] knows
// it exists, and names are unique.
func group(re *syntax.Regexp, name string) *syntax.Regexp {
	if re.Op == syntax.OpCapture && re.Name == name {
		return re.Sub[0]
	}
	for _, sub := range re.Sub {
		if g := group(sub, name); g != nil {
			return g
		}
	}
	return nil
}

// enumerate returns the strings re matches, or false if they are more than limit or
// re is more than literals and alternatives. The parser has turned a|b into [a-b].
func enumerate(re *syntax.Regexp, limit int) ([]string, bool) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}, true
	case syntax.OpLiteral:
		return []string{string(re.Rune)}, re.Flags&syntax.FoldCase == 0
	case syntax.OpCharClass:
		var out []string
		for i := 0; i < len(re.Rune); i += 2 {
			for c := re.Rune[i]; c <= re.Rune[i+1]; c++ {
				if out = append(out, string(c)); len(out) > limit {
					return nil, false
				}
			}
		}
		return out, true
	case syntax.OpCapture:
		return enumerate(re.Sub[0], limit)
	case syntax.OpQuest:
		out, ok := enumerate(re.Sub[0], limit)
		return append(out, ""), ok
	case syntax.OpAlternate:
		var out []string
		for _, sub := range re.Sub {
			more, ok := enumerate(sub, limit)
			if out = append(out, more...); !ok || len(out) > limit {
				return nil, false
			}
		}
		return out, true
	case syntax.OpConcat:
		out := []string{""}
		for _, sub := range re.Sub {
			tails, ok := enumerate(sub, limit)
			if !ok || len(out)*len(tails) > limit {
				return nil, false
			}
			var joined []string
			for _, head := range out {
				for _, tail := range tails {
					joined = append(joined, head+tail)
				}
			}
			out = joined
		}
		return out, true
	}
	return nil, false
}
