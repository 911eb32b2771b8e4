package store

import (
	"context"
	"fmt"
	"sync"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/privacy"
)

// What is kept of events for webhooks is erased with the log: who rewrites an event there
// rewrites it here. Of an event that the log has forgotten the payload is removed as a whole.

// catalogue is that of the server's own types; others are shown as they are stored.
var catalogue = sync.OnceValues(func() (*event.Catalogue, error) { return event.NewCatalogue() })

const (
	ofSource       = `(event_id = $1 OR copied_from = $1)`
	isKept         = `SELECT ` + eventColumns + ` FROM events AS l WHERE id = $1 AND EXISTS (SELECT 1 FROM webhook_events AS k WHERE k.event_id = l.event_id OR k.copied_from = l.event_id)`
	rewriteKept    = `UPDATE webhook_events SET payload = $2 WHERE ` + ofSource + ` AND payload IS NOT NULL`
	notInLog       = ` NOT EXISTS (SELECT 1 FROM events AS l WHERE l.event_id = coalesce(k.copied_from, k.event_id))`
	eraseForgotten = `UPDATE webhook_events AS k SET payload = NULL WHERE k.ref = $1 AND k.ref IS NOT NULL AND k.payload IS NOT NULL AND` + notInLog

	forgottenFrom = `SELECT k.event_id, k.type, k.created_at, k.ordering_key, CASE WHEN` + notInLog + ` THEN k.payload END FROM webhook_events AS k
		WHERE (k.created_at, k.event_id) > ($1, $2) ORDER BY k.created_at, k.event_id LIMIT $3`
	erasePayloads         = `UPDATE webhook_events SET payload = NULL WHERE event_id IN `
	erasePayloadsSQLite   = erasePayloads + `(SELECT value FROM json_each($1))`
	erasePayloadsPostgres = erasePayloads + `(SELECT jsonb_array_elements_text($1::jsonb))`
)

// rewriteKept gives what webhooks have of an event, which was rewritten, its new payload.
func (tx *Tx) rewriteKept(ctx context.Context, row int64) error {
	found, err := tx.readEvents(ctx, isKept, row)
	if err != nil || len(found) == 0 {
		return err
	}
	e := &found[0]
	known, err := catalogue()
	if err != nil {
		return err
	}
	payload := e.Payload
	if k := known.Kind(e.Type); k != nil {
		if payload, err = k.Public(e); err != nil {
			return err
		}
	}
	if _, err := tx.exec(ctx, rewriteKept, e.ID, string(payload)); err != nil {
		return fmt.Errorf("rewrite event %s for webhooks: %w", e.ID, err)
	}
	return nil
}

// ForgottenEvents implements privacy's erasing.
func (tx privacyTx) ForgottenEvents(ctx context.Context, at int64, id string, limit int) (list []privacy.ForgottenEvent, err error) {
	err = tx.query(ctx, forgottenFrom, args(at, id, limit), func(r row) error {
		var e privacy.ForgottenEvent
		err := r.Scan(&e.ID, &e.Type, &e.At, &e.About, &e.Payload)
		list = append(list, e)
		return err
	})
	return list, err
}

// ErasePayloads implements privacy's erasing.
func (tx privacyTx) ErasePayloads(ctx context.Context, events []string) error {
	list, err := toJSON(events)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, tx.text(erasePayloadsSQLite, erasePayloadsPostgres), list)
	return err
}
