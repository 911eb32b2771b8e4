// Package search is the analyzer and the query language of full-text search in
// messages, and the matching of people's names (chat-api.md C.11, A.7).
//
// There is one analyzer, in Go, for both databases; they only store and intersect
// what it makes, so that a query selects the same messages on either.
// [Query.Matches] says the same without a database.
//
// A text becomes two sequences of lexemes: its words, folded ([Fold]), and the
// stems of the words, each marked with a sign that no word has. Phrases and
// prefixes look at words, plain words of a query at stems. [IndexText] writes
// both for SQLite, [TSVector] for PostgreSQL:
//
//	CREATE VIRTUAL TABLE message_index USING fts5(tokens,
//	    content='', contentless_delete=1, tokenize='ascii', prefix='2 3');
//	INSERT INTO message_index (rowid, tokens) VALUES ($1, $2);       -- IndexText
//	SELECT rowid FROM message_index WHERE message_index MATCH $1;    -- Query.FTS5
//
//	ALTER TABLE messages ADD COLUMN tsv tsvector;
//	CREATE INDEX messages_tsv ON messages USING gin (tsv);
//	UPDATE messages SET tsv = $1::tsvector WHERE id = $2;            -- TSVector
//	SELECT id FROM messages WHERE tsv @@ $1::tsquery;                -- Query.TSQuery
//
// The tokenizer ascii splits at ASCII signs and knows no letter beyond ASCII, so
// it leaves our tokens as they are; unicode61 would fold and split them again, by
// tables of its own. One column is enough because marked stems never stand in a
// phrase with words. PostgreSQL keeps 256 positions of a lexeme, and so do we.
//
// [Version] changes whenever the same text gives other lexemes; a stored index of
// another version must be built anew.
//
// Nothing here fails, and everything is safe for concurrent use. There are no
// goroutines.
package search

// Version is the version of the analyzer.
const Version = 1

// Bounds of what is analyzed.
const (
	maxText      = 16_000 // code points of a text (the ceiling of chat-api.md 0.11); the rest is not searchable
	maxWord      = 64     // letters of a word; longer ones are cut
	maxMarked    = 4      // code points of one letter with its marks; so a word has about 1 KB, and PostgreSQL's limit is 2 KB
	maxPositions = 256    // positions of a lexeme, PostgreSQL's MAXNUMPOS
	maxQuery     = 500    // code points of a query
	maxTerms     = 16     // words and phrases of a query
)
