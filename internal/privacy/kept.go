package privacy

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/event"
)

// ForgottenEvent is an event of which more is kept for webhooks than the log has.
type ForgottenEvent struct {
	ID, Type string
	// At is when it was kept, About what it is about (event.Event.Stream).
	At    int64
	About string
	// Payload is nil if the log has the event, which is rewritten there and here at once,
	// or if nothing is left of it.
	Payload []byte
}

// eraseForgotten removes payloads that name the person from a piece of what is kept of old
// events. They are of no use any more but to be sent again, so nothing of them is kept.
func (s *Service) eraseForgotten(ctx context.Context, user int64, p *progress) (bool, error) {
	var kept []ForgottenEvent
	err := s.store.View(ctx, func(tx Tx) (err error) {
		kept, err = tx.ForgottenEvents(ctx, p.At, p.Event, logBatch)
		return err
	})
	if err != nil || len(kept) == 0 {
		return false, err
	}
	var naming []string
	for i := range kept {
		if e := &kept[i]; e.Payload != nil && e.names(user) {
			naming = append(naming, e.ID)
		}
	}
	last := &kept[len(kept)-1]
	p.At, p.Event = last.At, last.ID
	if len(naming) == 0 {
		return true, nil
	}
	return true, s.store.Update(ctx, func(tx Tx) error { return tx.ErasePayloads(ctx, naming) })
}

// names tells whether an event may say something of a person. So does one about an API key,
// since it is not kept whose key it is, and one that cannot be read.
func (e *ForgottenEvent) names(user int64) bool {
	if e.About == event.UserStream(user) || e.Type == event.TokenCreated || e.Type == event.TokenRevoked {
		return true
	}
	if !bytes.Contains(e.Payload, []byte(strconv.FormatInt(user, 10))) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(e.Payload))
	d.UseNumber()
	var v any
	return d.Decode(&v) != nil || concerns(v, "", number(user))
}

// roles are the ends of what payloads call the ids of people, without underscores.
var roles = []string{"user", "userid", "sender", "senderid", "author", "authorid", "owner", "ownerid", "assignee", "assigneeid", "by", "byid", "actor"}

// concerns tells whether decoded JSON under a key names a person: by a number or text under
// a key that is for people, as the id of an object with a name, or as an actor.
func concerns(v any, key string, user json.Number) bool {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if concerns(item, key, user) {
				return true
			}
		}
	case map[string]any:
		_, named := v["name"]
		_, called := v["username"]
		if (named || called) && v["id"] == user {
			return true
		}
		for key, item := range v {
			if concerns(item, key, user) {
				return true
			}
		}
	case json.Number:
		return v == user && forPeople(key)
	case string:
		return v == "user:"+user.String() || v == user.String() && forPeople(key)
	}
	return false
}

func forPeople(key string) bool {
	key = strings.ToLower(strings.ReplaceAll(key, "_", ""))
	for _, role := range roles {
		if strings.HasSuffix(key, role) || strings.HasSuffix(key, role+"s") {
			return true
		}
	}
	return false
}
