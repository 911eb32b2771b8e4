package chat

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kuranty/kuranty/event"
)

// redact takes the content of a deleted message, of which m is the tombstone, out of
// everything that showed it: the events and notices about it, and those about messages
// that quote it.
func (s *Service) redact(ctx context.Context, tx deleteTx, m *Message) error {
	err := tx.Redact(ctx, m.ID, func(e event.Event) ([]byte, error) { return withoutContent(&e, m) })
	if err != nil {
		return err
	}
	answers, err := tx.Answers(ctx, m.ID)
	if err != nil {
		return err
	}
	for _, id := range answers {
		err := tx.Redact(ctx, id, func(e event.Event) ([]byte, error) { return withoutQuote(&e, m.ID) })
		if err != nil {
			return err
		}
	}
	return nil
}

// maxRequoted is how many answers, the newest, count as changed with the message they quote.
const maxRequoted = 100

// withoutContent is the payload of an event about a message without its content.
func withoutContent(e *event.Event, deleted *Message) ([]byte, error) {
	if e.Type == event.UserNotice {
		return withoutExcerpt(e.Payload)
	}
	var p MessagePayload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, fmt.Errorf("payload of %s: %w", e.Type, err)
	}
	if p.Message.ID != deleted.ID {
		return e.Payload, nil
	}
	m := p.Message
	m.DeletedAt, m.DeletedBy = deleted.DeletedAt, deleted.DeletedBy
	p.Message = m.tombstone()
	return json.Marshal(p)
}

// withoutQuote is the payload of an event about an answer without what it quotes.
func withoutQuote(e *event.Event, deleted int64) ([]byte, error) {
	if e.Type == event.UserNotice {
		return e.Payload, nil
	}
	var p MessagePayload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		return nil, fmt.Errorf("payload of %s: %w", e.Type, err)
	}
	q := p.Message.ReplyTo
	if q == nil || q.ID != deleted {
		return e.Payload, nil
	}
	q.Text, q.HasFiles, q.Deleted = "", false, true
	return json.Marshal(p)
}

// withoutExcerpt is a notice without the beginning of the message it shows.
func withoutExcerpt(payload []byte) ([]byte, error) {
	var n Notice
	if err := json.Unmarshal(payload, &n); err != nil {
		return nil, fmt.Errorf("notice: %w", err)
	}
	var data map[string]json.RawMessage
	if err := json.Unmarshal(n.Data, &data); err != nil {
		return nil, fmt.Errorf("data of notice %s: %w", n.Event, err)
	}
	if _, shows := data["excerpt"]; !shows {
		return payload, nil
	}
	data["excerpt"] = json.RawMessage(`""`)
	var err error
	if n.Data, err = json.Marshal(data); err != nil {
		return nil, err
	}
	return json.Marshal(n)
}
