package search_test

import (
	"testing"

	"github.com/kuranty/kuranty/internal/search"
)

func TestRank(t *testing.T) {
	for _, c := range []struct {
		query, text string
		want        int
	}{
		{"книга", "Книги, книгу и книгами", 3},
		{"кни", "Книги, книгу и книгами", 0},
		{"кни", "кни и книга", 1},
		{`"красная книга"`, "красная книга, красные книги, красная книга", 2},
		{"красная книга", "красная книга и ещё одна книга", 3},
		{"красная -синяя", "красная синяя", 1},
		{"日", "日本 日", 2},
		{"日本", "日本、日本", 2},
		{"", "что угодно", 0},
	} {
		if got := search.Parse(c.query, now, moscow).Rank(c.text); got != c.want {
			t.Errorf("rank of %q for %s = %d, want %d", c.text, c.query, got, c.want)
		}
	}
}
