// Package chatjson makes the JSON of contracts B and C (chat-api.md §B.3, §C.2–§C.4,
// §C.10): messages, chats, people and what is published in their channels.
//
// One builder serves REST and realtime, so both always show the same message the same
// way. Each object lists its fields; nothing of a database row or of an event reaches a
// client because it happens to be there. What depends on the viewer (whether a message
// is read, whose reaction is one's own, who is there) is only in what is made for one
// viewer, never in a publication.
//
// The package keeps nothing and is safe for concurrent use.
package chatjson

import "time"

// Links makes addresses of files.
type Links interface {
	// File returns the address of a variant, "original" or "thumb", of a file, and when
	// it ends.
	File(id, variant string) (url string, expires time.Time)
	// Avatar returns the addresses of an avatar and of the small one. ref is the id of a
	// file or an absolute URL; of the empty one both are empty.
	Avatar(ref string) (url, thumb string)
}

// Builder makes JSON objects.
type Builder struct {
	links Links
	// emails is who sees the addresses of people who have not chosen.
	emails string
}

// New returns a builder that takes its addresses from links.
func New(links Links) *Builder { return &Builder{links: links, emails: "everyone"} }

// WithEmails returns a builder that tells people who have not chosen that "everyone",
// "contacts" or "self" see their e-mail address.
func (b *Builder) WithEmails(to string) *Builder {
	if to == "" {
		return b
	}
	return &Builder{links: b.links, emails: to}
}

// Stamp is a time in milliseconds since 1970 as contract C writes it: RFC 3339 in UTC
// with milliseconds.
func Stamp(ms int64) string { return string(appendStamp(nil, ms)) }

// OptStamp is Stamp, of 0 nil.
func OptStamp(ms int64) *string {
	if ms == 0 {
		return nil
	}
	s := Stamp(ms)
	return &s
}

func appendStamp(b []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
}

// opt is nil for a zero value: what is not there is null.
func opt[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// list is l, or an empty list for none: lists are never null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
