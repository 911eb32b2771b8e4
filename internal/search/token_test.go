package search_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/search"
)

// tokens is a text as the tokens' words, with the stem after a slash where it differs.
func tokens(text string) string {
	var list []string
	for _, t := range search.Tokens(text) {
		word := t.Text
		if t.Stem != "" && t.Stem != t.Text {
			word += "/" + t.Stem
		}
		list = append(list, word)
	}
	return strings.Join(list, " ")
}

func TestTokens(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", " \n\t…—!?🎉", ""},
		{"Russian", "Книгами КНИГИ книга", "книгами/книг книги/книг книга/книг"},
		{"English", "Running runs RUN", "running/run runs/run run"},
		{"words of grammar keep their form", "his being была", "his being была"},
		{"ё is е", "Ёлка ёлки еЛка", "елка/елк елки/елк елка/елк"},
		{"й is not и", "мой мои", "мой мои/мо"},
		{"й of two code points", "мои\u0306", "мой"},
		{"stress", "за\u0301мок замо\u0301к", "замок замок"},
		{"letters of other Cyrillic alphabets", "ЇЖАК ґанок ЎСЁ", "їжак ґанок ўсе"},
		{"diacritics", "Café naïve Ångström Łódź smørrebrød Straße", "cafe naive/naiv angstrom lodz smorrebrod strasse/strass"},
		{"diacritics of two code points", "Cafe\u0301", "cafe"},
		{"Turkish", "İstanbul DİYARBAKIR ışık", "istanbul diyarbakir isik"},
		{"Greek", "ΣΊΣΥΦΟΣ σίσυφος", "σισυφοσ σισυφοσ"},
		{"Hebrew points", "שָׁלוֹם", "שלום"},
		{"Arabic marks", "كِتَابٌ كتـــاب", "كتاب كتاب"},
		{"marks that are vowels", "हिन्दी ภาษา", "हिन्दी ภาษา"},
		{"digits", "3.14 2024-01-24 v2 ٣٤ １２", "3 14 2024 01 24 v2 34 12"},
		{"what separates", "don't e-mail a_b user@mail.ru об’єкт обʼєкт", "don t e mail a b user mail ru об єкт об єкт"},
		{"soft hyphen and joiners", "кон\u00ADец می\u200Cخواهم", "конец میخواهم"},
		{"ligatures", "ﬁne oﬃce", "fine office/offic"},
		{"wide and narrow", "ＡＢＣ ｶﾞｷﾞ", "abc ガギ ギ"},
		{"one Chinese character", "茶", "茶"},
		{"Chinese", "我是学生", "我是 是学 学生 生"},
		{"Japanese", "東京タワー、ひらがな", "東京 京タ タワ ワー ー ひら らが がな な"},
		{"voicing is no diacritic", "か\u3099 が か", "が が か"},
		{"Korean", "안녕하세요", "안녕 녕하 하세 세요 요"},
		{"scripts side by side", "第3章text日本", "第 3 章 text 日本 本"},
		{"beyond the basic plane", "𠀀𠀁 𝟘𝟙", "𠀀𠀁 𠀁 01"},
		{"long words are cut", strings.Repeat("Щ", 100), strings.Repeat("щ", 64)},
		{"bytes that are no text", "а\xffб", "а б"},
	} {
		if got := tokens(test.text); got != test.want {
			t.Errorf("%s: %q gives\n\t%s, want\n\t%s", test.name, test.text, got, test.want)
		}
	}
}

func TestTokensEndAtTheCeilingOfTexts(t *testing.T) {
	if got := len(search.Tokens(strings.Repeat("а ", 10_000))); got != 8_000 {
		t.Errorf("%d tokens in the first 16,000 code points, want 8,000", got)
	}
}

func TestTokenOffsets(t *testing.T) {
	type piece struct {
		Text       string
		Start, End int
	}
	var got []piece
	for _, tok := range search.Tokens("😀Кафе\u0301, 日本語") {
		got = append(got, piece{tok.Text, tok.Start, tok.End})
	}
	want := []piece{{"кафе", 2, 7}, {"日本", 9, 11}, {"本語", 10, 12}, {"語", 11, 12}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("offsets (-want +got):\n%s", d)
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"  Пётр \t Йодов ":       "петр йодов",
		"100%_Ёж*":               "100%_еж*",
		"Æsir Ørsted ĄŻ":         "aesir orsted az",
		"ＦＵＬＬ":                   "full",
		"Ника\u200Dндр":          "никандр",
		"ΑΣ":                     "ασ",
		"Straße":                 "strasse",
		"佐藤 さん":                  "佐藤 さん",
		"а\u0301":                "а",
		"\u0301 a \u0301 \u0301": "a",
		"bad \xff byte":          "bad \uFFFD byte",
	} {
		if got := search.Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFoldEveryLetter(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !unicode.In(r, unicode.L, unicode.M, unicode.N) || unicode.In(r, unicode.Han, unicode.Hangul) {
			continue
		}
		s := string(r)
		folded := search.Fold(s)
		if again := search.Fold(folded); again != folded {
			t.Errorf("%q folds to %q, and that to %q", s, folded, again)
		}
		for _, other := range []rune{unicode.ToUpper(r), unicode.ToLower(r), unicode.SimpleFold(r)} {
			if r == 0x345 || other == 0x345 {
				continue // the iota under a letter is a letter in capitals, but a mark for us
			}
			if got := search.Fold(string(other)); got != folded {
				t.Errorf("%q folds to %q, but %q to %q", s, folded, string(other), got)
			}
		}
		// In a text it is as in a name.
		toks := search.Tokens(s)
		if len(toks) > 0 && toks[0].Text != folded {
			t.Errorf("%q: token %q, folded %q", s, toks[0].Text, folded)
		}
	}
}

// texts are seeds of the fuzz targets.
var texts = []string{
	russian, "don't e-mail user@mail.ru", "東京タワー 第3章text日本", "мои\u0306 за\u0301мок ё", "ﬁne ＡＢＣ ｶﾞ", "\xff\u0301а", "😀👨‍👩‍👧 x²½",
	"안녕하세요", "a'b\\c\"d*:(x) NOT AND", "§книг ·", "İıſßẞŉǰΐﷺ", "हिन्दी ภาษา", "\x00a\x00b", "\u200d\u00ad\u0640",
}

func FuzzTokens(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		units := utf16.Encode([]rune(text))
		start := 0
		for _, tok := range search.Tokens(text) {
			if tok.Start < start || tok.End <= tok.Start || tok.End > len(units) {
				t.Fatalf("%q: token %+v after %d of %d", text, tok, start, len(units))
			}
			start = tok.Start
			if tok.Text == "" || len(tok.Text) > 1100 || !utf8.ValidString(tok.Text) || strings.ContainsAny(tok.Text, " §·'\"\\*") {
				t.Fatalf("%q: token %q", text, tok.Text)
			}
			// What a token is found by is the token itself: words of queries are tokens too.
			piece := string(utf16.Decode(units[tok.Start:tok.End]))
			if again := search.Tokens(piece); again[0].Text != tok.Text || again[0].Stem != tok.Stem {
				t.Fatalf("%q: token %+v of %q alone is %+v", text, tok, piece, again)
			}
		}
		folded := search.Fold(text)
		if again := search.Fold(folded); again != folded {
			t.Fatalf("%q folds to %q, and that to %q", text, folded, again)
		}
		search.HasLink(text)
	})
}
