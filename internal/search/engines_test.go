package search_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/search"
)

// engine is a real database with an index of messages as the package documentation has it.
type engine struct {
	name                string
	db                  *sql.DB
	insert, find, clear string
	index               func(text string) string
	query               func(search.Query) string
	plans               []string // statements after which queries run in different ways
}

// sqlite opens an index in a new SQLite file.
func sqlite(t testing.TB) *engine {
	return open(t, &engine{
		name:   "SQLite",
		insert: `INSERT INTO message_index (rowid, tokens) VALUES ($1, $2)`,
		find:   `SELECT rowid FROM message_index WHERE message_index MATCH $1 ORDER BY rowid`,
		clear:  `DELETE FROM message_index`,
		index:  search.IndexText, query: search.Query.FTS5,
		plans: []string{`SELECT 1`},
	}, "sqlite", filepath.Join(t.TempDir(), "index.db"),
		`PRAGMA journal_mode = MEMORY`, `PRAGMA synchronous = OFF`, // nothing here outlives the test
		`CREATE VIRTUAL TABLE message_index USING fts5(tokens,
			content='', contentless_delete=1, tokenize='ascii', prefix='2 3')`)
}

// postgres opens an index in a new PostgreSQL database.
func postgres(t testing.TB) *engine {
	return open(t, &engine{
		name:   "PostgreSQL",
		insert: `INSERT INTO messages (id, tsv) VALUES ($1, $2::text::tsvector)`,
		find:   `SELECT id FROM messages WHERE tsv @@ $1::text::tsquery ORDER BY id`,
		clear:  `DELETE FROM messages`,
		index:  search.TSVector, query: search.Query.TSQuery,
		plans: []string{`SET enable_seqscan = on`, `SET enable_seqscan = off`}, // off: through the GIN index
	}, "pgx", pgtest.Start(t),
		`SET synchronous_commit = off`, // nothing here outlives the test
		`CREATE TABLE messages (id BIGINT PRIMARY KEY, tsv tsvector)`,
		`CREATE INDEX messages_tsv ON messages USING gin (tsv)`)
}

func open(t testing.TB, e *engine, driver, dsn string, schema ...string) *engine {
	t.Helper()
	var err error
	if e.db, err = sql.Open(driver, dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.db.Close() })
	e.db.SetMaxOpenConns(1) // so that what SET says holds
	for _, statement := range schema {
		e.exec(t, statement)
	}
	return e
}

func (e *engine) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := e.db.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %s: %.200v: %v", e.name, statement, args, err)
	}
}

// fill indexes messages, whose ids are their places.
func (e *engine) fill(t testing.TB, messages []string) {
	t.Helper()
	e.exec(t, "BEGIN")
	for id, text := range messages {
		e.exec(t, e.insert, id, e.index(text))
	}
	e.exec(t, "COMMIT")
}

// search returns the ids of the messages found.
func (e *engine) search(t testing.TB, q search.Query) []int {
	t.Helper()
	expression := e.query(q)
	if expression == "" {
		return nil
	}
	rows, err := e.db.QueryContext(context.Background(), e.find, expression)
	if err != nil {
		t.Fatalf("%s: %s: %v", e.name, expression, err)
	}
	defer rows.Close()
	var ids []int
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %s: %v", e.name, expression, err)
	}
	return ids
}

// brute is what a query finds without a database.
func brute(messages []string, q search.Query) []int {
	var ids []int
	for id, text := range messages {
		if q.Matches(text) {
			ids = append(ids, id)
		}
	}
	return ids
}

var vocabulary = strings.Fields(`книга книги книгами книг книжный красная красные красный красота мой мои моя твой ёлка елка ёлки
	встреча встретились встречаемся завтра за замок за́мок северо-запад северо-западный 3.14 3 14 2024-01-24 v2 don't do dont e-mail email
	running runs run runner ran cafe café Cafés naïve naive Straße strasse user@example.com https://example.com/a?b=c t.me/durov
	ї її україна об’єкт об'єкт I İ ı i 東京 東京タワー 京都 日本語 日本 日 本 語 か が ｶﾞ 안녕 안녕하세요 हिन्दी สวัสดี 😀 № § · х² ½ _ a_b ' " \ : * ( ) AND OR NOT NEAR`)

// generate makes a text of up to size words, some of which run into each other.
func generate(r *rand.Rand, size int) string {
	var b strings.Builder
	for range 1 + r.IntN(size) {
		word := vocabulary[r.IntN(len(vocabulary))]
		switch r.IntN(12) {
		case 0:
			word = strings.ToUpper(word)
		case 1:
			word = string([]rune(word)[:1+r.IntN(len([]rune(word)))])
		}
		b.WriteString(word)
		if r.IntN(6) > 0 {
			b.WriteString([]string{" ", " ", " ", ", ", "\n", "-", ". "}[r.IntN(7)])
		}
	}
	return b.String()
}

