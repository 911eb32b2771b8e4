package analytics

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
)

// What reports are about.
const (
	Performance = "performance"
	Usage       = "usage"
	Security    = "security"
	Trust       = "trust"
)

// The forms of reports.
const (
	JSON = "json"
	CSV  = "csv"
)

// States of a report.
const (
	Pending   = "pending"
	Completed = "completed"
	Failed    = "failed"
)

// Report is a report on a time, without To itself. Times are in milliseconds since 1970,
// 0 is never.
type Report struct {
	// ID is "rep_" and 26 characters of base32.
	ID           string
	Type, Format string
	From, To     int64
	// RequestedBy is who asked for it, see [event.User]; empty if nobody knows any more.
	RequestedBy string
	Status      string
	// Size is that of the file, in bytes.
	Size                   int64
	CreatedAt, CompletedAt int64
}

// Draft is a report to be made. From zero is 7 days before To, To zero is now; an empty
// format is [JSON].
type Draft struct {
	Type, Format string
	From, To     int64
}

const (
	// maxSpan is the longest time of a report.
	maxSpan = 731 * 24 * hour
	// maxPending is how many reports may wait.
	maxPending = 50
)

func (d *Draft) settle(now int64) error {
	if d.Format == "" {
		d.Format = JSON
	}
	if d.To == 0 {
		d.To = now
	}
	if d.From == 0 {
		d.From = max(d.To-7*24*hour, 0)
	}
	switch {
	case d.Type == "":
		return &FieldError{"type", "is required"}
	case !slices.Contains([]string{Performance, Usage, Security, Trust}, d.Type):
		return &FieldError{"type", "must be performance, usage, security or trust"}
	case d.Format != JSON && d.Format != CSV:
		return &FieldError{"format", "must be json or csv"}
	case d.From < 0 || d.From > lastTime:
		return &FieldError{"from", "must be between 1970 and 9999"}
	case d.To < 0 || d.To > now+ahead.Milliseconds():
		return &FieldError{"to", "must not be in the future"}
	case d.From >= d.To:
		return &FieldError{"from", "must be before to"}
	case d.To-d.From > maxSpan:
		return &FieldError{"from", "must be at most 731 days before to"}
	}
	return nil
}

// Create asks for a report of its caller by. The error is a [*FieldError], or [ErrBusy].
func (s *Service) Create(ctx context.Context, by string, d Draft) (Report, error) {
	now := s.now()
	if err := d.settle(now); err != nil {
		return Report{}, err
	}
	r := Report{
		ID: newID("rep_"), Type: d.Type, Format: d.Format, From: d.From, To: d.To, RequestedBy: by, Status: Pending, CreatedAt: now,
	}
	e, err := event.New(event.ReportCreated, time.UnixMilli(now), event.Report{
		ID: r.ID, ReportType: r.Type, RequestedBy: strings.TrimPrefix(by, "user:"), CreatedAt: time.UnixMilli(now).UTC(),
	})
	if err != nil {
		return Report{}, err
	}
	e.Actor = by
	err = s.store.Update(ctx, func(tx Tx) error {
		n, err := tx.CountPending(ctx)
		if err != nil {
			return err
		}
		if n >= maxPending {
			return ErrBusy
		}
		if err := tx.AddReport(ctx, &r); err != nil {
			return err
		}
		if err := tx.AddJob(ctx, r.ID, now); err != nil {
			return err
		}
		return tx.Append(ctx, e)
	})
	if err != nil {
		return Report{}, fmt.Errorf("ask for report: %w", err)
	}
	select {
	case s.wake <- struct{}{}:
	default: // it has been woken
	}
	return r, nil
}

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

func newID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return prefix + strings.ToLower(encoding.EncodeToString(b[:]))
}

// Get returns a report, or [ErrNotFound].
func (s *Service) Get(ctx context.Context, id string) (r Report, err error) {
	if !storable(id) {
		return Report{}, ErrNotFound
	}
	err = s.store.View(ctx, func(tx Tx) error {
		r, err = tx.Report(ctx, id)
		return err
	})
	return r, err
}

// File returns a report with its file: JSON or CSV, as it was asked for. The error is
// [ErrNotFound] or [ErrNotReady].
func (s *Service) File(ctx context.Context, id string) (r Report, content string, err error) {
	if r, err = s.Get(ctx, id); err != nil {
		return Report{}, "", err
	}
	if r.Status != Completed {
		return r, "", ErrNotReady
	}
	err = s.store.View(ctx, func(tx Tx) error {
		content, err = tx.Content(ctx, id)
		return err
	})
	return r, content, err
}

// List returns a page of reports, the newest first, and the cursor of the next one, which
// is empty at the end. An empty status is any.
func (s *Service) List(ctx context.Context, status, cursor string, limit int) (list []Report, next string, err error) {
	at, id := int64(math.MaxInt64), ""
	if cursor != "" {
		digits, rest, ok := strings.Cut(cursor, "-")
		if at, err = strconv.ParseInt(digits, 10, 64); err != nil || !ok || !storable(rest) {
			return nil, "", ErrCursor
		}
		id = rest
	}
	limit = pageSize(limit)
	err = s.store.View(ctx, func(tx Tx) error {
		list, err = tx.Reports(ctx, status, "", at, id, limit+1)
		return err
	})
	if len(list) > limit {
		list = list[:limit]
		last := &list[limit-1]
		next = strconv.FormatInt(last.CreatedAt, 10) + "-" + last.ID
	}
	return list, next, err
}
