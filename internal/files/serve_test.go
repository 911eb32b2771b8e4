package files_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/store"
)

// get serves a file over a real connection.
func (r *rig) get(t *testing.T, f files.File, method, query string, header http.Header) (*http.Response, []byte) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rc, f, err := r.Open(req.Context(), f.ID, files.Original)
		if err != nil {
			http.NotFound(w, req)
			return
		}
		files.Serve(w, req, f, rc)
	}))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/"+query, http.NoBody)
	must(t, err)
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return res, body
}

// The shortest beginnings of the formats that play inline.
var (
	mp4  = box("ftyp", []byte("isom\x00\x00\x02\x00isomiso2"))
	m4a  = box("ftyp", []byte("M4A \x00\x00\x02\x00M4A "))
	heic = box("ftyp", []byte("heic\x00\x00\x00\x00mif1heic"))
	webm = []byte("\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm\x42\x87\x81\x04")
	mkv  = []byte("\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska\x42\x87\x81\x04")
	mp3  = bytes.Repeat(append([]byte{0xff, 0xfb, 0x90, 0}, make([]byte, 413)...), 3)
)

func box(name string, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(all)+8)), name...), all...)
}

// S29: whatever somebody uploads under whatever name, a browser runs nothing of it.
func TestS29_OnlyHarmlessTypesAreInline(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	const svg = `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`
	const html = "<html><script>alert(1)</script></html>"
	for _, c := range []struct {
		name, data, inline string // inline is the type, "" for a download
	}{
		{"a.png", string(pngOf(corners(8, 8))), "image/png"},
		{"a.jpg", string(jpegOf(corners(8, 8))), "image/jpeg"},
		{"a.gif", string(animationOf(8, 8)), "image/gif"},
		{"a.webp", string(webpAnimated), "image/webp"},
		{"a.mp4", string(mp4), "video/mp4"},
		{"a.m4a", string(m4a), "video/mp4"},
		{"a.webm", string(webm), "video/webm"},
		{"a.mp3", string(mp3), "audio/mpeg"},
		{"tagged.mp3", "ID3\x03\x00\x00\x00\x00\x00\x00", "audio/mpeg"},
		{"a.txt", "просто текст", "text/plain; charset=utf-8"},
		{"a.html", "text with < in it", "text/plain; charset=utf-8"},
		{"html.png", html, ""},
		{"html.txt", html, ""},
		{"late.txt", strings.Repeat(" \n", 1000) + html, ""},
		{"comment.txt", "<!-- x -->" + html, ""},
		{"entity.txt", "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", ""},
		{"image.svg", svg, ""},
		{"image.png", svg, ""},
		{"bom.svg", "\xef\xbb\xbf" + svg, ""},
		{"utf16.html", "\xff\xfe<\x00h\x00t\x00m\x00l\x00>\x00", ""},
		{"a.pdf", "%PDF-1.7\n" + html, ""},
		{"a.xml", "<a xmlns='x'/>", ""},
		{"a.zip", "PK\x03\x04" + html, ""},
		{"a.swf", "CWS\x0a\x00\x01" + html, ""},
		{"a.exe", "MZ\x90\x00", ""},
		{"a.heic", string(heic), ""},
		{"a.mkv", string(mkv), ""},
		{"a.ogg", "OggS\x00\x02", ""},
		{"a.wasm", "\x00asm\x01\x00\x00\x00", ""},
		{"a.bmp", "BM\x00\x00\x00\x00" + html, ""},
		{"cp1251.txt", "\xcf\xf0\xe8\xe2\xe5\xf2", ""},
		{"zero.txt", strings.Repeat("a", 5000) + "\x00" + html, ""},
		{"end.txt", strings.Repeat("a", 5000) + "\xd0", ""},
		{"one.mp3", "\xff\xfb\x90\x00" + html, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := r.upload(t, 1, c.name, []byte(c.data))
			res, _ := r.get(t, f, "GET", "", nil)
			want, disposition := c.inline, "inline"
			if want == "" {
				want, disposition = "application/octet-stream", "attachment"
			}
			if got := res.Header.Get("Content-Type"); got != want {
				t.Errorf("Content-Type = %q, want %q", got, want)
			}
			if got := res.Header.Get("Content-Disposition"); !strings.HasPrefix(got, disposition+"; filename=") {
				t.Errorf("Content-Disposition = %q, want %s", got, disposition)
			}
			if got := res.Header.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("X-Content-Type-Options = %q", got)
			}
			if got := res.Header.Get("Content-Security-Policy"); !strings.HasSuffix(got, "; sandbox") || !strings.HasPrefix(got, "default-src 'none'") {
				t.Errorf("Content-Security-Policy = %q", got)
			}
			res, _ = r.get(t, f, "GET", "?download", nil)
			if got := res.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment; ") {
				t.Errorf("asked to download: %q", got)
			}
		})
	}
}

