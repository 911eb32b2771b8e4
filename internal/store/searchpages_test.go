package store_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/search"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// bulk adds n messages to a chat, behind the service's back but with their index
// entries. Every seventh has the word twice.
func (c *chats) bulk(room, user int64, n int) {
	c.t.Helper()
	var last int64
	c.store.MustQuery(c.t, `SELECT last_seq FROM chats WHERE id = $1`, []any{room}, &last)
	c.store.MustExec(c.t, `WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO messages (chat_id, seq, sender_id, message_type, text, created_at, event_seq)
		SELECT $2, $3 + i, $4, 'text', CASE WHEN i % 7 = 0 THEN 'кот и кот ' ELSE 'кот ' END || i, 0, $3 + i FROM n`, n, room, last, user)
	c.store.MustExec(c.t, `UPDATE chats SET last_seq = last_seq + $1, last_event_seq = last_event_seq + $1 WHERE id = $2`, n, room)
	c.reindex()
}

// reindex builds the whole index anew.
func (c *chats) reindex() int {
	c.t.Helper()
	c.store.MustExec(c.t, `DELETE FROM meta WHERE key = 'analyzer_version'`)
	n, err := c.store.Reindex(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func TestPagesOfASearchMeetEveryMessageOnceWhileOthersAreSentAndDeleted(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		me, other := c.person("me"), c.person("other")
		room := c.group(other, me)
		const n = 1203 // more than twice what is ranked at once
		c.bulk(room, other, n)
		for _, sort := range []string{chat.NewestFirst, chat.ByRelevance} {
			var ids string
			c.store.MustQuery(t, `SELECT string_agg(CAST(id AS TEXT), ' ') FROM messages WHERE deleted_at = 0`, nil, &ids)
			seen := make(map[string]int)
			q := chat.SearchQuery{Q: "кот", Sort: sort, Limit: 90}
			for page := 0; ; page++ {
				r, err := c.SearchMessages(t.Context(), me, q)
				if err != nil {
					t.Fatal(err)
				}
				if r.TotalEstimate != chat.MaxEstimate {
					t.Errorf("page %d estimates %d", page, r.TotalEstimate)
				}
				for _, f := range r.Results {
					seen[fmt.Sprint(f.Message.ID)]++
				}
				c.send(other, room, "кот и кот, новый")
				// One that has been seen goes, so that an older one comes up in its place.
				if n := len(r.Results); n > 0 {
					if err := c.Delete(t.Context(), other, []int64{r.Results[n/2].Message.ID}, true); err != nil {
						t.Fatal(err)
					}
				}
				if q.Cursor = r.Next; r.Next == "" {
					break
				}
			}
			for _, id := range strings.Fields(ids) {
				if seen[id] != 1 {
					t.Errorf("sorted %q: message %s was met %d times", sort, id, seen[id])
				}
				delete(seen, id)
			}
			if len(seen) > 0 {
				t.Errorf("sorted %q: met %d messages sent after the first page", sort, len(seen))
			}
		}
	})
}

