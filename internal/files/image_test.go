package files_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"io"
	"runtime"
	"strings"
	"testing"

	_ "golang.org/x/image/webp" // image.Decode reads it

	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/store"
)

func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// The smallest images of each kind of WebP: one pixel.
var (
	webpLossy    = unbase64("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")
	webpLossless = unbase64("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
	webpAnimated = unbase64("UklGRlIAAABXRUJQVlA4WAoAAAASAAAAAAAAAAAAQU5JTQYAAAD/////AABBTk1GJgAAAAAAAAAAAAAAAAAAAGQAAABWUDhMDQAAAC8AAAAQBxAREYiI/gcA")
)

func unbase64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// withChunk appends a chunk to a WebP.
func withChunk(data []byte, name string, body []byte) []byte {
	if len(body)%2 == 1 {
		body = append(body, 0)
	}
	out := append(bytes.Clone(data), name...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(body)))
	out = append(out, body...)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

// An image says where it was taken and by whom in many places; none is left.
func TestS29_ImagesAreWrittenAnewWithoutMetadata(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	photo := jpegOf(corners(40, 20))
	xmp := []byte("http://ns.adobe.com/xap/1.0/\x00" + canary)
	for _, c := range []struct {
		name, mime, saved string
		data              []byte
	}{
		{"exif.jpg", "image/jpeg", "exif.jpg", segment(photo, 0xe1, append([]byte("Exif\x00\x00"), exif(1)...))},
		{"xmp.JPEG", "image/jpeg", "xmp.JPEG", segment(photo, 0xe1, xmp)},
		{"comment.jpg", "image/jpeg", "comment.jpg", segment(photo, 0xfe, []byte(canary))},
		{"profile.jpg", "image/jpeg", "profile.jpg", segment(photo, 0xe2, []byte("ICC_PROFILE\x00"+canary))},
		{"after.jpg", "image/jpeg", "after.jpg", append(bytes.Clone(photo), canary...)},
		{"text.png", "image/png", "text.png", pngChunk(pngOf(corners(8, 8)), "tEXt", []byte("Comment\x00"+canary))},
		{"exif.png", "image/png", "exif.png", pngChunk(pngOf(corners(8, 8)), "eXIf", exif(1))},
		{"after.png", "image/png", "after.png", append(pngOf(corners(8, 8)), "<script>"+canary...)},
		{"comment.gif", "image/gif", "comment.gif", gifWith("!\xfe" + block(canary) + "\x00")},
		{"app.gif", "image/gif", "app.gif", gifWith("!\xff" + block("XMP DataXMP") + block(canary) + "\x00")},
		{"text.gif", "image/gif", "text.gif", gifWith("!\x01" + block("123456789012") + block(canary) + "\x00")},
		{"odd.gif", "image/gif", "odd.gif", gifWith("!\x77" + block(canary) + "\x00")},
		{"after.gif", "image/gif", "after.gif", append(animationOf(4, 4), canary...)},
		{"lossy.webp", "image/jpeg", "lossy.jpg", withChunk(webpLossy, "EXIF", exif(1))},
		{"lossless.webp", "image/png", "lossless.png", withChunk(webpLossless, "XMP ", []byte(canary))},
		{"moves.webp", "image/webp", "moves.webp", withChunk(withChunk(webpAnimated, "EXIF", exif(1)), "LOL!", []byte(canary))},
		{"page.html", "image/png", "page.html.png", append(pngOf(corners(8, 8)), canary...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := r.upload(t, 1, c.name, c.data)
			if f.MIME != c.mime || f.Name != c.saved || f.Kind != files.KindImage || f.Blurhash == "" {
				t.Errorf("file = %+v, want %s named %s", f, c.mime, c.saved)
			}
			data := r.read(t, f.ID, files.Original)
			if bytes.Contains(data, []byte("CANARY")) {
				t.Error("metadata is still there")
			}
			if int64(len(data)) != f.Size {
				t.Errorf("size = %d, stored %d", f.Size, len(data))
			}
			img, _, err := image.Decode(bytes.NewReader(data))
			if err != nil && c.name != "moves.webp" {
				t.Fatal(err)
			}
			if err == nil && (img.Bounds().Dx() != f.Width || img.Bounds().Dy() != f.Height) {
				t.Errorf("said %d×%d, is %v", f.Width, f.Height, img.Bounds())
			}
		})
	}
}

func block(s string) string { return string(rune(len(s))) + s }

// gifWith puts an extension before the first frame of an animation.
func gifWith(extension string) []byte {
	data := animationOf(4, 4)
	i := bytes.Index(data, []byte("!\xf9"))
	return bytes.Join([][]byte{data[:i], []byte(extension), data[i:]}, nil)
}

func TestAnimationsKeepMoving(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	f := r.upload(t, 1, "a.gif", animationOf(600, 300))
	all, err := gif.DecodeAll(bytes.NewReader(r.read(t, f.ID, files.Original)))
	must(t, err)
	if len(all.Image) != 2 || all.LoopCount != 3 || all.Delay[0] != 7 || all.Delay[1] != 9 {
		t.Errorf("%d frames, repeated %d times, delays %v", len(all.Image), all.LoopCount, all.Delay)
	}
	thumb, err := jpeg.Decode(bytes.NewReader(r.read(t, f.ID, files.Thumb)))
	must(t, err)
	if thumb.Bounds().Size() != image.Pt(320, 160) {
		t.Errorf("thumbnail is %v", thumb.Bounds())
	}
	cut := animationOf(4, 4)
	f = r.upload(t, 1, "cut.gif", cut[:len(cut)-3])
	if _, err := gif.DecodeAll(bytes.NewReader(r.read(t, f.ID, files.Original))); err != nil {
		t.Errorf("a GIF without its end: %v", err)
	}
	frame := webpAnimated[bytes.Index(webpAnimated, []byte("ANMF")):]
	f = r.upload(t, 1, "a.webp", withChunk(webpAnimated, "ANMF", frame[8:]))
	if got := r.read(t, f.ID, files.Original); bytes.Count(got, []byte("ANMF")) != 2 || !bytes.Contains(got, []byte("ANIM")) {
		t.Errorf("an animation of two frames became %q", got)
	}
}

// Orientation is applied to the pixels, since the tag goes.
func TestOrientation(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	//                          as stored, mirrored, half turn, …, as Exif numbers them
	shown := []string{"", "rgbw", "grwb", "wbgr", "bwrg", "rbgw", "brwg", "wgbr", "gwrb"}
	for o := byte(1); o <= 8; o++ {
		tag := append([]byte("Exif\x00\x00"), exif(o)...)
		gray := image.NewGray(image.Rect(0, 0, 40, 20))
		for i := range gray.Pix {
			gray.Pix[i] = 255
		}
		deep := image.NewNRGBA64(image.Rect(0, 0, 40, 20))
		flat := image.NewPaletted(image.Rect(0, 0, 40, 20), color.Palette{
			color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 255, 0, 255}, color.NRGBA{0, 0, 255, 255}, color.White,
		})
		for y := range 20 {
			for x := range 40 {
				deep.Set(x, y, corners(40, 20).At(x, y))
				flat.Set(x, y, corners(40, 20).At(x, y))
			}
		}
		for name, data := range map[string][]byte{
			shown[o]:               segment(jpegOf(corners(40, 20)), 0xe1, tag),
			"wwww":                 segment(jpegOf(gray), 0xe1, tag),
			shown[o] + " png":      pngChunk(pngOf(corners(40, 20)), "eXIf", exif(o)),
			shown[o] + " deep":     pngChunk(pngOf(deep), "eXIf", exif(o)),
			shown[o] + " paletted": pngChunk(pngOf(flat), "eXIf", exif(o)),
		} {
			f := r.upload(t, 1, "a", data)
			img, _, err := image.Decode(bytes.NewReader(r.read(t, f.ID, files.Original)))
			must(t, err)
			want := image.Pt(40, 20)
			if o >= 5 {
				want = image.Pt(20, 40)
			}
			if got := seen(img); got != strings.Fields(name)[0] || img.Bounds().Size() != want || f.Width != want.X || f.Height != want.Y {
				t.Errorf("orientation %d, %s: shows %s, %v; the row says %d×%d", o, name, got, img.Bounds(), f.Width, f.Height)
			}
		}
	}
}

