package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kuranty/kuranty/internal/files"
)

// fileTx is what package files does in a transaction.
type fileTx struct{ *Tx }

type fileStore struct{ s *Store }

// Files returns the store of what describes uploaded files.
func (s *Store) Files() files.Store { return fileStore{s} }

// FileAccess decides who may read a file.
func (s *Store) FileAccess() files.Access { return fileStore{s} }

func (f fileStore) Update(ctx context.Context, do func(files.Tx) error) error {
	return f.s.Update(ctx, func(tx *Tx) error { return do(fileTx{tx}) })
}

func (f fileStore) View(ctx context.Context, do func(files.Tx) error) error {
	return f.s.View(ctx, func(tx *Tx) error { return do(fileTx{tx}) })
}

const mayRead = `SELECT EXISTS (SELECT 1 FROM files WHERE id = $1 AND owner_id = $2) OR EXISTS (
		SELECT 1 FROM message_files AS mf
		JOIN messages AS m ON m.id = mf.message_id
		JOIN members AS me ON me.chat_id = m.chat_id AND me.user_id = $2
		WHERE mf.file_id = $1 AND me.state = 'active' AND m.deleted_at = 0 AND m.seq > me.visible_from_seq) OR EXISTS (
		SELECT 1 FROM ticket_files AS tf
		JOIN ticket_messages AS tm ON tm.id = tf.message_id
		JOIN tickets AS t ON t.id = tm.ticket_id
		WHERE tf.file_id = $1 AND (t.user_id = $2 OR EXISTS (SELECT 1 FROM users AS u WHERE u.id = $2 AND u.role = 'admin' AND u.state = 'active')))`

// MayRead implements [files.Access].
func (f fileStore) MayRead(ctx context.Context, user int64, fileID string) (may bool, err error) {
	err = f.s.View(ctx, func(tx *Tx) error { return tx.queryRow(ctx, mayRead, args(fileID, user), &may) })
	if err != nil {
		return false, fmt.Errorf("look for who may read a file: %w", err)
	}
	return may, nil
}

const fileColumns = `id, owner_id, kind, name, mime, size, sha256, width, height, duration_ms, blurhash, storage_key, thumb_key, created_at`

func scanFile(r row) (f files.File, err error) {
	err = r.Scan(&f.ID, &f.Owner, &f.Kind, &f.Name, &f.MIME, &f.Size, &f.SHA256, &f.Width, &f.Height,
		&f.DurationMS, &f.Blurhash, &f.StorageKey, &f.ThumbKey, &f.CreatedAt)
	return f, err
}

// files collects the rows of a query.
func (tx fileTx) files(ctx context.Context, query string, a ...any) (list []files.File, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		f, err := scanFile(r)
		list = append(list, f)
		return err
	})
	return list, err
}

const addFile = `INSERT INTO files (` + fileColumns + `)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`

// AddFile implements [files.Tx].
func (tx fileTx) AddFile(ctx context.Context, f files.File) error {
	_, err := tx.exec(ctx, addFile, f.ID, f.Owner, f.Kind, f.Name, f.MIME, f.Size, f.SHA256, f.Width, f.Height,
		f.DurationMS, f.Blurhash, f.StorageKey, f.ThumbKey, f.CreatedAt)
	if err != nil {
		return fmt.Errorf("add file: %w", err)
	}
	return nil
}

const fileByID = `SELECT ` + fileColumns + ` FROM files WHERE id = $1`

// File implements [files.Tx].
func (tx fileTx) File(ctx context.Context, id string) (files.File, error) {
	list, err := tx.files(ctx, fileByID, id)
	switch {
	case err != nil:
		return files.File{}, fmt.Errorf("read file: %w", err)
	case len(list) == 0:
		return files.File{}, files.ErrNotFound
	}
	return list[0], nil
}

const (
	// lockFile keeps a message from taking the file: its foreign key waits.
	lockFile     = `SELECT id FROM files WHERE id = $1 FOR UPDATE`
	detachFile   = `DELETE FROM message_files WHERE file_id = $1`
	detachTicket = `DELETE FROM ticket_files WHERE file_id = $1`
	deleteFile   = `DELETE FROM files WHERE id = $1 RETURNING ` + fileColumns
	nowhereShown = ` AND NOT EXISTS (SELECT 1 FROM message_files AS mf WHERE mf.file_id = files.id)
		AND NOT EXISTS (SELECT 1 FROM ticket_files AS tf WHERE tf.file_id = files.id) RETURNING ` + fileColumns
	deleteUnused = `DELETE FROM files WHERE id = $1 AND kind <> 'avatar'` + nowhereShown
	deleteLoose  = `DELETE FROM files WHERE id = $1` + nowhereShown
)

// DeleteFiles implements [files.Tx].
func (tx fileTx) DeleteFiles(ctx context.Context, ids []string) (gone []files.File, err error) {
	for _, id := range ids {
		if tx.dialect == Postgres {
			if _, err := tx.exec(ctx, lockFile, id); err != nil {
				return nil, fmt.Errorf("lock file: %w", err)
			}
		}
		for _, detach := range []string{detachFile, detachTicket} {
			if _, err := tx.exec(ctx, detach, id); err != nil {
				return nil, fmt.Errorf("detach file: %w", err)
			}
		}
		one, err := tx.files(ctx, deleteFile, id)
		if err != nil {
			return nil, fmt.Errorf("delete file: %w", err)
		}
		gone = append(gone, one...)
	}
	return gone, nil
}

