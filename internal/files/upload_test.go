package files_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/store"
)

func isUnsupported(err error) bool { return errors.Is(err, files.ErrUnsupported) }

func asLimit(err error, limit **files.LimitError) bool { return errors.As(err, limit) }

func TestUploadAndOpen(t *testing.T) {
	databases(t, func(t *testing.T, r *rig) {
		data := []byte("Привет\nмир\n")
		f := r.upload(t, 7, `C:\Users\me\заметка.txt`, data)
		sum := sha256.Sum256(data)
		if f.Name != "заметка.txt" || f.MIME != "text/plain" || f.Kind != files.KindFile || f.Owner != 7 ||
			f.Size != int64(len(data)) || f.SHA256 != hex.EncodeToString(sum[:]) || len(f.ID) != 28 || f.CreatedAt != r.clock().UnixMilli() {
			t.Errorf("file = %+v", f)
		}
		if got := r.read(t, f.ID, files.Original); !bytes.Equal(got, data) {
			t.Errorf("read %q", got)
		}
		if got := r.read(t, f.ID, files.Thumb); !bytes.Equal(got, data) {
			t.Errorf("without a thumbnail: read %q", got)
		}
		rc, got, err := r.Open(t.Context(), f.ID, files.Original)
		must(t, err)
		rc.Close()
		if got != f {
			t.Errorf("row = %+v, want %+v", got, f)
		}
		photo := r.upload(t, 7, "a.jpg", jpegOf(corners(1000, 500)))
		rc, got, err = r.Open(t.Context(), photo.ID, files.Original)
		must(t, err)
		rc.Close()
		if got != photo {
			t.Errorf("row = %+v, want %+v", got, photo)
		}
		if used := r.used(t, 7); used != f.Size+photo.Size {
			t.Errorf("uses %d, stored %d and %d", used, f.Size, photo.Size)
		}
		for _, id := range []string{"", "f_", "f_aaaaaaaaaaaaaaaaaaaaaaaaaa", "../" + f.ID, strings.ToUpper(f.ID), f.ID + "\x00"} {
			if _, _, err := r.Open(t.Context(), id, files.Original); !errors.Is(err, files.ErrNotFound) {
				t.Errorf("Open(%q) = %v", id, err)
			}
		}
		if _, _, err := r.Open(t.Context(), f.ID, "large"); !errors.Is(err, files.ErrNotFound) {
			t.Errorf("unknown variant: %v", err)
		}
	})
}

// R7: when the row is stored the bytes are complete and synced, and so are their names.
func TestR07_BytesAndNamesAreSyncedBeforeTheRow(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	real := r.o.Store
	var steps []string
	o := r.o
	o.Store = failing{real, func(ctx context.Context, f func(files.Tx) error) error {
		steps = append(steps, "row")
		if names := r.folder(t); len(names) < 2 || strings.HasPrefix(names[0], "tmp/") && !strings.HasPrefix(names[1], "tmp/") && len(names) < 4 {
			t.Errorf("at the row the folder has %q", names)
		}
		return real.Update(ctx, f)
	}}
	r.open(t, o)
	files.Watch(r.Service, func(step, name string) { steps = append(steps, step+" "+strings.Split(name, "/")[0]) })
	r.upload(t, 1, "a.jpg", jpegOf(corners(1000, 1000)))
	want := []string{"sync tmp", "sync tmp", "rename objects", "rename objects", "sync objects", "row"}
	if !slices.Equal(steps, want) {
		t.Errorf("steps = %q, want %q", steps, want)
	}
	steps = nil
	r.open(t, func() files.Options {
		o.Store = failing{real, func(ctx context.Context, f func(files.Tx) error) error {
			steps = append(steps, "row")
			return real.Update(ctx, f)
		}}
		return o
	}())
	files.Watch(r.Service, func(step, name string) { steps = append(steps, step+" "+strings.Split(name, "/")[0]) })
	r.upload(t, 1, "a.bin", []byte{0, 1, 2})
	if want := []string{"sync tmp", "rename objects", "sync objects", "row"}; !slices.Equal(steps, want) {
		t.Errorf("steps = %q, want %q", steps, want)
	}
}

