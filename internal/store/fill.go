package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
)

// fillStep is how many messages one transaction of [Store.Fill] stores. SQLite walks the
// pages that a savepoint has touched at the end of each statement, so that many more take
// longer, not shorter.
const fillStep = 300

// Filling says what a database is filled with that is to be measured: people, and groups
// of them with messages.
type Filling struct {
	// People are made, beside those there are. They cannot log in.
	People int
	// Groups are made of them.
	Groups []FilledGroups
	// Events are how many of the newest messages are in the event log: of older ones the
	// events have been pruned.
	Events int
}

// FilledGroups are groups that are alike: the first of the people that were made are in
// each, one after the other they have sent its messages, and all has been read.
type FilledGroups struct {
	Count, Members, Messages int
	// Guest, if not 0, is one more member, who has not read the last Unread messages.
	Guest  int64
	Unread int
}

// Filled are the first ids of what was made; the others follow them.
type Filled struct {
	People int64
	Groups []int64
}

// Fill fills a database for measuring, fast, and so that everything holds that holds of
// a database in use ([Store.Check]). Nobody else may be at work on it, and one whose
// filling did not end is good for nothing.
func (s *Store) Fill(ctx context.Context, f Filling) (done Filled, err error) {
	if _, err := s.Reindex(ctx); err != nil { // so that the index is this version's
		return done, err
	}
	if done.People, err = s.fillPeople(ctx, f.People); err != nil {
		return done, fmt.Errorf("fill with people: %w", err)
	}
	rooms := make([][]filledRoom, len(f.Groups))
	for i := range f.Groups {
		if rooms[i], err = s.fillGroups(ctx, &f.Groups[i], done.People); err != nil {
			return done, fmt.Errorf("fill with groups: %w", err)
		}
		done.Groups = append(done.Groups, rooms[i][0].id)
	}
	if err := s.fillMessages(ctx, f, rooms); err != nil {
		return done, fmt.Errorf("fill with messages: %w", err)
	}
	return done, nil
}

const fillPerson = `INSERT INTO users (username, name, role, kind, state, privacy, search_name, created_at, updated_at)
	VALUES ($1, $2, 'user', 'human', 'active', '{}', $3, $4, $4) RETURNING id`

func (s *Store) fillPeople(ctx context.Context, n int) (first int64, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		for i := range n {
			var id int64
			username := "filled" + strconv.Itoa(i)
			name := "Person " + strconv.Itoa(i)
			if err := tx.queryRow(ctx, fillPerson, args(username, name, strings.ToLower(name)+" "+username, tx.Now()), &id); err != nil {
				return fmt.Errorf("add person: %w", err)
			}
			if i == 0 {
				first = id
			}
		}
		return nil
	})
	return first, err
}

const (
	fillGroup = `INSERT INTO chats (kind, title, owner_id, last_seq, last_event_seq, last_message_at, last_activity_at, member_count, created_by, created_at, updated_at,
			top_reader, top_read, next_read)
		VALUES ('group', $1, $2, $3, $3, $4, $4, $5, $2, $4, $4, $2, $3, $3) RETURNING id`
	fillMembers = `INSERT INTO members (chat_id, user_id, role, joined_at, read_seq, read_at, delivered_seq)
		SELECT $1, id, CASE WHEN id = $2 THEN 'owner' ELSE 'member' END, $3, $4, $3, $4 FROM users WHERE id >= $2 AND id < $5`
	fillGuest = `INSERT INTO members (chat_id, user_id, joined_at, read_seq, read_at, delivered_seq) VALUES ($1, $2, $3, $4, $3, $4)`
)

// filledRoom is a group while it is filled.
type filledRoom struct {
	id, seq int64
	first   int64 // of its members
	members int
}

func (s *Store) fillGroups(ctx context.Context, g *FilledGroups, first int64) (rooms []filledRoom, err error) {
	err = s.Update(ctx, func(tx *Tx) error {
		rooms = make([]filledRoom, g.Count)
		members := g.Members
		if g.Guest != 0 {
			members++
		}
		for i := range rooms {
			r := filledRoom{first: first, members: g.Members}
			title := fmt.Sprintf("Group %d of %d", i, members)
			if err := tx.queryRow(ctx, fillGroup, args(title, first, g.Messages, tx.Now(), members), &r.id); err != nil {
				return fmt.Errorf("add group: %w", err)
			}
			if _, err := tx.exec(ctx, fillMembers, r.id, first, tx.Now(), g.Messages, first+int64(g.Members)); err != nil {
				return fmt.Errorf("add members: %w", err)
			}
			if g.Guest != 0 {
				if _, err := tx.exec(ctx, fillGuest, r.id, g.Guest, tx.Now(), max(g.Messages-g.Unread, 0)); err != nil {
					return fmt.Errorf("add guest: %w", err)
				}
			}
			rooms[i] = r
		}
		return nil
	})
	return rooms, err
}

