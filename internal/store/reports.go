package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/privacy"
)

const (
	reportColumns = `id, type, format, from_at, to_at, requested_by, status, length(content), created_at, completed_at`

	addReport     = `INSERT INTO reports (id, type, format, from_at, to_at, requested_by, status, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	reportByID    = `SELECT ` + reportColumns + ` FROM reports WHERE id = $1`
	reportContent = `SELECT content FROM reports WHERE id = $1`
	endReport     = `UPDATE reports SET status = $1, content = $2, completed_at = $3 WHERE id = $4`
	// The newest first; of the same time, by id.
	listReports = `SELECT ` + reportColumns + ` FROM reports WHERE ($1 = '' OR status = $1) AND ($2 = '' OR requested_by = $2)
		AND (created_at < $3 OR (created_at = $3 AND id > $4)) ORDER BY created_at DESC, id LIMIT $5`
	countPending  = `SELECT count(*) FROM reports WHERE status = 'pending'`
	sweepReports  = `DELETE FROM reports WHERE id IN (SELECT id FROM reports WHERE status <> 'pending' AND created_at < $1 LIMIT $2)`
	unnameReports = `UPDATE reports SET requested_by = '' WHERE id IN (SELECT id FROM reports WHERE requested_by = $1 LIMIT $2)`

	reportJobs = "report" // the kind of their jobs
)

func scanReport(r row, p *analytics.Report) error {
	return r.Scan(&p.ID, &p.Type, &p.Format, &p.From, &p.To, &p.RequestedBy, &p.Status, &p.Size, &p.CreatedAt, &p.CompletedAt)
}

// AddReport implements analytics.
func (tx analyticsTx) AddReport(ctx context.Context, r *analytics.Report) error {
	_, err := tx.exec(ctx, addReport, r.ID, r.Type, r.Format, r.From, r.To, r.RequestedBy, r.Status, r.CreatedAt)
	return err
}

// Report implements analytics.
func (tx analyticsTx) Report(ctx context.Context, id string) (r analytics.Report, err error) {
	list, err := tx.reports(ctx, reportByID, id)
	if err != nil {
		return r, err
	}
	if len(list) == 0 {
		return r, analytics.ErrNotFound
	}
	return list[0], nil
}

func (tx analyticsTx) reports(ctx context.Context, query string, a ...any) (list []analytics.Report, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var p analytics.Report
		err := scanReport(r, &p)
		list = append(list, p)
		return err
	})
	return list, err
}

// Content implements analytics.
func (tx analyticsTx) Content(ctx context.Context, id string) (content string, err error) {
	err = noRow(tx.queryRow(ctx, reportContent, args(id), &content), analytics.ErrNotFound)
	return content, err
}

// EndReport implements analytics.
func (tx analyticsTx) EndReport(ctx context.Context, r *analytics.Report, content string) error {
	_, err := tx.exec(ctx, endReport, r.Status, content, r.CompletedAt, r.ID)
	return err
}

// Reports implements analytics.
func (tx analyticsTx) Reports(ctx context.Context, status, requestedBy string, createdAt int64, id string, limit int) ([]analytics.Report, error) {
	return tx.reports(ctx, listReports, status, requestedBy, createdAt, id, limit)
}

// CountPending implements analytics.
func (tx analyticsTx) CountPending(ctx context.Context) (n int, err error) {
	err = tx.queryRow(ctx, countPending, nil, &n)
	return n, err
}

// SweepReports implements analytics.
func (tx analyticsTx) SweepReports(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.exec(ctx, sweepReports, before, limit)
}

// Unname implements analytics.
func (tx analyticsTx) Unname(ctx context.Context, requestedBy string, limit int) (int64, error) {
	return tx.exec(ctx, unnameReports, requestedBy, limit)
}

// AddJob implements analytics.
func (tx analyticsTx) AddJob(ctx context.Context, id string, now int64) error {
	_, err := privacyTx(tx).AddJob(ctx, &privacy.Job{ID: id, Kind: reportJobs, State: privacy.Waiting, DueAt: now, CreatedAt: now})
	return err
}

// ClaimJob implements analytics.
func (tx analyticsTx) ClaimJob(ctx context.Context, holder string, now, until int64) (id string, attempts int, err error) {
	j, err := privacyTx(tx).Claim(ctx, reportJobs, holder, now, until)
	return j.ID, j.Attempts, absent(err)
}

// absent says of a job that is not there what analytics calls it.
func absent(err error) error {
	if errors.Is(err, privacy.ErrNotFound) {
		return analytics.ErrNotFound
	}
	return err
}

// KeepJob implements analytics.
func (tx analyticsTx) KeepJob(ctx context.Context, id, holder string, until int64) (bool, error) {
	return privacyTx(tx).KeepJob(ctx, id, holder, "", until)
}

// EndJob implements analytics.
func (tx analyticsTx) EndJob(ctx context.Context, id, holder string, failed bool, now int64, attempts int) (bool, error) {
	j := privacy.Job{ID: id, State: privacy.Done, EndedAt: now, DueAt: now, Attempts: attempts}
	if failed {
		j.State = privacy.Failed
	}
	return privacyTx(tx).SettleJob(ctx, &j, holder)
}

// RetryJob implements analytics.
func (tx analyticsTx) RetryJob(ctx context.Context, id, holder string, due int64, attempts int) error {
	_, err := privacyTx(tx).SettleJob(ctx, &privacy.Job{ID: id, State: privacy.Waiting, DueAt: due, Attempts: attempts}, holder)
	return err
}

// NextJob implements analytics.
func (tx analyticsTx) NextJob(ctx context.Context) (int64, error) {
	at, err := privacyTx(tx).NextDue(ctx, reportJobs)
	return at, absent(err)
}

const (
	within = ` >= $1 AND created_at < $2`
	daily  = ` GROUP BY 1, 2 ORDER BY 2, 1`
	dayOf  = `created_at / ` + dayMS + ` * ` + dayMS

	dailyUsers    = `SELECT ` + dayOf + `, 'users_registered', count(*) FROM users WHERE kind = 'human' AND created_at` + within + daily
	dailyChats    = `SELECT ` + dayOf + `, 'chats_' || kind, count(*) FROM chats WHERE created_at` + within + daily
	dailyMessages = `SELECT ` + dayOf + `, 'messages', count(*) FROM messages WHERE deleted_at = 0 AND message_type <> 'system' AND created_at` + within + daily
	dailyFiles    = `SELECT ` + dayOf + `, 'files', count(*) FROM files WHERE created_at` + within + daily
	dailyBytes    = `SELECT ` + dayOf + `, 'file_bytes', CAST(sum(size) AS BIGINT) FROM files WHERE created_at` + within + daily
	dailyTickets  = `SELECT ` + dayOf + `, 'tickets', count(*) FROM tickets WHERE created_at` + within + daily
	dailyPaid     = `SELECT ` + dayOf + `, 'transactions_' || type, count(*) FROM transactions WHERE created_at` + within + daily
	seenUsers     = `SELECT 0, 'users_seen', count(*) FROM users WHERE kind = 'human' AND state = 'active' AND last_seen_at >= $1`

	dailyAlerts  = `SELECT ` + dayOf + `, severity || ':' || kind, CAST(sum(count) AS BIGINT) FROM alerts WHERE created_at` + within + daily
	dailyScans   = `SELECT started_at / ` + dayMS + ` * ` + dayMS + `, type || ':' || status, count(*) FROM scans WHERE started_at >= $1 AND started_at < $2` + daily
	dailyAudit   = `SELECT at / ` + dayMS + ` * ` + dayMS + `, action, count(*) FROM audit_log WHERE at >= $1 AND at < $2` + daily
	openAlerts   = `SELECT -1, severity || ':' || status, count(*) FROM alerts WHERE status <> 'resolved' GROUP BY 1, 2 ORDER BY 2`
	usersByState = `SELECT -1, 'users_' || state, count(*) FROM users WHERE kind = 'human' GROUP BY 1, 2 ORDER BY 2`
	keptKeys     = `SELECT -1, 'api_keys', count(*) FROM api_keys WHERE revoked_at IS NULL`

	dailyIdentities    = `SELECT ` + dayOf + `, 'identities', count(*) FROM trust_identities WHERE created_at` + within + daily
	dailyVerifications = `SELECT ` + dayOf + `, type || ':' || status, count(*) FROM trust_verifications WHERE created_at` + within + daily
	identityLevels     = `SELECT -1, 'level:' || level, count(*) FROM trust_identities GROUP BY 1, 2 ORDER BY 2`
	verificationStates = `SELECT -1, type || ':' || status, count(*) FROM trust_verifications GROUP BY 1, 2 ORDER BY 2`
)

// counting collects the counts of several queries.
type counting struct {
	tx   analyticsTx
	ctx  context.Context //nolint:containedctx // it lives as long as the call that makes it
	rows []analytics.Row
	err  error
}

func (c *counting) add(section, query string, a ...any) {
	if c.err != nil {
		return
	}
	c.err = c.tx.query(c.ctx, query, a, func(r row) error {
		n := analytics.Row{Section: section}
		err := r.Scan(&n.Day, &n.Name, &n.Count)
		if n.Name == "file_bytes" {
			n.Unit = "bytes"
		}
		c.rows = append(c.rows, n)
		return err
	})
	if c.err != nil {
		c.err = fmt.Errorf("count %s: %w", section, c.err)
	}
}

// Usage implements analytics.
func (tx analyticsTx) Usage(ctx context.Context, from, to int64) ([]analytics.Row, error) {
	c := counting{tx: tx, ctx: ctx}
	c.add("people", dailyUsers, from, to)
	c.add("people", seenUsers, from)
	c.add("chats", dailyChats, from, to)
	c.add("chats", dailyMessages, from, to)
	c.add("files", dailyFiles, from, to)
	c.add("files", dailyBytes, from, to)
	c.add("tickets", dailyTickets, from, to)
	c.add("transactions", dailyPaid, from, to)
	return c.rows, c.err
}

// Security implements analytics.
func (tx analyticsTx) Security(ctx context.Context, from, to int64) ([]analytics.Row, error) {
	c := counting{tx: tx, ctx: ctx}
	c.add("alerts", dailyAlerts, from, to)
	c.add("alerts", openAlerts)
	c.add("scans", dailyScans, from, to)
	c.add("audit", dailyAudit, from, to)
	c.add("people", usersByState)
	c.add("keys", keptKeys)
	return c.rows, c.err
}

// Trust implements analytics.
func (tx analyticsTx) Trust(ctx context.Context, from, to int64) ([]analytics.Row, error) {
	c := counting{tx: tx, ctx: ctx}
	c.add("identities", dailyIdentities, from, to)
	c.add("identities", identityLevels)
	c.add("verifications", dailyVerifications, from, to)
	c.add("verifications", verificationStates)
	return c.rows, c.err
}
