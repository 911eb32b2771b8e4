package files

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

const (
	jpegQuality  = 85
	thumbQuality = 80
	thumbSide    = 320
	avatarSide   = 512
	avatarThumb  = 128
)

// Bounds are what an image must stay within; both are checked before it is decoded.
type Bounds struct {
	// Pixels bounds width times height.
	Pixels int64
	// Memory bounds the bytes needed to decode an image and turn it upright.
	Memory int64
}

func (b Bounds) check(width, height int, memory int64) error {
	if width <= 0 || height <= 0 {
		return fmt.Errorf("%w: image without area", ErrUnsupported)
	}
	if int64(width)*int64(height) > b.Pixels {
		return &LimitError{Field: "pixels", Limit: b.Pixels}
	}
	if memory > b.Memory {
		return &LimitError{Field: "memory", Limit: b.Memory}
	}
	return nil
}

// picture is what an image becomes. Nothing of the original's bytes is left in it but
// the frames of an animation.
type picture struct {
	mime          string
	width, height int
	blurhash      string
	full          func(io.Writer) error
	thumb         image.Image // nil if the picture is its own
	thumbMIME     string
}

// frame is a decoded image and what was found out on the way.
type frame struct {
	image.Image
	mime string // what it is written as
	// animation, if not nil, is written instead of the image, its first frame.
	animation []byte
}

// picture reads an image and prepares what is written. The error is a [*LimitError], or
// wraps [ErrUnsupported] if it cannot be read.
func (b Bounds) picture(data []byte, mime string) (*picture, error) {
	f, err := b.decode(data, mime)
	if err != nil {
		return nil, err
	}
	size := f.Bounds().Size()
	p := &picture{mime: f.mime, width: size.X, height: size.Y, full: func(w io.Writer) error {
		if f.animation != nil {
			_, err := w.Write(f.animation)
			return err
		}
		return encode(w, f.Image, f.mime, jpegQuality)
	}}
	w, h := fit(size.X, size.Y, thumbSide)
	small := shrink(f.Image, f.Bounds(), w, h)
	p.blurhash = blurhash(small)
	if w < size.X || h < size.Y {
		p.thumb, p.thumbMIME = small, "image/jpeg"
		if !small.Opaque() {
			p.thumbMIME = "image/png"
		}
	}
	return p, nil
}

// avatar cuts the middle square out of an image and paints what is transparent white.
// Nothing is made larger than it was.
func (b Bounds) avatar(data []byte, mime string) (*picture, error) {
	f, err := b.decode(data, mime)
	if err != nil {
		return nil, err
	}
	r := f.Bounds()
	side := min(r.Dx(), r.Dy())
	corner := r.Min.Add(image.Pt((r.Dx()-side)/2, (r.Dy()-side)/2))
	square := image.Rectangle{corner, corner.Add(image.Pt(side, side))}
	large := onWhite(shrink(f.Image, square, min(side, avatarSide), min(side, avatarSide)))
	small := shrink(large, large.Bounds(), min(side, avatarThumb), min(side, avatarThumb))
	return &picture{
		mime: "image/jpeg", width: large.Bounds().Dx(), height: large.Bounds().Dy(), blurhash: blurhash(small),
		full:  func(w io.Writer) error { return encode(w, large, "image/jpeg", jpegQuality) },
		thumb: small, thumbMIME: "image/jpeg",
	}, nil
}

func (b Bounds) decode(data []byte, mime string) (f frame, err error) {
	defer func() {
		// The decoders are others' and meet hostile input: a panic ends this image (R35).
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: decoder of %s: %v", ErrUnsupported, mime, p)
		}
	}()
	switch mime {
	case "image/jpeg":
		return b.decodeJPEG(data)
	case "image/png":
		return b.decodePNG(data)
	case "image/gif":
		return b.decodeGIF(data)
	case "image/webp":
		return b.decodeWebP(data)
	}
	return frame{}, ErrUnsupported
}