func TestThumbnail(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	clear := corners(900, 600)
	for i := range 300 * 900 {
		clear.Pix[i*4+3] = 0
	}
	for _, c := range []struct {
		name  string
		data  []byte
		w, h  int
		mime  string
		whole bool // is its own thumbnail
	}{
		{"wide", jpegOf(corners(1000, 500)), 320, 160, "image/jpeg", false},
		{"high", pngOf(corners(500, 1000)), 160, 320, "image/jpeg", false},
		{"transparent", pngOf(clear), 320, 213, "image/png", false},
		{"line", pngOf(corners(5000, 1)), 320, 1, "image/jpeg", false},
		{"just", jpegOf(corners(320, 320)), 320, 320, "image/jpeg", true},
		{"one more", jpegOf(corners(321, 320)), 320, 319, "image/jpeg", false},
	} {
		f := r.upload(t, 1, c.name, c.data)
		if (f.ThumbKey == "") != c.whole {
			t.Errorf("%s: thumbnail under %q", c.name, f.ThumbKey)
		}
		rc, as, err := r.Open(t.Context(), f.ID, files.Thumb)
		must(t, err)
		size, _, err := image.DecodeConfig(rc)
		rc.Close()
		must(t, err)
		if size.Width != c.w || size.Height != c.h || as.MIME != c.mime {
			t.Errorf("%s: thumbnail %d×%d %s, want %d×%d %s", c.name, size.Width, size.Height, as.MIME, c.w, c.h, c.mime)
		}
	}
}

