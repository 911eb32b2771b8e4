package files

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Upload stores what r has as a file of owner. It returns when the file is durable; until
// then nothing can refer to it (guarantees.md R7).
//
// Kind is one of the Kind constants, or "" for what the content is. The error is a
// [*LimitError] for what is too large or above the quota, [ErrUnsupported] for content
// that is not of the kind, [ErrEmpty], [ErrKind], [ErrUnavailable], or that of r.
func (s *Service) Upload(ctx context.Context, owner int64, name, kind string, r io.Reader) (File, error) {
	if kind != "" && !slices.Contains([]string{KindFile, KindImage, KindVoice, KindVideo, KindAvatar}, kind) {
		return File{}, ErrKind
	}
	if err := s.room(ctx, owner); err != nil {
		return File{}, err
	}
	t, err := s.disk.create()
	if err != nil {
		return File{}, err
	}
	defer t.discard()
	limit := s.limit(kind)
	n, err := io.Copy(t, io.LimitReader(&whileOpen{ctx, r}, limit+1))
	if err != nil {
		return File{}, fmt.Errorf("receive file: %w", full(err))
	}
	if n > limit {
		return File{}, &LimitError{Field: "size", Limit: limit}
	}
	return s.store(ctx, File{Owner: owner, Name: name, Kind: kind}, t, nil)
}

// Avatar stores a picture of owner, cut to a square of at most 512 pixels and one of at
// most 128, both JPEG. [Service.AvatarURL] says where everyone can read it for as long
// as it is not deleted.
func (s *Service) Avatar(ctx context.Context, owner int64, r io.Reader) (File, error) {
	return s.Upload(ctx, owner, "avatar.jpg", KindAvatar, r)
}

func (s *Service) limit(kind string) int64 {
	if kind == KindAvatar {
		return min(s.o.MaxBytes, s.o.MaxAvatarBytes)
	}
	return s.o.MaxBytes
}

// room refuses who has no quota left before receiving anything; what counts is decided
// when the row is stored.
func (s *Service) room(ctx context.Context, owner int64) error {
	u, err := s.Usage(ctx, owner)
	if err == nil && u.Used >= u.Limit {
		err = &LimitError{Field: "quota", Limit: u.Limit}
	}
	return err
}

// whileOpen reads until the context of the call that made it ends.
type whileOpen struct {
	ctx context.Context
	r   io.Reader
}

func (r *whileOpen) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF { // as io.Copy compares
		err = fmt.Errorf("%w: %w", ErrCutOff, err)
	}
	return n, err
}

// store makes a file of the received bytes. With before, that runs in the transaction
// that adds the row; its error undoes both.
func (s *Service) store(ctx context.Context, f File, received *temp, before func(Tx, File) error) (File, error) {
	f.ID, f.CreatedAt, f.Name = newID("f_"), s.now(), cleanName(f.Name)
	head := make([]byte, sniffBytes)
	n, err := received.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return File{}, fmt.Errorf("read received file: %w", err)
	}
	if n == 0 {
		return File{}, ErrEmpty
	}
	f.MIME = Sniff(head[:n])
	var parts []placed
	if decodable(f.MIME) {
		parts, err = s.image(ctx, &f, received)
	} else {
		parts, err = s.plain(&f, received)
	}
	defer func() {
		for _, p := range parts {
			p.temp.discard()
		}
	}()
	if err != nil {
		return File{}, err
	}
	if err := s.disk.keep(parts...); err != nil {
		return File{}, err
	}
	return f, s.addRow(ctx, f, before)
}

// addRow stores the row of a file whose bytes are durable.
func (s *Service) addRow(ctx context.Context, f File, before func(Tx, File) error) error {
	var refused error
	err := s.o.Store.Update(ctx, func(tx Tx) error {
		refused = s.addIn(ctx, tx, f, before)
		return refused
	})
	if err == nil {
		return nil
	}
	// Who was refused has no row. After any other error there may be one, and a row must
	// never lack its bytes: the sweeper looks again when that is certain (R5, R7).
	if refused != nil && errors.Is(err, refused) {
		s.disk.remove(f.StorageKey, f.ThumbKey)
	}
	return fmt.Errorf("store row of file: %w", err)
}

func (s *Service) addIn(ctx context.Context, tx Tx, f File, before func(Tx, File) error) error {
	if before != nil {
		if err := before(tx, f); err != nil {
			return err
		}
	}
	ok, err := tx.Charge(ctx, f.Owner, f.Size, s.o.Quota)
	if err != nil {
		return err
	}
	if !ok {
		return &LimitError{Field: "quota", Limit: s.o.Quota}
	}
	return tx.AddFile(ctx, f)
}