func TestKinds(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	for _, c := range []struct{ ask, data, kind, mime string }{
		{"", string(mp4), "video", "video/mp4"},
		{"", string(mp3), "file", "audio/mpeg"},
		{"", "text", "file", "text/plain"},
		{"", string(pngOf(corners(8, 8))), "image", "image/png"},
		{"file", string(pngOf(corners(8, 8))), "file", "image/png"},
		{"file", string(mp4), "file", "video/mp4"},
		{"video", string(webm), "video", "video/webm"},
		{"voice", string(webm), "voice", "audio/webm"},
		{"voice", string(mp4), "voice", "audio/mp4"},
		{"voice", string(mp3), "voice", "audio/mpeg"},
		{"voice", "OggS\x00\x02", "voice", "application/ogg"},
		{"avatar", string(pngOf(corners(8, 8))), "avatar", "image/jpeg"},
		{"voice", "text", "", ""},
		{"video", string(mp3), "", ""},
		{"image", "text", "", ""},
		{"image", string(mp4), "", ""},
		{"avatar", string(mp4), "", ""},
		{"video", string(pngOf(corners(8, 8))), "", ""},
	} {
		f, err := r.Upload(t.Context(), 1, "a", c.ask, strings.NewReader(c.data))
		if c.kind == "" {
			if !isUnsupported(err) {
				t.Errorf("%.8q as %q: %+v, %v", c.data, c.ask, f, err)
			}
			continue
		}
		if err != nil || f.Kind != c.kind || f.MIME != c.mime {
			t.Errorf("%.8q as %q: %s %s, %v; want %s %s", c.data, c.ask, f.Kind, f.MIME, err, c.kind, c.mime)
		}
	}
}

