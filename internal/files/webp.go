package files

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"

	"golang.org/x/image/webp"
)

// webpHead is what a WebP says of itself.
type webpHead struct {
	width, height int
	orientation   int
	// still is an image that can be decoded: all of it, or the first frame.
	still []byte
	// alpha is set if it is lossless or transparent, which needs more memory.
	alpha bool
	// animation is the animated image without metadata, nil if it stands still; corner
	// is where its first frame lies.
	animation []byte
	corner    image.Point
}

// memory is what decoding needs: planes of brightness and colour, or four bytes a pixel
// and as many to undo the transformations; and the copy that is turned.
func (h webpHead) memory() int64 {
	area := int64(h.width) * int64(h.height)
	m := 2 * area
	if h.alpha {
		m = 8 * area
	}
	if h.orientation != 1 {
		m += m / 2
	}
	return m
}

var errWebP = fmt.Errorf("%w: webp structure", ErrUnsupported)

type chunk struct {
	name string
	body []byte
}

// chunks splits RIFF chunks: name, length, body, a byte to make it even.
func chunks(data []byte) (list []chunk, ok bool) {
	for len(data) >= 8 {
		n := uint64(binary.LittleEndian.Uint32(data[4:]))
		if n > uint64(len(data)-8) {
			return list, false
		}
		list = append(list, chunk{string(data[:4]), data[8 : 8+n]})
		data = data[min(8+n+n&1, uint64(len(data))):]
	}
	return list, true
}

// riff writes chunks as a file.
func riff(list ...chunk) []byte {
	out := append([]byte("RIFF\x00\x00\x00\x00WEBP"), body(list)...)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

func body(list []chunk) (out []byte) {
	for _, c := range list {
		out = append(out, c.name...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(c.body)))
		out = append(out, c.body...)
		if len(c.body)&1 == 1 {
			out = append(out, 0)
		}
	}
	return out
}

// scanWebP reads the chunks (WebP container specification, "Extended File Format").
func scanWebP(data []byte) (webpHead, error) {
	h := webpHead{orientation: 1}
	end := min(uint64(len(data)), 8+uint64(binary.LittleEndian.Uint32(data[4:])))
	list, ok := chunks(data[min(12, end):end])
	if !ok && len(list) == 0 || len(list) == 0 {
		return h, errWebP
	}
	if first := list[0]; first.name == "VP8X" && len(first.body) == 10 && first.body[0]&0x02 != 0 {
		return h, h.animated(list)
	}
	var keep []chunk
	for _, c := range list {
		switch c.name {
		case "VP8X", "VP8 ":
			keep = append(keep, c)
		case "VP8L", "ALPH":
			h.alpha = true
			keep = append(keep, c)
		case "EXIF":
			h.orientation = exifOrientation(c.body)
		}
	}
	h.still = riff(keep...)
	size, err := webp.DecodeConfig(bytes.NewReader(h.still))
	if err != nil {
		return h, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	h.width, h.height = size.Width, size.Height
	return h, nil
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// animated keeps the frames of an animation and how they follow each other.
func (h *webpHead) animated(list []chunk) error {
	const alpha, animated = 0x10, 0x02
	x := bytes.Clone(list[0].body)
	x[0] &= alpha | animated // no profile, no Exif, no XMP
	h.width, h.height = uint24(x[4:])+1, uint24(x[7:])+1
	h.alpha = true
	keep := []chunk{{"VP8X", x}}
	for _, c := range list[1:] {
		switch {
		case c.name == "ANIM" && len(c.body) == 6:
			keep = append(keep, c)
		case c.name == "ANMF":
			f, err := h.frame(c.body)
			if err != nil {
				return err
			}
			keep = append(keep, chunk{"ANMF", f})
		}
	}
	if h.still == nil {
		return errWebP
	}
	h.animation = riff(keep...)
	return nil
}

// frame keeps the image of one frame, which must lie inside the whole; the first becomes
// the still.
func (h *webpHead) frame(frame []byte) ([]byte, error) {
	if len(frame) < 16 {
		return nil, errWebP
	}
	corner := image.Pt(2*uint24(frame), 2*uint24(frame[3:]))
	w, ht := uint24(frame[6:])+1, uint24(frame[9:])+1
	list, ok := chunks(frame[16:])
	if !ok || corner.X+w > h.width || corner.Y+ht > h.height {
		return nil, errWebP
	}
	var keep []chunk
	var alpha byte
	for _, c := range list {
		switch c.name {
		case "ALPH":
			alpha = 0x10
			keep = append(keep, c)
		case "VP8 ", "VP8L":
			keep = append(keep, c)
		}
	}
	if h.still == nil {
		x := append([]byte{alpha, 0, 0, 0}, frame[6:12]...)
		h.still, h.corner = riff(append([]chunk{{"VP8X", x}}, keep...)...), corner
	}
	return append(bytes.Clone(frame[:16]), body(keep)...), nil
}
