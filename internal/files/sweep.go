package files

import (
	"context"
	"fmt"
	"time"
)

const (
	// sweepBatch bounds the rows of one transaction.
	sweepBatch = 200
	// rowlessAge is how long bytes may wait for their row; an upload needs seconds.
	rowlessAge = time.Hour
	// walkEvery is how often bytes without a row are looked for. They come from crashes
	// only, so the first look after a start finds nearly all.
	walkEvery = 24 * time.Hour
)

// Swept is what a sweep removed.
type Swept struct {
	// Files were in no message, Uploads had been given up, Bytes lay in the folder without
	// a row or half written; all are counts.
	Files, Uploads, Bytes int
}

// Sweep removes files that are in no message for Options.LooseTTL, uploads without a
// chunk for as long, and what crashes left in the folder. It is to be called every few
// minutes; while one runs another does nothing. Avatars are not swept.
func (s *Service) Sweep(ctx context.Context) (Swept, error) {
	var done Swept
	if !s.sweeping.TryLock() {
		return done, nil
	}
	defer s.sweeping.Unlock()
	now := s.now()
	before := now - s.o.LooseTTL.Milliseconds()
	for more := true; more; {
		var gone []File
		err := s.remove(ctx, &gone, func(tx Tx) ([]File, error) { return tx.DeleteLoose(ctx, before, sweepBatch) })
		if err != nil {
			return done, fmt.Errorf("sweep files: %w", err)
		}
		done.Files += len(gone)
		more = len(gone) == sweepBatch
	}
	for more := true; more; {
		gone, err := s.removeUploads(ctx, func(tx Tx) ([]Upload, error) { return tx.DeleteUploads(ctx, before, sweepBatch) })
		if err != nil {
			return done, fmt.Errorf("sweep uploads: %w", err)
		}
		done.Uploads += gone
		more = gone == sweepBatch
	}
	if now-s.walked < walkEvery.Milliseconds() {
		return done, nil
	}
	if err := s.walk(ctx, now, before, &done); err != nil {
		return done, fmt.Errorf("sweep folder: %w", err)
	}
	s.walked = now
	return done, nil
}

// walk looks through the folder.
func (s *Service) walk(ctx context.Context, now, before int64, done *Swept) error {
	err := s.disk.list(tmpDir, before, func(names []string) error {
		done.Bytes += s.disk.remove(names...)
		return ctx.Err()
	})
	for _, dir := range []string{objectDir, avatarDir} {
		if err != nil {
			return err
		}
		err = s.disk.list(dir, now-rowlessAge.Milliseconds(), func(keys []string) error {
			var rowless []string
			err := s.o.Store.View(ctx, func(tx Tx) (err error) {
				rowless, err = tx.UnknownKeys(ctx, keys)
				return err
			})
			if err == nil {
				done.Bytes += s.disk.remove(rowless...)
			}
			return err
		})
	}
	return err
}

// DeleteOf removes files, wherever they are shown. When it returns nil they cannot be
// read any more; ids that do not exist are none. Bytes that a crash keeps it from
// removing are swept after the next start.
func (s *Service) DeleteOf(ctx context.Context, ids ...string) error {
	for len(ids) > 0 {
		n := min(sweepBatch, len(ids))
		var gone []File
		if err := s.remove(ctx, &gone, func(tx Tx) ([]File, error) { return tx.DeleteFiles(ctx, ids[:n]) }); err != nil {
			return fmt.Errorf("delete files: %w", err)
		}
		ids = ids[n:]
	}
	return nil
}

// DeleteUnused removes those of files that are in no message any more and are no avatars,
// as DeleteOf does.
func (s *Service) DeleteUnused(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	var gone []File
	if err := s.remove(ctx, &gone, func(tx Tx) ([]File, error) { return tx.DeleteUnused(ctx, ids) }); err != nil {
		return fmt.Errorf("delete unused files: %w", err)
	}
	return nil
}

// Erase removes everything owner uploaded, avatars and unfinished uploads included
// (guarantees.md S37). It may be repeated after an error.
func (s *Service) Erase(ctx context.Context, owner int64) error {
	if _, err := s.removeUploads(ctx, func(tx Tx) ([]Upload, error) { return tx.DeleteUploadsOf(ctx, owner) }); err != nil {
		return fmt.Errorf("erase uploads of user %d: %w", owner, err)
	}
	for {
		var ids []string
		err := s.o.Store.View(ctx, func(tx Tx) (err error) {
			ids, err = tx.FilesOf(ctx, owner, sweepBatch)
			return err
		})
		if err == nil && len(ids) > 0 {
			err = s.DeleteOf(ctx, ids...)
		}
		if err != nil {
			return fmt.Errorf("erase files of user %d: %w", owner, err)
		}
		if len(ids) == 0 {
			return nil
		}
	}
}

// remove runs a deletion and then removes the bytes: a row must never lack its own (R7).
func (s *Service) remove(ctx context.Context, gone *[]File, deleteRows func(Tx) ([]File, error)) error {
	err := s.o.Store.Update(ctx, func(tx Tx) (err error) {
		if *gone, err = deleteRows(tx); err != nil {
			return err
		}
		for _, f := range *gone {
			if err := tx.Refund(ctx, f.Owner, f.Size); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range *gone {
		s.disk.remove(f.StorageKey, f.ThumbKey)
	}
	return nil
}

func (s *Service) removeUploads(ctx context.Context, deleteRows func(Tx) ([]Upload, error)) (int, error) {
	var gone []Upload
	err := s.o.Store.Update(ctx, func(tx Tx) (err error) {
		if gone, err = deleteRows(tx); err != nil {
			return err
		}
		for _, u := range gone {
			if err := refundUpload(ctx, tx, u); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, u := range gone {
		s.disk.remove(uploadName(u.ID))
	}
	return len(gone), nil
}
