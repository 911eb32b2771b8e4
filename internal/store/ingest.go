package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/gateway"
)

// Ingest returns the log as services append to it.
func (s *Store) Ingest() gateway.Log { return ingest{s} }

type ingest struct{ s *Store }

// Ingest implements gateway.Log.
func (i ingest) Ingest(ctx context.Context, batch []gateway.Submission) (duplicate []bool, err error) {
	for range 3 { // two may send the same ids at the same time: the second then finds the first's
		err = i.s.Update(ctx, func(tx *Tx) (err error) {
			duplicate, err = tx.ingest(ctx, batch)
			return err
		})
		if !isConflict(err) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return duplicate, nil
}

const (
	eventsByID         = `SELECT ` + eventColumns + ` FROM events WHERE event_id IN `
	eventsByIDSQLite   = eventsByID + `(SELECT value FROM json_each($1))`
	eventsByIDPostgres = eventsByID + `(SELECT jsonb_array_elements_text($1::jsonb))`
)

func (tx *Tx) ingest(ctx context.Context, batch []gateway.Submission) ([]bool, error) {
	ids := make([]string, len(batch))
	for n := range batch {
		ids[n] = batch[n].ID
	}
	list, err := toJSON(ids)
	if err != nil {
		return nil, fmt.Errorf("encode ids: %w", err)
	}
	stored, err := tx.readEvents(ctx, tx.text(eventsByIDSQLite, eventsByIDPostgres), list)
	if err != nil {
		return nil, err
	}
	known := make(map[string]*event.Event, len(batch))
	for i := range stored {
		known[stored[i].ID] = &stored[i]
	}
	duplicate := make([]bool, len(batch))
	for n := range batch {
		e := &batch[n]
		was, again := known[e.ID]
		switch {
		case !again:
			if err := tx.Append(ctx, e.Event); err != nil {
				return nil, err
			}
			known[e.ID] = &e.Event
		case was.Type != e.Type || was.Actor != e.Actor || was.Stream != e.Stream || e.Dated && was.At != e.At || !sameJSON(was.Payload, e.Payload):
			return nil, &gateway.ConflictError{Index: n}
		default:
			duplicate[n] = true
		}
	}
	return duplicate, nil
}

// sameJSON compares payloads whose members may stand in another order. Numbers are what is
// written.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var va, vb any
	for _, v := range []struct {
		text []byte
		into *any
	}{{a, &va}, {b, &vb}} {
		d := json.NewDecoder(bytes.NewReader(v.text))
		d.UseNumber()
		if d.Decode(v.into) != nil {
			return false
		}
	}
	return reflect.DeepEqual(va, vb)
}
