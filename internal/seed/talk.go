package seed

import (
	"time"
	"unicode/utf8"
)

// talk is a conversation.
type talk struct {
	// group is the title of a group and about what it is for; without a title it is the
	// direct chat of two people.
	group, about string
	// people are who takes part; the first has made the group.
	people []string
	// begins tells when the first line is written.
	begins func(now time.Time) time.Time
	lines  []line
	// unread is how many of the last lines somebody has not read yet.
	unread map[string]int
}

// line is what somebody writes, and what becomes of it.
type line struct {
	who, text string
	wait      time.Duration // after the line before
	back      int           // the line it answers is that many before; 0 is none
	picture   string
	edit      string // what it says a minute later
	pin       bool
	likes     []like
}

type like struct {
	emoji string
	who   []string
}

// say is a line, written as fast as people type.
func say(who, text string) line {
	return line{who: who, text: text, wait: 20*time.Second + time.Duration(utf8.RuneCountInString(text))*400*time.Millisecond}
}

// after is the line written d after the one before.
func (l line) after(d time.Duration) line { l.wait = d; return l }

// to answers the line that is n before.
func (l line) to(n int) line { l.back = n; return l }

// with shows a picture.
func (l line) with(picture string) line { l.picture = picture; return l }

// corrected is changed a minute later.
func (l line) corrected(text string) line { l.edit = text; return l }

// pinned stays at the top.
func (l line) pinned() line { l.pin = true; return l }

// liked gets reactions.
func (l line) liked(emoji string, who ...string) line {
	l.likes = append(l.likes[:len(l.likes):len(l.likes)], like{emoji, who})
	return l
}

// at is a time of day some days ago, where the server is.
func at(days, hour, minute int) func(time.Time) time.Time {
	return func(now time.Time) time.Time {
		return time.Date(now.Year(), now.Month(), now.Day()-days, hour, minute, 12, 0, now.Location())
	}
}

// ago is a while ago.
func ago(d time.Duration) func(time.Time) time.Time {
	return func(now time.Time) time.Time { return now.Add(-d) }
}

// talks are all conversations.
func talks() []talk {
	var all []talk
	for _, some := range [][]talk{workTalks, friendTalks, englishTalks} {
		all = append(all, some...)
	}
	return all
}
