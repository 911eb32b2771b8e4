package store

import "context"

// ExecThen runs a statement of a test and then f, before the commit.
func (s *Store) ExecThen(ctx context.Context, f func(), query string, args ...any) error {
	return s.Update(ctx, func(tx *Tx) error {
		if _, err := tx.exec(ctx, query, args...); err != nil {
			return err
		}
		f()
		return nil
	})
}