// plain keeps the bytes as they came, but for what a film says of where it was taken.
func (s *Service) plain(f *File, received *temp) ([]placed, error) {
	if strings.HasSuffix(f.MIME, "/mp4") {
		total, err := received.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, fmt.Errorf("read received file: %w", err)
		}
		if err := cleanMP4(received, total, f); err != nil {
			return nil, err
		}
	}
	if _, err := received.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read received file: %w", err)
	}
	var check textCheck
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(hash, &check), received)
	if err != nil {
		return nil, fmt.Errorf("read received file: %w", err)
	}
	if f.MIME == text && !check.ok() {
		f.MIME = unknown
	}
	if f.Kind, f.MIME, err = settle(f.Kind, f.MIME); err != nil {
		return nil, err
	}
	f.Size, f.SHA256 = size, hex.EncodeToString(hash.Sum(nil))
	f.StorageKey = objectDir + "/" + newID("")
	return []placed{{received, f.StorageKey}}, nil
}

// settle decides the kind of what is no image: what was asked for must be what it is.
// Recordings come in containers of films and are called audio then.
func settle(kind, mime string) (string, string, error) {
	major, minor, _ := strings.Cut(mime, "/")
	sound := major == "audio" || minor == "mp4" || minor == "webm" || mime == "application/ogg"
	switch kind {
	case "":
		if mime == "video/mp4" || mime == "video/webm" {
			return KindVideo, mime, nil
		}
		return KindFile, mime, nil
	case KindFile:
		return kind, mime, nil
	case KindVideo:
		if major == "video" {
			return kind, mime, nil
		}
	case KindVoice:
		if sound {
			if major == "video" {
				mime = "audio/" + minor
			}
			return kind, mime, nil
		}
	}
	return "", "", ErrUnsupported
}

// image reads a picture and writes it anew, with its thumbnail.
func (s *Service) image(ctx context.Context, f *File, received *temp) ([]placed, error) {
	switch f.Kind {
	case "":
		f.Kind = KindImage
	case KindVoice, KindVideo:
		return nil, ErrUnsupported
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if _, err := received.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read received file: %w", err)
	}
	data, err := io.ReadAll(received)
	if err != nil {
		return nil, fmt.Errorf("read received file: %w", err)
	}
	bounds := Bounds{Pixels: s.o.MaxPixels, Memory: s.o.MaxImageMemory}
	render := bounds.picture
	if f.Kind == KindAvatar {
		render = bounds.avatar
	}
	p, err := render(data, f.MIME)
	if err != nil {
		return nil, err
	}
	f.MIME, f.Width, f.Height, f.Blurhash = p.mime, p.width, p.height, p.blurhash
	f.Name = nameAs(f.Name, f.MIME)
	return s.writePicture(f, p)
}

// enter takes a place among the images in work; leave gives it back.
func (s *Service) enter(ctx context.Context) error {
	select {
	case s.waiting <- struct{}{}:
	default:
		return fmt.Errorf("%w: too many images wait", ErrUnavailable)
	}
	select {
	case s.decoding <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-s.waiting
		return ctx.Err()
	}
}

func (s *Service) leave() { <-s.decoding; <-s.waiting }

func (s *Service) writePicture(f *File, p *picture) (parts []placed, err error) {
	dir, key, thumbKey := objectDir, newID(""), newID("")
	main, size, sum, err := s.write(p.full)
	if err != nil {
		return nil, err
	}
	parts = append(parts, placed{temp: main})
	f.Size, f.SHA256 = size, sum
	if f.Kind == KindAvatar {
		// The name is a hash of the picture and of the random id: nobody can guess it, and
		// deleting one user's avatar never takes away another's.
		h := sha256.Sum256([]byte(f.ID + sum))
		dir, key = avatarDir, hex.EncodeToString(h[:20])
		thumbKey = key + "_128"
	}
	f.StorageKey = dir + "/" + key + suffix(p.mime, dir)
	parts[0].key = f.StorageKey
	if p.thumb == nil {
		return parts, nil
	}
	thumb, _, _, err := s.write(func(w io.Writer) error { return encode(w, p.thumb, p.thumbMIME, thumbQuality) })
	if err != nil {
		return parts, err
	}
	f.ThumbKey = dir + "/" + thumbKey + extensions[p.thumbMIME][0]
	return append(parts, placed{thumb, f.ThumbKey}), nil
}

// suffix makes names of avatars end as their type does: they are read without a row.
func suffix(mime, dir string) string {
	if dir == avatarDir {
		return extensions[mime][0]
	}
	return ""
}

// write writes what f writes to a new file, counted and hashed.
func (s *Service) write(f func(io.Writer) error) (t *temp, size int64, sum string, err error) {
	t, err = s.disk.create()
	if err != nil {
		return nil, 0, "", err
	}
	hash := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(t, hash), 64<<10)
	err = f(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		size, err = t.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		t.discard()
		return nil, 0, "", fmt.Errorf("write image: %w", full(err))
	}
	return t, size, hex.EncodeToString(hash.Sum(nil)), nil
}
