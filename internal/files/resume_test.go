package files_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/store"
)

func TestUploadInChunks(t *testing.T) {
	databases(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		data := bytes.Repeat([]byte("0123456789"), 100)
		u, err := r.CreateUpload(ctx, 1, "../big.txt", int64(len(data)))
		must(t, err)
		if u.Name != "big.txt" || r.used(t, 1) != 1000 || r.ChunkBytes() != 5<<20 {
			t.Errorf("upload = %+v, %d bytes counted", u, r.used(t, 1))
		}
		for at := int64(0); at < 900; at += 300 {
			next, err := r.PutChunk(ctx, 1, u.ID, at, bytes.NewReader(data[at:at+300]))
			must(t, err)
			if next != at+300 {
				t.Fatalf("continues at %d, want %d", next, at+300)
			}
		}
		if _, err := r.Complete(ctx, 1, u.ID); !errors.Is(err, files.ErrIncomplete) {
			t.Errorf("too early: %v", err)
		}
		for _, at := range []int64{0, 600, 899, 901, -1} {
			var offset *files.OffsetError
			if _, err := r.PutChunk(ctx, 1, u.ID, at, strings.NewReader("x")); !errors.As(err, &offset) || offset.Offset != 900 {
				t.Errorf("chunk at %d: %v", at, err)
			}
		}
		if _, err := r.PutChunk(ctx, 1, u.ID, 900, bytes.NewReader(make([]byte, 101))); !isLimit(err, "chunk") {
			t.Errorf("a byte too many: %v", err)
		}
		// A client that breaks off goes on where it was.
		broken := errors.New("connection reset")
		if _, err := r.PutChunk(ctx, 1, u.ID, 900, io.MultiReader(bytes.NewReader(data[900:940]), failingReader{broken})); !errors.Is(err, broken) {
			t.Errorf("broken chunk: %v", err)
		}
		now, err := r.Offset(ctx, 1, u.ID)
		must(t, err)
		if now.Received != 940 {
			t.Errorf("continues at %d, want 940", now.Received)
		}
		// So does one that comes back after the server was restarted, whatever lies behind the offset.
		r.open(t, r.o)
		f, err := os.OpenFile(filepath.Join(r.o.Folder, "tmp", u.ID), os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString("torn by a crash")
		must(t, errors.Join(err, f.Close()))
		if _, err := r.PutChunk(ctx, 1, u.ID, 940, bytes.NewReader(data[940:])); err != nil {
			t.Fatal(err)
		}
		done, err := r.Complete(ctx, 1, u.ID)
		must(t, err)
		if !bytes.Equal(r.read(t, done.ID, files.Original), data) || done.Name != "big.txt" || done.MIME != "text/plain" {
			t.Errorf("became %+v", done)
		}
		again, err := r.Complete(ctx, 1, u.ID)
		if err != nil || again != done {
			t.Errorf("repeated: %+v, %v", again, err)
		}
		if r.used(t, 1) != 1000 || len(r.folder(t)) != 1 {
			t.Errorf("%d bytes counted, folder has %q", r.used(t, 1), r.folder(t))
		}
		var offset *files.OffsetError
		if _, err := r.PutChunk(ctx, 1, u.ID, 1000, strings.NewReader("x")); !errors.As(err, &offset) {
			t.Errorf("chunk after the end: %v", err)
		}
		// Its part of the quota is the file's now, and is not given back with the upload.
		must(t, r.Abort(ctx, 1, u.ID))
		if r.used(t, 1) != 1000 || !bytes.Equal(r.read(t, done.ID, files.Original), data) {
			t.Errorf("%d bytes counted after the upload was forgotten", r.used(t, 1))
		}
	})
}

