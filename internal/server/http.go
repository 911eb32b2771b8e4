package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
)

// front answers every request that is no upgrade.
type front struct {
	api     http.Handler // nil if the API is off
	prefix  string       // of the API, without a slash at the end
	chat    bool         // the contracts of chat are served
	rest    *http.ServeMux
	log     *slog.Logger
	proxies proxies
	// access says that each request is logged; it is not worth its cost otherwise.
	access bool
	panics atomic.Uint64
}

// ServeHTTP contains panics (guarantees.md R35), and sends API calls their way without
// the detour over the mux.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer f.contain(w, r)
	r = f.proxies.behind(r)
	if f.access {
		// The path alone: a query may carry a token (guarantees.md S6).
		defer func(start time.Time) {
			f.log.Debug("request", "method", r.Method, "path", r.URL.Path, "peer", r.RemoteAddr, "took", time.Since(start))
		}(time.Now())
	}
	if f.api != nil && below(r.URL.Path, f.prefix) && !f.contract(r.URL.Path) {
		f.api.ServeHTTP(w, r)
		return
	}
	f.rest.ServeHTTP(w, r.WithContext(identity.WithPeer(r.Context(), r.RemoteAddr)))
}

// contract tells whether a path below /api belongs to a contract of chat, not to the
// server API: they share that root, and no name (chat-api.md §D.1).
func (f *front) contract(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok || !f.chat {
		return false
	}
	first, _, _ := strings.Cut(rest, "/")
	switch first {
	case "v1", "v2", "get-user-info", "chats", "typing", "search-users", "update-centrifugo-token":
		return true
	}
	return false
}

// contain ends a request whose handler panicked.
func (f *front) contain(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p) // the way to cut a connection; net/http takes it from here
	}
	f.panics.Add(1)
	id := rand.Text()[:12]
	f.log.Error("request handler panicked", "request_id", id, "method", r.Method, "path", r.URL.Path,
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	w.Header().Set("X-Request-Id", id)
	http.Error(w, "internal server error; request "+id, http.StatusInternalServerError)
}

// below tells whether path is prefix or under it.
func below(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// routes is the URL map except the API, and the WebSocket, which is the transport's
// (design.md §3.2).
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	if s.o.Demo {
		mux.Handle("/", orNotFound(s.demoPage(), s.notFound))
	} else {
		mux.HandleFunc("/", s.notFound)
		mux.HandleFunc("/{$}", s.startPage)
	}
	if b := s.backend; b != nil {
		h := b.api.Handler()
		for _, path := range []string{"/api/v2/", "/openapi.json", "/docs/", "/avatars/"} {
			mux.Handle(path, h)
		}
		s.handleWindi(mux)
		s.handleGateway(mux)
		s.handleWebhooks(mux)
		if b.chequite != nil {
			h := b.api.Around(b.chequite.Handler())
			for _, path := range chequitePaths {
				mux.Handle(path, h)
			}
		}
	}
	if s.cfg.Health.Enabled {
		mux.HandleFunc("/health", s.health)
		mux.HandleFunc("/livez", livez)
		mux.HandleFunc("/readyz", s.readyz)
	}
	if s.cfg.Prometheus.Enabled {
		mux.Handle("/metrics", s.nearby(s.metricsHandler()))
	}
	return mux
}

// health answers as Centrifugo's does, but for a database that is broken (guarantees.md
// R6) or may lose what it acknowledged (R2).
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body := "{}"
	if b := s.backend; b != nil {
		switch {
		case b.store.Err() != nil:
			w.WriteHeader(http.StatusServiceUnavailable)
		case s.cfg.Storage.UnsafeDurability:
			body = `{"unsafe_durability":true}`
		}
	}
	_, _ = w.Write([]byte(body)) // the peer may be gone
}

func livez(w http.ResponseWriter, _ *http.Request) { sendText(w, http.StatusOK, "alive\n") }

