package privacy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
)

// Export is a copy of everything a person may see. Times are in milliseconds since 1970.
type Export struct {
	Job string
	// State is [Waiting], [Running], [Done] or [Failed].
	State     string
	CreatedAt int64
	// Size is in bytes, ExpiresAt when the export is removed; 0 until it is done.
	Size, ExpiresAt int64
}

// exportTx reads what no other package is asked for.
type exportTx interface {
	// SessionsOf returns all logins that are remembered, without secrets.
	SessionsOf(ctx context.Context, user int64) ([]identity.Session, error)
	// MemberChats returns the chats in which user is an active member, by id.
	MemberChats(ctx context.Context, user, after int64, limit int) ([]int64, error)
	// OwnFiles returns the ids of files that user uploaded, in order.
	OwnFiles(ctx context.Context, user int64, after string, limit int) ([]string, error)
}

// RequestExport asks for an export and returns its job. While one is waiting or being
// made it is that one. A person has one export at a time: a new one, once made, takes the
// place of the one before. The error is [ErrNotFound] if there is no such person.
func (s *Service) RequestExport(ctx context.Context, user int64) (job string, err error) {
	err = s.store.Update(ctx, func(tx Tx) error {
		st, err := tx.Standing(ctx, user)
		if err != nil {
			return err
		}
		if st.State == identity.StateDeleted {
			return ErrNotFound
		}
		now := s.now()
		if _, err := tx.AddJob(ctx, &Job{ID: newID("j_"), Kind: kindExport, User: user, State: Waiting, DueAt: now, CreatedAt: now}); err != nil {
			return err
		}
		j, err := tx.LiveJob(ctx, kindExport, user)
		job = j.ID
		return err
	})
	if err != nil {
		return "", err
	}
	s.call(kindExport)
	return job, nil
}

// Export returns how far an export of user is. One that has expired, is somebody else's
// or was never asked for is [ErrNotFound].
func (s *Service) Export(ctx context.Context, user int64, job string) (Export, error) {
	var j Job
	err := s.store.View(ctx, func(tx Tx) (err error) {
		j, err = tx.Job(ctx, job)
		return err
	})
	if err != nil {
		return Export{}, err
	}
	e := Export{Job: j.ID, State: j.State, CreatedAt: j.CreatedAt}
	switch {
	case j.Kind != kindExport || j.User != user:
		return Export{}, ErrNotFound
	case j.State != Done:
		return e, nil
	}
	if e.ExpiresAt = j.EndedAt + s.o.ExportTTL.Milliseconds(); e.ExpiresAt <= s.now() {
		return Export{}, ErrNotFound
	}
	info, err := s.folder.Lstat(exportName(j.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return Export{}, ErrNotFound
	}
	if err != nil {
		return Export{}, fmt.Errorf("look at export: %w", err)
	}
	e.Size = info.Size()
	return e, nil
}

// OpenExport opens a finished export, a zip file, which the caller closes. The errors are
// those of Export, and [ErrNotReady].
func (s *Service) OpenExport(ctx context.Context, user int64, job string) (io.ReadSeekCloser, Export, error) {
	e, err := s.Export(ctx, user, job)
	if err != nil {
		return nil, Export{}, err
	}
	if e.State != Done {
		return nil, e, ErrNotReady
	}
	f, err := s.folder.Open(exportName(job))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Export{}, ErrNotFound
	}
	if err != nil {
		return nil, Export{}, fmt.Errorf("open export: %w", err)
	}
	return f, e, nil
}

const (
	exportSuffix = ".zip"
	tempSuffix   = ".tmp"
)

// exportName is the file of an export. Ids of jobs are made here, so they are names.
func exportName(job string) string { return job + exportSuffix }

// export makes an export: under another name until it is whole and synced.
func (s *Service) export(ctx context.Context, r *running) (err error) {
	name := r.holder + tempSuffix
	f, err := s.folder.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make export: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = s.folder.Remove(name) // or it is swept
		}
	}()
	w := newArchive(s, r, f)
	if err := w.write(ctx); err != nil {
		return fmt.Errorf("export of user %d: %w", r.User, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("finish export: %w", err)
	}
	if err := s.keep(ctx, r, struct{}{}); err != nil {
		return err
	}
	if err := s.folder.Rename(name, exportName(r.ID)); err != nil {
		return fmt.Errorf("name export: %w", err)
	}
	return s.replaceExports(ctx, r.User)
}

// replaceExports removes the exports of user that are finished already.
func (s *Service) replaceExports(ctx context.Context, user int64) error {
	var old []Job
	err := s.store.View(ctx, func(tx Tx) (err error) {
		old, err = tx.JobsOf(ctx, kindExport, user)
		return err
	})
	if err != nil {
		return err
	}
	return s.dropExports(old)
}

func (s *Service) dropExports(jobs []Job) error {
	for _, j := range jobs {
		if err := s.folder.Remove(exportName(j.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove export: %w", err)
		}
	}
	return nil
}

// sweepExports removes files of this node's folder that have expired, whose jobs are gone
// or that a crash left unfinished.
func (s *Service) sweepExports(ctx context.Context) error {
	folder, err := s.folder.Open(".")
	if err != nil {
		return fmt.Errorf("list exports: %w", err)
	}
	defer folder.Close()
	entries, err := folder.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("list exports: %w", err)
	}
	for _, e := range entries {
		stale, err := s.stale(ctx, e)
		if err != nil {
			return err
		}
		if stale {
			_ = s.folder.Remove(e.Name()) // or next time
		}
	}
	return nil
}

func (s *Service) stale(ctx context.Context, e fs.DirEntry) (bool, error) {
	if strings.HasSuffix(e.Name(), tempSuffix) {
		info, err := e.Info()
		return err == nil && time.Since(info.ModTime()) > day, nil
	}
	id, ok := strings.CutSuffix(e.Name(), exportSuffix)
	if !ok {
		return false, nil
	}
	var j Job
	err := s.store.View(ctx, func(tx Tx) (err error) {
		j, err = tx.Job(ctx, id)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return true, nil
	case err != nil:
		return false, err
	}
	return j.State == Done && j.EndedAt+s.o.ExportTTL.Milliseconds() <= s.now(), nil
}

// openFile opens a file that user may read; it is nil if there is none.
func (s *Service) openFile(ctx context.Context, user int64, id string) (io.ReadCloser, files.File, error) {
	f, err := s.o.Files.Get(ctx, user, id)
	if errors.Is(err, files.ErrNotFound) {
		return nil, f, nil
	}
	if err != nil {
		return nil, f, err
	}
	r, _, err := s.o.Files.Open(ctx, id, files.Original)
	if errors.Is(err, files.ErrNotFound) {
		return nil, f, nil
	}
	if err != nil {
		return nil, f, err
	}
	return r, f, nil
}