// A film says where it was taken; its length is read on the way.
func TestS29_FilmsLoseWhereTheyWereTaken(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	u32 := func(v ...uint32) (b []byte) {
		for _, n := range v {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return b
	}
	taken := []byte("TAKEN ON")
	mvhd := box("mvhd", u32(0), taken, u32(600, 1500), make([]byte, 80))
	tkhd := box("tkhd", u32(7), taken, u32(1, 0, 1500), make([]byte, 16),
		u32(0, 1<<16, 0, ^uint32(0xffff), 0, 0, 0, 0, 1<<30), u32(1920<<16, 1080<<16)) // a quarter turn
	udta := box("udta", box("\xa9xyz", []byte(canary)))
	film := bytes.Join([][]byte{
		mp4, box("uuid", []byte(canary)),
		box("moov", mvhd, udta, box("trak", tkhd, udta, box("mdia", box("mdhd", u32(0), taken, u32(600, 1500, 0)))), box("meta", []byte(canary))),
		box("mdat", []byte("the film itself")), box("meta", []byte(canary)),
	}, nil)
	f := r.upload(t, 1, "a.mp4", film)
	if f.DurationMS != 2500 || f.Width != 1080 || f.Height != 1920 || f.Size != int64(len(film)) {
		t.Errorf("film = %+v", f)
	}
	got := r.read(t, f.ID, files.Original)
	if bytes.Contains(got, []byte("CANARY")) || bytes.Contains(got, taken) || !bytes.Contains(got, []byte("the film itself")) {
		t.Errorf("stored %q", got)
	}
	for _, broken := range [][]byte{
		append(bytes.Clone(mp4), 0, 0, 0, 4, 'm', 'o', 'o', 'v'),
		append(bytes.Clone(mp4), box("moov", box("mvhd"), box("tkhd", u32(1)), box("mdhd", u32(1)), []byte{0, 0, 0, 1, 't', 'r', 'a', 'k'})...),
		append(bytes.Clone(mp4), 0, 0, 0, 1, 'm', 'o', 'o', 'v', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		append(bytes.Clone(mp4), 0, 0, 0, 0, 'u', 'd', 't', 'a'),
		mp4[:8],
	} {
		r.upload(t, 1, "a.mp4", broken)
	}
}

func TestServeRanges(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	f := r.upload(t, 1, "a.txt", []byte("0123456789"))
	for _, c := range []struct {
		method, ask string
		status      int
		body        string
	}{
		{"GET", "bytes=2-4", 206, "234"},
		{"GET", "bytes=-3", 206, "789"},
		{"GET", "bytes=10-", 416, ""},
		{"GET", "", 200, "0123456789"},
		{"HEAD", "", 200, ""},
		{"POST", "", 405, ""},
	} {
		header := http.Header{}
		if c.ask != "" {
			header.Set("Range", c.ask)
		}
		res, body := r.get(t, f, c.method, "", header)
		if res.StatusCode != c.status || c.status < 300 && string(body) != c.body {
			t.Errorf("%s %s: %d %q", c.method, c.ask, res.StatusCode, body)
		}
	}
	res, _ := r.get(t, f, "GET", "", nil)
	etag := res.Header.Get("Etag")
	if cc := res.Header.Get("Cache-Control"); etag != `"`+f.SHA256+`"` || !strings.HasPrefix(cc, "private, ") {
		t.Errorf("Etag %s, Cache-Control %s", etag, cc)
	}
	if res, _ := r.get(t, f, "GET", "", http.Header{"If-None-Match": {etag}}); res.StatusCode != http.StatusNotModified {
		t.Errorf("status = %d for what the client has", res.StatusCode)
	}
}

// No name ends a header or becomes another one, and browsers read it as it is.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"a.txt", "отчёт за май.pdf", "a\r\nSet-Cookie: x=1", `a"; filename="b.exe`, "a\x00b", `..\..\x`, "%41%0d%0a", "a;b", "\xff\xfe", "🙂.png", "it's (1).txt"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean := files.CleanName(name)
		if clean == "" || len(clean) > 255 || !utf8.ValidString(clean) || strings.ContainsAny(clean, "/\\\x00\r\n") || clean != filepath.Base(clean) || files.CleanName(clean) != clean {
			t.Fatalf("%q is named %q, then %q", name, clean, files.CleanName(clean))
		}
		w := httptest.NewRecorder()
		files.Serve(w, httptest.NewRequest("GET", "/", http.NoBody), files.File{Name: clean}, nopCloser{strings.NewReader("x")})
		value := w.Header().Get("Content-Disposition")
		for i := range len(value) {
			if value[i] < ' ' || value[i] > '~' {
				t.Fatalf("header %q", value)
			}
		}
		kind, params, err := mime.ParseMediaType(value)
		if err != nil || kind != "attachment" || params["filename"] != clean {
			t.Fatalf("header %q is read as %s %q, %v", value, kind, params, err)
		}
	})
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// S19: a link opens the variant of the file it was made for, for whom it was made, until
// it ends; changing any of that makes it nothing.
func TestS19_LinksAreBoundToFileVariantAndReader(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	a, b := r.upload(t, 1, "a", []byte("a")), r.upload(t, 1, "b", []byte("b"))
	address, expires := r.URL(a.ID, files.Thumb, 42)
	u, err := url.Parse(address)
	must(t, err)
	link, err := r.Verify(u)
	must(t, err)
	if link != (files.Link{ID: a.ID, Variant: files.Thumb, User: 42, Expires: expires}) || !strings.HasPrefix(address, "/api/v2/files/"+a.ID+"/thumb?") {
		t.Errorf("%s says %+v", address, link)
	}
	if ttl := expires.Sub(r.clock()); ttl > 24*time.Hour || ttl < 23*time.Hour {
		t.Errorf("lives for %v", ttl)
	}
	other, _ := r.URL(b.ID, files.Thumb, 42)
	signature := other[strings.Index(other, "&s="):]
	for what, changed := range map[string]string{
		"file":              strings.Replace(address, a.ID, b.ID, 1),
		"variant":           strings.Replace(address, "/thumb?", "/original?", 1),
		"reader":            strings.Replace(address, "u=42", "u=43", 1),
		"no reader":         strings.Replace(address, "&u=42", "", 1),
		"reader twice":      address + "&u=42",
		"reader 042":        strings.Replace(address, "u=42", "u=042", 1),
		"expiry":            strings.Replace(address, "e=1", "e=2", 1),
		"expiry +":          strings.Replace(address, "e=", "e=%2B", 1),
		"expiry twice":      address + "&e=99999999999",
		"no signature":      address[:strings.Index(address, "&s=")],
		"empty signature":   address[:strings.Index(address, "&s=")] + "&s=",
		"other's signature": address[:strings.Index(address, "&s=")] + signature,
		"short signature":   address[:len(address)-4],
		"long signature":    address + "AAAA",
		"padded signature":  address + "=",
		"broken signature":  address + "%0A",
		"unknown variant":   strings.Replace(address, "/thumb?", "/large?", 1),
		"no file":           "/api/v2/files/thumb?" + u.RawQuery,
		"nothing":           "",
	} {
		if changed == address {
			t.Fatalf("%s: not changed", what)
		}
		if u, err := url.Parse(changed); err == nil {
			if l, err := r.Verify(u); err != files.ErrLink {
				t.Errorf("%s changed: %+v, %v", what, l, err)
			}
		}
	}
	if u, err := url.Parse(address + "&download=1"); err != nil || verifyErr(r, u) != nil {
		t.Error("a link to download is refused")
	}
	r.pass(time.Until(expires) - time.Until(r.clock()) - time.Second)
	if err := verifyErr(r, u); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	r.pass(time.Second)
	if err := verifyErr(r, u); err != files.ErrLink {
		t.Errorf("at its end: %v", err)
	}
	secret := r.o
	secret.Secret = []byte("another secret, also of 32 bytes")
	address, _ = r.URL(a.ID, files.Original, 0)
	u, err = url.Parse(address)
	must(t, err)
	must(t, verifyErr(r, u))
	r.open(t, secret)
	if err := verifyErr(r, u); err != files.ErrLink {
		t.Errorf("under another secret: %v", err)
	}
}

