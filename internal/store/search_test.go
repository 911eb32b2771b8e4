package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/search"
	"github.com/kuranty/kuranty/internal/store"
)

// find returns the texts of what user finds, in order.
func (c *chats) find(user int64, q chat.SearchQuery) []string {
	c.t.Helper()
	texts := []string{}
	for _, f := range c.walk(user, q) {
		texts = append(texts, f.Message.Text)
	}
	return texts
}

// walk returns all that user finds, page by page.
func (c *chats) walk(user int64, q chat.SearchQuery) (found []chat.Found) {
	c.t.Helper()
	for {
		r, err := c.SearchMessages(c.t.Context(), user, q)
		if err != nil {
			c.t.Fatalf("search %+v: %v", q, err)
		}
		found = append(found, r.Results...)
		if r.Next == "" {
			return found
		}
		q.Cursor = r.Next
	}
}

// same fails unless user finds exactly these texts, in this order.
func (c *chats) same(what string, user int64, q chat.SearchQuery, want ...string) {
	c.t.Helper()
	if got := c.find(user, q); !slices.Equal(got, want) {
		c.t.Errorf("%s: %+v finds %q, want %q", what, q, got, want)
	}
}

// corpus are texts as people write them, in the languages the analyzer knows of.
var corpus = []string{
	"Купил новую книгу о Ёлкине", "Книги, которые мы читали, и ещё книга", "книжный клуб в четверг в 19:30",
	"мы читали книгу вслух", "Красная книга — красная, а книг таких мало", "северо-западный ветер, 3.14 м/с",
	"I was running to the café", "He runs a cafeteria", "Naïve runners run; running is fun", "don't do that https://example.com/a?b=c",
	"東京タワーに行きました", "京都の茶", "日本語を勉強する", "日本", "안녕하세요 여러분", "смотри t.me/durov и 東京",
	"😀 новая книга 😀 книга", "за́мок и замок", "ОЧЕНЬ ГРОМКАЯ КНИГА", "пишите на user@example.com",
}

var corpusQueries = []string{
	"книга", "кни", "книгами", `"красная книга"`, "книга -новая", "run", "running cafe", "cafe", "東京", "京", "日本", "日", `"日本語"`, "안녕", "3.14",
	"северо-западные", "замок", "user@example.com", "елкин", "has:link", "книга has:link", "from:@анна1", "is:pinned", "mentions:me", "after:2026-04-30", "before:2026-05-01",
	"читали книга", "in:group книга", `in:"Борис" книга`, "in:nothing книга",
}

func TestD9_SearchIsTheSameOnBothDatabases(t *testing.T) {
	var answers []map[string]chat.SearchResult
	for _, driver := range []string{store.SQLite, store.Postgres} {
		c := openChats(t, driver, chat.Options{})
		a, b := c.person("Анна"), c.person("Борис")
		rooms := []int64{c.group(a, b), c.direct(a, b)}
		for i, text := range corpus {
			c.send([]int64{a, b}[i%2], rooms[i/2%2], text)
			c.clock.Advance(time.Minute)
		}
		got := make(map[string]chat.SearchResult)
		for _, sort := range []string{chat.NewestFirst, chat.ByRelevance} {
			for _, text := range corpusQueries {
				q := chat.SearchQuery{Q: text, Sort: sort, Limit: 3}
				for page := 0; ; page++ {
					r, err := c.SearchMessages(t.Context(), a, q)
					if err != nil {
						t.Fatalf("%s: %s: %v", driver, text, err)
					}
					got[fmt.Sprint(text, sort, page)] = r
					if q.Cursor = r.Next; r.Next == "" {
						break
					}
				}
			}
		}
		answers = append(answers, got)
	}
	if diff := cmp.Diff(answers[0], answers[1]); diff != "" {
		t.Errorf("SQLite (-) and PostgreSQL (+) answer differently:\n%s", diff)
	}
	first := answers[0]["книга0"]
	if first.TotalEstimate != 6 || len(first.Results) != 3 || first.Next == "" {
		t.Errorf("книга: %d of %d found, next %q", len(first.Results), first.TotalEstimate, first.Next)
	}
	r := answers[0]["東京0"].Results
	if len(r) != 2 || r[0].Message.Text != corpus[15] || !slices.Equal(r[0].Highlights, []search.Highlight{{Offset: 20, Length: 2}}) {
		t.Errorf("東京 finds %+v", r)
	}
	if got := answers[0]["книгаrelevance0"].Results[0].Message.Text; got != corpus[16] {
		t.Errorf("most relevant to книга is %q, not the newest of those with most hits", got)
	}
	for i := range r {
		if name := r[i].Chat.Title; name != "group" && name != "Борис" {
			t.Errorf("chat is called %q", name)
		}
	}
}