func TestAvatar(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	open := func(url string) image.Image {
		t.Helper()
		name, ok := strings.CutPrefix(url, "/avatars/")
		if !ok {
			t.Fatalf("address %q", url)
		}
		rc, f, err := r.OpenAvatar(name)
		must(t, err)
		defer rc.Close()
		img, err := jpeg.Decode(rc)
		must(t, err)
		if f.MIME != "image/jpeg" || f.Kind != files.KindAvatar {
			t.Errorf("avatar opens as %+v", f)
		}
		return img
	}
	for _, c := range []struct{ w, h, large, small int }{{1200, 700, 512, 128}, {700, 1200, 512, 128}, {100, 300, 100, 100}} {
		f, err := r.Avatar(t.Context(), 1, bytes.NewReader(pngOf(corners(c.w, c.h))))
		must(t, err)
		large, small := r.AvatarURL(f)
		if got := open(large); got.Bounds().Size() != image.Pt(c.large, c.large) || seen(got) != "rgbw" {
			t.Errorf("%d×%d became %v %s", c.w, c.h, got.Bounds(), seen(got))
		}
		if got := open(small); got.Bounds().Size() != image.Pt(c.small, c.small) {
			t.Errorf("%d×%d became a small %v", c.w, c.h, got.Bounds())
		}
	}
	if _, err := r.Avatar(t.Context(), 1, strings.NewReader("not a picture")); err == nil {
		t.Error("text became an avatar")
	}
	f, err := r.Avatar(t.Context(), 1, bytes.NewReader(pngOf(image.NewNRGBA(image.Rect(0, 0, 9, 9)))))
	must(t, err)
	large, _ := r.AvatarURL(f)
	if got := seen(open(large)); got != "wwww" {
		t.Errorf("nothing is painted %s, not white", got)
	}
	again, err := r.Avatar(t.Context(), 2, bytes.NewReader(pngOf(image.NewNRGBA(image.Rect(0, 0, 9, 9)))))
	must(t, err)
	must(t, r.DeleteOf(t.Context(), f.ID))
	if other, _ := r.AvatarURL(again); other == large {
		t.Error("two users share an avatar")
	}
	if _, _, err := r.OpenAvatar(strings.TrimPrefix(large, "/avatars/")); err == nil {
		t.Error("a deleted avatar is served")
	}
	for _, name := range []string{"", ".jpg", "../objects/a.jpg", strings.Repeat("a", 40), strings.Repeat("g", 40) + ".jpg", "/etc/passwd"} {
		if _, _, err := r.OpenAvatar(name); err != files.ErrNotFound {
			t.Errorf("OpenAvatar(%q) = %v", name, err)
		}
	}
}

// Blurhash of plain colours follows from the algorithm: all waves but the mean are zero.
func TestBlurhash(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	img := image.NewNRGBA(image.Rect(0, 0, 64, 48))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	// 4×3 waves: L; no contrast: 0; white: TSUA; each wave fQ, which is (9,9,9).
	want := "L0TSUA" + strings.Repeat("fQ", 11)
	got := r.upload(t, 1, "white.png", pngOf(img)).Blurhash
	if len(got) != len(want) || got[:1] != want[:1] || got[2:6] != want[2:6] {
		t.Errorf("blurhash of white = %s, want about %s", got, want)
	}
	if got := r.upload(t, 1, "high.png", pngOf(corners(20, 40))).Blurhash; len(got) != 28 || got[0] != 'T' {
		t.Errorf("blurhash of an upright image = %s, want 28 characters and T", got)
	}
}