func TestSearchIsRefused(t *testing.T) {
	onChats(t, chat.Options{Limits: chat.Limits{SearchPerMinute: 30, SendPerSecond: -1, ChatPerSecond: -1}}, func(t *testing.T, c *chats) {
		me := c.person("me")
		room := c.group(me)
		encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		for field, queries := range map[string][]chat.SearchQuery{
			"q":    {{}, {Q: "  "}, {Q: "-слово"}, {Q: "!!!"}, {Q: "-слово", Chat: room}, {Q: `""`, From: me}, {Q: "from:@me1 -слово"}},
			"has":  {{Q: "x", Has: []string{"secret"}}},
			"sort": {{Q: "x", Sort: "id; DROP TABLE messages"}},
			"cursor": {
				{Q: "x", Cursor: "?"},
				{Q: "x", Cursor: "AAAA"},
				{Q: "x", Cursor: encode("[-5 0]")},
				{Q: "x", Cursor: encode("[5 -1]")},
				{Q: "x", Cursor: encode("[5 1001]")},
				{Q: "x", Cursor: encode("[5 1] ")},
				{Q: "x", Cursor: encode("[5 1 0 0 0]")},
				{Q: "x", Cursor: encode("[05 1]")},
				{Q: "x", Cursor: encode("[5 1]"), Sort: chat.ByRelevance},
				{Q: "x", Cursor: encode("[5 1 9 0 0]"), Sort: chat.ByRelevance},
			},
		} {
			for _, q := range queries {
				var e *chat.FieldError
				if _, err := c.SearchMessages(t.Context(), me, q); !errors.As(err, &e) || e.Field != field {
					t.Errorf("%+v: %v, want an error of %s", q, err, field)
				}
			}
		}
		// What was refused has not counted.
		for i := range 31 {
			_, err := c.SearchMessages(t.Context(), me, chat.SearchQuery{Q: "слово"})
			var e *chat.RateError
			if i < 30 && err != nil || i == 30 && !errors.As(err, &e) {
				t.Fatalf("search %d: %v", i, err)
			}
		}
		if _, err := c.SearchAll(t.Context(), me, "слово"); err == nil {
			t.Error("searching for all is not limited")
		}
	})
}

// Whatever is typed is looked for, not run.
func TestS30_SearchTakesAnyText(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		me, other := c.person("me"), c.person("other")
		room, foreign := c.group(me), c.group(other)
		c.send(me, room, "мой текст https://a.example/b")
		c.send(other, foreign, "чужой текст")
		for _, q := range []string{
			`текст") OR tokens:("текст`, `текст' | 'чужой`, `facts:` + fmt.Sprint(foreign), `#` + fmt.Sprint(foreign), fmt.Sprint(foreign), "link", "#link",
			`текст* OR чужой`, `in:"group' OR 1=1 --" текст`, "from:@x' OR '1'='1 текст", "текст\x00 чужой", `{tokens facts} : текст`, "NEAR(текст чужой)", "чужой",
		} {
			r, err := c.SearchMessages(t.Context(), me, chat.SearchQuery{Q: q})
			if err != nil {
				t.Errorf("%q: %v", q, err)
			}
			for _, f := range r.Results {
				if f.Message.Chat != room {
					t.Errorf("%q finds %q of another chat", q, f.Message.Text)
				}
			}
		}
		c.same("text", me, chat.SearchQuery{Q: "текст"}, "мой текст https://a.example/b")
		// What the index says of messages are no words of theirs.
		for _, fact := range []string{fmt.Sprint(room), fmt.Sprintf("%q", fmt.Sprint(room)), "link", `"link"`} {
			c.same("facts", me, chat.SearchQuery{Q: fact})
		}
	})
}

