package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// The folders inside the root. Names in them are generated, so none can collide with
// another or mean anything to a system.
const (
	tmpDir    = "tmp"     // what is being written, uploads included
	objectDir = "objects" // files that may have a row
	avatarDir = "avatars" // the same, readable by everyone who knows the name
)

// disk is the folder. All access is through an [os.Root], which no name and no symbolic
// link leads out of.
type disk struct {
	root *os.Root
	// clock dates what is kept: the sweeper compares with it.
	clock func() time.Time
	// done, if not nil, is told of each step in order; tests watch it.
	done func(step, name string)
}

// openDisk opens the folder, and makes what is missing of it durable.
func openDisk(folder string, clock func() time.Time) (*disk, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of files: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("open folder of files: %w", err)
	}
	d := &disk{root: root, clock: clock}
	for _, dir := range []string{tmpDir, objectDir, avatarDir} {
		if err := root.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(fmt.Errorf("make folder of files: %w", err), root.Close())
		}
		if info, err := root.Lstat(dir); err != nil || !info.IsDir() {
			return nil, errors.Join(fmt.Errorf("open folder of files: %s is not a folder", dir), err, root.Close())
		}
	}
	if err := errors.Join(d.syncDir("."), syncFolder(filepath.Dir(folder))); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

func syncFolder(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer dir.Close()
	return syncOpenDir(dir)
}

// syncDir makes the names in a folder durable.
func (d *disk) syncDir(name string) error {
	dir, err := d.root.Open(name)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	defer dir.Close()
	if err := syncOpenDir(dir); err != nil {
		return err
	}
	d.did("sync", name)
	return nil
}

func syncOpenDir(dir *os.File) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there; NTFS keeps a journal of names
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

func (d *disk) did(step, name string) {
	if d.done != nil {
		d.done(step, name)
	}
}

// temp is a file being written. Its owner ends it with [disk.keep] or discard.
type temp struct {
	*os.File
	disk *disk
	name string
	kept bool
}

// create makes a file in the folder of unfinished ones.
func (d *disk) create() (*temp, error) {
	name := path.Join(tmpDir, newID(""))
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create file: %w", full(err))
	}
	return &temp{File: f, disk: d, name: name}, nil
}

// discard closes a file and removes it unless it was kept. It may be called again.
func (t *temp) discard() {
	if t == nil {
		return
	}
	_ = t.Close() // of no consequence: it has been synced or goes now
	if !t.kept {
		t.kept = true
		_ = t.disk.root.Remove(t.name) // or the sweeper does
	}
}

// placed is a finished file and the name it is to have.
type placed struct {
	temp *temp
	key  string
}

// keep makes files of one folder durable under their names: their bytes first, then the
// names. After an error none of the names is left.
func (d *disk) keep(files ...placed) (err error) {
	var done []string
	defer func() {
		if err != nil {
			d.remove(done...)
		}
	}()
	now := d.clock()
	for _, p := range files {
		if err := d.root.Chtimes(p.temp.name, now, now); err != nil {
			return fmt.Errorf("date file: %w", full(err))
		}
		if err := p.temp.Sync(); err != nil {
			return fmt.Errorf("sync file: %w", full(err))
		}
		d.did("sync", p.temp.name)
	}
	for _, p := range files {
		if err := p.temp.Close(); err != nil {
			return fmt.Errorf("close file: %w", full(err))
		}
		if err := d.root.Rename(p.temp.name, p.key); err != nil {
			return fmt.Errorf("name file: %w", full(err))
		}
		p.temp.kept = true
		done = append(done, p.key)
		d.did("rename", p.key)
	}
	if len(files) == 0 {
		return nil
	}
	return d.syncDir(path.Dir(files[0].key))
}

// open opens a regular file to read. A symbolic link is refused also where it stays
// inside the root: none of ours is one.
func (d *disk) open(key string) (*os.File, error) { return d.openFile(key, os.O_RDONLY) }

func (d *disk) openFile(key string, flag int) (*os.File, error) {
	dir, err := d.root.Lstat(path.Dir(key))
	if err != nil || !dir.IsDir() {
		return nil, missing(err)
	}
	seen, err := d.root.Lstat(key)
	if err != nil || !seen.Mode().IsRegular() {
		return nil, missing(err)
	}
	f, err := d.root.OpenFile(key, flag, 0)
	if err != nil {
		return nil, missing(err)
	}
	// What was opened is what was looked at, so nobody put a link in its place between.
	if info, err := f.Stat(); err != nil || !os.SameFile(seen, info) {
		f.Close()
		return nil, missing(err)
	}
	return f, nil
}

// missing makes absence [ErrNotFound]; other errors keep their cause.
func missing(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return fmt.Errorf("open file: %w", err)
}

// remove removes names; those already gone are as good. It returns how many it removed.
func (d *disk) remove(keys ...string) (removed int) {
	for _, key := range keys {
		if key != "" && d.root.Remove(key) == nil {
			removed++
		}
	}
	return removed
}

// list calls f for groups of the names in a folder that were last written before a time.
func (d *disk) list(dir string, before int64, f func(names []string) error) error {
	folder, err := d.root.Open(dir)
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	defer folder.Close()
	for {
		entries, err := folder.ReadDir(sweepBatch)
		var names []string
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.ModTime().UnixMilli() < before {
				names = append(names, path.Join(dir, e.Name()))
			}
		}
		if len(names) > 0 {
			if err := f(slices.Clip(names)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && len(entries) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
	}
}

// full makes an error of a full disk one that a caller may try again after (R27).
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
