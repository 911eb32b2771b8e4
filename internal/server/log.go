package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

// hidden stands in logs where a secret was.
const hidden = "[hidden]"

// newLogger returns a logger that writes lines of format ("text" or "json") through m,
// those of at least level (a name of the configuration's log.level).
func newLogger(m *mask, format, level string) *slog.Logger {
	o := &slog.HandlerOptions{Level: logLevel(level), ReplaceAttr: hideByName}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(m, o))
	}
	return slog.New(slog.NewTextHandler(m, o))
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

// hideByName hides values whose name tells that they are secret.
func hideByName(_ []string, a slog.Attr) slog.Attr {
	switch strings.ToLower(a.Key) {
	case "token", "secret", "password", "authorization", "cookie", "api_key", "x-api-key":
		return slog.String(a.Key, hidden)
	}
	return a
}

// mask replaces secrets in what is written through it (guarantees.md S6): those it was
// told, and what looks like a token. Each Write is one line.
type mask struct {
	w       io.Writer
	secrets atomic.Pointer[[][]byte]
}

// leastMasked is the length from which a secret is replaced wherever it appears; the
// letters of a shorter one appear in ordinary words.
const leastMasked = 8

func newMask(w io.Writer, secrets []string) *mask {
	m := &mask{w: w}
	m.secrets.Store(new([][]byte))
	m.add(secrets)
	return m
}

// add makes m hide secrets too. Calls must not overlap.
func (m *mask) add(secrets []string) {
	all := slices.Clone(*m.secrets.Load())
	for _, s := range secrets {
		if len(s) < leastMasked {
			continue
		}
		escaped, _ := json.Marshal(s) // a string always encodes
		all = append(all, []byte(s), bytes.Trim(escaped, `"`))
	}
	// A secret that contains another goes first.
	slices.SortFunc(all, func(a, b []byte) int { return cmp.Or(len(b)-len(a), bytes.Compare(a, b)) })
	all = slices.CompactFunc(all, bytes.Equal)
	m.secrets.Store(&all)
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
	for _, s := range *m.secrets.Load() {
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
