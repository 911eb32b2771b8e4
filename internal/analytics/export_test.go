package analytics

import "context"

// MakeOne makes one report that waits.
func (s *Service) MakeOne(ctx context.Context) error {
	_, err := s.next(ctx)
	return err
}
