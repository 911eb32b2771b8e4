package privacy

import "context"

// Work does all jobs that are due now, as Run would.
func (s *Service) Work(ctx context.Context) error {
	if err := s.plan(ctx); err != nil {
		return err
	}
	for _, kind := range kinds {
		for did := true; did; {
			var err error
			if did, err = s.next(ctx, kind); err != nil {
				return err
			}
		}
	}
	return s.sweepExports(ctx)
}