func TestFiltersOfASearchHoldTogether(t *testing.T) {
	onChats(t, chat.Options{ExternalAttachments: true}, func(t *testing.T, c *chats) {
		me, other := c.person("me"), c.person("other")
		room, direct := c.group(me, other), c.direct(me, other)
		send := func(user, room int64, in chat.Sending) {
			t.Helper()
			if _, _, err := c.Send(t.Context(), user, room, in); err != nil {
				t.Fatal(err)
			}
			c.clock.Advance(24 * 3600e9)
		}
		picture := []chat.Attachment{{URL: "https://a.example/x.png", Kind: "image", Name: "x"}}
		paper := []chat.Attachment{{URL: "https://a.example/x.pdf", Kind: "document", Name: `x","kind":"image`}}
		send(me, room, chat.Sending{Text: "слово 1"})                                  // May 1
		send(other, room, chat.Sending{Text: "слово 2", Files: picture})               // May 2
		send(other, direct, chat.Sending{Text: "слово 3 www.a.example", Files: paper}) // May 3
		send(other, room, chat.Sending{Text: "слово 4", Mentions: []int64{me}})        // May 4
		send(other, direct, chat.Sending{Files: picture})                              // May 5
		for _, want := range []struct {
			q     chat.SearchQuery
			texts []string
		}{
			{chat.SearchQuery{Q: "слово from:me1"}, []string{"слово 1"}},
			{chat.SearchQuery{Q: "слово from:me1", From: other}, nil},
			{chat.SearchQuery{Q: "слово from:nobody"}, nil},
			{chat.SearchQuery{Q: "слово", From: other, Chat: room}, []string{"слово 4", "слово 2"}},
			{chat.SearchQuery{Q: "has:image"}, []string{"", "слово 2"}},
			{chat.SearchQuery{Has: []string{"file"}}, []string{"", "слово 3 www.a.example", "слово 2"}},
			{chat.SearchQuery{Has: []string{"file", "link"}}, []string{"слово 3 www.a.example"}},
			{chat.SearchQuery{Q: "in:other"}, []string{"", "слово 3 www.a.example"}},
			{chat.SearchQuery{Q: "in:OTHER", Chat: room}, nil},
			{chat.SearchQuery{Q: "after:2026-05-02 before:2026-05-04"}, []string{"слово 3 www.a.example"}},
			{chat.SearchQuery{Q: "after:2026-05-01", Before: c.clock.Now().AddDate(0, 0, -3), MentionsMe: false}, []string{"слово 2"}},
			{chat.SearchQuery{MentionsMe: true, Q: "слово"}, []string{"слово 4"}},
			{chat.SearchQuery{MentionsMe: true, Has: []string{"file"}}, nil},
			{chat.SearchQuery{Q: "is:pinned слово"}, nil},
		} {
			c.same("filters", me, want.q, want.texts...)
		}
	})
}

func TestReindexMakesAllMessagesFindable(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		me := c.person("me")
		room := c.group(me)
		if n := c.reindex(); n != 0 {
			t.Errorf("%d messages of an empty database indexed", n)
		}
		c.bulk(room, me, 250)
		gone := c.send(me, room, "кот прощается")
		if err := c.Delete(t.Context(), me, []int64{gone.ID}, true); err != nil {
			t.Fatal(err)
		}
		c.store.MustExec(t, `DELETE FROM message_index`)
		c.same("empty index", me, chat.SearchQuery{Q: "кот"})
		if n, err := c.store.Reindex(t.Context()); n != 0 || err != nil {
			t.Errorf("indexed %d of the version that is there: %v", n, err)
		}
		// Another version had come to message 100 when the program ended.
		c.store.MustExec(t, `UPDATE meta SET value = '0' WHERE key = 'analyzer_version'`)
		c.store.MustExec(t, `INSERT INTO meta (key, value) VALUES ('reindexed', $1)`, fmt.Sprintf("%d:100", search.Version))
		if n, err := c.store.Reindex(t.Context()); n != 150 || err != nil {
			t.Errorf("went on with %d messages, want 150: %v", n, err)
		}
		if got := len(c.find(me, chat.SearchQuery{Q: "кот"})); got != 150 {
			t.Errorf("%d found", got)
		}
		c.store.MustExec(t, `UPDATE meta SET value = '0' WHERE key = 'analyzer_version'`)
		c.store.MustExec(t, `INSERT INTO meta (key, value) VALUES ('reindexed', '-1:9999')`)
		if n, err := c.store.Reindex(t.Context()); n != 250 || err != nil {
			t.Errorf("indexed %d, want all 250: %v", n, err)
		}
		if got := len(c.find(me, chat.SearchQuery{Q: "кот"})); got != 250 {
			t.Errorf("%d found after all were indexed", got)
		}
	})
}