// readyz answers 503 until the server takes clients, and again once it is stopping.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.ready(); err != nil {
		w.Header().Set("Retry-After", "5")
		sendText(w, http.StatusServiceUnavailable, err.Error()+"\n")
		return
	}
	sendText(w, http.StatusOK, "ready\n")
}

var (
	errNotRunning = errors.New("not ready")
	errNoDatabase = errors.New("not ready: the database is not available")
)

// ready returns nil while the server takes clients and reaches its database.
func (s *Server) ready() error {
	if s.state.Load() != running {
		return errNotRunning
	}
	if b := s.backend; b != nil && b.store.Ready() != nil {
		return errNoDatabase
	}
	return nil
}

// nearby lets requests from this machine through to h, and all others only where the
// operator asked for it in so many words (guarantees.md S20).
func (s *Server) nearby(h http.Handler) http.Handler {
	if s.publicMetrics {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A proxy on this machine speaks for others.
		if !loopback(r.RemoteAddr) || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
			sendText(w, http.StatusForbidden, "metrics are for this machine only; set prometheus.enabled to true to serve them to all\n")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// loopback tells whether addr, an address with port, is of this machine.
func loopback(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// loopbackHost tells whether a listener on host is reached from this machine only.
func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	sendText(w, http.StatusNotFound, fmt.Sprintf("404: nothing at %q.\n\n%s", r.URL.Path, s.places()))
}

// places lists what is served, for people who look around.
func (s *Server) places() string {
	var b strings.Builder
	b.WriteString("This is Kuranty, a realtime server and chat backend. It answers at\n")
	line := func(on bool, path, what string) {
		if on {
			fmt.Fprintf(&b, "  %-24s %s\n", path, what)
		}
	}
	line(true, "/", "a page for people")
	line(!s.cfg.WebSocket.Disabled, s.cfg.WebSocket.HandlerPrefix, "realtime clients")
	line(s.front.api != nil, s.front.prefix+"/{method}", "the server API: POST with X-API-Key")
	if b := s.backend; b != nil {
		line(true, "/api/v2  /docs/", "chat: our REST API, and its operations; /openapi.json for programs")
		line(s.cfg.Gateway.Enabled, "/v1/ws  /v1/events  /ws", "everything that happens, as events; /v1/asyncapi.json for programs")
		line(b.hooks != nil, "/webhooks", "webhooks: what happens, sent to your servers")
		line(s.cfg.Chat.Compat.Windi.Enabled, "/api/v1", "chat for clients of the WinDI guide")
		line(b.chequite != nil, "/api/chats …", "chat for clients of the chequite package")
	}
	line(s.cfg.Health.Enabled, "/health /livez /readyz", "is it well, alive, ready?")
	line(s.cfg.Prometheus.Enabled, "/metrics", "figures for Prometheus")
	return b.String()
}

// startPage is what a server without a user interface shows at its root.
func (s *Server) startPage(w http.ResponseWriter, r *http.Request) {
	text := s.places() + "\nTo see two browsers talk to each other, start kuranty demo.\n"
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		sendText(w, http.StatusOK, text)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	_, _ = fmt.Fprintf(w, `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Kuranty</title>
<h1>Kuranty is running</h1>
<pre>%s</pre>
</html>
`, text) // of our own words and configured paths
}

// orNotFound lets h answer for what it has, and notFound for the rest.
func orNotFound(h http.Handler, notFound http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&missWriter{ResponseWriter: w, miss: func() { notFound(w, r) }}, r)
	})
}

// missWriter replaces a bare 404 by the answer of miss.
type missWriter struct {
	http.ResponseWriter
	miss   func()
	missed bool
}

func (w *missWriter) WriteHeader(status int) {
	if status != http.StatusNotFound {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.missed = true
	clear(w.Header())
	w.miss()
}

func (w *missWriter) Write(p []byte) (int, error) {
	if w.missed {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

func (w *missWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func sendText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) //nolint:gosec // plain text by its header; the peer may be gone
}
