package server

import (
	"io"
	"log/slog"
	"net/http"
)

// Namespace is seen by tests.
var Namespace = namespace

// Front answers the requests of s.
func Front(s *Server) http.Handler { return s.front }

// NewLogger is the log of a server with the given secrets.
func NewLogger(w io.Writer, format, level string, secrets []string) *slog.Logger {
	return newLogger(newMask(w, secrets), format, level)
}

// FrontOf contains the panics of h.
func FrontOf(h http.HandlerFunc, log *slog.Logger) (f http.Handler, panics func() uint64) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", h)
	inner := &front{rest: mux, log: log}
	return inner, inner.panics.Load
}