// generateQuery makes a query, half of the time of pieces of a message.
func generateQuery(r *rand.Rand, messages []string) string {
	var items []string
	for range 1 + r.IntN(3) {
		item := generate(r, 2)
		if r.IntN(2) == 0 {
			fields := strings.Fields("x " + messages[r.IntN(len(messages))])
			from := r.IntN(len(fields))
			item = strings.Join(fields[from:min(len(fields), from+1+r.IntN(3))], " ")
		}
		switch r.IntN(6) {
		case 0, 1:
			item = `"` + strings.ReplaceAll(item, `"`, "") + `"`
		case 2:
			item = "-" + item
		case 3:
			item = "-\"" + strings.ReplaceAll(item, `"`, "") + `"`
		}
		items = append(items, item)
	}
	return strings.Join(items, " ")
}

// Both databases and the matcher in Go find the same, and enough of it to mean something.
func TestDatabasesFindTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	messages := []string{"", "!!!"}
	for range 500 {
		messages = append(messages, generate(r, 12))
	}
	engines := []*engine{sqlite(t), postgres(t)}
	for _, e := range engines {
		e.fill(t, messages)
	}
	var queries []string
	for range 800 {
		queries = append(queries, generateQuery(r, messages))
	}
	queries = append(queries, vocabulary...)
	some := 0
	for _, text := range queries {
		q := search.Parse(text, now, moscow)
		want := brute(messages, q)
		if len(want) > 0 {
			some++
		}
		for _, e := range engines {
			for _, plan := range e.plans {
				e.exec(t, plan)
				if got := e.search(t, q); !slices.Equal(got, want) {
					t.Errorf("%s, %s, %q: found %v, want %v\n%s", e.name, plan, text, got, want, e.query(q))
				}
			}
		}
	}
	if some < len(queries)/4 {
		t.Errorf("only %d of %d queries found anything", some, len(queries))
	}
}

// At the bounds: the longest text, words that are in it more often than PostgreSQL has
// positions for them, long words, many different ones, the longest queries.
func TestDatabasesFindTheSameInLongTexts(t *testing.T) {
	different := func(n int, letters string) string {
		var b strings.Builder
		for i := range n {
			for j := i; ; j /= 10 {
				b.WriteRune([]rune(letters)[j%10])
				if j < 10 {
					break
				}
			}
			b.WriteByte(' ')
		}
		return b.String()
	}
	long := strings.Repeat("щ", 63)
	messages := []string{
		strings.Repeat("а ", 400) + "б",
		strings.Repeat("а б ", 256) + "а конец",
		strings.Repeat("книга в книге ", 200) + "красная книга",
		"а б" + strings.Repeat(" 日本", 300) + " а в",
		strings.Repeat("日", 16_000),
		strings.Repeat("日本", 9_000),
		different(4_000, "абвгдежзик"),
		different(4_000, "𠀀𠀁𠀂𠀃𠀄𠀅𠀆𠀇𠀈𠀉"),
		different(4_000, "ﬃﬄﷺıßŉǰΐΰﬀ"),
		strings.Repeat("щ", 16_000),
		long + "а", long + "б", long + "аб в",
		"日本" + strings.Repeat("\u093e", 9_000), // marks that count, on one character
		strings.Repeat("क"+strings.Repeat("\u093e", 90), 100),
		strings.Repeat("x", 15_999) + " далеко",
		strings.Repeat("x", 16_000) + " далеко",
	}
	queries := []string{
		`"а б"`, `"б а"`, `"а конец"`, "конец", `"а в"`, "а", `"а а"`, `"красная книга"`, "красные книги", `"книге книга"`, "далеко",
		"日本", "本日", "日", `"日 а"`, `"日本 а"`, "日本 -本日", long, long + "а", long + "аб", `"` + long + `а"`, `"` + long + `аб в"`,
		"икаб", `"икабв"`, "ﬃﬄ", "𠀀𠀁", "日本" + strings.Repeat("\u093e", 400), "क" + strings.Repeat("\u093e", 400), strings.Repeat("日本", 1000), `"` + strings.Repeat("а ", 1000) + `"`, `"` + strings.Repeat("а б ", 120) + `"`,
		strings.Repeat("а б ", 100), strings.Repeat("-аб ", 15) + "а",
	}
	engines := []*engine{sqlite(t), postgres(t)}
	for _, e := range engines {
		e.fill(t, messages)
	}
	for _, text := range queries {
		q := search.Parse(text, now, moscow)
		want := brute(messages, q)
		for _, e := range engines {
			if got := e.search(t, q); !slices.Equal(got, want) {
				t.Errorf("%s, %.60q: found %v, want %v", e.name, text, got, want)
			}
		}
	}
}

