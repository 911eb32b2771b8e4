package apierror_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/store"
)

func TestEveryCodeHasStatusesAndTexts(t *testing.T) {
	seen := map[string]bool{}
	for _, code := range apierror.Codes() {
		e := apierror.New(code, nil)
		for _, c := range []apierror.Contract{apierror.A, apierror.B, apierror.C} {
			if s := e.Status(c); s < 400 || s > 599 {
				t.Errorf("%s: status %d", code, s)
			}
		}
		en, ru := e.Message(apierror.English), e.Message(apierror.Russian)
		if en == "" || ru == "" || en == ru || seen[en] {
			t.Errorf("%s: %q, %q", code, en, ru)
		}
		seen[en] = true
	}
}

// The table of chat-api.md §0.10, and what refines it.
func TestFrom(t *testing.T) {
	for _, c := range []struct {
		err     error
		code    apierror.Code
		a, b, c int
	}{
		{identity.ErrUnauthorized, "unauthorized", 401, 401, 401},
		{identity.ErrSuspended, "suspended", 403, 403, 403},
		{apierror.New(apierror.BadRequest, nil), "bad_request", 400, 422, 400},
		{&chat.FieldError{Field: "title", Reason: "must not be empty"}, "validation", 422, 422, 422},
		{&chat.FieldError{Field: "text", Reason: "must not be empty"}, "validation", 422, 400, 422},
		{&chat.FieldError{Field: "content", Reason: "must not be empty"}, "validation", 422, 400, 422},
		{&chat.LimitError{Field: "text", Got: 2, Limit: 1, Unit: "characters"}, "validation", 422, 400, 422},
		{chat.ErrNotFound, "not_found", 404, 403, 404},
		{chat.ErrForbidden, "forbidden", 403, 403, 403},
		{&chat.SlowModeError{RetryAfter: time.Second}, "slow_mode", 403, 403, 403},
		{chat.ErrCannotMessage, "cannot_message", 403, 403, 403},
		{&chat.ConflictError{Message: 7}, "idempotency_conflict", 409, 409, 409},
		{&http.MaxBytesError{Limit: 1}, "too_large", 413, 413, 413},
		{&files.LimitError{Field: "quota", Limit: 1}, "too_large", 413, 413, 413},
		{files.ErrUnsupported, "unsupported_media", 415, 415, 415},
		{fmt.Errorf("%w: %w", files.ErrCutOff, io.ErrUnexpectedEOF), "bad_request", 400, 422, 400},
		{fmt.Errorf("%w: %w", files.ErrCutOff, &http.MaxBytesError{Limit: 1}), "too_large", 413, 413, 413},
		{&chat.RateError{Limit: 5, Window: time.Second}, "rate_limited", 429, 429, 429},
		{&identity.LimitedError{RetryAfter: time.Second}, "rate_limited", 429, 429, 429},
		{store.ErrUnavailable, "unavailable", 503, 503, 503},
		{store.ErrText, "bad_request", 400, 422, 400},
		{context.DeadlineExceeded, "unavailable", 503, 503, 503},
		{identity.ErrInvalidCredentials, "invalid_credentials", 401, 401, 401},
		{identity.ErrTokenReused, "token_reused", 401, 401, 401},
		{chat.ErrVersion, "version_conflict", 409, 409, 409},
		{chat.ErrOwnerMustTransfer, "owner_must_transfer", 409, 409, 409},
		{&identity.TakenError{Field: "email"}, "validation", 422, 422, 422},
		{errors.New("disk on fire at /var/lib"), "internal", 500, 500, 500},
	} {
		e := apierror.From(fmt.Errorf("do it: %w", c.err))
		got := [3]int{e.Status(apierror.A), e.Status(apierror.B), e.Status(apierror.C)}
		if e.Code != c.code || got != [3]int{c.a, c.b, c.c} {
			t.Errorf("%v: %s %v, want %s %v", c.err, e.Code, got, c.code, [3]int{c.a, c.b, c.c})
		}
	}
}

func TestJoinedFieldErrorsAreAllTold(t *testing.T) {
	err := errors.Join(&identity.FieldError{Field: "name", Reason: "required"}, &identity.FieldError{Field: "password", Reason: "too_short"})
	e := apierror.From(fmt.Errorf("register: %w", err))
	if len(e.Fields) != 2 || e.Message("ru") != "name — обязательное поле; password — слишком короткое значение (не меньше 8 знаков)" {
		t.Errorf("%+v: %s", e.Fields, e.Message("ru"))
	}
}

