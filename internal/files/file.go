package files

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
)

// Kinds of files: how a client shows them (chat-api.md §C.8).
const (
	KindFile   = "file"
	KindImage  = "image"
	KindVoice  = "voice"
	KindVideo  = "video"
	KindAvatar = "avatar"
)

// Variants of a file that can be opened.
const (
	// Original is the file as it is stored; of an image, the one without metadata.
	Original = "original"
	// Thumb is an image of at most 320 pixels a side, of an avatar 128. An image that
	// is small enough already, or has none, is its own.
	Thumb = "thumb"
)

// File describes a stored file. It is immutable.
type File struct {
	// ID is "f_" and 26 base32 characters, 128 random bits.
	ID string
	// Owner is the user who uploaded it and whose quota it counts against.
	Owner int64
	// Kind is one of the Kind constants.
	Kind string
	// Name is the client's, made harmless: one path element of at most 255 bytes of
	// UTF-8 without control characters.
	Name string
	// MIME is what the content is, "application/octet-stream" if nothing we know.
	MIME string
	// Size is what is stored, in bytes; of an image, after it was written anew.
	Size int64
	// SHA256 is of the stored bytes, in hexadecimal.
	SHA256 string
	// Width and Height are in pixels, as shown; zero if unknown.
	Width, Height int
	// DurationMS is the length of a film or a recording in milliseconds; zero if unknown.
	DurationMS int64
	// Blurhash stands in for an image while it loads; "" if there is none.
	Blurhash string
	// StorageKey and ThumbKey are the names of the bytes inside the folder; the second is
	// "" if there is no thumbnail.
	StorageKey, ThumbKey string
	// CreatedAt is in milliseconds since 1970.
	CreatedAt int64
}

// Image tells whether a client can show the file as a picture.
func (f File) Image() bool { return decodable(f.MIME) }

// Errors that callers tell apart.
var (
	// ErrNotFound means that there is no such file or upload, or none that the caller
	// may know of.
	ErrNotFound = errors.New("file not found")
	// ErrUnsupported means that the content is not what its kind asks for, or an image
	// that cannot be read.
	ErrUnsupported = errors.New("unsupported file content")
	// ErrEmpty means that there was nothing to store.
	ErrEmpty = errors.New("file is empty")
	// ErrCutOff means that what was to be stored could not be read to its end.
	ErrCutOff = errors.New("file is cut off")
	// ErrKind means that the kind is none there is.
	ErrKind = errors.New("unknown kind of file")
	// ErrIncomplete means that an upload is completed before all its bytes are there.
	ErrIncomplete = errors.New("upload is incomplete")
	// ErrUnavailable means that it cannot be done now, but later: too many images wait
	// to be decoded, the disk is full, or the upload is being written to.
	ErrUnavailable = errors.New("file storage is busy")
	// ErrLink means that a link was not made here, was changed, or has expired.
	ErrLink = errors.New("link is not valid")
)

// LimitError reports what is above a configured limit.
type LimitError struct {
	// Field is "size", "chunk" or "quota" (bytes), "pixels", or "memory" (the bytes an
	// image needs to be decoded).
	Field string
	Limit int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s is above the limit of %d", e.Field, e.Limit)
}

// OffsetError reports that a chunk does not continue an upload.
type OffsetError struct {
	// Offset is where the upload continues, in bytes.
	Offset int64
}

func (e *OffsetError) Error() string { return fmt.Sprintf("upload continues at byte %d", e.Offset) }

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// newID returns the prefix and 26 characters of 128 random bits (chat-api.md §0.1).
func newID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return prefix + strings.ToLower(encoding.EncodeToString(b[:]))
}

// validID tells whether id could have come from newID.
func validID(prefix, id string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	if !ok || len(rest) != 26 {
		return false
	}
	return strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