// R7, R5: a row never lacks its bytes. They go only when it is certain that there is no row.
func TestR07_BytesStayWhileTheRowMayExist(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	real, lost := r.o.Store, errors.New("connection lost in commit")
	o := r.o
	o.Store = failing{real, func(ctx context.Context, f func(files.Tx) error) error {
		if err := real.Update(ctx, f); err != nil {
			return err
		}
		return lost
	}}
	r.open(t, o)
	if _, err := r.Upload(t.Context(), 1, "a", "", strings.NewReader("text")); !errors.Is(err, lost) {
		t.Fatal(err)
	}
	if names := r.folder(t); len(names) != 1 {
		t.Errorf("folder has %q; the row is there, so must be its bytes", names)
	}
	// Without a row they stay too, until the sweeper is sure.
	o.Store = failing{real, func(context.Context, func(files.Tx) error) error { return lost }}
	r.open(t, o)
	if _, err := r.Upload(t.Context(), 1, "a", "", strings.NewReader("more")); !errors.Is(err, lost) {
		t.Fatal(err)
	}
	o.Store = real
	r.open(t, o)
	r.pass(30 * time.Minute)
	if done, err := r.Sweep(t.Context()); err != nil || done.Bytes != 0 || len(r.folder(t)) != 2 {
		t.Errorf("swept too early: %+v, %v", done, err)
	}
	r.open(t, o) // a start looks again
	r.pass(time.Hour)
	if done, err := r.Sweep(t.Context()); err != nil || done.Bytes != 1 || len(r.folder(t)) != 1 {
		t.Errorf("swept %+v, %v", done, err)
	}
	// A refusal is certain: nothing is left.
	o.Quota = 10
	r.open(t, o)
	if _, err := r.Upload(t.Context(), 2, "a", "", strings.NewReader("more than ten")); !isLimit(err, "quota") {
		t.Fatal(err)
	}
	if names := r.folder(t); len(names) != 1 {
		t.Errorf("a refused file left %q", names)
	}
}

func TestS29_SizeLimitIsExact(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{MaxBytes: 1000, MaxAvatarBytes: 600})
	if f := r.upload(t, 1, "a", bytes.Repeat([]byte("a"), 1000)); f.Size != 1000 {
		t.Errorf("size = %d", f.Size)
	}
	if _, err := r.Upload(t.Context(), 1, "a", "", bytes.NewReader(make([]byte, 1001))); !isLimit(err, "size") {
		t.Errorf("one byte more: %v", err)
	}
	photo := pngOf(corners(8, 8))
	photo = append(photo, make([]byte, 600-len(photo))...)
	if _, err := r.Avatar(t.Context(), 1, bytes.NewReader(photo)); err != nil {
		t.Errorf("avatar at its limit: %v", err)
	}
	if _, err := r.Avatar(t.Context(), 1, bytes.NewReader(append(photo, 0))); !isLimit(err, "size") {
		t.Errorf("avatar above its limit: %v", err)
	}
	if _, err := r.Upload(t.Context(), 1, "a", "", strings.NewReader("")); !errors.Is(err, files.ErrEmpty) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := r.Upload(t.Context(), 1, "a", "folder", strings.NewReader("a")); !errors.Is(err, files.ErrKind) {
		t.Errorf("unknown kind: %v", err)
	}
}

