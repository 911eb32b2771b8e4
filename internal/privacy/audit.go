package privacy

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
)

// Entry is one line of the audit log: an administrator did something, or looked at
// something that is not theirs. Lines are never changed and outlive whom they are about,
// so they hold numbers of people, no names.
type Entry struct {
	ID int64
	// Actor is who did it, as events name actors; Action what, such as "user.suspend";
	// Target to what, such as "user:42".
	Actor, Action, Target string
	// Data is a JSON object with the rest, or nil.
	Data json.RawMessage
	// IP is the address the request came from, empty if there was none.
	IP string
	// At is in milliseconds since 1970.
	At int64
}

// AuditQuery selects lines of the audit log, the newest first. Empty fields select all.
type AuditQuery struct {
	Actor, Action, Target string
	// Cursor is [AuditPage.Next] of the page before.
	Cursor string
	// Limit is 1 to 200; zero means 50.
	Limit int
}

// AuditPage is one page of the audit log.
type AuditPage struct {
	Entries []Entry
	// Next is the cursor of the next page, empty on the last.
	Next string
}

// auditTx keeps the audit log.
type auditTx interface {
	AddAudit(ctx context.Context, e Entry) error
	// Audited returns lines with numbers below one, the newest first.
	Audited(ctx context.Context, q AuditQuery, below int64, limit int) ([]Entry, error)
}

// Audit adds a line. ID and At of e do not count; data, if not nil, is encoded to JSON and
// replaces Data. An operation that has to be on record is not done if this fails.
func (s *Service) Audit(ctx context.Context, e Entry, data any) error {
	if data != nil {
		b, err := json.Marshal(data)
		if err != nil {
			return fmt.Errorf("encode data of audit: %w", err)
		}
		e.Data = b
	}
	e.At = s.now()
	if err := s.store.Update(ctx, func(tx Tx) error { return tx.AddAudit(ctx, e) }); err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}
	return nil
}

// AuditLog returns a page of the audit log. That it is an administrator who asks, its
// caller has made sure. The error may be [ErrCursor].
func (s *Service) AuditLog(ctx context.Context, q AuditQuery) (p AuditPage, err error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	q.Limit = min(q.Limit, 200)
	below := int64(1) << 62
	if q.Cursor != "" {
		if below, err = strconv.ParseInt(q.Cursor, 10, 64); err != nil || below < 1 {
			return p, ErrCursor
		}
	}
	err = s.store.View(ctx, func(tx Tx) error {
		p.Entries, err = tx.Audited(ctx, q, below, q.Limit+1)
		return err
	})
	if err != nil {
		return AuditPage{}, fmt.Errorf("read audit log: %w", err)
	}
	if len(p.Entries) > q.Limit {
		p.Entries = p.Entries[:q.Limit]
		p.Next = strconv.FormatInt(p.Entries[q.Limit-1].ID, 10)
	}
	return p, nil
}
