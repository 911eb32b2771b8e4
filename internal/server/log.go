package server

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
)

// hidden stands in logs where a secret was.
const hidden = "[hidden]"

// NewLogger returns a logger that writes lines of format ("text" or "json") to w, those
// of at least level (a name of the configuration's log.level), without secrets: neither
// the given ones nor anything that looks like a token.
func NewLogger(w io.Writer, format, level string, secrets ...string) *slog.Logger {
	o := &slog.HandlerOptions{Level: logLevel(level), ReplaceAttr: hideByName}
	w = newMask(w, secrets)
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func logLevel(name string) slog.Level {
	switch name {
	case "trace", "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	case "fatal", "none":
		return math.MaxInt
	default:
		return slog.LevelInfo
	}
}

// hideByName hides values whose name tells that they are secret, and shortens the time
// of text lines.
func hideByName(_ []string, a slog.Attr) slog.Attr {
	switch strings.ToLower(a.Key) {
	case "token", "secret", "password", "authorization", "cookie", "api_key", "x-api-key":
		return slog.String(a.Key, hidden)
	}
	if a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.String(a.Key, a.Value.Time().Format(time.RFC3339Nano))
	}
	return a
}

// mask replaces secrets in what is written through it. Each Write is one line.
type mask struct {
	w       io.Writer
	secrets [][]byte
}

// leastMasked is the length from which a secret is replaced wherever it appears; the
// letters of a shorter one appear in ordinary words.
const leastMasked = 8

func newMask(w io.Writer, secrets []string) *mask {
	m := &mask{w: w}
	for _, s := range secrets {
		if len(s) < leastMasked {
			continue
		}
		escaped, _ := json.Marshal(s) // a string always encodes
		m.secrets = append(m.secrets, []byte(s), bytes.Trim(escaped, `"`))
	}
	// A secret that contains another goes first.
	slices.SortFunc(m.secrets, func(a, b []byte) int { return len(b) - len(a) })
	return m
}

var (
	// A JWT, also one cut short: its first part is base64 of `{"`.
	looksLikeToken = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*){0,2}`)
	// The value of a parameter that carries a secret, in an address.
	secretParameter = regexp.MustCompile(`(?i)([?&](?:token|api_key|access_token|cf_token|key|password|secret)=)[^&\s"\\]+`)
	// What follows the scheme of an Authorization header.
	secretHeader = regexp.MustCompile(`(?i)\b((?:apikey|bearer)\s+)[^\s"\\,]+`)
)

func (m *mask) Write(line []byte) (int, error) {
	clean := line
	for _, s := range m.secrets {
		clean = bytes.ReplaceAll(clean, s, []byte(hidden))
	}
	clean = looksLikeToken.ReplaceAll(clean, []byte(hidden))
	clean = secretParameter.ReplaceAll(clean, []byte("${1}"+hidden))
	clean = secretHeader.ReplaceAll(clean, []byte("${1}"+hidden))
	if _, err := m.w.Write(clean); err != nil {
		return 0, err
	}
	return len(line), nil
}