// fillMessages stores the messages in the order of time: groups take turns, so that what
// belongs to one is spread over the database as it is in life.
func (s *Store) fillMessages(ctx context.Context, f Filling, rooms [][]filledRoom) error {
	total := 0
	for _, g := range f.Groups {
		total += g.Count * g.Messages
	}
	now := s.now()
	sent := make([]int, len(f.Groups))
	for done := 0; done < total; done += fillStep {
		err := s.Update(ctx, func(tx *Tx) error {
			for n := done; n < min(done+fillStep, total); n++ {
				k := mostBehind(f.Groups, sent, n, total)
				r := &rooms[k][sent[k]%len(rooms[k])]
				sent[k]++
				at := now - int64(total-n)*1000 // one a second
				if err := (chatTx{tx}).fillMessage(ctx, r, n, at, total-n <= f.Events); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// mostBehind returns which kind of groups gets message n of total, so that all of them
// end together.
func mostBehind(groups []FilledGroups, sent []int, n, total int) (k int) {
	most := 0
	for i, g := range groups {
		if behind := g.Count*g.Messages*(n+1) - sent[i]*total; behind > most {
			k, most = i, behind
		}
	}
	return k
}

func (tx chatTx) fillMessage(ctx context.Context, r *filledRoom, n int, at int64, announce bool) error {
	r.seq++
	place := r.seq % int64(r.members)
	id := r.first + place
	m := chat.Message{
		Chat: r.id, Seq: r.seq, Type: chat.TextMessage, Text: FillText(n), ClientID: "filled" + strconv.Itoa(n*7919),
		Sender:    chat.Person{ID: id, Name: "Person " + strconv.FormatInt(place, 10), Username: "filled" + strconv.FormatInt(place, 10), Kind: "human"},
		CreatedAt: at, Version: 1, EventSeq: r.seq,
	}
	var err error
	if m.ID, _, err = tx.AddMessage(ctx, &m, "filled"); err != nil {
		return err
	}
	if err := tx.Index(ctx, &m, chatStore{tx.store}.Words(m.Text)); err != nil {
		return err
	}
	if !announce {
		return nil
	}
	e, err := event.New(event.MessageCreated, tx.store.o.Clock(), chat.MessagePayload{Message: m})
	if err != nil {
		return err
	}
	e.Stream, e.Seq, e.Ref, e.Actor, e.At = event.ChatStream(r.id), r.seq, m.ID, event.User(id), at
	return tx.Append(ctx, e)
}

// What a search in a filled database may look for: a word of every second message, of
// one in 1,000 and of one in 100,000.
const (
	FilledCommon = "сообщение"
	FilledSeldom = "встреча"
	FilledRare   = "жемчуг"
)

// FillText is the text of message n of a filled database, of some 60 characters: words
// out of 20,000, the first of them far more often than the last.
func FillText(n int) string {
	var b strings.Builder
	x := uint64(n)*0x9e3779b97f4a7c15 + 1
	for i := range 7 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if i > 0 {
			b.WriteByte(' ')
		}
		// The product of two is small far more often than large.
		fillWord(&b, (x>>8%142)*(x>>32%142))
	}
	switch {
	case n%100_000 == 99_999:
		b.WriteString(" " + FilledRare)
	case n%1000 == 999:
		b.WriteString(" " + FilledSeldom)
	case n%2 == 0:
		b.WriteString(" " + FilledCommon)
	}
	return b.String()
}

var fillSyllables = [...]string{"ка", "ло", "ми", "ну", "пе", "ра", "со", "ти", "ву", "зе", "да", "бо", "ги", "жу", "ле", "ма", "но", "ри", "ту", "че"}

// fillWord appends word n of the vocabulary.
func fillWord(b *strings.Builder, n uint64) {
	for n += 20; n > 0; n /= 20 {
		b.WriteString(fillSyllables[n%20])
	}
}
