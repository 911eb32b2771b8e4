package search_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kuranty/kuranty/internal/search"
)

var (
	moscow = time.FixedZone("MSK", 3*60*60)
	now    = time.Date(2024, 1, 24, 22, 30, 0, 0, time.UTC) // in Moscow it is the 25th
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, moscow) }

func TestParse(t *testing.T) {
	for _, test := range []struct {
		q       string
		want    search.Query
		tsquery string
	}{
		{"", search.Query{}, ""},
		{" -  !? ", search.Query{}, ""},
		{"from:@Anna", search.Query{From: "anna"}, ""},
		{"FROM:anna from:@Пётр", search.Query{From: "петр"}, ""},
		{`in:"Общий чат"`, search.Query{In: "Общий чат"}, ""},
		{"in:Работа", search.Query{In: "Работа"}, ""},
		{"in:«Два слова» is:pinned", search.Query{In: "Два слова", Pinned: true}, ""},
		{"has:file has:IMAGE has:link", search.Query{File: true, Image: true, Link: true}, ""},
		{"mentions:me", search.Query{MentionsMe: true}, ""},
		{"before:2024-02-29 after:2024-01-24", search.Query{Before: day(2024, 2, 29), After: day(2024, 1, 25)}, ""},
		{"after:yesterday before:today", search.Query{Before: day(2024, 1, 25), After: day(2024, 1, 25)}, ""},

		{"книги", search.Query{}, "('§книг' | 'книги':*)"},
		{"красные книги", search.Query{}, "'§красн' & ('§книг' | 'книги':*)"},
		{"отчёт from:@anna", search.Query{From: "anna"}, "('§отчет' | 'отчет':*)"},
		{`отчёт "за год"`, search.Query{}, "('§отчет' | 'отчет':*) & ('за' <-> 'год')"},
		{"“за год” «за»", search.Query{}, "('за' <-> 'год') & 'за'"},
		{"кот я", search.Query{}, "'§кот' & '§я'"},
		{"кот -собака", search.Query{}, "(('§кот' | 'кот':*)) & !('§собак')"},
		{`кот -собака -"два кота"`, search.Query{}, "(('§кот' | 'кот':*)) & !('§собак' | ('два' <-> 'кота'))"},
		{"-собака", search.Query{}, ""},
		{"северо-западный 3.14", search.Query{}, "('§север' <-> '§западн') & (('§3' <-> '§14') | ('3' <-> '14':*))"},
		{"日本語", search.Query{}, "('日本' <-> '本語')"},
		{"日", search.Query{}, "'日':*"},
		{`"日本語 text"`, search.Query{}, "('日本' <-> '本語' <-> '語' <-> 'text')"},
		{"text日", search.Query{}, "('text' <-> '日':*)"},
		{"мои\u0306", search.Query{}, "('§мой' | 'мой':*)"},

		// Mistakes are words.
		{"has:fire", search.Query{}, "(('§has' <-> '§fire') | ('has' <-> 'fire':*))"},
		{"before:2023-02-29", search.Query{}, "(('§before' <-> '§2023' <-> '§02' <-> '§29') | ('before' <-> '2023' <-> '02' <-> '29':*))"},
		{"from:@ from:", search.Query{}, "'§from' & ('§from' | 'from':*)"},
		{`in:"чат`, search.Query{}, "(('§in' <-> '§чат') | ('in' <-> 'чат':*))"},
		{`"не закрыта`, search.Query{}, "'§не' & ('§закрыт' | 'закрыта':*)"},
		{`a"b c"d`, search.Query{}, "('§a' <-> '§b') & ('§c' <-> '§d')"},
		{"-has:file кот", search.Query{}, "(('§кот' | 'кот':*)) & !(('§has' <-> '§file'))"},
		{"кот AND NOT OR * ' \\", search.Query{}, "'§кот' & '§and' & '§not' & ('§or' | 'or':*)"},
	} {
		got := search.Parse(test.q, now, moscow)
		if d := cmp.Diff(test.want, got, cmpopts.IgnoreUnexported(search.Query{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.q, d)
		}
		if got.TSQuery() != test.tsquery {
			t.Errorf("%s: TSQuery\n\t%s, want\n\t%s", test.q, got.TSQuery(), test.tsquery)
		}
	}
}

func TestFTS5(t *testing.T) {
	got := search.Parse(`красные "две книги" -"белый цвет" -кот север`, now, moscow).FTS5()
	want := `("§красн" AND "две книги" AND ("§север" OR "север" *)) NOT ("белый цвет" OR "§кот")`
	if got != want {
		t.Errorf("FTS5\n\t%s, want\n\t%s", got, want)
	}
}

func TestQueriesThatFindNothing(t *testing.T) {
	for q, want := range map[string]bool{
		"": true, "!": true, "-кот": true, "-кот from:@anna": true,
		"кот": false, "кот -кот": false, "from:@anna": false, "is:pinned": false, "after:2024-01-01": false,
	} {
		if got := search.Parse(q, now, moscow).Nothing(); got != want {
			t.Errorf("%q: Nothing() = %v", q, got)
		}
	}
	var zero search.Query
	if !zero.Nothing() || zero.Matches("текст") {
		t.Error("the zero query finds something")
	}
}

func TestQueriesAreBounded(t *testing.T) {
	if got := strings.Count(search.Parse(strings.Repeat("а -б ", 100), now, moscow).TSQuery(), "§"); got != 16 {
		t.Errorf("%d terms, want 16", got)
	}
	if got := strings.Count(search.Parse(`"`+strings.Repeat("а ", 1000)+`"`, now, moscow).TSQuery(), "а"); got > 250 {
		t.Errorf("a phrase of %d words, want at most 250", got)
	}
}
