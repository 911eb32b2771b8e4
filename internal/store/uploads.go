package store

import (
	"context"
	"fmt"

	"github.com/kuranty/kuranty/internal/files"
)

const uploadColumns = `id, owner_id, name, size, received, file_id, created_at, touched_at`

// uploads collects the rows of a query.
func (tx fileTx) uploads(ctx context.Context, query string, a ...any) (list []files.Upload, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var u files.Upload
		err := r.Scan(&u.ID, &u.Owner, &u.Name, &u.Size, &u.Received, &u.File, &u.CreatedAt, &u.TouchedAt)
		list = append(list, u)
		return err
	})
	return list, err
}

// upload returns the row of a query, or [files.ErrNotFound].
func (tx fileTx) upload(ctx context.Context, query string, a ...any) (files.Upload, error) {
	list, err := tx.uploads(ctx, query, a...)
	switch {
	case err != nil:
		return files.Upload{}, fmt.Errorf("read upload: %w", err)
	case len(list) == 0:
		return files.Upload{}, files.ErrNotFound
	}
	return list[0], nil
}

const addUpload = `INSERT INTO uploads (` + uploadColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// AddUpload implements [files.Tx].
func (tx fileTx) AddUpload(ctx context.Context, u files.Upload) error {
	_, err := tx.exec(ctx, addUpload, u.ID, u.Owner, u.Name, u.Size, u.Received, u.File, u.CreatedAt, u.TouchedAt)
	if err != nil {
		return fmt.Errorf("add upload: %w", err)
	}
	return nil
}

const uploadByID = `SELECT ` + uploadColumns + ` FROM uploads WHERE id = $1 AND owner_id = $2`

// Upload implements [files.Tx].
func (tx fileTx) Upload(ctx context.Context, owner int64, id string) (files.Upload, error) {
	return tx.upload(ctx, uploadByID, id, owner)
}

const advanceUpload = `UPDATE uploads SET received = $1, touched_at = $2 WHERE id = $3 AND received = $4 AND file_id = ''`

// Advance implements [files.Tx].
func (tx fileTx) Advance(ctx context.Context, id string, from, to, at int64) (bool, error) {
	n, err := tx.exec(ctx, advanceUpload, to, at, id, from)
	if err != nil {
		return false, fmt.Errorf("advance upload: %w", err)
	}
	return n == 1, nil
}

const finishUpload = `UPDATE uploads SET file_id = $1, touched_at = $2 WHERE id = $3 AND file_id = ''`

// FinishUpload implements [files.Tx].
func (tx fileTx) FinishUpload(ctx context.Context, id, file string, at int64) (bool, error) {
	n, err := tx.exec(ctx, finishUpload, file, at, id)
	if err != nil {
		return false, fmt.Errorf("finish upload: %w", err)
	}
	return n == 1, nil
}

const deleteUpload = `DELETE FROM uploads WHERE id = $1 AND owner_id = $2 RETURNING ` + uploadColumns

// DeleteUpload implements [files.Tx].
func (tx fileTx) DeleteUpload(ctx context.Context, owner int64, id string) (files.Upload, error) {
	return tx.upload(ctx, deleteUpload, id, owner)
}

const deleteUploads = `DELETE FROM uploads WHERE touched_at < $1 AND id IN
	(SELECT id FROM uploads WHERE touched_at < $1 LIMIT $2) RETURNING ` + uploadColumns

// DeleteUploads implements [files.Tx].
func (tx fileTx) DeleteUploads(ctx context.Context, before int64, limit int) ([]files.Upload, error) {
	gone, err := tx.uploads(ctx, deleteUploads, before, limit)
	if err != nil {
		return nil, fmt.Errorf("delete uploads: %w", err)
	}
	return gone, nil
}

const deleteUploadsOf = `DELETE FROM uploads WHERE owner_id = $1 RETURNING ` + uploadColumns

// DeleteUploadsOf implements [files.Tx].
func (tx fileTx) DeleteUploadsOf(ctx context.Context, owner int64) ([]files.Upload, error) {
	gone, err := tx.uploads(ctx, deleteUploadsOf, owner)
	if err != nil {
		return nil, fmt.Errorf("delete uploads of user %d: %w", owner, err)
	}
	return gone, nil
}
