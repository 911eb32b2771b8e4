package analytics

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Part is what analytics have of a person, for exports and erasures: which reports they
// asked for. Metrics and reports themselves name nobody.
type Part struct{ s *Service }

// Part returns the part.
func (s *Service) Part() Part { return Part{s} }

// Name is the part's folder in exports.
func (Part) Name() string { return "analytics" }

// exportedReport is a report in an export.
type exportedReport struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Format    string    `json:"format"`
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
}

// Export writes which reports a person has asked for, the newest first.
func (p Part) Export(ctx context.Context, user int64, write func(name string, v any) error) error {
	list := []exportedReport{}
	at, id := int64(math.MaxInt64), ""
	for n := perStep; n == perStep; {
		err := p.s.store.View(ctx, func(tx Tx) error {
			page, err := tx.Reports(ctx, "", event.User(user), at, id, perStep)
			if err != nil {
				return err
			}
			for _, r := range page {
				list = append(list, exportedReport{
					r.ID, r.Type, r.Format, time.UnixMilli(r.From).UTC(), time.UnixMilli(r.To).UTC(), r.Status, time.UnixMilli(r.CreatedAt).UTC(),
				})
				at, id = r.CreatedAt, r.ID
			}
			n = len(page)
			return nil
		})
		if err != nil {
			return fmt.Errorf("list reports: %w", err)
		}
	}
	return write("reports", list)
}

// Erase takes away who asked for reports. They stay: others may need them, and nothing in
// them names anybody. In the log there is the number alone.
func (p Part) Erase(ctx context.Context, user int64) error {
	for n := int64(perStep); n == perStep; {
		err := p.s.store.Update(ctx, func(tx Tx) (err error) {
			n, err = tx.Unname(ctx, event.User(user), perStep)
			return err
		})
		if err != nil {
			return fmt.Errorf("unname reports: %w", err)
		}
	}
	return nil
}
