package files

import (
	"encoding/binary"
	"fmt"
)

// stripGIF copies what a GIF shows, block by block, and nothing else: frames, their
// timing and how often they repeat. Comments, text, other applications' blocks and
// whatever follows the end are left out (GIF89a §§17–27).
func stripGIF(data []byte) (clean []byte, width, height int, err error) {
	r := gifReader{rest: data}
	head := r.take(13)
	if head == nil {
		return nil, 0, 0, errGIF
	}
	width, height = int(binary.LittleEndian.Uint16(head[6:])), int(binary.LittleEndian.Uint16(head[8:]))
	clean = append(make([]byte, 0, len(data)+1), "GIF89a"...)
	clean = append(clean, head[6:]...)
	clean = append(clean, r.take(colours(head[10]))...)
	frames := 0
	var control []byte // of the next frame
	for !r.bad {
		switch kind := r.byte(); {
		case r.bad && frames > 0, kind == ';' && frames > 0:
			// Many a GIF lacks its end; what is there is shown.
			return append(clean, ';'), width, height, nil
		case kind == ',':
			whole := r.frame(width, height)
			if whole == nil {
				// A frame cut short, or outside the image: drop it if others came before.
				r.bad = true
				if frames > 0 {
					return append(clean, ';'), width, height, nil
				}
				return nil, 0, 0, errGIF
			}
			clean = append(append(clean, control...), whole...)
			control = nil
			frames++
		case kind == '!':
			label := r.byte()
			body := r.blocks()
			switch {
			case r.bad:
			case label == 0xf9 && len(body) == 6 && body[0] == 4:
				control = append([]byte{'!', label}, body...)
			case label == 0xff:
				clean = append(clean, loop(body)...)
			}
		default:
			r.bad = true
		}
	}
	if frames > 0 {
		return append(clean, ';'), width, height, nil
	}
	return nil, 0, 0, errGIF
}

var errGIF = fmt.Errorf("%w: gif structure", ErrUnsupported)

// colours is the length in bytes of the colour table that flags announce.
func colours(flags byte) int {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}

// loop returns the extension that says how often an animation repeats, if body is one:
// block of 11, name, block of 3 with the number 1 and the count.
func loop(body []byte) []byte {
	if len(body) < 16 || body[0] != 11 || body[12] != 3 || body[13] != 1 {
		return nil
	}
	if name := string(body[1:12]); name != "NETSCAPE2.0" && name != "ANIMEXTS1.0" {
		return nil
	}
	out := append([]byte("!\xff\x0bNETSCAPE2.0\x03\x01"), body[14:16]...)
	return append(out, 0)
}

// gifReader takes bytes off the front; bad once there were too few.
type gifReader struct {
	rest []byte
	bad  bool
}

func (r *gifReader) take(n int) []byte {
	if n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *gifReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// blocks returns a chain of blocks with its end: lengths, bytes, a zero.
func (r *gifReader) blocks() []byte {
	all := r.rest
	for {
		n := r.byte()
		r.take(int(n))
		if r.bad {
			return nil
		}
		if n == 0 {
			return all[:len(all)-len(r.rest)]
		}
	}
}

// frame returns one image after its separator: descriptor, colours, size of codes, blocks.
func (r *gifReader) frame(width, height int) []byte {
	d := r.take(9)
	if d == nil {
		return nil
	}
	side := func(i int) int { return int(binary.LittleEndian.Uint16(d[i:])) }
	if side(0)+side(4) > width || side(2)+side(6) > height {
		return nil
	}
	out := append([]byte{','}, d...)
	out = append(out, r.take(colours(d[8]))...)
	out = append(out, r.take(1)...)
	out = append(out, r.blocks()...)
	if r.bad {
		return nil
	}
	return out
}
