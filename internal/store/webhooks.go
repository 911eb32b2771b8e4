package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/seal"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

// Webhooks returns webhooks as their owners see them; ring seals what the database must not
// reveal.
func (s *Store) Webhooks(ring *seal.Ring) webhooks.Store { return webhookStore{s, ring} }

type webhookStore struct {
	s    *Store
	ring *seal.Ring
}

const (
	webhookColumns = `id, name, url, is_active, settings, sealed, previous_until, created_at, updated_at, last_triggered_at,
		success_count, failure_count, held_until, health, circuit`
	webhookByID = `SELECT ` + webhookColumns + ` FROM webhooks WHERE id = $1`
	addWebhook  = `INSERT INTO webhooks (name, url, event_types, ordering, is_active, settings, sealed, previous_until, created_at, updated_at,
			last_triggered_at, success_count, failure_count, held_until, health, circuit)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING id`
	sealWebhook   = `UPDATE webhooks SET sealed = $1 WHERE id = $2`
	changeWebhook = `UPDATE webhooks SET name = $1, url = $2, event_types = $3, ordering = $4, is_active = $5, settings = $6, sealed = $7, previous_until = $8,
			created_at = $9, updated_at = $10, last_triggered_at = $11, success_count = $12, failure_count = $13, held_until = $14, health = $15, circuit = $16
		WHERE id = $17`
	changeCondition = `UPDATE webhooks SET is_active = $1, updated_at = $2, last_triggered_at = $3, success_count = $4, failure_count = $5, held_until = $6,
			health = $7, circuit = $8 WHERE id = $9`
	countWebhooks  = `SELECT count(*) FROM webhooks`
	removeWebhook  = `DELETE FROM webhooks WHERE id = $1`
	removedWebhook = `INSERT INTO webhook_removed (webhook_id) VALUES ($1)`
	touchWebhooks  = `UPDATE webhook_version SET version = version + 1`
	cancelJobsOf   = `UPDATE webhook_jobs SET state = 'canceled', updated_at = $1 WHERE webhook_id = $2 AND state = 'running'`
)

// holdRows holds the rows that a statement reads, where others write at the same time.
const holdRows = ` FOR UPDATE`

