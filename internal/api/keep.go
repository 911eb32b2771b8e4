package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kuranty/kuranty/internal/apierror"
)

const (
	// keptFor is how long a reply is repeated: 24 h (chat-api.md §0.12), also if the clock is
	// set forth by a day meanwhile (guarantees.md R28).
	keptFor = 49 * time.Hour
	// maxKey is the length of an idempotency key; maxKept of a reply that is kept.
	maxKey  = 100
	maxKept = 256 << 10
	// replyPatience is how long a request waits for the reply to another one with its key, which
	// it asks for every replyTick.
	replyPatience = 5 * time.Second
	replyTick     = 100 * time.Millisecond
)

// keep repeats the first reply to a request with the same Idempotency-Key. Keys belong to
// who calls (guarantees.md S19).
func (a *API) keep(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		next(ctx)
		return
	}
	c := callOf(ctx.Context())
	err := a.Keep(w, r, c.Actor(), uploading(r), func(w http.ResponseWriter) {
		next(huma.WithContext(humago.NewContext(ctx.Operation(), r, w), ctx.Context()))
	})
	if err != nil {
		e := apierror.From(err)
		if e.Code == apierror.Internal {
			a.log.Error("idempotency failed", "request_id", c.id, "error", err)
		}
		e.Write(w, r, apierror.C)
	}
}

// Keep answers a request that has an Idempotency-Key: with the reply that who got to the
// first one with that key, or by serving it with next, which writes to what it is given.
// The caller bounds the body, and writes the error if there is one; then nothing has been
// written. Of an upload the body is not looked at.
func (a *API) Keep(w http.ResponseWriter, r *http.Request, who string, upload bool, next func(http.ResponseWriter)) error {
	key := r.Header.Get("Idempotency-Key")
	if !printable(key) || len(key) > maxKey {
		return apierror.NewField("Idempotency-Key", apierror.Invalid)
	}
	request, err := fingerprint(r, upload)
	if err != nil {
		return err
	}
	claimed, was, status, stored, err := a.claim(r.Context(), who, key, request)
	switch {
	case err != nil:
		return err
	case !claimed && was != request:
		return apierror.New(apierror.IdempotencyConflict, nil)
	case !claimed && status == 0:
		return &apierror.Error{Code: apierror.Unavailable, RetryAfter: time.Second}
	case !claimed:
		w.Header().Set("Idempotency-Replayed", "true")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, stored) //nolint:gosec // JSON that this server made; who reads has gone, nobody to tell
		return nil
	}
	// The reply is kept even if the client does not wait for it.
	after := context.WithoutCancel(r.Context())
	first := &recorder{ResponseWriter: w}
	done := false
	defer func() {
		if done {
			return
		}
		if err := a.o.Replies.DropReply(after, who, key); err != nil {
			a.log.Warn("give back idempotency key", "request_id", w.Header().Get(apierror.HeaderRequestID), "error", err)
		}
	}()
	next(first)
	if first.status < 200 || first.status > 299 || first.body.Len() > maxKept {
		return nil
	}
	if err := a.o.Replies.KeepReply(after, who, key, first.status, first.body.String()); err != nil {
		a.log.Warn("keep reply", "request_id", w.Header().Get(apierror.HeaderRequestID), "error", err)
		return nil
	}
	done = true
	return nil
}

// claim takes the key of a request, or returns what was taken, as ClaimReply does. While another
// request with the key has no reply it waits for that.
func (a *API) claim(ctx context.Context, who, key, request string) (claimed bool, was string, status int, stored string, err error) {
	ended := time.NewTimer(replyPatience)
	defer ended.Stop()
	for {
		now := a.o.Clock()
		claimed, was, status, stored, err = a.o.Replies.ClaimReply(ctx, who, key, request, now.UnixMilli(), now.Add(-keptFor).UnixMilli())
		if err != nil || claimed || was != request || status != 0 {
			return claimed, was, status, stored, err
		}
		select {
		case <-time.After(replyTick):
		case <-ended.C:
			return claimed, was, status, stored, err
		case <-ctx.Done():
			return claimed, was, status, stored, ctx.Err()
		}
	}
}

// fingerprint is what a repeated request must agree in. Of an upload that is its length:
// what it holds is not kept to be compared.
func fingerprint(r *http.Request, upload bool) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s?%s\n", r.Method, r.URL.Path, r.URL.RawQuery)
	if upload {
		fmt.Fprintf(h, "%d", r.ContentLength)
		return hex.EncodeToString(h.Sum(nil)), nil
	}
	b, err := io.ReadAll(r.Body) // bounded by who calls Keep
	if err != nil {
		return "", fmt.Errorf("read body: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	h.Write(b)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// recorder remembers a reply while it is written.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.body.Len() <= maxKept {
		r.body.Write(b)
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return s != ""
}
