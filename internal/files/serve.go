package files

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// policy lets a file that a browser opens by itself show pictures, sounds and nothing
// else; it runs no script and belongs to no origin (guarantees.md S29).
const policy = "default-src 'none'; img-src 'self'; media-src 'self'; sandbox"

// Serve answers a request with the bytes of f, or the ranges of them it asks for, and
// closes rc. What is not on the list of guarantees.md S29 is a download of no type; with
// the parameter "download" everything is. Callers have decided that it may be read.
func Serve(w http.ResponseWriter, r *http.Request, f File, rc io.ReadSeekCloser) {
	defer rc.Close()
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	mime, disposition := f.MIME, "inline"
	if !slices.Contains(inline, mime) {
		mime, disposition = unknown, "attachment"
	}
	if mime == text {
		mime += "; charset=utf-8" // all of it was checked to be
	}
	if r.URL.Query().Has("download") {
		disposition = "attachment"
	}
	h.Set("Content-Type", mime)
	h.Set("Content-Disposition", disposition+"; "+headerName(f.Name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("ETag", `"`+f.SHA256+`"`)
	// A file never changes. Only avatars may be kept by caches that many share.
	if f.Kind == KindAvatar {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "private, max-age=86400, immutable")
	}
	http.ServeContent(w, r, "", time.UnixMilli(f.CreatedAt), rc)
}

// headerName writes a name as parameters of Content-Disposition: in ASCII for those who
// know no better, and as RFC 5987 §3.2 has it. Nothing of the name can end the value.
func headerName(name string) string {
	const hex = "0123456789ABCDEF"
	var plain, encoded strings.Builder
	for _, r := range name {
		if r < ' ' || r >= 0x7f || strings.ContainsRune(`"\%;`, r) {
			r = '_'
		}
		plain.WriteRune(r)
	}
	for i := range len(name) {
		if c := name[i]; letter(c) || c >= '0' && c <= '9' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			encoded.WriteByte(c)
		} else {
			encoded.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return `filename="` + plain.String() + `"; filename*=UTF-8''` + encoded.String()
}
