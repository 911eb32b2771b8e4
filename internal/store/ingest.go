package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
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

func (tx *Tx) ingest(ctx context.Context, batch []gateway.Submission) ([]bool, error) {
	duplicate := make([]bool, len(batch))
	for n := range batch {
		e := &batch[n]
		var was event.Event
		switch err := scanEvent(tx.row(ctx, eventByID, e.ID), &was); {
		case errors.Is(err, sql.ErrNoRows):
			if err := tx.Append(ctx, e.Event); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, fmt.Errorf("look for event %s: %w", e.ID, err)
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
