package search

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Ranks of [MatchRank], the best first (chat-api.md A.7).
const (
	RankUsername   = iota // the username exactly
	RankNamePrefix        // the beginning of the name
	RankWordPrefix        // the beginning of another word of the name
	RankSubstring         // anywhere in the name or the username
)

// MatchRank tells whether needle finds a person, and how well; a lower rank is better.
// The comparison is [Fold]'s. A needle that begins with @ is looked for in the username
// only. An empty needle finds nobody.
func MatchRank(name, username, needle string) (rank int, ok bool) {
	needle, handle := strings.CutPrefix(Fold(needle), "@")
	username = strings.TrimPrefix(Fold(username), "@")
	switch name = Fold(name); {
	case needle == "":
		return 0, false
	case username == needle:
		return RankUsername, true
	case handle:
		return RankSubstring, strings.Contains(username, needle)
	case strings.HasPrefix(name, needle):
		return RankNamePrefix, true
	case beginsWord(name, needle):
		return RankWordPrefix, true
	}
	return RankSubstring, strings.Contains(name, needle) || strings.Contains(username, needle)
}

// beginsWord tells whether needle stands in name where a word begins.
func beginsWord(name, needle string) bool {
	for from := 0; ; {
		i := strings.Index(name[from:], needle)
		if i < 0 {
			return false
		}
		at := from + i
		before, _ := utf8.DecodeLastRuneInString(name[:at])
		if at == 0 || !unicode.In(before, unicode.L, unicode.M, unicode.N) {
			return true
		}
		_, size := utf8.DecodeRuneInString(name[at:])
		from = at + size
	}
}