// Each way to search begins with another index, and must end at the same rules.
func TestS15_SearchFindsOnlyWhatTheSearcherSees(t *testing.T) {
	for _, many := range []bool{false, true} {
		t.Run(fmt.Sprintf("many=%v", many), func(t *testing.T) {
			onChats(t, chat.Options{ExternalAttachments: true}, func(t *testing.T, c *chats) { searchIsPrivate(t, c, many) })
		})
	}
}

func searchIsPrivate(t *testing.T, c *chats, many bool) {
	me, other := c.person("me"), c.person("other")
	if many {
		// More than are asked for by name.
		c.store.MustExec(t, `WITH RECURSIVE n(i) AS (SELECT CAST(1000 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 1300)
			INSERT INTO chats (id, kind, last_activity_at, created_by, created_at, updated_at) SELECT i, 'group', 0, 1, 0, 0 FROM n`)
		c.store.MustExec(t, `INSERT INTO members (chat_id, user_id, joined_at) SELECT id, $1, 0 FROM chats`, me)
	}
	say := func(room int64, text string) chat.Message {
		t.Helper()
		m, _, err := c.Send(t.Context(), other, room, chat.Sending{
			Text: text + " слово https://a.example/b", Mentions: []int64{me},
			Files: []chat.Attachment{{URL: "https://a.example/x.png", Kind: "image", Name: "x"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.store.MustExec(t, `UPDATE messages SET pinned_at = 1 WHERE id = $1`, m.ID)
		return m
	}
	mine := c.group(other, me)
	say(mine, "early")
	c.setMember(mine, me, "visible_from_seq", 1)
	hidden, deleted := say(mine, "hidden"), say(mine, "deleted")
	say(mine, "seen")
	if err := c.Delete(t.Context(), me, []int64{hidden.ID}, false); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), other, []int64{deleted.ID}, true); err != nil {
		t.Fatal(err)
	}
	foreign := c.group(other)
	say(foreign, "foreign")
	var gone []int64
	for _, state := range []string{chat.Left, chat.Removed, chat.Banned} {
		room := c.group(other, me)
		say(room, state)
		c.setMember(room, me, "state", state)
		gone = append(gone, room)
	}
	closed := c.group(other, me)
	say(closed, "closed")
	c.store.MustExec(t, `UPDATE chats SET state = 'deleted' WHERE id = $1`, closed)

	seen := "seen слово https://a.example/b"
	queries := map[string]chat.SearchQuery{
		"word": {Q: "слово"}, "prefix": {Q: "сло"}, "phrase": {Q: `"слово https"`}, "link": {Has: []string{"link"}}, "file": {Has: []string{"file"}},
		"image": {Q: "has:image"}, "pinned": {Q: "is:pinned"}, "mentions": {MentionsMe: true}, "from": {From: other}, "from name": {Q: "from:@other2"},
		"time": {After: time.Unix(1, 0)}, "in": {Q: "in:group слово"}, "in alone": {Q: "in:group"},
		"all": {Q: "слово has:link has:image is:pinned mentions:me from:other2 after:2020-01-01 before:2030-01-01 in:group", Chat: mine, From: other},
	}
	for what, q := range queries {
		for _, sort := range []string{chat.NewestFirst, chat.ByRelevance} {
			q.Sort = sort
			c.same(what, me, q, seen)
			q.Chat = mine
			c.same(what+" in the chat", me, q, seen)
		}
	}
	for _, room := range append(gone, foreign, closed, 1<<40) {
		if _, err := c.SearchMessages(t.Context(), me, chat.SearchQuery{Q: "слово", Chat: room}); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("search in chat %d, which is not mine: %v", room, err)
		}
	}
	e, err := c.SearchAll(t.Context(), me, "слово")
	if err != nil || len(e.Messages) != 1 || e.Messages[0].Message.Text != seen {
		t.Errorf("search for all: %+v, %v", e.Messages, err)
	}
	if e, err = c.SearchAll(t.Context(), me, "group"); err != nil || len(e.Chats) > 10 {
		t.Fatalf("chats found: %v", err)
	}
	for _, v := range e.Chats {
		if slices.Contains(append(gone, foreign, closed), v.Chat.ID) {
			t.Errorf("chat %d is found, which is not mine", v.Chat.ID)
		}
	}
}

// terms are the lexemes the index holds, in any row.
func (c *chats) terms() []string {
	c.t.Helper()
	c.store.Indexed(c.t.Context())
	var all string
	if c.store.Driver() == store.SQLite {
		c.store.MustExec(c.t, `CREATE VIRTUAL TABLE IF NOT EXISTS message_terms USING fts5vocab(message_index, row)`)
		c.store.MustQuery(c.t, `SELECT coalesce(group_concat(term, ' '), '') FROM message_terms`, nil, &all)
		var kept string
		c.store.MustQuery(c.t, `SELECT coalesce(group_concat(tokens || ' ' || facts, ' '), '') FROM message_index`, nil, &kept)
		all += " " + kept
	} else {
		c.store.MustQuery(c.t, `SELECT coalesce(string_agg(word, ' '), '') FROM ts_stat('SELECT tsv FROM message_index')`, nil, &all)
	}
	return strings.Fields(all)
}

func TestD12_DeletedTextLeavesNothingInTheIndex(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		a, b := c.person("a"), c.person("b")
		g := c.group(a, b)
		c.send(a, g, "остаётся")
		gone := []int64{c.send(a, g, "щсекрет первый").ID, c.send(a, g, "ъсекрет второй").ID}
		edited := c.send(a, g, "эпароль такой")
		if !slices.Contains(c.terms(), "щсекрет") || !slices.Contains(c.terms(), "эпароль") {
			t.Fatalf("the index does not hold what was sent: %q", c.terms())
		}
		if err := c.Delete(t.Context(), a, gone, true); err != nil {
			t.Fatal(err)
		}
		text := "забудь"
		if _, err := c.Edit(t.Context(), a, edited.ID, chat.Editing{Text: &text}); err != nil {
			t.Fatal(err)
		}
		for _, term := range c.terms() {
			for _, secret := range []string{"секрет", "перв", "втор", "пароль", "парол", "так"} {
				if strings.Contains(term, secret) {
					t.Errorf("the index still holds %q", term)
				}
			}
		}
		if c.store.Driver() == store.SQLite {
			var blocks int
			c.store.MustQuery(t, `SELECT count(*) FROM message_index_data WHERE instr(block, CAST('секрет' AS BLOB)) > 0 OR instr(block, CAST('пароль' AS BLOB)) > 0`, nil, &blocks)
			if blocks > 0 {
				t.Errorf("%d blocks of the index still hold what was deleted", blocks)
			}
		}
		c.same("deleted", b, chat.SearchQuery{Q: "щсекрет"})
		c.same("before the edit", b, chat.SearchQuery{Q: "эпароль"})
		c.same("edited", b, chat.SearchQuery{Q: "забудь"}, "забудь")
		c.same("kept", b, chat.SearchQuery{Q: "остается"}, "остаётся")
	})
}

