package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"
)

// Upload is a file that arrives in chunks.
type Upload struct {
	// ID is "u_" and 26 base32 characters.
	ID    string
	Owner int64
	Name  string
	// Size is how many bytes there will be; they count against the quota from the start.
	Size int64
	// Received is how many are durable, the offset of the next chunk.
	Received int64
	// File is the file it became, "" until it is complete.
	File string
	// CreatedAt and TouchedAt, when the last chunk came, are in milliseconds since 1970.
	CreatedAt, TouchedAt int64
}

// ChunkBytes is the size of chunk a client should send, and the most it may.
func (s *Service) ChunkBytes() int64 { return s.o.ChunkBytes }

// CreateUpload begins an upload of size bytes. What the client believes the type to be
// is not asked: the content decides. An upload without a chunk for Options.LooseTTL
// ends. The error is [ErrEmpty] or a [*LimitError].
func (s *Service) CreateUpload(ctx context.Context, owner int64, name string, size int64) (Upload, error) {
	if size <= 0 {
		return Upload{}, ErrEmpty
	}
	if size > s.o.MaxBytes {
		return Upload{}, &LimitError{Field: "size", Limit: s.o.MaxBytes}
	}
	now := s.now()
	u := Upload{ID: newID("u_"), Owner: owner, Name: cleanName(name), Size: size, CreatedAt: now, TouchedAt: now}
	err := s.o.Store.Update(ctx, func(tx Tx) error {
		ok, err := tx.Charge(ctx, owner, size, s.o.Quota)
		if err != nil {
			return err
		}
		if !ok {
			return &LimitError{Field: "quota", Limit: s.o.Quota}
		}
		return tx.AddUpload(ctx, u)
	})
	if err != nil {
		return Upload{}, fmt.Errorf("begin upload: %w", err)
	}
	return u, nil
}

// Offset returns an upload of owner; Received is where it continues.
func (s *Service) Offset(ctx context.Context, owner int64, id string) (u Upload, err error) {
	if !validID("u_", id) {
		return Upload{}, ErrNotFound
	}
	err = s.o.Store.View(ctx, func(tx Tx) (err error) {
		u, err = tx.Upload(ctx, owner, id)
		return err
	})
	if err != nil {
		return Upload{}, fmt.Errorf("read row of upload: %w", err)
	}
	return u, nil
}

// PutChunk adds what r has at offset, which must be where the upload continues, and
// returns where it continues then. Bytes counted there are durable. If r breaks off,
// what came before is kept, so the client goes on from what [Service.Offset] says.
//
// The error is an [*OffsetError] for another offset, a [*LimitError] for a chunk above
// [Service.ChunkBytes] or the announced size, of which nothing is kept, or
// [ErrUnavailable] if another chunk of the upload is being written.
func (s *Service) PutChunk(ctx context.Context, owner int64, id string, offset int64, r io.Reader) (int64, error) {
	if !s.claim(id) {
		return 0, ErrUnavailable
	}
	defer s.release(id)
	u, err := s.Offset(ctx, owner, id)
	if err != nil {
		return 0, err
	}
	if offset != u.Received || u.File != "" {
		return 0, &OffsetError{Offset: u.Received}
	}
	f, err := s.openUpload(u, true)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	limit := min(s.o.ChunkBytes, u.Size-u.Received)
	n, broken := io.Copy(f, io.LimitReader(&whileOpen{ctx, r}, limit+1))
	if n > limit {
		return 0, &LimitError{Field: "chunk", Limit: limit}
	}
	if broken != nil {
		broken = fmt.Errorf("receive chunk: %w", full(broken))
	}
	if n == 0 {
		return u.Received, broken
	}
	if err := f.Sync(); err != nil {
		return 0, fmt.Errorf("sync chunk: %w", full(err))
	}
	s.disk.did("sync", uploadName(u.ID))
	// The client may be gone, which is why it will want these bytes counted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = s.o.Store.Update(ctx, func(tx Tx) error {
		ok, err := tx.Advance(ctx, u.ID, u.Received, u.Received+n, s.now())
		if err == nil && !ok {
			err = ErrUnavailable
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store offset of upload: %w", err)
	}
	return u.Received + n, broken
}

