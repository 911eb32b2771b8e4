package transport

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// origins are the patterns of which one must match an Origin.
type origins []string

// newOrigins checks the patterns.
func newOrigins(patterns []string) (origins, error) {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("allowed origin %q: %w", p, err)
		}
	}
	return slices.Clone(patterns), nil
}

// allow tells whether a request with these Origin headers may pass. Patterns are
// anchored at both ends and never match a part (guarantees.md S21).
func (o origins) allow(headers []string) bool {
	switch {
	case len(headers) == 0, slices.Contains(o, "*"):
		return true
	case len(headers) > 1:
		return false
	}
	origin := strings.ToLower(headers[0])
	return slices.ContainsFunc(o, func(pattern string) bool {
		ok, _ := path.Match(pattern, origin) // patterns were checked
		return ok
	})
}
