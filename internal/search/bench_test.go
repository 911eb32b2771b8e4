package search_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/search"
)

// russian has 60 letters, as the usual message.
const russian = "Завтра встречаемся у метро, не забудь взять книги и зонтик!!"

var messages = []struct{ name, text string }{
	{"text=ru60", russian},
	{"text=en60", "See you tomorrow at the station, don't forget your umbrellas"},
	{"text=cjk30", "明日駅で会いましょう、本と傘を忘れないでください。よろしくね！"},
	{"text=ru4000", strings.Repeat(russian+" ", 66)},
}

func BenchmarkTokens(b *testing.B) {
	for _, m := range messages {
		b.Run(m.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				search.Tokens(m.text)
			}
		})
	}
}

func BenchmarkIndexText(b *testing.B) {
	for _, m := range messages {
		b.Run(m.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				search.IndexText(m.text)
			}
		})
	}
}

func BenchmarkTSVector(b *testing.B) {
	for _, m := range messages {
		b.Run(m.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				search.TSVector(m.text)
			}
		})
	}
}

// Words that were not seen before have to be stemmed.
func BenchmarkNewWords(b *testing.B) {
	b.ReportAllocs()
	letters := []rune("абвгдежзик")
	for n := 0; b.Loop(); n++ {
		name := make([]rune, 0, 8)
		for i := n; len(name) < 8; i /= 10 {
			name = append(name, letters[i%10])
		}
		search.Tokens(string(name) + "ами")
	}
}

func BenchmarkHighlights(b *testing.B) {
	q := search.Parse(`книги "взять книги" зонт`, time.Time{}, time.UTC)
	for _, m := range messages {
		b.Run(m.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				search.Snippet(m.text, q, 120)
			}
		})
	}
}
