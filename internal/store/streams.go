package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/kuranty/kuranty/event"
)

const (
	chatTop    = `SELECT last_event_seq FROM chats WHERE id = $1`
	messageTop = `SELECT last_seq FROM chats WHERE id = $1`
	userTop    = `SELECT user_seq FROM users WHERE id = $1`
	streamTop  = `SELECT seq FROM streams WHERE name = $1`

	newestOf       = `SELECT ` + eventColumns + ` FROM events WHERE stream = $1 AND pos <= $2 ORDER BY stream_seq DESC LIMIT $3`
	newestMessages = `SELECT ` + eventColumns + ` FROM events WHERE stream = $1 AND type = 'message.created' AND pos <= $2 ORDER BY stream_seq DESC LIMIT $3`

	laterOf       = `SELECT count(*) FROM events WHERE stream = $1`
	laterMessages = `SELECT count(*) FROM events WHERE stream = $1 AND type = 'message.created'`
)

// Stream returns the newest events of a stream, at most limit,
// none before oldest (milliseconds since 1970) and none above position upTo, in order;
// and the number of the stream's newest event up to there, 0 if it has none.
func (s *Store) Stream(ctx context.Context, stream string, oldest, upTo int64, limit int) (found []event.Event, top int64, err error) {
	query, id := streamTop, any(stream)
	if chat, user := event.StreamOf(stream); chat != 0 {
		query, id = chatTop, chat
	} else if user != 0 {
		query, id = userTop, user
	}
	err = s.View(ctx, func(tx *Tx) error {
		if top, err = tx.top(ctx, query, id); err != nil || top == 0 {
			return err
		}
		if found, err = tx.readEvents(ctx, newestOf, stream, upTo, max(limit, 1)); err != nil {
			return err
		}
		if len(found) > 0 {
			top = found[0].Seq
			return nil
		}
		return tx.withoutLater(ctx, laterOf, stream, &top)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read stream %s: %w", stream, err)
	}
	return recent(found, oldest, limit), top, nil
}

// Messages is Stream for the messages of a chat alone, which are numbered by their own
// seq.
func (s *Store) Messages(ctx context.Context, chat, oldest, upTo int64, limit int) (found []event.Event, top int64, err error) {
	stream := event.ChatStream(chat)
	err = s.View(ctx, func(tx *Tx) error {
		if top, err = tx.top(ctx, messageTop, chat); err != nil || top == 0 {
			return err
		}
		if found, err = tx.readEvents(ctx, newestMessages, stream, upTo, max(limit, 1)); err != nil {
			return err
		}
		if len(found) > 0 {
			top, err = messageSeq(&found[0])
			return err
		}
		return tx.withoutLater(ctx, laterMessages, stream, &top)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read messages of chat %d: %w", chat, err)
	}
	found = slices.DeleteFunc(found, func(e event.Event) bool {
		seq, err := messageSeq(&e)
		return err != nil || seq == 0
	})
	return recent(found, oldest, limit), top, nil
}

func messageSeq(e *event.Event) (int64, error) {
	var p struct {
		Message struct {
			Seq int64 `json:"seq"`
		} `json:"message"`
	}
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return 0, fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	return p.Message.Seq, nil
}

// top reads where a stream ends now. What is stored afterwards is above it.
func (tx *Tx) top(ctx context.Context, query string, id any) (top int64, err error) {
	err = tx.queryRow(ctx, query, args(id), &top)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return top, err
}

// withoutLater takes off what the log holds of a stream: none of it is to be seen yet.
func (tx *Tx) withoutLater(ctx context.Context, query, stream string, top *int64) error {
	var later int64
	if err := tx.queryRow(ctx, query, args(stream), &later); err != nil {
		return err
	}
	*top = max(*top-later, 0)
	return nil
}

// recent puts events that came newest first in order, without those before oldest.
func recent(events []event.Event, oldest int64, limit int) []event.Event {
	if limit == 0 {
		return nil
	}
	events = slices.DeleteFunc(events, func(e event.Event) bool { return e.At < oldest })
	slices.Reverse(events)
	return events
}
