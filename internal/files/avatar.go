package files

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"
)

// AvatarURL returns the addresses of an avatar and of the small one, without a host. They
// need no token and do not end before the avatar is deleted (chat-api.md §C.8).
// For a file that is no avatar they are "".
func (s *Service) AvatarURL(f File) (large, small string) {
	if f.Kind != KindAvatar {
		return "", ""
	}
	return path.Join(s.o.AvatarPath, path.Base(f.StorageKey)), path.Join(s.o.AvatarPath, path.Base(f.ThumbKey))
}

// OpenAvatar opens what an address of [Service.AvatarURL] ends in. It asks no database.
// The error is [ErrNotFound] for a name that is not there.
func (s *Service) OpenAvatar(name string) (io.ReadSeekCloser, File, error) {
	stem, ok := strings.CutSuffix(name, ".jpg")
	hash := strings.TrimSuffix(stem, "_128")
	if !ok || len(hash) != 40 || strings.Trim(hash, "0123456789abcdef") != "" {
		return nil, File{}, ErrNotFound
	}
	r, err := s.disk.open(avatarDir + "/" + name)
	if err != nil {
		return nil, File{}, err
	}
	info, err := r.Stat()
	if err != nil {
		r.Close()
		return nil, File{}, fmt.Errorf("open avatar: %w", err)
	}
	return r, File{
		Kind: KindAvatar, Name: "avatar.jpg", MIME: "image/jpeg", Size: info.Size(),
		SHA256: stem, CreatedAt: info.ModTime().UnixMilli(),
	}, nil
}

// AvatarOf returns the addresses of the avatar that is file id; ok is false if it is none,
// or the database cannot be asked.
func (s *Service) AvatarOf(ctx context.Context, id string) (large, small string, ok bool) {
	f, err := s.file(ctx, id)
	if err != nil {
		return "", "", false
	}
	large, small = s.AvatarURL(f)
	return large, small, large != ""
}
