// Package webui serves the pages that are embedded in the binary. For now that is
// the demo page, on which browser windows share a channel through the official
// client; its sources are in web/demo, its bundle, made by internal/webui/build,
// in dist.
//
// Every answer carries a content security policy that allows nothing but files of
// this server: no inline script or style, no other origin. The page itself is
// revalidated each time; its assets are named after their content and cached
// for a year.
//
// A handler holds no connection and starts no goroutine.
package webui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

//go:embed dist
var dist embed.FS

// policy is S28 of the guarantees.
const policy = "default-src 'self'; object-src 'none'; img-src 'self' blob: data:; base-uri 'none'; " +
	"form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"

const (
	maxName  = 32   // characters of a name
	maxInput = 1024 // bytes of a token request
)

// TokenFunc returns a connection token for a visitor who calls himself name: 1 to
// 32 printable characters, nothing else about it is checked. The page shows the
// member "name" of the token's info as the author of messages and in presence.
type TokenFunc func(name string) (string, error)

// Demo returns the handler of the demo page. It answers
//
//	GET  /             the page
//	GET  /assets/…     its files
//	POST /demo/token   {"name": "…"} → {"token": "…"}, from the page's own origin only
//
// and 404 to everything else. The page connects to /connection/websocket on the
// same origin, in channel "demo" unless the address says ?channel=….
func Demo(token TokenFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { serve(w, r, "index.html") })
	mux.HandleFunc("GET /assets/{name}", func(w http.ResponseWriter, r *http.Request) {
		serve(w, r, "assets/"+r.PathValue("name"))
	})
	mux.HandleFunc("POST /demo/token", func(w http.ResponseWriter, r *http.Request) { giveToken(w, r, token) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		mux.ServeHTTP(w, r)
	})
}

// serve answers with an embedded file. Embedded files have no time, so what tells
// a changed one is a tag made of its content.
func serve(w http.ResponseWriter, r *http.Request, name string) {
	content, err := dist.ReadFile("dist/" + name) // not cleaned: a name with ".." in it exists nowhere
	if err != nil {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(content)
	h := w.Header()
	h.Set("Content-Type", contentType(name))
	h.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	h.Set("Cache-Control", "no-cache")
	if strings.Contains(name, "-") { // a name that carries its content's hash
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}

// contentType does not ask the operating system's tables, which differ.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/plain; charset=utf-8"
	}
}

func giveToken(w http.ResponseWriter, r *http.Request, token TokenFunc) {
	w.Header().Set("Cache-Control", "no-store")
	// Another site's page can make a browser send this request, but not as JSON
	// without asking first, and not with our origin.
	if !sameOrigin(r) {
		http.Error(w, "only the page of this server may ask for a token", http.StatusForbidden)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "the request must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	name, err := readName(http.MaxBytesReader(w, r.Body, maxInput))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	signed, err := token(name)
	if err != nil {
		http.Error(w, "no token could be made; the server's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// Encoding two strings does not fail; a reader that has gone is nobody to tell.
	_ = json.NewEncoder(w).Encode(map[string]string{"token": signed})
}

// sameOrigin says whether the request comes from a page of this server, or from no page at all.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	from, err := url.Parse(origin)
	return err == nil && from.Host != "" && strings.EqualFold(from.Host, r.Host)
}

func readName(body io.Reader) (string, error) {
	var in struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(body).Decode(&in); err != nil {
		return "", errors.New(`the request must be an object like {"name": "Anna"}`)
	}
	name := strings.TrimSpace(in.Name)
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName {
		return "", errors.New("name must have 1 to 32 characters")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.New("name must have printable characters only")
	}
	return name, nil
}
