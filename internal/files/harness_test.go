package files_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

// canary stands in metadata and must never be found again.
const canary = "CANARY 59.9386N 30.3141E"

// rig is a service on a real folder and a real database.
type rig struct {
	*files.Service
	o     files.Options
	store *store.Store
	mu    sync.Mutex
	now   time.Time
}

// databases runs a test on each database.
func databases(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { f(t, newRig(t, driver, files.Options{})) })
	}
}

func newRig(t *testing.T, driver string, o files.Options) *rig {
	t.Helper()
	s, err := store.Open(t.Context(), storetest.Options(t, driver))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	r := &rig{store: s, now: time.Now()}
	o.Folder = filepath.Join(t.TempDir(), "files")
	o.Secret = []byte("0123456789abcdef0123456789abcdef")
	o.Clock = r.clock
	o.Store, o.Access = s.Files(), s.FileAccess()
	r.open(t, o)
	return r
}

func (r *rig) open(t *testing.T, o files.Options) {
	t.Helper()
	s, err := files.New(o)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	r.Service, r.o = s, o
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) upload(t *testing.T, owner int64, name string, data []byte) files.File {
	t.Helper()
	f, err := r.Upload(t.Context(), owner, name, "", bytes.NewReader(data))
	must(t, err)
	return f
}

// read returns the bytes of a variant.
func (r *rig) read(t *testing.T, id, variant string) []byte {
	t.Helper()
	rc, _, err := r.Open(t.Context(), id, variant)
	must(t, err)
	defer rc.Close()
	data, err := io.ReadAll(rc)
	must(t, err)
	return data
}

// folder lists the files there are, with slashes.
func (r *rig) folder(t *testing.T) (names []string) {
	t.Helper()
	must(t, filepath.WalkDir(r.o.Folder, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(r.o.Folder, name)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	}))
	return names
}

func (r *rig) used(t *testing.T, owner int64) int64 {
	t.Helper()
	u, err := r.Usage(t.Context(), owner)
	must(t, err)
	return u.Used
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isLimit(err error, field string) bool {
	var limit *files.LimitError
	return errors.As(err, &limit) && limit.Field == field
}

// corners is an image with a colour of its own in each corner: red, green, blue, white.
func corners(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{255, 0, 0, 255}
			switch {
			case x >= w/2 && y >= h/2:
				c = color.NRGBA{255, 255, 255, 255}
			case x >= w/2:
				c = color.NRGBA{0, 255, 0, 255}
			case y >= h/2:
				c = color.NRGBA{0, 0, 255, 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

// seen names the colours of the corners, from the upper left, row by row.
func seen(img image.Image) string {
	r := img.Bounds()
	var out strings.Builder
	for _, p := range []image.Point{
		{r.Min.X + r.Dx()/4, r.Min.Y + r.Dy()/4},
		{r.Min.X + r.Dx()*3/4, r.Min.Y + r.Dy()/4},
		{r.Min.X + r.Dx()/4, r.Min.Y + r.Dy()*3/4},
		{r.Min.X + r.Dx()*3/4, r.Min.Y + r.Dy()*3/4},
	} {
		c := color.NRGBAModel.Convert(img.At(p.X, p.Y)).(color.NRGBA)
		switch {
		case c.R > 200 && c.G > 200 && c.B > 200:
			out.WriteByte('w')
		case c.R > 200:
			out.WriteByte('r')
		case c.G > 200:
			out.WriteByte('g')
		case c.B > 200:
			out.WriteByte('b')
		default:
			out.WriteByte('?')
		}
	}
	return out.String()
}

func jpegOf(img image.Image) []byte {
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, &jpeg.Options{Quality: 95})
	return b.Bytes()
}

func pngOf(img image.Image) []byte {
	var b bytes.Buffer
	_ = png.Encode(&b, img)
	return b.Bytes()
}

// animationOf is a GIF of two frames.
func animationOf(w, h int) []byte {
	palette := color.Palette{color.Black, color.White}
	frames := []*image.Paletted{image.NewPaletted(image.Rect(0, 0, w, h), palette), image.NewPaletted(image.Rect(0, 0, w, h), palette)}
	frames[1].SetColorIndex(0, 0, 1)
	var b bytes.Buffer
	_ = gif.EncodeAll(&b, &gif.GIF{Image: frames, Delay: []int{7, 9}, LoopCount: 3})
	return b.Bytes()
}

// exif is a TIFF structure with an orientation and the canary.
func exif(orientation byte) []byte {
	b := []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00")
	b = append(b, orientation, 0, 0, 0, 0, 0, 0, 0)
	return append(b, canary...)
}

// segment puts a segment behind the start of a JPEG.
func segment(data []byte, marker byte, body []byte) []byte {
	head := binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2))
	return bytes.Join([][]byte{data[:2], head, body, data[2:]}, nil)
}

// pngChunk puts a chunk behind the header of a PNG.
func pngChunk(data []byte, name string, body []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	c = append(append(c, name...), body...)
	c = binary.BigEndian.AppendUint32(c, crc(c[4:]))
	return bytes.Join([][]byte{data[:33], c, data[33:]}, nil)
}

// failing is a store whose writes do what a test wants.
type failing struct {
	files.Store
	update func(ctx context.Context, f func(files.Tx) error) error
}

func (s failing) Update(ctx context.Context, f func(files.Tx) error) error { return s.update(ctx, f) }
