package search

// Rank says how well a text answers the query: how often it has the words and phrases
// asked for, a word in any form. What a word only begins with does not count, except in
// scripts without spaces. A text that does not match may have a rank too.
func (q Query) Rank(text string) int {
	words, stems := analyze(text)
	n := 0
	for _, t := range q.terms {
		lexemes, wanted, prefix := stems, t.stems, false
		if len(wanted) == 0 {
			lexemes, wanted, prefix = words, t.words, t.prefix
		}
		for i := range lexemes {
			if at(lexemes[i:], wanted, prefix) {
				n++
			}
		}
	}
	return n
}
