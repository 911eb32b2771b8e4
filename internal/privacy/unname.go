package privacy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/event"
)

// deletedName is the name of whoever was erased (chat-api.md §C.14).
const deletedName = "Deleted account"

// eraseLog takes the person out of a piece of the event log. What is read is read again
// in the transaction that rewrites it: meanwhile more may have been taken out of it.
func (s *Service) eraseLog(ctx context.Context, user int64, p *progress) (bool, error) {
	var events []event.Event
	err := s.store.View(ctx, func(tx Tx) (err error) {
		events, err = tx.EventsFrom(ctx, p.ID, logBatch)
		return err
	})
	if err != nil || len(events) == 0 {
		return false, err
	}
	var rows []int64
	for i := range events {
		_, changed, err := unnamed(&events[i], user)
		if err != nil {
			return false, err
		}
		if changed {
			rows = append(rows, events[i].Row())
		}
	}
	p.ID = events[len(events)-1].Row()
	if len(rows) == 0 {
		return true, nil
	}
	return true, s.store.Update(ctx, func(tx Tx) error {
		for _, row := range rows {
			e, err := tx.EventAt(ctx, row)
			if err != nil {
				return err
			}
			payload, changed, err := unnamed(&e, user)
			if err == nil && changed {
				err = tx.RewriteEvent(ctx, row, payload)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// unnamed is the payload of an event without what it says of the person user; changed
// tells whether it said anything. A person's own notices say nothing any more.
func unnamed(e *event.Event, user int64) (payload []byte, changed bool, err error) {
	if e.Type == event.UserNotice && e.Stream == event.UserStream(user) {
		const nothing = `{"event":"erased","data":{}}`
		return []byte(nothing), string(e.Payload) != nothing, nil
	}
	key := (e.Type == event.TokenCreated || e.Type == event.TokenRevoked) && e.Actor == event.User(user)
	if !key && !bytes.Contains(e.Payload, []byte(strconv.FormatInt(user, 10))) {
		return nil, false, nil
	}
	payload, changed, err = rewritten(e.Payload, func(v any) (changed bool) {
		if object, ok := v.(map[string]any); ok && key {
			changed = neutral(object, "name")
		}
		return unname(v, number(user)) || changed
	})
	if err != nil {
		return nil, false, fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	return payload, changed, nil
}

func number(user int64) json.Number { return json.Number(strconv.FormatInt(user, 10)) }

// rewritten is JSON after f has changed what it holds; changed is what f returned.
func rewritten(text []byte, f func(any) (changed bool)) (out []byte, changed bool, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // numbers stay as they are written
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, false, err
	}
	if !f(v) {
		return nil, false, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, false, err
	}
	return bytes.TrimSpace(b.Bytes()), true, nil
}

// eraseReplies removes replies to others that are kept for a day and name the person:
// such a request, should it be repeated, is done anew.
func (s *Service) eraseReplies(ctx context.Context, user int64, _ *progress) (bool, error) {
	return false, s.store.Update(ctx, func(tx Tx) error {
		replies, err := tx.RepliesNaming(ctx, user)
		if err != nil {
			return err
		}
		for _, r := range replies {
			_, names, err := rewritten([]byte(r.Text), func(v any) bool { return unname(v, number(user)) })
			if err != nil || !names {
				continue // one that is no JSON names nobody
			}
			if err := tx.RemoveReply(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// personal are what payloads call the facts of a person beside the name.
var personal = []string{"username", "email", "about", "avatar", "avatar_file_id", "picture", "lang", "tz", "privacy", "last_seen_at"}

// unname takes a person out of decoded JSON. A person is an object with a name and, as
// id or user_id, the number; a sender one with sender_id and sender_name.
func unname(v any, user json.Number) (changed bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			changed = unname(item, user) || changed
		}
	case map[string]any:
		if _, named := v["name"].(string); named && (v["id"] == user || v["user_id"] == user) {
			changed = neutral(v, "name")
			for _, key := range personal {
				if old, there := v[key]; there && old != nil && old != "" {
					v[key], changed = nil, true
				}
			}
		}
		if _, named := v["sender_name"].(string); named && (v["sender_id"] == user || v["sender"] == user) {
			changed = neutral(v, "sender_name") || changed
		}
		for _, item := range v {
			changed = unname(item, user) || changed
		}
	}
	return changed
}

// neutral replaces a name.
func neutral(object map[string]any, key string) bool {
	name, there := object[key].(string)
	if !there || name == deletedName || strings.TrimSpace(name) == "" {
		return false
	}
	object[key] = deletedName
	return true
}