func (b Bounds) decodeJPEG(data []byte) (frame, error) {
	head, err := scanJPEG(data)
	if err != nil {
		return frame{}, err
	}
	if err := b.check(head.width, head.height, head.memory()); err != nil {
		return frame{}, err
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return frame{}, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return frame{Image: upright(img, head.orientation), mime: "image/jpeg"}, nil
}

func (b Bounds) decodePNG(data []byte) (frame, error) {
	// IHDR comes first and has a fixed shape (PNG §11.2.2).
	if len(data) < 33 || string(data[12:16]) != "IHDR" {
		return frame{}, fmt.Errorf("%w: png without header", ErrUnsupported)
	}
	w, h := binary.BigEndian.Uint32(data[16:]), binary.BigEndian.Uint32(data[20:])
	if w > 1<<24 || h > 1<<24 {
		return frame{}, &LimitError{Field: "pixels", Limit: b.Pixels}
	}
	each := int64(4)
	switch depth, colours := data[24], data[25]; {
	case depth == 16:
		each = 8
	case colours == 3:
		each = 1
	}
	memory := int64(w) * int64(h) * each
	if data[28] != 0 { // interlaced: the passes are decoded beside the whole
		memory += memory / 2
	}
	orientation := 1
	eachPNG(data, func(name string, body []byte) {
		if name == "eXIf" {
			orientation = exifOrientation(body)
		}
	})
	if orientation != 1 {
		memory += int64(w) * int64(h) * each
	}
	if err := b.check(int(w), int(h), memory); err != nil {
		return frame{}, err
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return frame{}, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return frame{Image: upright(img, orientation), mime: "image/png"}, nil
}

// eachPNG calls f for each chunk (PNG §5.3): length, name, body, checksum.
func eachPNG(data []byte, f func(name string, body []byte)) {
	for rest := data[8:]; len(rest) >= 12; {
		n := uint64(binary.BigEndian.Uint32(rest))
		if n+12 > uint64(len(rest)) {
			return
		}
		f(string(rest[4:8]), rest[8:8+n])
		rest = rest[12+n:]
	}
}

func (b Bounds) decodeGIF(data []byte) (frame, error) {
	clean, w, h, err := stripGIF(data)
	if err != nil {
		return frame{}, err
	}
	if err := b.check(w, h, int64(w)*int64(h)); err != nil {
		return frame{}, err
	}
	img, err := gif.Decode(bytes.NewReader(clean)) // the first frame only
	if err != nil {
		return frame{}, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return frame{Image: canvas{img, image.Rect(0, 0, w, h)}, mime: "image/gif", animation: clean}, nil
}

func (b Bounds) decodeWebP(data []byte) (frame, error) {
	head, err := scanWebP(data)
	if err != nil {
		return frame{}, err
	}
	if err := b.check(head.width, head.height, head.memory()); err != nil {
		return frame{}, err
	}
	img, err := webp.Decode(bytes.NewReader(head.still))
	if err != nil {
		return frame{}, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if head.animation != nil {
		whole := image.Rect(0, 0, head.width, head.height)
		return frame{Image: canvas{at{img, head.corner}, whole}, mime: "image/webp", animation: head.animation}, nil
	}
	f := frame{Image: upright(img, head.orientation), mime: "image/png"}
	if _, lossy := img.(*image.YCbCr); lossy {
		f.mime = "image/jpeg"
	}
	return f, nil
}

// canvas shows an image that may cover only a part of it.
type canvas struct {
	image.Image
	whole image.Rectangle
}

func (c canvas) Bounds() image.Rectangle { return c.whole }

func (c canvas) ColorModel() color.Model { return color.NRGBAModel }

func (c canvas) At(x, y int) color.Color {
	if !image.Pt(x, y).In(c.Image.Bounds()) {
		return color.NRGBA{}
	}
	return c.Image.At(x, y)
}

// at shows an image moved by an offset.
type at struct {
	image.Image
	offset image.Point
}

func (a at) Bounds() image.Rectangle { return a.Image.Bounds().Add(a.offset) }
func (a at) At(x, y int) color.Color { return a.Image.At(x-a.offset.X, y-a.offset.Y) }

func encode(w io.Writer, img image.Image, mime string, quality int) error {
	if mime == "image/png" {
		return png.Encode(w, img)
	}
	return jpeg.Encode(w, img, &jpeg.Options{Quality: quality})
}

// thumbType is the type of a thumbnail, which its name ends in.
func thumbType(key string) string {
	if bytes.HasSuffix([]byte(key), []byte(".png")) {
		return "image/png"
	}
	return "image/jpeg"
}
