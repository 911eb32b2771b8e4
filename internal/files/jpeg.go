package files

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// maxScans bounds how often a JPEG paints over itself. Encoders make about ten
// scans; a scan can be a few bytes long and costs a walk over the whole image, so that
// a small file could keep a decoder busy for hours.
const maxScans = 100

// jpegHead is what a JPEG says of itself before any pixel.
type jpegHead struct {
	width, height int
	progressive   bool
	// samples is how many samples all components have.
	samples int64
	// converted is set if the decoder makes a second image of other colours.
	converted   bool
	orientation int
}

// memory is what decoding needs: a byte for each sample, four more where a progressive
// image keeps its coefficients, and the copy that is turned.
func (h jpegHead) memory() int64 {
	m := h.samples
	if h.progressive {
		m += 4 * h.samples
	}
	image := h.samples
	if h.converted {
		image = 4 * int64(h.width) * int64(h.height)
		m += image
	}
	if h.orientation != 1 {
		m += image
	}
	return m
}

// scanJPEG walks over the segments of a whole file (ITU T.81 annex B) as the decoder
// does, which steps over stray bytes between them.
func scanJPEG(data []byte) (jpegHead, error) {
	h := jpegHead{orientation: 1}
	scans, exif := 0, false
	for i := 2; ; {
		next := bytes.IndexByte(data[min(i, len(data)):], 0xff)
		if next < 0 {
			break
		}
		for i += next; i < len(data) && data[i] == 0xff; i++ {
		}
		if i >= len(data) {
			break
		}
		marker := data[i]
		i++
		if marker == 0 || marker == 0x01 || marker >= 0xd0 && marker <= 0xd8 {
			continue // a stuffed byte, or a marker without a body
		}
		if marker == 0xd9 || i+2 > len(data) {
			break
		}
		n := int(binary.BigEndian.Uint16(data[i:]))
		if n < 2 || i+n > len(data) {
			break
		}
		body := data[i+2 : i+n]
		i += n
		switch marker {
		case 0xc0, 0xc1, 0xc2:
			if h.width != 0 || !h.frame(marker, body) {
				return h, fmt.Errorf("%w: jpeg frame", ErrUnsupported)
			}
		case 0xda:
			if scans++; scans > maxScans {
				return h, fmt.Errorf("%w: jpeg of more than %d scans", ErrUnsupported, maxScans)
			}
		case 0xe1:
			if tiff, ok := bytes.CutPrefix(body, []byte("Exif\x00\x00")); ok && !exif {
				exif, h.orientation = true, exifOrientation(tiff)
			}
		case 0xee:
			if len(body) >= 12 && string(body[:5]) == "Adobe" && body[11] == 0 {
				h.converted = true // not YCbCr
			}
		}
	}
	if h.width == 0 || scans == 0 {
		return h, fmt.Errorf("%w: jpeg without image", ErrUnsupported)
	}
	return h, nil
}

// frame reads a frame header: precision, height, width, and for each component its id
// and how densely it is sampled (ITU T.81 §B.2.2).
func (h *jpegHead) frame(marker byte, body []byte) bool {
	if len(body) < 6 || len(body) < 6+3*int(body[5]) {
		return false
	}
	h.progressive = marker == 0xc2
	h.height, h.width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	components := body[6 : 6+3*int(body[5])]
	var dense, widest, highest int64
	var ids string
	for c := components; len(c) >= 3; c = c[3:] {
		x, y := int64(c[1]>>4), int64(c[1]&15)
		dense, widest, highest = dense+x*y, max(widest, x), max(highest, y)
		ids += string(rune(c[0]))
	}
	if dense == 0 || widest == 0 || highest == 0 {
		return false
	}
	if len(components) == 12 || ids == "RGB" {
		h.converted = true
	}
	area := int64(h.width) * int64(h.height)
	h.samples = max(area, (area*dense+widest*highest-1)/(widest*highest))
	return h.width > 0
}

// exifOrientation reads the tag Orientation (0x0112) of the first directory of a TIFF
// structure (Exif 2.32 §4.6.4). It is 1, upright, if there is none that makes sense.
func exifOrientation(tiff []byte) int {
	if rest, ok := bytes.CutPrefix(tiff, []byte("Exif\x00\x00")); ok {
		tiff = rest
	}
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(tiff[:4]) {
	case "II*\x00":
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	start := uint64(order.Uint32(tiff[4:]))
	if start+2 > uint64(len(tiff)) {
		return 1
	}
	entries := tiff[start+2:]
	for n := order.Uint16(tiff[start:]); n > 0 && len(entries) >= 12; n-- {
		const orientation, short = 0x0112, 3
		if order.Uint16(entries) == orientation && order.Uint16(entries[2:]) == short {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}
