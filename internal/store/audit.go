package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kuranty/kuranty/internal/privacy"
)

const (
	addAudit = `INSERT INTO audit_log (actor, action, target, data, ip, at) VALUES ($1, $2, $3, $4, $5, $6)`
	audited  = `SELECT id, actor, action, target, data, ip, at FROM audit_log
		WHERE id < $1 AND ($2 = '' OR actor = $2) AND ($3 = '' OR action = $3) AND ($4 = '' OR target = $4) ORDER BY id DESC LIMIT $5`
)

// AddAudit implements privacy's audit log.
func (tx privacyTx) AddAudit(ctx context.Context, e privacy.Entry) error {
	_, err := tx.exec(ctx, addAudit, e.Actor, e.Action, e.Target, string(e.Data), e.IP, e.At)
	return err
}

// Audited implements privacy's audit log.
func (tx privacyTx) Audited(ctx context.Context, q privacy.AuditQuery, below int64, limit int) (list []privacy.Entry, err error) {
	err = tx.query(ctx, audited, args(below, q.Actor, q.Action, q.Target, limit), func(r row) error {
		var e privacy.Entry
		var data []byte
		if err := r.Scan(&e.ID, &e.Actor, &e.Action, &e.Target, &data, &e.IP, &e.At); err != nil {
			return fmt.Errorf("scan line of audit log: %w", err)
		}
		if len(data) > 0 {
			e.Data = json.RawMessage(data)
		}
		list = append(list, e)
		return nil
	})
	return list, err
}
