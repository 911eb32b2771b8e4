package search_test

import (
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/search"
)

// marked is a text with brackets around its highlights.
func marked(text string, hl []search.Highlight) string {
	units := utf16.Encode([]rune(text))
	var b strings.Builder
	at := 0
	for _, h := range hl {
		b.WriteString(string(utf16.Decode(units[at:h.Offset])))
		at = h.Offset + h.Length
		b.WriteString("[" + string(utf16.Decode(units[h.Offset:at])) + "]")
	}
	return b.String() + string(utf16.Decode(units[at:]))
}

func TestHighlights(t *testing.T) {
	for _, test := range []struct{ text, q, want string }{
		{"Купил книгу, книги — лучший подарок", "книга", "Купил [книгу], [книги] — лучший подарок"},
		{"😀 Ёлка и ёлочка", "елк", "😀 [Ёлка] и ёлочка"},
		{"за\u0301мок и замок", "замок", "[за\u0301мок] и [замок]"},
		{"мы читали, читали мы", `"читали мы"`, "мы читали, [читали мы]"},
		{"a a a b", `"a a"`, "[a a a] b"},
		{"кот кота", "кот -кота", "[кот] [кота]"},
		{"東京タワーと東京", "東京", "[東京]タワーと[東京]"},
		{"本日は日本", "日", "本[日]は[日]本"},
		{"ｶﾞｷﾞ", "ガ", "[ｶﾞ]ｷﾞ"},
		{"e-mail или email", "e-mail", "[e-mail] или email"},
		{"ничего", "кот", "ничего"},
		{"ничего", "from:@ничего", "ничего"},
		{"", "кот", ""},
	} {
		if got := marked(test.text, search.Highlights(test.text, search.Parse(test.q, now, moscow))); got != test.want {
			t.Errorf("%s in\n\t%s, want\n\t%s", test.q, got, test.want)
		}
	}
}

func TestHighlightsAreInUTF16(t *testing.T) {
	got := search.Highlights("👍🏽 ок, привет", search.Parse("привет", now, moscow))
	if d := cmp.Diff([]search.Highlight{{Offset: 9, Length: 6}}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestSnippet(t *testing.T) {
	long := "Вчера мы ходили в парк,\n\n  а потом долго говорили о новой книге, которую все уже прочитали, кроме меня"
	for _, test := range []struct {
		text, q string
		size    int
		want    string
	}{
		{"короткая книга", "книга", 40, "короткая [книга]"},
		{"  две \n\n книги\t", `"две книги"`, 40, "[две книги] "},
		{long, "парк", 40, "Вчера мы ходили в [парк], а потом долго…"},
		{long, "книга", 40, "…о новой [книге], которую все уже…"},
		{long, "меня", 40, "…которую все уже прочитали, кроме [меня]"},
		{long, "ничего", 20, "Вчера мы ходили в…"},
		{long, "книга", 3, "…[к]…"},
		{long, "книга", 2, ""},
		{strings.Repeat("х", 50), "кот", 10, strings.Repeat("х", 9) + "…"},
		{strings.Repeat("日", 30) + "本" + strings.Repeat("日", 30), "本", 9, "…日日[本]日日日日…"},
		{"аааа ббб" + strings.Repeat("😀", 40) + " кот", "кот", 8, "…😀😀😀 [кот]"},
		{strings.Repeat("e\u0301", 20), "кот", 8, "e\u0301e\u0301e\u0301…"},
		{"«" + strings.Repeat("очень ", 10) + "длинная» фраза", `"очень очень очень очень"`, 14, "«[очень очень]…"},
	} {
		snippet, hl := search.Snippet(test.text, search.Parse(test.q, now, moscow), test.size)
		if got := marked(snippet, hl); got != test.want {
			t.Errorf("%s in %d code points:\n\t%s, want\n\t%s", test.q, test.size, got, test.want)
		}
	}
}

// checkHighlights checks what holds for every text and query.
func checkHighlights(t *testing.T, text string, q search.Query) {
	t.Helper()
	hl := search.Highlights(text, q)
	if q.Matches(text) && len(hl) == 0 {
		t.Fatalf("%q matches without a highlight", text)
	}
	inOrder(t, text, hl)
	for _, size := range []int{0, 3, 5, 12, 100} {
		snippet, shl := search.Snippet(text, q, size)
		if n := utf8.RuneCountInString(snippet); n > size {
			t.Fatalf("%q: a snippet of %d code points, at most %d: %q", text, n, size, snippet)
		}
		inOrder(t, snippet, shl)
		if size == 12 && len(hl) > 0 && len(shl) == 0 {
			t.Fatalf("%q: the snippet %q does not show what was found", text, snippet)
		}
	}
}

func inOrder(t *testing.T, text string, hl []search.Highlight) {
	t.Helper()
	end, size := 0, len(utf16.Encode([]rune(text)))
	for _, h := range hl {
		if h.Offset < end || h.Length <= 0 || h.Offset+h.Length > size {
			t.Fatalf("highlights %v of %q, which has %d units", hl, text, size)
		}
		end = h.Offset + h.Length
	}
}
