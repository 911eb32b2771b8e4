package server

import (
	"io"
	"log/slog"
)

// Namespace is seen by tests.
var Namespace = namespace

// NewLogger is the log of a server with the given secrets.
func NewLogger(w io.Writer, format, level string, secrets []string) *slog.Logger {
	return newLogger(newMask(w, secrets), format, level)
}