// Many uploads at once use exactly what the quota allows.
func TestS29_QuotaHoldsUnderConcurrency(t *testing.T) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) {
			r := newRig(t, driver, files.Options{Quota: 1000})
			var stored, refused atomic.Int64
			var wg sync.WaitGroup
			for range 40 {
				wg.Go(func() {
					_, err := r.Upload(context.Background(), 1, "a", "", bytes.NewReader(make([]byte, 99)))
					switch {
					case err == nil:
						stored.Add(1)
					case isLimit(err, "quota"):
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if stored.Load() != 10 || refused.Load() != 30 || r.used(t, 1) != 990 {
				t.Errorf("%d stored, %d refused, %d used", stored.Load(), refused.Load(), r.used(t, 1))
			}
			if _, err := r.Upload(t.Context(), 1, "a", "", bytes.NewReader(make([]byte, 10))); err != nil {
				t.Errorf("the last ten bytes: %v", err)
			}
			if _, err := r.Upload(t.Context(), 1, "a", "", bytes.NewReader(make([]byte, 1))); !isLimit(err, "quota") {
				t.Errorf("beyond the quota: %v", err)
			}
			if _, err := r.Upload(t.Context(), 2, "a", "", bytes.NewReader(make([]byte, 1000))); err != nil {
				t.Errorf("another user: %v", err)
			}
			if n := len(r.folder(t)); n != 12 {
				t.Errorf("%d files in the folder, want 12", n)
			}
		})
	}
}

func TestReaderThatBreaksOffLeavesNothing(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	broken := errors.New("connection reset")
	_, err := r.Upload(t.Context(), 1, "a", "", io.MultiReader(strings.NewReader("half"), failingReader{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("error = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Upload(ctx, 1, "a", "", strings.NewReader("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if names := r.folder(t); len(names) != 0 || r.used(t, 1) != 0 {
		t.Errorf("left %q", names)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// R33: more images than can wait are refused at once, other files are not.
func TestR33_ImagesAboveTheQueueAreRefusedAtOnce(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	free := files.FillDecoders(r.Service)
	if _, err := r.Upload(t.Context(), 1, "a.png", "", bytes.NewReader(pngOf(corners(8, 8)))); !errors.Is(err, files.ErrUnavailable) {
		t.Errorf("error = %v", err)
	}
	r.upload(t, 1, "a.txt", []byte("text"))
	free()
	r.upload(t, 1, "a.png", pngOf(corners(8, 8)))
}

// The folder and what is in it belong to the process alone (S40), under generated names.
func TestS29_NamesAreGeneratedAndPrivate(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	for _, name := range []string{"../../etc/passwd", "/etc/passwd", `..\..\boot.ini`, "a\x00b", "CON", strings.Repeat("я", 500), "", ".", "..", "...", "/", "\r\nX: y", "a\u202egpj.exe"} {
		f := r.upload(t, 1, name, []byte("text"))
		if strings.ContainsAny(f.Name, "/\\\x00\r\n\u202e") || f.Name == "" || f.Name == ".." || len(f.Name) > 255 {
			t.Errorf("%q is named %q", name, f.Name)
		}
	}
	for _, name := range r.folder(t) {
		base := strings.TrimPrefix(name, "objects/")
		if len(base) != 26 || strings.Trim(base, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("stored as %q", name)
		}
		info, err := os.Stat(filepath.Join(r.o.Folder, name))
		must(t, err)
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

// Whoever can plant links in the folder cannot make the server read elsewhere.
func TestS29_SymbolicLinksAreRefused(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	other := r.upload(t, 2, "b.txt", []byte("of another"))
	for name, target := range map[string]string{
		"out of the folder": secret, "up and out": "../../../../../../../../etc/hostname", "inside": filepath.Base(other.StorageKey),
	} {
		f := r.upload(t, 1, "a.txt", []byte("text"))
		path := filepath.Join(r.o.Folder, f.StorageKey)
		must(t, os.Remove(path))
		must(t, os.Symlink(target, path))
		if rc, _, err := r.Open(t.Context(), f.ID, files.Original); err == nil {
			data, _ := io.ReadAll(rc)
			rc.Close()
			t.Errorf("a link %s was followed to %q", name, data)
		}
	}
	f := r.upload(t, 1, "a.txt", []byte("text"))
	path := filepath.Join(r.o.Folder, f.StorageKey)
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o700))
	if _, _, err := r.Open(t.Context(), f.ID, files.Original); !errors.Is(err, files.ErrNotFound) {
		t.Errorf("a folder in place of a file: %v", err)
	}

	// A chunk goes into no link either.
	u, err := r.CreateUpload(t.Context(), 1, "a", 4)
	must(t, err)
	must(t, os.Symlink(secret, filepath.Join(r.o.Folder, "tmp", u.ID)))
	if _, err := r.PutChunk(t.Context(), 1, u.ID, 0, strings.NewReader("evil")); err == nil {
		t.Error("a chunk went into a link")
	}
	if data, _ := os.ReadFile(secret); string(data) != "secret" {
		t.Errorf("the secret is now %q", data)
	}
	folder := filepath.Join(t.TempDir(), "files")
	must(t, os.MkdirAll(folder, 0o700))
	must(t, os.Symlink(t.TempDir(), filepath.Join(folder, "objects")))
	o := r.o
	o.Folder = folder
	if s, err := files.New(o); err == nil {
		s.Close()
		t.Error("a folder that is a link was taken")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	o := r.o
	o.Secret = make([]byte, 31)
	if _, err := files.New(o); err == nil {
		t.Error("a short secret was taken")
	}
	o = r.o
	o.Access = nil
	if _, err := files.New(o); err == nil {
		t.Error("a service without access control was made")
	}
}