const (
	looseFiles = `SELECT f.id FROM files AS f WHERE f.created_at < $1 AND f.kind <> 'avatar'
		AND NOT EXISTS (SELECT 1 FROM message_files AS mf WHERE mf.file_id = f.id)
		AND NOT EXISTS (SELECT 1 FROM ticket_files AS tf WHERE tf.file_id = f.id) LIMIT $2`
	// A file that a message is taking at this moment is locked by its foreign key and
	// stepped over. One that was taken a moment earlier shows to the deletion, which is
	// a statement of its own for that reason.
	looseFilesLocked = looseFiles + ` FOR UPDATE OF f SKIP LOCKED`
)

// DeleteLoose implements [files.Tx].
func (tx fileTx) DeleteLoose(ctx context.Context, before int64, limit int) (gone []files.File, err error) {
	ids, err := tx.strings(ctx, tx.text(looseFiles, looseFilesLocked), before, limit)
	if err != nil {
		return nil, fmt.Errorf("look for loose files: %w", err)
	}
	for _, id := range ids {
		one, err := tx.files(ctx, deleteLoose, id)
		if err != nil {
			return nil, fmt.Errorf("delete loose file: %w", err)
		}
		gone = append(gone, one...)
	}
	return gone, nil
}

// DeleteUnused implements [files.Tx].
func (tx fileTx) DeleteUnused(ctx context.Context, ids []string) (gone []files.File, err error) {
	for _, id := range ids {
		if tx.dialect == Postgres {
			// A message that is taking the file holds it; what it stored shows afterwards.
			if _, err := tx.exec(ctx, lockFile, id); err != nil {
				return nil, fmt.Errorf("lock file: %w", err)
			}
		}
		one, err := tx.files(ctx, deleteUnused, id)
		if err != nil {
			return nil, fmt.Errorf("delete unused file: %w", err)
		}
		gone = append(gone, one...)
	}
	return gone, nil
}

const filesOf = `SELECT id FROM files WHERE owner_id = $1 LIMIT $2`

// FilesOf implements [files.Tx].
func (tx fileTx) FilesOf(ctx context.Context, owner int64, limit int) ([]string, error) {
	ids, err := tx.strings(ctx, filesOf, owner, limit)
	if err != nil {
		return nil, fmt.Errorf("list files of user %d: %w", owner, err)
	}
	return ids, nil
}

// strings collects the one column of a query.
func (tx fileTx) strings(ctx context.Context, query string, a ...any) (list []string, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var s string
		err := r.Scan(&s)
		list = append(list, s)
		return err
	})
	return list, err
}

const (
	unknownKeysSQLite = `SELECT k.value FROM json_each($1) AS k
		WHERE NOT EXISTS (SELECT 1 FROM files WHERE storage_key = k.value)
		AND NOT EXISTS (SELECT 1 FROM files WHERE thumb_key = k.value AND thumb_key <> '')`
	unknownKeysPostgres = `SELECT k.value FROM jsonb_array_elements_text($1::jsonb) AS k(value)
		WHERE NOT EXISTS (SELECT 1 FROM files WHERE storage_key = k.value)
		AND NOT EXISTS (SELECT 1 FROM files WHERE thumb_key = k.value AND thumb_key <> '')`
)

// UnknownKeys implements [files.Tx].
func (tx fileTx) UnknownKeys(ctx context.Context, keys []string) ([]string, error) {
	list, err := json.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("write list of keys: %w", err)
	}
	unknown, err := tx.strings(ctx, tx.text(unknownKeysSQLite, unknownKeysPostgres), string(list))
	if err != nil {
		return nil, fmt.Errorf("look for keys of files: %w", err)
	}
	return unknown, nil
}

const (
	firstUsage = `INSERT INTO file_usage (owner_id, bytes) VALUES ($1, 0) ON CONFLICT (owner_id) DO NOTHING`
	charge     = `UPDATE file_usage SET bytes = bytes + $1 WHERE owner_id = $2 AND bytes + $1 <= $3`
	refund     = `UPDATE file_usage SET bytes = bytes - $1 WHERE owner_id = $2`
	used       = `SELECT coalesce(sum(bytes), 0) FROM file_usage WHERE owner_id = $1`
)

// Charge implements [files.Tx].
func (tx fileTx) Charge(ctx context.Context, owner, bytes, quota int64) (bool, error) {
	if _, err := tx.exec(ctx, firstUsage, owner); err != nil {
		return false, fmt.Errorf("count bytes of user %d: %w", owner, err)
	}
	n, err := tx.exec(ctx, charge, bytes, owner, quota)
	if err != nil {
		return false, fmt.Errorf("count bytes of user %d: %w", owner, err)
	}
	return n == 1, nil
}

// Refund implements [files.Tx].
func (tx fileTx) Refund(ctx context.Context, owner, bytes int64) error {
	if _, err := tx.exec(ctx, refund, bytes, owner); err != nil {
		return fmt.Errorf("count bytes of user %d: %w", owner, err)
	}
	return nil
}

// Used implements [files.Tx].
func (tx fileTx) Used(ctx context.Context, owner int64) (bytes int64, err error) {
	if err := tx.queryRow(ctx, used, args(owner), &bytes); err != nil {
		return 0, fmt.Errorf("read bytes of user %d: %w", owner, err)
	}
	return bytes, nil
}
