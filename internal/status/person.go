package status

import (
	"context"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Name implements privacy.Part: maintenance that a person made, began or ended is part
// of their export.
func (s *Service) Name() string { return "maintenance" }

// Export implements privacy.Part.
func (s *Service) Export(ctx context.Context, user int64, write func(name string, v any) error) error {
	actor := event.User(user)
	var found []Maintenance
	err := s.o.Store.View(ctx, func(tx Tx) (err error) {
		found, err = tx.MaintenanceBy(ctx, actor)
		return err
	})
	if err != nil || len(found) == 0 {
		return err
	}
	list := make([]exported, len(found))
	for i, m := range found {
		list[i] = exported{m.ID, m.Title, m.Affected, time.UnixMilli(m.CreatedAt).UTC().Format("2006-01-02T15:04:05.000Z07:00"), m.CreatedBy == actor, m.StartedBy == actor, m.EndedBy == actor}
	}
	return write("maintenance", list)
}

// exported is what a person had to do with maintenance.
type exported struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	Affected  []string `json:"affected"`
	CreatedAt string   `json:"created_at"`
	Created   bool     `json:"created_by_you"`
	Started   bool     `json:"started_by_you"`
	Ended     bool     `json:"ended_by_you"`
}

// Erase implements privacy.Part. Nothing is a person's alone: maintenance is the
// operator's, and knows who did it by the number only.
func (s *Service) Erase(context.Context, int64) error { return nil }