// Sizes are read before pixels: headers that promise too much cost nothing.
func TestS29_ImagesAreMeasuredBeforeTheyAreDecoded(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	big := func(data []byte, at int, w, h uint32) []byte {
		data = bytes.Clone(data)
		binary.BigEndian.PutUint32(data[at:], w)
		binary.BigEndian.PutUint32(data[at+4:], h)
		binary.BigEndian.PutUint32(data[29:], crc(data[12:29]))
		return data
	}
	hugeGIF := func(w, h uint16) []byte {
		data := animationOf(4, 4)
		binary.LittleEndian.PutUint16(data[6:], w)
		binary.LittleEndian.PutUint16(data[8:], h)
		return data
	}
	jpegSized := func(data []byte, w, h uint16) []byte {
		data = bytes.Clone(data)
		i := bytes.Index(data, []byte{0xff, 0xc0})
		binary.BigEndian.PutUint16(data[i+5:], h)
		binary.BigEndian.PutUint16(data[i+7:], w)
		return data
	}
	webpSized := func(w, h int) []byte {
		data := bytes.Clone(webpAnimated)
		for i := range 3 {
			data[24+i], data[27+i] = byte((w-1)>>(8*i)), byte((h-1)>>(8*i))
		}
		return data
	}
	progressive := jpegSized(jpegOf(corners(8, 8)), 5000, 5000)
	progressive[bytes.Index(progressive, []byte{0xff, 0xc0})+1] = 0xc2
	for _, c := range []struct {
		name, field string
		data        []byte
	}{
		{"png 4 G pixels", "pixels", big(pngOf(corners(8, 8)), 16, 65535, 65535)},
		{"png 2^31 wide", "pixels", big(pngOf(corners(8, 8)), 16, 1<<31-1, 1)},
		{"png 40 M and one row", "pixels", big(pngOf(corners(8, 8)), 16, 8000, 5001)},
		{"png 40 M of four bytes", "memory", big(pngOf(corners(8, 8)), 16, 8000, 5000)},
		{"png turned", "memory", pngChunk(big(pngOf(corners(8, 8)), 16, 5000, 4000), "eXIf", exif(6))},
		{"gif", "pixels", hugeGIF(65535, 65535)},
		{"jpeg", "pixels", jpegSized(jpegOf(corners(8, 8)), 65535, 65535)},
		{"jpeg progressive", "memory", progressive},
		{"webp", "pixels", webpSized(1<<24, 1<<24)},
		{"webp memory", "memory", webpSized(6000, 6000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := r.Upload(t.Context(), 1, "a", "", bytes.NewReader(c.data))
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
				t.Errorf("took %d bytes to refuse it", took)
			}
			if !isLimit(err, c.field) {
				t.Errorf("error = %v, want the limit of %s", err, c.field)
			}
		})
	}
	if names := r.folder(t); len(names) != 0 {
		t.Errorf("refused images left %q", names)
	}
}

func TestS29_ImageBoundsAreExact(t *testing.T) {
	for _, c := range []struct {
		name, mime     string
		data           []byte
		pixels, memory int64
	}{
		{"png", "image/png", pngOf(corners(8, 8)), 64, 64 * 4},
		{"turned png", "image/png", pngChunk(pngOf(corners(8, 8)), "eXIf", exif(8)), 64, 64 * 8},
		{"gif", "image/gif", animationOf(8, 8), 64, 64},
		{"jpeg", "image/jpeg", jpegOf(corners(8, 8)), 64, 96}, // colour at a quarter
		{"webp", "image/webp", webpLossless, 1, 8},
	} {
		for _, less := range []struct {
			pixels, memory int64
			field          string
		}{{0, 0, ""}, {1, 0, "pixels"}, {0, 1, "memory"}} {
			b := files.Bounds{Pixels: c.pixels - less.pixels, Memory: c.memory - less.memory}
			_, _, err := b.Read(c.data, c.mime, &bytes.Buffer{})
			if less.field == "" && err != nil || less.field != "" && !isLimit(err, less.field) {
				t.Errorf("%s within %+v: %v", c.name, b, err)
			}
		}
	}
}

