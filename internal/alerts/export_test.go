package alerts

import "context"

// TellAgain and Sweep are what Run does from time to time.
func (s *Service) TellAgain(ctx context.Context) error { return s.tellAgain(ctx) }

// Sweep removes what is old.
func (s *Service) Sweep(ctx context.Context) error { return s.sweep(ctx) }

// EndScans ends scans that were cut off.
func (s *Service) EndScans(ctx context.Context) error { return s.endScans(ctx) }

// MaxLoud, Queued and Unknown checks are for tests.
const (
	MaxLoud = maxLoud
	Queued  = queued
)

// CheckIDs are the ids of all checks.
func CheckIDs() (ids []string) {
	for i := range checks {
		ids = append(ids, checks[i].id)
	}
	return ids
}
