package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kuranty/kuranty/webhook"
)

// keptSecret returns the secret of this user on this machine, made at the first use, so
// that a receiver is told once. With anew another takes its place.
func keptSecret(anew bool) (webhook.Secret, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return webhook.Secret{}, fmt.Errorf("look for the secret: %w; give one with --secret", err)
	}
	file := filepath.Join(folder, "kuranty", "listen-secret")
	if !anew {
		text, err := os.ReadFile(file)
		if err == nil {
			s, err := webhook.ParseSecret(strings.TrimSpace(string(text)))
			if err != nil {
				return s, fmt.Errorf("%s has %w; --new-secret makes another", file, err)
			}
			return s, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return webhook.Secret{}, fmt.Errorf("read the secret: %w", err)
		}
	}
	s := webhook.NewSecret()
	if err := keepSecret(file, s); err != nil {
		return s, fmt.Errorf("keep the secret: %w; give one with --secret", err)
	}
	return s, nil
}

// keepSecret writes a file that only its owner may read; nobody finds half of it.
func keepSecret(file string, s webhook.Secret) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "listen-secret-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.Reveal() + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