func verifyErr(r *rig, u *url.URL) error {
	_, err := r.Verify(u)
	return err
}

func TestLinksMadeTogetherAreTheSame(t *testing.T) {
	r := newRig(t, store.SQLite, files.Options{})
	f := r.upload(t, 1, "a", []byte("a"))
	r.pass(r.clock().Truncate(time.Hour).Add(time.Hour).Sub(r.clock()))
	first, _ := r.URL(f.ID, files.Original, 1)
	r.pass(59 * time.Minute)
	if second, _ := r.URL(f.ID, files.Original, 1); second != first {
		t.Errorf("%s, then %s", first, second)
	}
	r.pass(time.Minute)
	if third, _ := r.URL(f.ID, files.Original, 1); third == first {
		t.Error("an hour later it is still the same")
	}
}

func FuzzLink(f *testing.F) {
	s, err := files.New(files.Options{
		Folder: f.TempDir(), Secret: make([]byte, 32), Store: failing{}, Access: noAccess{},
		Clock: func() time.Time { return time.Unix(1_700_000_000, 0) },
	})
	must(f, err)
	id := "f_" + strings.Repeat("a", 26)
	good, _ := s.URL(id, files.Original, 7)
	f.Add(good)
	f.Add("/x/" + id + "/thumb?e=1&s=AA")
	f.Add("?e=1;s=2")
	f.Fuzz(func(t *testing.T, address string) {
		u, err := url.Parse(address)
		if err != nil {
			return
		}
		l, err := s.Verify(u)
		if err == nil && (l.ID != id || l.Variant != files.Original || l.User != 7) {
			t.Fatalf("%q was forged: %+v", address, l)
		}
	})
}

type noAccess struct{ files.Access }
