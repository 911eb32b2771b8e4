package privacy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
)

var (
	// ErrNotFound means that there is no such job or person, or not the caller's.
	ErrNotFound = errors.New("not found")
	// ErrNotReady means that an export is not finished.
	ErrNotReady = errors.New("not ready yet")
	// ErrUnderWay means that an erasure has begun and cannot be taken back.
	ErrUnderWay = errors.New("the erasure has begun")
	// ErrLastAdmin means that the last administrator cannot be erased.
	ErrLastAdmin = errors.New("the last administrator cannot be erased")
	// ErrMode means that the mode is neither [Anonymize] nor [Erase].
	ErrMode = errors.New("mode must be anonymize or erase")
	// ErrCursor means that a cursor is none of ours.
	ErrCursor = errors.New("unknown cursor")
)

// Store keeps jobs and the audit log, and reaches what no other package is asked for.
// Update runs f in one transaction, perhaps several times; View runs it for reading only.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) error
	View(ctx context.Context, f func(Tx) error) error
	// Scrub has what was deleted leave the log that the database keeps of changes, as far as
	// it is the database's own. It is no matter if that cannot be done now.
	Scrub(ctx context.Context) error
}

// Tx is what a transaction can do. Each part stands beside the rules that use it.
type Tx interface {
	jobTx
	exportTx
	erasureTx
	retentionTx
	holdTx
	auditTx
	statisticsTx
}

// Options configure a [Service]. Store, Chats, Accounts, Files and Folder must be given;
// zero elsewhere means the default.
type Options struct {
	Store    Store
	Chats    *chat.Service
	Accounts *identity.Accounts
	Files    *files.Service
	// Parts are asked for what else there is of a person.
	Parts []Part
	// Folder is where exports are kept. It is made if need be, with mode 0700.
	Folder string
	// RetentionDays is how long messages are kept in chats that say nothing shorter; zero
	// is for ever.
	RetentionDays int
	// ExportTTL is how long a finished export can be fetched. Zero means 7 days.
	ExportTTL time.Duration
	// ExportBytes bounds the files of others that one export has; what is above is listed
	// in it as left out. Zero means 5 GiB.
	ExportBytes int64
	// Purged, if not nil, is told of chats whose oldest messages have been removed, so
	// that no memory goes on showing them. It must not block.
	Purged func(chat int64)
	// Clock defaults to time.Now, Logger to slog.Default().
	Clock  func() time.Time
	Logger *slog.Logger
}

// Service does it. It is safe for concurrent use.
type Service struct {
	o      Options
	store  Store
	log    *slog.Logger
	folder *os.Root
	// wake has a place for each kind of job; a token in it ends a wait.
	wake map[string]chan struct{}
	seen statisticsCache
}

// New opens the folder of exports.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Chats == nil || o.Accounts == nil || o.Files == nil || o.Folder == "" {
		return nil, errors.New("privacy: store, chats, accounts, files and folder must be given")
	}
	if err := checkParts(o.Parts); err != nil {
		return nil, err
	}
	setDefault(&o.ExportTTL, 7*24*time.Hour)
	setDefault(&o.ExportBytes, 5<<30)
	setDefault(&o.Logger, slog.Default())
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of exports: %w", err)
	}
	folder, err := os.OpenRoot(o.Folder)
	if err != nil {
		return nil, fmt.Errorf("open folder of exports: %w", err)
	}
	s := &Service{o: o, store: o.Store, log: o.Logger, folder: folder, wake: make(map[string]chan struct{})}
	for _, kind := range kinds {
		s.wake[kind] = make(chan struct{}, 1)
	}
	return s, nil
}

// Close gives the folder up. It is called after [Service.Run] has returned; exports that
// are being read stay readable.
func (s *Service) Close() error { return s.folder.Close() }

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// now is the time in milliseconds since 1970.
func (s *Service) now() int64 { return s.o.Clock().UnixMilli() }