func TestARestoredBackupCanBeSearched(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		me := c.person("me")
		room := c.group(me)
		c.bulk(room, me, 130)
		var archive bytes.Buffer
		if _, err := c.store.Backup(t.Context(), &archive, nil); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(t.Context(), storetest.Options(t, c.store.Driver()))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if n, err := s.Reindex(t.Context()); n != 0 || err != nil { // as every start does
			t.Fatal(n, err)
		}
		if _, err := s.Restore(t.Context(), bytes.NewReader(archive.Bytes()), int64(archive.Len()), t.TempDir()); err != nil {
			t.Fatal(err)
		}
		restored := &chats{t: t, store: s, clock: c.clock, Service: chat.New(chat.Options{Store: s.Chat(), Clock: c.clock.Now})}
		if got := len(restored.find(me, chat.SearchQuery{Q: "кот", Limit: 100})); got != 130 {
			t.Errorf("%d of 130 messages found", got)
		}
	})
}

func TestSearchAllFindsPeopleChatsAndMessages(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		me, anna, boris := c.person("me"), c.person("Анна"), c.person("Борис")
		direct, room := c.direct(me, anna), c.group(me, boris)
		c.store.MustExec(t, `UPDATE users SET search_name = 'анна анна2' WHERE id = $1`, anna)
		c.store.MustExec(t, `UPDATE chats SET title = 'День рождения Анны' WHERE id = $1`, room)
		c.send(boris, room, "Анна придёт?")
		e, err := c.SearchAll(t.Context(), me, "АНН")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range e.People {
			got = append(got, p.Name)
		}
		for _, v := range e.Chats {
			got = append(got, fmt.Sprint(v.Chat.ID))
		}
		for _, f := range e.Messages {
			got = append(got, f.Message.Text)
		}
		if want := []string{"Анна", fmt.Sprint(direct), fmt.Sprint(room), "Анна придёт?"}; !slices.Equal(got, want) {
			t.Errorf("found %q, want %q", got, want)
		}
		if _, err := c.SearchAll(t.Context(), me, " @ "); err == nil {
			t.Error("nothing can be searched for")
		}
		if _, err := c.SearchAll(t.Context(), me, strings.Repeat("а", 101)); err == nil {
			t.Error("a long text can be searched for")
		}
	})
}

// FuzzSearchCursor: what somebody made up is refused, or a place like any other.
func FuzzSearchCursor(f *testing.F) {
	for _, s := range []string{"", "[5 1]", "[5 1 0 0 0]", "[9223372036854775807 1000]", "[1 2", "[5 1 2 -1 3]"} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(s)), s)
	}
	c := openChats(f, store.SQLite, chat.Options{})
	me := c.person("me")
	room := c.group(me)
	for i := range 30 {
		c.send(me, room, fmt.Sprint("кот ", i))
	}
	f.Fuzz(func(t *testing.T, cursor, q string) {
		for _, sort := range []string{chat.NewestFirst, chat.ByRelevance} {
			r, err := c.SearchMessages(t.Context(), me, chat.SearchQuery{Q: "кот " + q, Cursor: cursor, Sort: sort, Limit: 5})
			var e *chat.FieldError
			if err != nil && !errors.As(err, &e) {
				t.Fatalf("%q: %v", cursor, err)
			}
			if len(r.Results) > 5 {
				t.Fatalf("%q: %d results", cursor, len(r.Results))
			}
		}
	})
}

// A message to everybody mentions each member, once, also if it mentions them by name too.
func TestSearchForMentionsFindsMessagesToEverybody(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		me, other := c.person("me"), c.person("other")
		room := c.group(other, me)
		for i, m := range []chat.Sending{{Text: "обед для всех", MentionAll: true}, {Text: "обед для всех и для @me", MentionAll: true, Mentions: []int64{me}}, {Text: "обед"}} {
			m.ClientID = fmt.Sprint(i)
			if _, _, err := c.Send(t.Context(), other, room, m); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range []chat.SearchQuery{{MentionsMe: true}, {MentionsMe: true, Q: "обед"}} {
			r, err := c.SearchMessages(t.Context(), me, q)
			if err != nil || len(r.Results) != 2 {
				t.Errorf("%+v finds %d messages, %v; want 2", q, len(r.Results), err)
			}
		}
	})
}