// What a person expects, in every engine.
func TestWhatIsFound(t *testing.T) {
	messages := []string{
		0: "Купил новую книгу о Ёлкине", 1: "Книги, которые мы читали", 2: "книжный клуб в четверг",
		3: "I was running to the café", 4: "He runs a cafeteria", 5: "東京タワーに行きました", 6: "京都の茶", 7: "мой дом", 8: "мои дома",
		9: "читали мы которые", 10: "северо-западные ветры", 11: "число 3.14 и 15", 12: "пишите на user@example.com",
		13: "синий 日本 шар",
	}
	for _, e := range []*engine{sqlite(t), postgres(t)} {
		e.fill(t, messages)
		for q, want := range map[string][]int{
			"книга":                      {0, 1},
			"кни":                        {0, 1, 2},
			`"книги"`:                    {1},
			"КНИГАМИ":                    {0, 1},
			"елкин":                      {0},
			"ёлкиной":                    {0},
			"книга -клуб":                {0, 1},
			"кн -новая":                  {1, 2},
			"-книга":                     nil,
			"run":                        {3, 4},
			"cafe":                       {3, 4},
			"cafe run -cafeteria":        {3},
			"東京":                         {5},
			"京":                          {5, 6},
			"茶":                          {6},
			"タワ":                         {5},
			"мой":                        {7},
			`"которые мы читали"`:        {1},
			`"мы читали" клуб`:           nil,
			"северо-западный":            {10},
			"синие-шары":                 nil, // there is something between them
			"синие шары":                 {13},
			"западный ветру":             {10},
			"3.14":                       {11},
			"14.3":                       nil,
			"user@example.com":           {12},
			"example.co":                 {12},
			`" ' ) OR 1=1 -- : * ^ { } `: nil,
			"читали in:\"Общий\" is:pinned": {1, 9},
		} {
			parsed := search.Parse(q, now, moscow)
			if got := e.search(t, parsed); !slices.Equal(got, want) {
				t.Errorf("%s: %s finds %v, want %v\n%s", e.name, q, got, want, e.query(parsed))
			}
		}
	}
}

func TestMessagesLeaveTheIndexOfSQLite(t *testing.T) {
	e := sqlite(t)
	q := search.Parse("кот", now, moscow)
	e.exec(t, e.insert, 7, e.index("старый кот"))
	e.exec(t, `INSERT OR REPLACE INTO message_index (rowid, tokens) VALUES ($1, $2)`, 7, e.index("новая кошка"))
	if got := e.search(t, q); len(got) != 0 {
		t.Errorf("after an edit %v is found by its old words", got)
	}
	e.exec(t, e.insert, 8, e.index("кот"))
	e.exec(t, `DELETE FROM message_index WHERE rowid = $1`, 8)
	if got := e.search(t, q); len(got) != 0 {
		t.Errorf("%v is found after it was deleted", got)
	}
}

// queries are seeds of the fuzz targets, each to be looked for in some text.
var queries = []string{
	"", "книга", `"exact phrase" -word`, `from:@a in:"t" has:file before:2024-01-24 after:today is:pinned mentions:me x`, `" ' \ : * ( ) { } ^ + -`,
	"AND OR NOT NEAR(a b)", "日本語 日", "§x ·", "\x00 a\x00b", "-\"a", "a*", "мои\u0306 за\u0301мок", "３.１４ ﬁ", strings.Repeat("-a ", 20), "«а” b",
}

// FuzzParse: SQLite takes every expression, and finds what Go finds.
func FuzzParse(f *testing.F) { fuzz(f, sqlite) }

// FuzzParsePostgres is [FuzzParse] for PostgreSQL.
func FuzzParsePostgres(f *testing.F) { fuzz(f, postgres) }

func fuzz(f *testing.F, start func(testing.TB) *engine) {
	for i, q := range queries {
		f.Add(q, texts[i%len(texts)])
		f.Add(texts[i%len(texts)], q)
		f.Add(q, q)
	}
	e := start(f)
	f.Fuzz(func(t *testing.T, text, message string) {
		q := search.Parse(text, now, moscow)
		if (q.FTS5() == "") != (q.TSQuery() == "") || (q.FTS5() == "") == q.HasText() {
			t.Fatalf("%q: FTS5 %s, TSQuery %s", text, q.FTS5(), q.TSQuery())
		}
		e.exec(t, e.clear)
		e.exec(t, e.insert, 0, e.index(message))
		if got, want := e.search(t, q), brute([]string{message}, q); !slices.Equal(got, want) {
			t.Fatalf("%s: %q finds %v in %q, want %v\n%s\n%s", e.name, text, got, message, want, e.query(q), e.index(message))
		}
		checkHighlights(t, message, q)
	})
}

// BenchmarkInsert is a message entering the index of SQLite, with and without the index
// of prefixes.
func BenchmarkInsert(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var messages []string
	for range 1000 {
		messages = append(messages, generate(r, 12))
	}
	for _, prefix := range []string{"", ", prefix='2 3'"} {
		b.Run(fmt.Sprintf("prefix=%v", prefix != ""), func(b *testing.B) {
			e := sqlite(b)
			e.exec(b, `DROP TABLE message_index`)
			e.exec(b, `CREATE VIRTUAL TABLE message_index USING fts5(tokens, content='', contentless_delete=1, tokenize='ascii'`+prefix+`)`)
			e.exec(b, "BEGIN")
			n := 0
			for b.Loop() {
				e.exec(b, e.insert, n, e.index(messages[n%len(messages)]))
				n++
			}
			e.exec(b, "COMMIT")
		})
	}
}
