package files

import "context"

// Store keeps the rows that describe files.
type Store interface {
	// Update runs f in a write transaction, perhaps more than once. When it returns nil
	// the changes are stored; an error of f is returned as it is and nothing is stored;
	// after any other error they may or may not be.
	Update(ctx context.Context, f func(Tx) error) error
	// View runs f, which only reads.
	View(ctx context.Context, f func(Tx) error) error
}

// Tx is a transaction on the rows.
type Tx interface {
	AddFile(ctx context.Context, f File) error
	// File returns a row, or [ErrNotFound].
	File(ctx context.Context, id string) (File, error)
	// DeleteFiles removes the rows that exist, and their places in messages, and
	// returns them.
	DeleteFiles(ctx context.Context, ids []string) ([]File, error)
	// DeleteUnused removes those of the rows that are in no message and are no avatars, and
	// returns them.
	DeleteUnused(ctx context.Context, ids []string) ([]File, error)
	// DeleteLoose removes up to limit rows that are in no message, are no avatars and
	// were created, and last put into a message, before a time in milliseconds.
	DeleteLoose(ctx context.Context, before int64, limit int) ([]File, error)
	// FilesOf returns the ids of up to limit files of owner.
	FilesOf(ctx context.Context, owner int64, limit int) ([]string, error)
	// UnknownKeys returns those of keys that no row has as its StorageKey or ThumbKey.
	UnknownKeys(ctx context.Context, keys []string) ([]string, error)

	// Charge adds bytes to what owner uses, unless that were more than quota: then it
	// returns false. Concurrent charges of one owner wait for each other.
	Charge(ctx context.Context, owner, bytes, quota int64) (bool, error)
	// Refund takes bytes from what owner uses.
	Refund(ctx context.Context, owner, bytes int64) error
	Used(ctx context.Context, owner int64) (int64, error)

	AddUpload(ctx context.Context, u Upload) error
	// Upload returns a row of owner, or [ErrNotFound].
	Upload(ctx context.Context, owner int64, id string) (Upload, error)
	// Advance moves Received from one number of bytes to another at a time; it returns
	// false if it was not from.
	Advance(ctx context.Context, id string, from, to, at int64) (bool, error)
	// FinishUpload notes the file an upload became, and when; it returns false if the
	// upload is gone or has become one before.
	FinishUpload(ctx context.Context, id, file string, at int64) (bool, error)
	// DeleteUpload removes an upload of owner and returns it, or [ErrNotFound].
	DeleteUpload(ctx context.Context, owner int64, id string) (Upload, error)
	// DeleteUploads removes up to limit rows last written to before a time.
	DeleteUploads(ctx context.Context, before int64, limit int) ([]Upload, error)
	// DeleteUploadsOf removes the uploads of owner.
	DeleteUploadsOf(ctx context.Context, owner int64) ([]Upload, error)
}

// Access decides who may read a file. It is asked at the time of reading and answers in
// one query, so that what was true before does not count (guarantees.md S15).
type Access interface {
	// MayRead tells whether user owns the file, or is an active member of a chat in which
	// a message that is not deleted, and visible to him, has it. Of a file that does
	// not exist it is false.
	MayRead(ctx context.Context, user int64, fileID string) (bool, error)
}