// Query.Matches is the judge.
func TestSearchFindsWhatMatchesInARandomCorpus(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		r := rand.New(rand.NewPCG(7, 9))
		words := strings.Fields("книга книги книгами книжный красная красные run running runs cafe café 東京 東京タワー 日本 日 мой мои дом дома don't 3.14 ёлка елки a-b")
		sentence := func(n int) string {
			var b strings.Builder
			for range 1 + r.IntN(n) {
				b.WriteString(words[r.IntN(len(words))] + []string{" ", " ", ", ", "-"}[r.IntN(4)])
			}
			return strings.TrimSpace(b.String())
		}
		me, other := c.person("me"), c.person("other")
		rooms := []int64{c.group(me, other), c.direct(me, other), c.group(other)}
		var sent []chat.Message // that I see
		for range 250 {
			room := rooms[r.IntN(3)]
			if m := c.send(other, room, sentence(8)); room != rooms[2] {
				sent = append(sent, m)
			}
		}
		slices.Reverse(sent)
		for range 120 {
			q := sentence(2)
			switch r.IntN(4) {
			case 0:
				q = `"` + q + `"`
			case 1:
				q += " -" + words[r.IntN(len(words))]
			case 2:
				q = string([]rune(q)[:1+r.IntN(len([]rune(q)))])
			}
			parsed := search.Parse(q, c.clock.Now(), time.UTC)
			if !parsed.HasText() {
				continue
			}
			want := []int64{}
			for _, m := range sent {
				if parsed.Matches(m.Text) {
					want = append(want, m.ID)
				}
			}
			for _, sort := range []string{chat.NewestFirst, chat.ByRelevance} {
				found := c.walk(me, chat.SearchQuery{Q: q, Limit: 1 + r.IntN(40), Sort: sort})
				if sort == chat.ByRelevance {
					for i := 1; i < len(found); i++ {
						a, b := parsed.Rank(found[i-1].Message.Text), parsed.Rank(found[i].Message.Text)
						if a < b || a == b && found[i-1].Message.ID < found[i].Message.ID {
							t.Errorf("%s: message %d comes before %d", q, found[i-1].Message.ID, found[i].Message.ID)
						}
					}
					slices.SortFunc(found, func(a, b chat.Found) int { return int(b.Message.ID - a.Message.ID) })
				}
				got := []int64{}
				for _, f := range found {
					got = append(got, f.Message.ID)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, sorted %q: found %v, want %v", q, sort, got, want)
				}
			}
		}
	})
}
