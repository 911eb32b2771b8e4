package files

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// sniffBytes is how much of a file [Sniff] looks at.
const sniffBytes = 4096

const (
	unknown = "application/octet-stream"
	text    = "text/plain"
)

// inline are the types a browser may show by itself (guarantees.md S29); audio/mp4 and
// audio/webm are the same containers without a picture.
var inline = []string{
	"image/png", "image/jpeg", "image/gif", "image/webp",
	"video/mp4", "video/webm", "audio/mp4", "audio/webm", "audio/mpeg", text,
}

// decodable tells whether files of the type are images that we read and write anew.
func decodable(mime string) bool { return slices.Contains(inline[:4], mime) }

// Sniff says what a file is from its first bytes, 4096 if there are so many. It knows
// what may be shown inline by the marks of the formats themselves; for the rest it takes
// the names that net/http gives, which are for people to read: such files are
// downloads. Text is text only if all of it is, which the caller checks.
func Sniff(head []byte) string {
	head = head[:min(len(head), sniffBytes)]
	switch {
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return "image/gif"
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return "image/webp"
	case isMP4(head):
		return "video/mp4"
	case isWebM(head):
		return "video/webm"
	case isMP3(head):
		return "audio/mpeg"
	}
	mime, _, _ := strings.Cut(http.DetectContentType(head), ";")
	if mime == text && markup(head) {
		return "text/xml" // SVG and its like are markup wherever the first tag stands
	}
	if slices.Contains(inline, mime) && mime != text {
		return unknown // by the looser marks of net/http
	}
	return mime
}

// isMP4 tells whether a file opens with a box of a brand that browsers play
// (ISO/IEC 14496-12 §4.3). HEIC and AVIF share the container and are left out.
func isMP4(head []byte) bool {
	if len(head) < 12 || string(head[4:8]) != "ftyp" || binary.BigEndian.Uint32(head) < 12 {
		return false
	}
	brand := string(head[8:12])
	return strings.HasPrefix(brand, "iso") || strings.HasPrefix(brand, "mp4") ||
		slices.Contains([]string{"avc1", "M4V ", "M4A ", "M4B ", "dash", "MSNV", "mmp4"}, brand)
}

// isWebM tells whether a file is EBML and says that it is WebM: element 0x4282, DocType.
func isWebM(head []byte) bool {
	return bytes.HasPrefix(head, []byte{0x1a, 0x45, 0xdf, 0xa3}) &&
		bytes.Contains(head[:min(len(head), 64)], []byte("\x42\x82\x84webm"))
}

// isMP3 tells whether a file opens with an ID3v2 tag or with two frames of MPEG layer III,
// one right after the other; a single mark of two bytes is too easily met by chance.
func isMP3(head []byte) bool {
	if bytes.HasPrefix(head, []byte("ID3")) {
		return len(head) >= 10 && head[3] < 0x10 && (head[6]|head[7]|head[8]|head[9])&0x80 == 0
	}
	n := mp3Frame(head)
	return n > 0 && len(head) > n && mp3Frame(head[n:]) > 0
}

// Kilobits per second of MPEG-1 and of MPEG-2 and 2.5, layer III (ISO/IEC 11172-3 §2.4.2.3,
// 13818-3 §2.4.2.3).
var (
	mp3Rates1 = [16]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0}
	mp3Rates2 = [16]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0}
)

// mp3Frame returns the length in bytes of the layer III frame that b opens with, or 0.
func mp3Frame(b []byte) int {
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe6 != 0xe2 {
		return 0
	}
	hertz := [4]int{44100, 48000, 32000, 0}[b[2]>>2&3]
	rate, samples := mp3Rates1[b[2]>>4], 144
	switch b[1] >> 3 & 3 {
	case 0: // MPEG 2.5
		hertz, rate, samples = hertz/4, mp3Rates2[b[2]>>4], 72
	case 1: // reserved
		return 0
	case 2:
		hertz, rate, samples = hertz/2, mp3Rates2[b[2]>>4], 72
	}
	if hertz == 0 || rate == 0 {
		return 0
	}
	return samples*rate*1000/hertz + int(b[2]>>1&1)
}

// markup tells whether text begins as XML or HTML does, after comments and blanks that
// net/http does not step over.
func markup(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n\f")
	return len(head) > 1 && head[0] == '<' && (head[1] == '!' || head[1] == '?' || head[1] == '/' || letter(head[1]))
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// textCheck is a writer that finds out whether all it is given is UTF-8 text. A browser
// shows such a file as it is; with one zero byte among it, it may guess again.
type textCheck struct {
	bad  bool
	rest []byte // the beginning of a character whose end is still to come
}

func (c *textCheck) Write(p []byte) (int, error) {
	n := len(p)
	if c.bad {
		return n, nil
	}
	if len(c.rest) > 0 {
		p = append(c.rest, p...)
		c.rest = nil
	}
	for len(p) > 0 {
		if b := p[0]; b < utf8.RuneSelf {
			if b < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1b", rune(b)) || b == 0x7f {
				c.bad = true
				return n, nil
			}
			p = p[1:]
			continue
		}
		if !utf8.FullRune(p) {
			c.rest = slices.Clone(p)
			return n, nil
		}
		r, size := utf8.DecodeRune(p)
		if r == utf8.RuneError && size == 1 {
			c.bad = true
			return n, nil
		}
		p = p[size:]
	}
	return n, nil
}

// ok tells whether it was text to the end.
func (c *textCheck) ok() bool { return !c.bad && len(c.rest) == 0 }
