package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files of a data folder.
const (
	lockFile     = "lock"
	secretsFile  = "secrets.json"
	snapshotFile = "streams.snapshot"
	// addressFile holds the URL of the server that is running.
	addressFile = "address"
)

// Names of generated secrets; they are the keys of the configuration they stand for.
const (
	TokenSecret = "client.token.hmac_secret_key"
	APIKey      = "http_api.key" //nolint:gosec // the name of a key, not a key
	AuthSecret  = "auth.secret"
	WebhookKey  = "webhooks.secret_encryption_key"
)

// DataDir is an open data folder. It belongs to one process until Close.
type DataDir struct {
	path string
	lock *os.File
}

// ErrInUse means that another process has the data folder.
var ErrInUse = errors.New("in use by another kuranty")

// OpenDataDir makes the folder if need be, with mode 0700, and takes its lock. It is an
// error if another process has it.
func OpenDataDir(path string) (*DataDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find data folder: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, err := lockExclusive(filepath.Join(path, lockFile))
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("data folder %s is %w; stop it, or choose another folder with --data-dir", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data folder %s: %w", path, err)
	}
	return &DataDir{path: path, lock: lock}, nil
}

// Path is the folder's absolute path.
func (d *DataDir) Path() string { return d.path }

// Close gives the folder up.
func (d *DataDir) Close() error { return d.lock.Close() }

// Secrets returns the secrets of the folder by name, after making those of names that
// are missing.
func (d *DataDir) Secrets(make func() string, names ...string) (map[string]string, error) {
	secrets, err := ReadSecrets(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if secrets == nil {
		secrets = map[string]string{}
	}
	changed := false
	for _, name := range names {
		if secrets[name] == "" {
			secrets[name], changed = make(), true
		}
	}
	if !changed {
		return secrets, nil
	}
	text, err := json.MarshalIndent(secrets, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode secrets: %w", err)
	}
	return secrets, d.write(secretsFile, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// ReadSecrets returns the secrets kept in the data folder at path, by name. It refuses
// a file that others than its owner may read; a missing one is [fs.ErrNotExist].
func ReadSecrets(path string) (map[string]string, error) {
	name := filepath.Join(path, secretsFile)
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	if readableByOthers(info.Mode()) {
		return nil, fmt.Errorf("%s can be read by other users (mode %04o): run chmod 600 on it, and change the secrets in it if others had access", name, info.Mode().Perm())
	}
	var secrets map[string]string
	if err := json.NewDecoder(f).Decode(&secrets); err != nil {
		return nil, fmt.Errorf("read secrets of %s: %w", name, err)
	}
	return secrets, nil
}

// write replaces the file called name by what content writes, so that after a crash
// there is the old file or the new one.
func (d *DataDir) write(name string, content func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(d.path, name+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", name, err)
			_ = os.Remove(f.Name())
		}
	}()
	err = errors.Join(f.Chmod(0o600), content(f), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(d.path, name)); err != nil {
		return err
	}
	return d.sync()
}

// take opens the file called name for reading and removes its name at once. A missing
// one is [fs.ErrNotExist].
func (d *DataDir) take(name string) (*os.File, error) {
	path := filepath.Join(d.path, name)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Remove(path), d.sync()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// remove removes the file called name, if there is one.
func (d *DataDir) remove(name string) { _ = os.Remove(filepath.Join(d.path, name)) }

// RunningURL returns the URL of the server that uses the data folder at path, or "" if
// none says that it does.
func RunningURL(path string) string {
	b, err := os.ReadFile(filepath.Join(path, addressFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// sync makes names in the folder durable.
func (d *DataDir) sync() error {
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), dir.Close())
}