// sealedPart is what of a webhook is sealed.
type sealedPart struct {
	Secret   string            `json:"secret,omitempty"`
	Previous string            `json:"previous,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	TLS      *delivery.TLS     `json:"tls,omitempty"`
}

// sealedText is how what was sealed is written. The 9 bytes of [seal.Ring.Current] are 12
// characters of it, whatever follows.
var sealedText = base64.StdEncoding

func sealContext(id int64) []byte { return []byte("webhook " + strconv.FormatInt(id, 10)) }

// sealed is what must not be read of w, as text: backups are JSON.
func (h webhookStore) sealed(w *delivery.Webhook) (string, error) {
	b, err := json.Marshal(sealedPart{w.Secret.Reveal(), w.PreviousSecret.Reveal(), w.Headers, w.TLS}) //nolint:gosec // it is sealed
	if err != nil {
		return "", fmt.Errorf("encode secrets of webhook %d: %w", w.ID, err)
	}
	return sealedText.EncodeToString(h.ring.Seal(b, sealContext(w.ID))), nil
}

// values are those of a webhook's columns in the order of changeWebhook.
func (h webhookStore) values(w *delivery.Webhook) ([]any, error) {
	sealed, err := h.sealed(w)
	if err != nil {
		return nil, err
	}
	open := w.Settings
	open.Secret, open.Headers, open.TLS = webhook.Secret{}, nil, nil
	texts := make([]string, 0, 4)
	for _, part := range []any{w.EventTypes, open, w.Health, w.Circuit} {
		b, err := json.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("encode webhook %d: %w", w.ID, err)
		}
		texts = append(texts, string(b))
	}
	return []any{
		w.Name, w.URL, texts[0], w.Ordering, number(w.IsActive), texts[1], sealed, micro(w.PreviousUntil), micro(w.CreatedAt), micro(w.UpdatedAt),
		micro(w.LastTriggeredAt), w.SuccessCount, w.FailureCount, micro(w.HeldUntil), texts[2], texts[3],
	}, nil
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// micro is a time as webhooks are kept with: microseconds since 1970, 0 for the zero time.
func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicro(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

func (h webhookStore) scan(r row, w *delivery.Webhook) error {
	var active, previous, created, updated, triggered, held int64
	var settings, health, circuit []byte
	var name, url, sealed string
	err := r.Scan(&w.ID, &name, &url, &active, &settings, &sealed, &previous, &created, &updated, &triggered,
		&w.SuccessCount, &w.FailureCount, &held, &health, &circuit)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		text []byte
		into any
	}{{settings, &w.Settings}, {health, &w.Health}, {circuit, &w.Circuit}} {
		if err := json.Unmarshal(part.text, part.into); err != nil {
			return fmt.Errorf("decode webhook %d: %w", w.ID, err)
		}
	}
	w.Name, w.URL, w.IsActive = name, url, active != 0
	w.PreviousUntil, w.CreatedAt, w.UpdatedAt = fromMicro(previous), fromMicro(created), fromMicro(updated)
	w.LastTriggeredAt, w.HeldUntil = fromMicro(triggered), fromMicro(held)
	return h.open(w, sealed)
}

// open reads what was sealed of w, or locks it.
func (h webhookStore) open(w *delivery.Webhook, text string) error {
	sealed, err := sealedText.DecodeString(text)
	if err != nil {
		return fmt.Errorf("decode secrets of webhook %d: %w", w.ID, err)
	}
	plain, err := h.ring.Open(sealed, sealContext(w.ID))
	if err != nil {
		w.Locked = true
		return nil //nolint:nilerr // it is the only error that there is
	}
	var part sealedPart
	if err := json.Unmarshal(plain, &part); err != nil {
		return fmt.Errorf("decode secrets of webhook %d: %w", w.ID, err)
	}
	for _, s := range []struct {
		text string
		into *webhook.Secret
	}{{part.Secret, &w.Secret}, {part.Previous, &w.PreviousSecret}} {
		if s.text == "" {
			continue
		}
		if *s.into, err = webhook.ParseSecret(s.text); err != nil {
			return fmt.Errorf("secret of webhook %d: %w", w.ID, err)
		}
	}
	w.Headers, w.TLS = part.Headers, part.TLS
	if w.Headers == nil {
		w.Headers = map[string]string{}
	}
	return nil
}

// Create implements webhooks.Store.
func (h webhookStore) Create(ctx context.Context, w *delivery.Webhook, limit int) error {
	return h.s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.exec(ctx, touchWebhooks); err != nil { // first: it makes others wait who count, too
			return err
		}
		var n int
		if err := tx.queryRow(ctx, countWebhooks, nil, &n); err != nil {
			return err
		}
		if n >= limit {
			return webhooks.ErrTooMany
		}
		values, err := h.values(w)
		if err != nil {
			return err
		}
		if err := tx.queryRow(ctx, addWebhook, values, &w.ID); err != nil {
			return fmt.Errorf("add webhook: %w", err)
		}
		sealed, err := h.sealed(w) // its context is the id
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, sealWebhook, sealed, w.ID)
		return err
	})
}

// Webhook implements webhooks.Store.
func (h webhookStore) Webhook(ctx context.Context, id int64) (w delivery.Webhook, err error) {
	err = h.s.View(ctx, func(tx *Tx) error {
		return noRow(h.scan(tx.row(ctx, webhookByID, id), &w), webhooks.ErrNotFound)
	})
	return w, classify(err)
}

// Change implements webhooks.Store.
func (h webhookStore) Change(ctx context.Context, id int64, change func(*delivery.Webhook) error) (w delivery.Webhook, err error) {
	err = h.s.Update(ctx, func(tx *Tx) error {
		w = delivery.Webhook{}
		if err := noRow(h.scan(tx.row(ctx, tx.text(webhookByID, webhookByID+holdRows), id), &w), webhooks.ErrNotFound); err != nil {
			return err
		}
		if w.Locked {
			return webhooks.ErrLocked
		}
		if err := change(&w); err != nil {
			return err
		}
		values, err := h.values(&w)
		if err != nil {
			return err
		}
		if _, err := tx.exec(ctx, changeWebhook, append(values, id)...); err != nil {
			return fmt.Errorf("change webhook: %w", err)
		}
		_, err = tx.exec(ctx, touchWebhooks)
		return err
	})
	return w, err
}

// Delete implements webhooks.Store.
func (h webhookStore) Delete(ctx context.Context, id int64) error {
	return h.s.Update(ctx, func(tx *Tx) error {
		n, err := tx.exec(ctx, removeWebhook, id)
		if err == nil && n == 0 {
			return webhooks.ErrNotFound
		}
		if err == nil {
			_, err = tx.exec(ctx, removedWebhook, id)
		}
		if err == nil {
			_, err = tx.exec(ctx, cancelJobsOf, micro(time.UnixMilli(tx.Now())), id)
		}
		if err == nil {
			_, err = tx.exec(ctx, touchWebhooks)
		}
		return err
	})
}

const (
	// A filter that is not asked for is null, and so true; the list of ids is null, too.
	webhookFilter = ` FROM webhooks WHERE ($1 = '' OR $1 IN `
	typesSQLite   = `(SELECT value FROM json_each(event_types))) AND ($2 < 0 OR is_active = $2) AND ($3 = '' OR id IN (SELECT value FROM json_each($3)))`
	typesPostgres = `(SELECT jsonb_array_elements_text(event_types::jsonb))) AND ($2 < 0 OR is_active = $2)
		AND ($3 = '' OR id IN (SELECT value::bigint FROM jsonb_array_elements_text(CASE WHEN $3 = '' THEN '[]' ELSE $3 END::jsonb)))`
	webhookPage   = ` ORDER BY created_at DESC, id DESC LIMIT $4 OFFSET $5`
	pageSQLite    = `SELECT ` + webhookColumns + webhookFilter + typesSQLite + webhookPage
	pagePostgres  = `SELECT ` + webhookColumns + webhookFilter + typesPostgres + webhookPage
	totalSQLite   = `SELECT count(*)` + webhookFilter + typesSQLite
	totalPostgres = `SELECT count(*)` + webhookFilter + typesPostgres
)

// List implements webhooks.Store.
func (h webhookStore) List(ctx context.Context, q webhooks.Query) (page []delivery.Webhook, total int, err error) {
	active, ids := -1, ""
	if q.IsActive != nil {
		active = number(*q.IsActive)
	}
	if q.IDs != nil {
		if ids, err = idList(q.IDs); err != nil {
			return nil, 0, err
		}
	}
	filter := args(q.EventType, active, ids)
	err = h.s.View(ctx, func(tx *Tx) error {
		if err := tx.queryRow(ctx, tx.text(totalSQLite, totalPostgres), filter, &total); err != nil {
			return err
		}
		return tx.query(ctx, tx.text(pageSQLite, pagePostgres), append(filter, q.Limit, q.Offset), func(r row) error {
			var w delivery.Webhook
			err := h.scan(r, &w)
			page = append(page, w)
			return err
		})
	})
	return page, total, err
}

const (
	resealable = `SELECT ` + webhookColumns + ` FROM webhooks WHERE substr(sealed, 1, $1) <> $2 ORDER BY id`
)

// Reseal seals up to limit webhooks with the ring's current key that another one sealed, and
// returns how many there were. It goes on with others if one cannot be opened.
func (s *Store) Reseal(ctx context.Context, ring *seal.Ring, limit int) (n int, err error) {
	h := webhookStore{s, ring}
	current := sealedText.EncodeToString(ring.Current())
	err = s.Update(ctx, func(tx *Tx) error {
		n = 0
		var old []delivery.Webhook
		err := tx.query(ctx, tx.text(resealable, resealable+holdRows), args(len(current), current), func(r row) error {
			var w delivery.Webhook
			err := h.scan(r, &w)
			if err == nil && !w.Locked && len(old) < limit {
				old = append(old, w)
			}
			return err
		})
		if err != nil {
			return err
		}
		for i := range old {
			sealed, err := h.sealed(&old[i])
			if err == nil {
				_, err = tx.exec(ctx, sealWebhook, sealed, old[i].ID)
			}
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}