func TestLanguage(t *testing.T) {
	for header, want := range map[string]string{
		"": "en", "ru": "ru", "ru-RU,ru;q=0.9,en;q=0.8": "ru", "de,en;q=0.5": "en", "en-GB": "en", "uk": "en", "en,ru;q=0.1": "en",
		";;;": "en", strings.Repeat("ru,", 100): "en",
	} {
		if got := apierror.Language(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

// Replies never contain what the server is made of; each has a request id.
func TestS33_ErrorRepliesTellNothingInternal(t *testing.T) {
	secret := "open /var/lib/kuranty/kuranty.db: SELECT password_hash FROM users at 10.1.2.3:5432"
	for _, c := range []apierror.Contract{apierror.A, apierror.B, apierror.C} {
		for _, cause := range []error{errors.New(secret), fmt.Errorf("%w: %s", store.ErrUnavailable, secret), fmt.Errorf("%w: %s", identity.ErrUnauthorized, secret)} {
			w := httptest.NewRecorder()
			apierror.From(cause).Write(w, httptest.NewRequest("GET", "/", nil), c)
			for _, part := range strings.Fields(secret) {
				if len(part) > 3 && strings.Contains(w.Body.String(), part) {
					t.Errorf("contract %d tells %q: %s", c, part, w.Body)
				}
			}
			if !json.Valid(w.Body.Bytes()) || len(w.Header().Get("X-Request-Id")) < 16 || w.Header().Get("X-Error-Code") == "" {
				t.Errorf("contract %d: %v %s", c, w.Header(), w.Body)
			}
		}
	}
}

func TestFieldsSayWhatWouldBeRight(t *testing.T) {
	for _, c := range []struct{ field, reason, en, ru string }{
		{"username", "invalid", "username must be 3 to 32 of a-z", "username — от 3 до 32 знаков"},
		{"password", "too_short", "password is too short (at least 8", "password — слишком короткое значение (не меньше 8"},
		{"email", "invalid", "email is not valid", "email — недопустимое значение"},
	} {
		e := apierror.From(&identity.FieldError{Field: c.field, Reason: c.reason})
		if en, ru := e.Message(apierror.English), e.Message(apierror.Russian); !strings.HasPrefix(en, c.en) || !strings.HasPrefix(ru, c.ru) {
			t.Errorf("%s %s: %q, %q", c.field, c.reason, en, ru)
		}
	}
}

func TestForms(t *testing.T) {
	e := apierror.From(&identity.FieldError{Field: "name", Reason: "required"})
	for c, want := range map[apierror.Contract]string{
		apierror.A: `{"errors":{"name":["name is required"]},"message":"name is required"}`,
		apierror.B: `{"detail":[{"loc":["body","name"],"msg":"name is required","type":"missing"}]}`,
		apierror.C: `{"error":{"code":"validation","message":"name is required","details":{"fields":[{"field":"name","message":"name is required","reason":"required"}]},"request_id":"abc"}}`,
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("X-Request-Id", "abc")
		w := httptest.NewRecorder()
		e.Write(w, r, c)
		if got := strings.TrimSpace(w.Body.String()); got != want || w.Code != 422 || w.Header().Get("X-Request-Id") != "abc" {
			t.Errorf("contract %d: %d %s", c, w.Code, got)
		}
	}
	w := httptest.NewRecorder()
	apierror.From(identity.ErrUnauthorized).Write(w, httptest.NewRequest("GET", "/", nil), apierror.A)
	if strings.TrimSpace(w.Body.String()) != `{"message":"Unauthenticated."}` || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("A: %s %v", w.Body, w.Header())
	}
	w = httptest.NewRecorder()
	apierror.From(&chat.RateError{Limit: 5, Window: time.Second, RetryAfter: 300 * time.Millisecond}).Write(w, httptest.NewRequest("GET", "/", nil), apierror.C)
	if h := w.Header(); h.Get("Retry-After") != "1" || h.Get("X-RateLimit-Limit") != "5" || h.Get("X-RateLimit-Remaining") != "0" || h.Get("X-RateLimit-Reset") != "1" {
		t.Errorf("rate limit headers: %v", h)
	}
}

func TestRequestIDsAreHarmless(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	for _, id := range []string{"", "a b", "<script>", "x\r\nSet-Cookie: a", strings.Repeat("a", 65), "ключ"} {
		r.Header["X-Request-Id"] = []string{id}
		if got := apierror.RequestID(r); got == id || len(got) != 24 {
			t.Errorf("%q: %q", id, got)
		}
	}
}
