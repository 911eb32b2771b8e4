package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Options configure a [Service]. Folder, Store, Access and Secret must be given; zero
// elsewhere means the default.
type Options struct {
	// Folder is where bytes are kept. It is made if need be and belongs to the service;
	// several processes may share it if they share the database.
	Folder string
	// Store keeps the rows, Access says who may read.
	Store  Store
	Access Access
	// Secret signs links; at least 32 bytes. With another secret old links end.
	Secret []byte
	// Path is the address under which links are served. Empty means "/api/v2/files".
	Path string
	// AvatarPath is the address under which avatars are served. Empty means "/avatars".
	AvatarPath string

	// MaxBytes bounds one file as it is received, in bytes. Zero means 25 MiB.
	MaxBytes int64
	// MaxAvatarBytes bounds a picture that becomes an avatar. Zero means 10 MiB.
	MaxAvatarBytes int64
	// Quota bounds what one user stores, unfinished uploads included, in bytes. Zero
	// means 5 GiB.
	Quota int64
	// ChunkBytes bounds one chunk of an upload in parts. Zero means 5 MiB.
	ChunkBytes int64
	// LinkTTL is how long a link lives at most; links made within a twenty-fourth of it
	// are the same, so that caches meet them again. Zero means 24 h.
	LinkTTL time.Duration
	// LooseTTL is how long a file lives in no message, and an upload without a chunk. Zero
	// means 24 h.
	LooseTTL time.Duration

	// MaxPixels bounds the area of an image. Zero means 40 million.
	MaxPixels int64
	// MaxImageMemory bounds the bytes an image needs to be decoded and turned upright.
	// Zero means 128 MiB.
	MaxImageMemory int64
	// Decoders is how many images are decoded at a time; each may need MaxImageMemory.
	// Zero means 2.
	Decoders int
	// DecodeQueue is how many more may wait; above it an upload is refused at once with
	// [ErrUnavailable] (guarantees.md R33). Zero means 32.
	DecodeQueue int

	// Clock defaults to time.Now.
	Clock func() time.Time
}

func (o Options) withDefaults() Options {
	fill(&o.Path, "/api/v2/files")
	fill(&o.AvatarPath, "/avatars")
	fill(&o.MaxBytes, 25<<20)
	fill(&o.MaxAvatarBytes, 10<<20)
	fill(&o.Quota, 5<<30)
	fill(&o.ChunkBytes, 5<<20)
	fill(&o.LinkTTL, 24*time.Hour)
	fill(&o.LooseTTL, 24*time.Hour)
	fill(&o.MaxPixels, 40_000_000)
	fill(&o.MaxImageMemory, 128<<20)
	fill(&o.Decoders, 2)
	fill(&o.DecodeQueue, 32)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

func fill[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Service keeps files. It is safe for concurrent use.
type Service struct {
	o    Options
	disk *disk
	// waiting has a place for each image in work or waiting, decoding for each in work.
	waiting, decoding chan struct{}

	mu sync.Mutex
	// busy holds the uploads in parts that somebody is writing to or completing.
	busy map[string]bool

	sweeping sync.Mutex
	walked   int64 // when files without rows were last looked for; of sweeping
}

// New opens the folder.
func New(o Options) (*Service, error) {
	o = o.withDefaults()
	if o.Store == nil || o.Access == nil {
		return nil, errors.New("open files: no store")
	}
	if len(o.Secret) < 32 {
		return nil, errors.New("open files: the signing secret has less than 32 bytes")
	}
	d, err := openDisk(o.Folder, o.Clock)
	if err != nil {
		return nil, err
	}
	return &Service{
		o: o, disk: d, busy: make(map[string]bool),
		waiting: make(chan struct{}, o.Decoders+o.DecodeQueue), decoding: make(chan struct{}, o.Decoders),
	}, nil
}

// Close gives the folder up. Files that are open stay readable.
func (s *Service) Close() error { return s.disk.root.Close() }

// now is the time in milliseconds since 1970.
func (s *Service) now() int64 { return s.o.Clock().UnixMilli() }

// Usage is what a user stores and may store, in bytes.
type Usage struct{ Used, Limit int64 }

// Usage returns what owner stores, unfinished uploads included.
func (s *Service) Usage(ctx context.Context, owner int64) (Usage, error) {
	u := Usage{Limit: s.o.Quota}
	err := s.o.Store.View(ctx, func(tx Tx) (err error) {
		u.Used, err = tx.Used(ctx, owner)
		return err
	})
	if err != nil {
		return Usage{}, fmt.Errorf("read usage of user %d: %w", owner, err)
	}
	return u, nil
}

// Get returns a file if user may read it, else [ErrNotFound].
func (s *Service) Get(ctx context.Context, user int64, id string) (File, error) {
	if !validID("f_", id) {
		return File{}, ErrNotFound
	}
	ok, err := s.o.Access.MayRead(ctx, user, id)
	if err != nil {
		return File{}, fmt.Errorf("ask for access to file: %w", err)
	}
	if !ok {
		return File{}, ErrNotFound
	}
	return s.file(ctx, id)
}

func (s *Service) file(ctx context.Context, id string) (f File, err error) {
	err = s.o.Store.View(ctx, func(tx Tx) (err error) {
		f, err = tx.File(ctx, id)
		return err
	})
	if err != nil {
		return File{}, fmt.Errorf("read row of file: %w", err)
	}
	return f, nil
}

// Open opens a variant of a file for whoever asks: callers have checked a link with
// [Service.Verify], or use [Service.OpenLink]. The File returned describes what is
// read, of a thumbnail its own type and size. The error is [ErrNotFound] if there is
// nothing to read, or if what lies there is not a file of ours.
func (s *Service) Open(ctx context.Context, id, variant string) (io.ReadSeekCloser, File, error) {
	if !validID("f_", id) || variant != Original && variant != Thumb {
		return nil, File{}, ErrNotFound
	}
	f, err := s.file(ctx, id)
	if err != nil {
		return nil, File{}, err
	}
	if variant == Original || f.ThumbKey == "" {
		r, err := s.disk.open(f.StorageKey)
		if err != nil {
			return nil, File{}, err
		}
		return r, f, nil
	}
	return s.openThumb(f)
}

func (s *Service) openThumb(f File) (io.ReadSeekCloser, File, error) {
	r, err := s.disk.open(f.ThumbKey)
	if err != nil {
		return nil, File{}, err
	}
	info, err := r.Stat()
	if err != nil {
		r.Close()
		return nil, File{}, fmt.Errorf("open thumbnail: %w", err)
	}
	f.MIME = thumbType(f.ThumbKey)
	f.Name = nameAs(f.Name, f.MIME)
	f.Size, f.SHA256 = info.Size(), f.SHA256+"-thumb"
	f.Width, f.Height = 0, 0
	return r, f, nil
}

// OpenLink opens what a link is for. If the link names a reader, access is decided now,
// not when it was made.
func (s *Service) OpenLink(ctx context.Context, l Link) (io.ReadSeekCloser, File, error) {
	if l.User != 0 {
		if _, err := s.Get(ctx, l.User, l.ID); err != nil {
			return nil, File{}, err
		}
	}
	return s.Open(ctx, l.ID, l.Variant)
}