func TestUploadLimits(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{MaxBytes: 100, Quota: 250, ChunkBytes: 60})
	ctx := t.Context()
	for size, field := range map[int64]string{101: "size", 1 << 62: "size"} {
		if _, err := r.CreateUpload(ctx, 1, "a", size); !isLimit(err, field) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	for _, size := range []int64{0, -1} {
		if _, err := r.CreateUpload(ctx, 1, "a", size); !errors.Is(err, files.ErrEmpty) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	// What is announced counts, so that nobody fills the disk with halves.
	first, err := r.CreateUpload(ctx, 1, "a", 100)
	must(t, err)
	_, err = r.CreateUpload(ctx, 1, "a", 100)
	must(t, err)
	if _, err := r.CreateUpload(ctx, 1, "a", 51); !isLimit(err, "quota") {
		t.Errorf("above the quota: %v", err)
	}
	if _, err := r.PutChunk(ctx, 1, first.ID, 0, bytes.NewReader(make([]byte, 61))); !isLimit(err, "chunk") {
		t.Errorf("chunk above its limit: %v", err)
	}
	if n, err := r.PutChunk(ctx, 1, first.ID, 0, bytes.NewReader(make([]byte, 60))); err != nil || n != 60 {
		t.Errorf("chunk at its limit: %d, %v", n, err)
	}
	must(t, r.Abort(ctx, 1, first.ID))
	if r.used(t, 1) != 100 || len(r.folder(t)) != 0 {
		t.Errorf("after giving up %d bytes are counted, folder has %q", r.used(t, 1), r.folder(t))
	}
	if _, err := r.Offset(ctx, 1, first.ID); !errors.Is(err, files.ErrNotFound) {
		t.Errorf("after giving up: %v", err)
	}
}

// S15: uploads of others are not there.
func TestS15_UploadsBelongToTheirOwner(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	ctx := t.Context()
	u, err := r.CreateUpload(ctx, 1, "a", 3)
	must(t, err)
	for _, id := range []string{u.ID, "u_aaaaaaaaaaaaaaaaaaaaaaaaaa", "", "../" + u.ID} {
		_, err1 := r.Offset(ctx, 2, id)
		_, err2 := r.PutChunk(ctx, 2, id, 0, strings.NewReader("abc"))
		_, err3 := r.Complete(ctx, 2, id)
		for _, err := range []error{err1, err2, err3, r.Abort(ctx, 2, id)} {
			if !errors.Is(err, files.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	if now, err := r.Offset(ctx, 1, u.ID); err != nil || now.Received != 0 {
		t.Errorf("upload = %+v, %v", now, err)
	}
}

// R7 for chunks: an offset is told only when its bytes are synced, and completing can be
// repeated after the database was away.
func TestR07_ChunksAreSyncedBeforeTheirOffset(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	ctx := t.Context()
	u, err := r.CreateUpload(ctx, 1, "a.txt", 3)
	must(t, err)
	real, away := r.o.Store, errors.New("database away")
	var steps []string
	o := r.o
	o.Store = failing{real, func(ctx context.Context, f func(files.Tx) error) error {
		steps = append(steps, "row")
		return real.Update(ctx, f)
	}}
	r.open(t, o)
	files.Watch(r.Service, func(step, name string) { steps = append(steps, step) })
	_, err = r.PutChunk(ctx, 1, u.ID, 0, strings.NewReader("abc"))
	must(t, err)
	if got := strings.Join(steps, " "); got != "sync sync row" { // folder, bytes, row
		t.Errorf("steps = %s", got)
	}
	o.Store = failing{real, func(context.Context, func(files.Tx) error) error { return away }}
	r.open(t, o)
	if _, err := r.Complete(ctx, 1, u.ID); !errors.Is(err, away) {
		t.Fatal(err)
	}
	o.Store = real
	r.open(t, o)
	f, err := r.Complete(ctx, 1, u.ID)
	must(t, err)
	if got := r.read(t, f.ID, files.Original); string(got) != "abc" {
		t.Errorf("read %q", got)
	}
}

func TestTwoChunksAtOnce(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	ctx := t.Context()
	u, err := r.CreateUpload(ctx, 1, "a", 6)
	must(t, err)
	_, err = r.PutChunk(ctx, 1, u.ID, 0, readerFunc(func(p []byte) (int, error) {
		if _, err := r.PutChunk(ctx, 1, u.ID, 0, strings.NewReader("other")); !errors.Is(err, files.ErrUnavailable) {
			t.Errorf("a second chunk: %v", err)
		}
		if _, err := r.Complete(ctx, 1, u.ID); !errors.Is(err, files.ErrUnavailable) {
			t.Errorf("completing under a chunk: %v", err)
		}
		return copy(p, "abc"), io.EOF
	}))
	must(t, err)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestSweep(t *testing.T) {
	databases(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		old := r.upload(t, 1, "old.jpg", jpegOf(corners(900, 900)))
		avatar, err := r.Avatar(ctx, 1, bytes.NewReader(pngOf(corners(8, 8))))
		must(t, err)
		u, err := r.CreateUpload(ctx, 1, "a", 6)
		must(t, err)
		_, err = r.PutChunk(ctx, 1, u.ID, 0, strings.NewReader("abc"))
		must(t, err)
		left := filepath.Join(r.o.Folder, "tmp", "left-by-a-crash")
		must(t, os.WriteFile(left, []byte("half"), 0o600))
		r.pass(23 * time.Hour)
		young := r.upload(t, 1, "young", []byte("text"))
		if done, err := r.Sweep(ctx); err != nil || done != (files.Swept{}) {
			t.Errorf("after 23 h: %+v, %v", done, err)
		}
		r.pass(61 * time.Minute)
		r.open(t, r.o)
		done, err := r.Sweep(ctx)
		if want := (files.Swept{Files: 1, Uploads: 1, Bytes: 1}); err != nil || done != want {
			t.Errorf("after 24 h: %+v, %v, want %+v", done, err, want)
		}
		if _, _, err := r.Open(ctx, old.ID, files.Original); !errors.Is(err, files.ErrNotFound) {
			t.Errorf("a loose file: %v", err)
		}
		r.read(t, young.ID, files.Original)
		r.read(t, avatar.ID, files.Original)
		if used := r.used(t, 1); used != young.Size+avatar.Size {
			t.Errorf("%d bytes counted, want %d", used, young.Size+avatar.Size)
		}
		if names := r.folder(t); len(names) != 3 { // the avatar's two and the young one
			t.Errorf("folder has %q", names)
		}
	})
}

// S37: nothing of an erased user stays, neither rows nor bytes nor his part of the quota.
func TestS37_ErasureRemovesEverything(t *testing.T) {
	databases(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		other := r.upload(t, 2, "b", []byte("of another"))
		var gone []files.File
		for range 3 {
			gone = append(gone, r.upload(t, 1, "a.png", pngOf(corners(400, 400))), r.upload(t, 1, "a.txt", []byte("text")))
		}
		avatar, err := r.Avatar(ctx, 1, bytes.NewReader(pngOf(corners(8, 8))))
		must(t, err)
		u, err := r.CreateUpload(ctx, 1, "a", 6)
		must(t, err)
		_, err = r.PutChunk(ctx, 1, u.ID, 0, strings.NewReader("abc"))
		must(t, err)
		must(t, r.DeleteOf(ctx, gone[0].ID, gone[1].ID, "f_unknown"))
		must(t, r.Erase(ctx, 1))
		must(t, r.Erase(ctx, 1))
		for _, f := range append(gone, avatar) {
			if _, _, err := r.Open(ctx, f.ID, files.Original); !errors.Is(err, files.ErrNotFound) {
				t.Errorf("%s: %v", f.Name, err)
			}
		}
		if r.used(t, 1) != 0 || len(r.folder(t)) != 1 {
			t.Errorf("%d bytes counted, folder has %q", r.used(t, 1), r.folder(t))
		}
		r.read(t, other.ID, files.Original)
	})
}
