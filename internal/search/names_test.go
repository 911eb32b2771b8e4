package search_test

import (
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/search"
)

func TestMatchRank(t *testing.T) {
	const none = -1
	for _, test := range []struct {
		name, username, needle string
		want                   int
	}{
		{"Филипп Киркоров", "phil", "phil", search.RankUsername},
		{"Филипп Киркоров", "phil", "@PHIL", search.RankUsername},
		{"Филипп Киркоров", "phil", "фил", search.RankNamePrefix},
		{"Филипп Киркоров", "phil", " ФИЛИПП  кир ", search.RankNamePrefix},
		{"Филипп Киркоров", "phil", "кир", search.RankWordPrefix},
		{"Филипп Киркоров", "phil", "коров", search.RankSubstring},
		{"Филипп Киркоров", "phil", "hil", search.RankSubstring},
		{"Филипп Киркоров", "phil", "@hi", search.RankSubstring},
		{"Филипп Киркоров", "phil", "@фил", none},
		{"Филипп Киркоров", "", "", none},
		{"Филипп Киркоров", "", "@", none},
		{"Филипп Киркоров", "", " ", none},
		{"Филипп Киркоров", "", "иванов", none},
		{"Анна-Мария Ёлкина", "", "МАРИЯ елк", search.RankWordPrefix},
		{"Ян Баян", "", "ян", search.RankNamePrefix},
		{"Баян Ян", "", "ян", search.RankWordPrefix},
		{"баянбаян", "", "ян", search.RankSubstring},
		{"Иван", "ivan", "%", none},
		{"Иван", "ivan", "и_ан", none},
		{"100% Иван_", "ivan", "%", search.RankSubstring},
		{"Éric Müller", "", "mull", search.RankWordPrefix},
		{"佐藤花子", "", "花子", search.RankSubstring},
		{"Мой", "", "мои", none},
	} {
		rank, ok := search.MatchRank(test.name, test.username, test.needle)
		if !ok {
			rank = none
		}
		if rank != test.want {
			t.Errorf("%q, @%s for %q: rank %d, want %d", test.name, test.username, test.needle, rank, test.want)
		}
	}
}

func TestHasLink(t *testing.T) {
	for text, want := range map[string]bool{
		"":         false,
		"http://a": true,
		"см. https://пример.рф/страница":      true,
		"(HTTPS://EXAMPLE.COM)":               true,
		"http://[::1]:8000/":                  true,
		"http:// пусто":                       false,
		"xhttp://a":                           false,
		"ftp://a.b":                           false,
		"://":                                 false,
		"www.ya.ru":                           true,
		"awww.so":                             false,
		"www. да":                             false,
		"пиши в t.me/durov":                   true,
		"github.com/kuranty/kuranty":          true,
		"пример.рф/путь":                      true,
		"привет.как дела":                     false,
		"example.com":                         false,
		"a@example.com":                       false,
		"a@example.com/x":                     false,
		"и/или, 1.5/2, т.д./т.п.":             false,
		"12.34/56":                            false,
		strings.Repeat("a.", 8_000):           false,
		strings.Repeat("@a.bc/d ", 2_000):     false,
		strings.Repeat("http:// ", 2_000):     false,
		"x" + strings.Repeat(".aa", 5_000):    false,
		strings.Repeat("a.", 5_000) + "com/x": true,
	} {
		if got := search.HasLink(text); got != want {
			t.Errorf("HasLink(%.60q) = %v", text, got)
		}
	}
}
