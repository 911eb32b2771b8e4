package chat_test

import (
	"testing"
	"unicode/utf8"

	"github.com/kuranty/kuranty/internal/chat"
)

var emojiCases = map[string]bool{
	"👍": true, "👍🏽": true, "❤\ufe0f": true, "❤": true, "☺\ufe0f": true, "🇫🇮": true, "👨\u200d👩\u200d👧\u200d👦": true, "🏳\ufe0f\u200d🌈": true,
	"🧑🏿\u200d🚀": true, "1\ufe0f⃣": true, "#⃣": true, "*\ufe0f⃣": true, "🏴󠁧󠁢󠁳󠁣󠁴󠁿": true, "ℹ\ufe0f": true, "⌚": true, "🫠": true, "🪿": true, "©\ufe0f": true,
	"": false, "a": false, "1": false, "#": false, "é": false, "👍👍": false, "👍 ": false, " 👍": false, "🇫": false,
	"🇫🇮🇫🇮": false, "👨\u200d": false, "\u200d👨": false, "👨\u200d\u200d👩": false, "\ufe0f": false, "👍\x00": false, "🏽": true, "🏽🏽": false, "1\ufe0f": false,
	"👍\ufe0f\ufe0f": false, "\xff": false, "🏴󠁧󠁢": false, "<b>": false, "Ж": false, "⃣": false,
}

func TestEmoji(t *testing.T) {
	for s, want := range emojiCases {
		if got := chat.IsEmoji(s); got != want {
			t.Errorf("IsEmoji(%q) = %v, want %v", s, got, want)
		}
	}
}

func FuzzEmoji(f *testing.F) {
	for s := range emojiCases {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !chat.IsEmoji(s) {
			return
		}
		if !utf8.ValidString(s) || len(s) > chat.MaxEmoji {
			t.Errorf("%q is no text of at most %d bytes", s, chat.MaxEmoji)
		}
		if chat.IsEmoji(s + s) {
			t.Errorf("%q twice is one emoji", s)
		}
	})
}
