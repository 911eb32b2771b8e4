package store

import "context"

// noteKey is where a note is in the table meta.
func noteKey(name string) string { return "note:" + name }

// Note keeps a note about the database, in the place of an earlier one of that name. Notes
// are not backed up.
func (s *Store) Note(ctx context.Context, name, text string) error {
	return s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(ctx, writeMeta, noteKey(name), text)
		return err
	})
}

// Noted returns a note, empty if there is none.
func (s *Store) Noted(ctx context.Context, name string) (text string, err error) {
	err = s.View(ctx, func(tx *Tx) error {
		text, err = tx.meta(ctx, noteKey(name))
		return err
	})
	return text, err
}

// Empty tells whether there are no people, chats or events.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	var rows int64
	err := s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, anybody, nil, &rows) })
	return rows == 0, err
}
