package store

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// rowList is rows of values as a JSON array of arrays, for statements that take many rows at
// once: j.value ->> 0 is the first value of a row, see rowsSQLite and rowsPostgres. It is
// written as the rows come, because thousands of them are stored each second.
type rowList struct {
	text   strings.Builder
	begun  bool // the row has a value
	buffer []byte
}

// row begins the next row.
func (l *rowList) row() *rowList {
	if l.text.Len() == 0 {
		l.text.WriteString("[[")
	} else {
		l.text.WriteString("],[")
	}
	l.begun = false
	return l
}

// raw adds a value that is JSON already.
func (l *rowList) raw(value []byte) *rowList {
	if l.begun {
		l.text.WriteByte(',')
	}
	l.begun = true
	l.text.Write(value)
	return l
}

func (l *rowList) int(n int64) *rowList {
	l.buffer = strconv.AppendInt(l.buffer[:0], n, 10)
	return l.raw(l.buffer)
}

func (l *rowList) str(s string) *rowList {
	l.buffer = appendQuoted(l.buffer[:0], s)
	return l.raw(l.buffer)
}

func (l *rowList) bytes(s []byte) *rowList {
	l.buffer = appendQuoted(l.buffer[:0], s)
	return l.raw(l.buffer)
}

// intOrNull is null for 0.
func (l *rowList) intOrNull(n int64) *rowList {
	if n == 0 {
		return l.raw([]byte("null"))
	}
	return l.int(n)
}

// strOrNull is null for an empty text.
func (l *rowList) strOrNull(s string) *rowList {
	if s == "" {
		return l.raw([]byte("null"))
	}
	return l.str(s)
}

func (l *rowList) empty() bool { return l.text.Len() == 0 }

// String is the list as a whole; no row is begun after it.
func (l *rowList) String() string {
	if l.empty() {
		return "[]"
	}
	l.text.WriteString("]]")
	return l.text.String()
}

// appendQuoted appends a text as JSON; bytes that are no text become U+FFFD.
func appendQuoted[T ~string | ~[]byte](b []byte, s T) []byte {
	b, _ = jsontext.AppendQuote(b, s) // the error says only that there were such bytes
	return b
}