// Complete makes a file of an upload whose bytes are all there. Repeated, it returns the
// same file. The error is [ErrIncomplete], or as that of [Service.Upload].
func (s *Service) Complete(ctx context.Context, owner int64, id string) (File, error) {
	if !s.claim(id) {
		return File{}, ErrUnavailable
	}
	defer s.release(id)
	u, err := s.Offset(ctx, owner, id)
	if err != nil {
		return File{}, err
	}
	if u.File != "" {
		return s.file(ctx, u.File)
	}
	if u.Received != u.Size {
		return File{}, ErrIncomplete
	}
	// The upload's own file stays until the row is stored, so that this can be repeated.
	t, err := s.copyUpload(u)
	if err != nil {
		return File{}, err
	}
	defer t.discard()
	f, err := s.store(ctx, File{Owner: owner, Name: u.Name}, t, func(tx Tx, f File) error {
		ok, err := tx.FinishUpload(ctx, id, f.ID, f.CreatedAt)
		if err != nil {
			return err
		}
		if !ok {
			return ErrUnavailable // another process was faster; asked again, its file is the answer
		}
		return tx.Refund(ctx, owner, u.Size)
	})
	if err != nil {
		return File{}, err
	}
	s.disk.remove(uploadName(id))
	return f, nil
}

// Abort ends an upload and gives back its part of the quota.
func (s *Service) Abort(ctx context.Context, owner int64, id string) error {
	if !s.claim(id) {
		return ErrUnavailable
	}
	defer s.release(id)
	if !validID("u_", id) {
		return ErrNotFound
	}
	err := s.o.Store.Update(ctx, func(tx Tx) error {
		u, err := tx.DeleteUpload(ctx, owner, id)
		if err != nil {
			return err
		}
		return refundUpload(ctx, tx, u)
	})
	if err != nil {
		return fmt.Errorf("abort upload: %w", err)
	}
	s.disk.remove(uploadName(id))
	return nil
}

func refundUpload(ctx context.Context, tx Tx, u Upload) error {
	if u.File != "" {
		return nil // it is the file that counts now
	}
	return tx.Refund(ctx, u.Owner, u.Size)
}

func uploadName(id string) string { return path.Join(tmpDir, id) }

// openUpload opens the bytes of an upload at the offset that is stored; what a crash
// left behind it goes.
func (s *Service) openUpload(u Upload, write bool) (*os.File, error) {
	name := uploadName(u.ID)
	f, err := s.disk.openFile(name, os.O_RDWR)
	if errors.Is(err, ErrNotFound) && u.Received == 0 && write {
		if f, err = s.disk.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			err = s.disk.syncDir(tmpDir)
		}
		if errors.Is(err, fs.ErrExist) {
			err = ErrNotFound // something that is no file lies in its place
		}
	}
	if err == nil {
		err = s.resize(f, u.Received)
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, fmt.Errorf("open upload: %w", full(err))
	}
	return f, nil
}

func (s *Service) resize(f *os.File, size int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < size {
		return ErrNotFound // the bytes were lost; the client begins again
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	_, err = f.Seek(size, io.SeekStart)
	return err
}

func (s *Service) copyUpload(u Upload) (*temp, error) {
	f, err := s.openUpload(u, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read upload: %w", err)
	}
	t, err := s.disk.create()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(t, f); err != nil {
		t.discard()
		return nil, fmt.Errorf("copy upload: %w", full(err))
	}
	return t, nil
}

// claim takes an upload for the caller alone, or returns false; release gives it back.
func (s *Service) claim(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return false
	}
	s.busy[id] = true
	return true
}

func (s *Service) release(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, id)
}
