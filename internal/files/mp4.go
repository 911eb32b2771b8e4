package files

import (
	"encoding/binary"
	"fmt"
	"io"
)

// cleanMP4 empties, in place, the boxes in which phones note where and when a film was
// taken, and reads its length and size. Boxes keep their lengths, so nothing that
// points into the file moves (ISO/IEC 14496-12 §§4.2, 8.1.2, 8.2.2, 8.3.2, 8.10).
// A file that is not built of boxes is left as it is.
func cleanMP4(file readWriterAt, total int64, f *File) error {
	const most = 100_000 // boxes; a film has a few for each second
	head := make([]byte, 16)
	for offset, n := int64(0), 0; offset+8 <= total && n < most; n++ {
		got, err := file.ReadAt(head[:min(16, total-offset)], offset)
		if got < 8 {
			return fmt.Errorf("read film: %w", err)
		}
		size, skip := boxSize(head[:got])
		if size == 0 {
			size = total - offset
		}
		if size < int64(skip) || size > total-offset {
			return nil // nonsense
		}
		if kind := string(head[4:8]); kind == "moov" || personal(kind) {
			box := make([]byte, size)
			if _, err := file.ReadAt(box, offset); err != nil {
				return fmt.Errorf("read film: %w", err)
			}
			if personal(kind) {
				empty(box, skip)
			} else {
				movie{f}.boxes(box[skip:], 0)
			}
			if _, err := file.WriteAt(box, offset); err != nil {
				return fmt.Errorf("write film: %w", full(err))
			}
		}
		offset += size
	}
	return nil
}

type readWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// boxSize returns the length of a box, zero if it goes on to the end, and of its header.
func boxSize(head []byte) (size int64, skip int) {
	n := binary.BigEndian.Uint32(head)
	if n == 1 && len(head) >= 16 {
		return int64(min(binary.BigEndian.Uint64(head[8:]), 1<<40)), 16
	}
	return int64(n), 8
}

// personal tells whether a box holds what people or their devices wrote about a film.
func personal(kind string) bool { return kind == "udta" || kind == "meta" || kind == "uuid" }

// empty makes a box one that readers step over.
func empty(box []byte, skip int) {
	copy(box[4:], "free")
	clear(box[skip:])
}

// movie takes what it finds in a film for its file.
type movie struct{ f *File }

func (m movie) boxes(data []byte, depth int) {
	for len(data) >= 8 {
		size, skip := boxSize(data)
		if size == 0 {
			size = int64(len(data))
		}
		if size < int64(skip) || size > int64(len(data)) {
			return
		}
		box, kind := data[:size], string(data[4:8])
		switch body := box[skip:]; {
		case personal(kind):
			empty(box, skip)
		case (kind == "trak" || kind == "mdia") && depth < 4:
			m.boxes(body, depth+1)
		case kind == "mvhd":
			m.length(body)
		case kind == "tkhd":
			m.size(body)
		case kind == "mdhd" && len(body) >= 20:
			clear(body[4 : 4+times(body)])
		}
		data = data[size:]
	}
}

// times is how many bytes the times of creation and change take.
func times(body []byte) int {
	if body[0] == 1 {
		return 16
	}
	return 8
}

func (m movie) length(body []byte) {
	if len(body) < 32 {
		return
	}
	clear(body[4 : 4+times(body)])
	scale, length := uint64(binary.BigEndian.Uint32(body[12:])), uint64(binary.BigEndian.Uint32(body[16:]))
	if body[0] == 1 {
		scale, length = uint64(binary.BigEndian.Uint32(body[20:])), binary.BigEndian.Uint64(body[24:])
	} else if length == 1<<32-1 {
		return // unknown
	}
	const week = 7 * 24 * 3600
	if scale > 0 && length/scale < week {
		m.f.DurationMS = int64(length * 1000 / scale)
	}
}

// size reads how large a track is shown, with its matrix: a film taken upright is stored
// on its side.
func (m movie) size(body []byte) {
	if len(body) < 84 {
		return
	}
	clear(body[4 : 4+times(body)])
	if body[0] == 1 {
		body = body[12:]
	}
	if len(body) < 84 {
		return
	}
	w, h := int(binary.BigEndian.Uint32(body[76:])>>16), int(binary.BigEndian.Uint32(body[80:])>>16)
	if binary.BigEndian.Uint32(body[40:]) == 0 {
		w, h = h, w
	}
	if m.f.Width == 0 && w > 0 && h > 0 {
		m.f.Width, m.f.Height = w, h
	}
}