// BenchmarkImage is what a photograph of a phone costs: twelve megapixels, lying on its side.
func BenchmarkImage(b *testing.B) {
	data := segment(jpegOf(corners(4000, 3000)), 0xe1, append([]byte("Exif\x00\x00"), exif(6)...))
	bounds := files.Bounds{Pixels: 40_000_000, Memory: 128 << 20}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := bounds.Read(data, "image/jpeg", io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// What looks like an image and is none is refused, whatever else it is.
func TestS29_BrokenImagesAreRefused(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	photo := jpegOf(corners(64, 64))
	scans := photo[:len(photo)-2]
	sos := scans[bytes.Index(scans, []byte{0xff, 0xda}):]
	for range 200 {
		scans = append(bytes.Clone(scans), sos...)
	}
	html := "<script>alert(1)</script>"
	for name, data := range map[string][]byte{
		"png magic and html":     []byte("\x89PNG\r\n\x1a\n" + html),
		"gif magic and js":       []byte("GIF89a/*" + html + "*/=1;alert(1)//;"),
		"jpeg magic and html":    []byte("\xff\xd8\xff" + html),
		"webp magic and html":    []byte("RIFF\x40\x00\x00\x00WEBP" + html + html),
		"webp magic":             []byte("RIFF\x00\x00\x00\x00WEBP"),
		"jpeg cut":               photo[:len(photo)/4],
		"png cut":                pngOf(corners(64, 64))[:60],
		"jpeg of 200 scans":      append(scans, 0xff, 0xd9),
		"webp frame outside":     outside(),
		"png without image data": pngOf(corners(8, 8))[:33],
	} {
		for _, kind := range []string{"", files.KindFile, files.KindImage, files.KindAvatar} {
			if f, err := r.Upload(t.Context(), 1, "a.html", kind, bytes.NewReader(data)); !isUnsupported(err) {
				t.Errorf("%s as %q: %v, %v", name, kind, f, err)
			}
		}
	}
}

func outside() []byte {
	data := bytes.Clone(webpAnimated)
	data[bytes.Index(data, []byte("ANMF"))+8+6] = 9 // wider than the whole
	return data
}

func FuzzImage(f *testing.F) {
	photo := segment(jpegOf(corners(16, 8)), 0xe1, append([]byte("Exif\x00\x00"), exif(6)...))
	for _, seed := range [][]byte{
		photo, pngChunk(pngOf(corners(16, 8)), "eXIf", exif(5)), gifWith("!\xfe" + block("x") + "\x00"),
		webpLossy, webpLossless, webpAnimated, withChunk(webpAnimated, "EXIF", exif(3)), outside(),
	} {
		f.Add(seed)
	}
	bounds := files.Bounds{Pixels: 1 << 16, Memory: 1 << 19}
	f.Fuzz(func(t *testing.T, data []byte) {
		mime := files.Sniff(data)
		if !strings.HasPrefix(mime, "image/") {
			return
		}
		var out bytes.Buffer
		w, h, err := bounds.Read(data, mime, &out)
		if err != nil {
			return
		}
		if w <= 0 || h <= 0 || w*h > 1<<16 {
			t.Fatalf("%d×%d", w, h)
		}
		again := files.Sniff(out.Bytes())
		if _, _, err := bounds.Read(out.Bytes(), again, &bytes.Buffer{}); err != nil {
			var limit *files.LimitError
			if !asLimit(err, &limit) {
				t.Fatalf("what was written as %s cannot be read: %v", again, err)
			}
		}
	})
}

func FuzzSniff(f *testing.F) {
	for _, seed := range []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff\xe0", "GIF89a", "<svg", "ID3\x03\x00\x00\x00\x00\x00\x00", "\xff\xfb\x90\x00", "\x00\x00\x00\x18ftypisom"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		mime := files.Sniff(data)
		if mime == "" || strings.ContainsAny(mime, "\r\n;\" ") {
			t.Fatalf("type %q", mime)
		}
		if mime == "text/plain" && bytes.HasPrefix(bytes.TrimSpace(data), []byte("<script")) {
			t.Fatal("markup is text")
		}
	})
}
