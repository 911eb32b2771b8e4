package apierror

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// The headers of error replies (chat-api.md §0.10).
const (
	HeaderCode      = "X-Error-Code"
	HeaderRequestID = "X-Request-Id"
)

// RequestID returns the id that the client gave its request, if it is harmless: up to
// 64 letters, digits, ".", "_" or "-". Otherwise it makes one.
func RequestID(r *http.Request) string {
	id := r.Header.Get(HeaderRequestID)
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if id != "" && len(id) <= 64 && strings.Trim(id, allowed) == "" {
		return id
	}
	var b [12]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

// Header sets the headers of an error reply in h.
func (e *Error) Header(h http.Header, c Contract) {
	h.Set(HeaderCode, string(e.Code))
	status := e.Status(c)
	if e.RetryAfter > 0 && (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) {
		h.Set("Retry-After", strconv.FormatInt(seconds(e.RetryAfter), 10))
	}
	if status == http.StatusTooManyRequests && e.Limit > 0 {
		h.Set("X-RateLimit-Limit", strconv.Itoa(e.Limit))
		h.Set("X-RateLimit-Remaining", strconv.Itoa(max(e.Remaining, 0)))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(seconds(e.RetryAfter), 10))
	}
	if status == http.StatusUnauthorized && c != A {
		h.Set("WWW-Authenticate", "Bearer")
	}
}

// Envelope is the body of an error reply of contract C.
type Envelope struct {
	Error Body `json:"error"`
}

// Body is what contract C tells of an error. Details is never nil; of fields it has
// "fields": a list of {"field", "reason", "message"}.
type Body struct {
	Code      Code           `json:"code" doc:"What happened; codes do not change"`
	Message   string         `json:"message" doc:"The same for people, in English or Russian by Accept-Language"`
	Details   map[string]any `json:"details"`
	RequestID string         `json:"request_id"`
}

// Envelope makes the body of contract C.
func (e *Error) Envelope(lang, requestID string) Envelope {
	details := make(map[string]any, len(e.Details)+1)
	for name, value := range e.Details {
		details[name] = value
	}
	if len(e.Fields) > 0 {
		list := make([]map[string]any, len(e.Fields))
		for i, f := range e.Fields {
			list[i] = map[string]any{"field": f.Name, "reason": f.Reason, "message": f.Message(lang)}
			if f.Limit != 0 {
				list[i]["limit"] = f.Limit
			}
		}
		details["fields"] = list
	}
	return Envelope{Body{e.Code, e.Message(lang), details, requestID}}
}

// Body makes the body of contract c.
func (e *Error) Body(c Contract, lang, requestID string) any {
	switch c {
	case A:
		return e.bodyA(lang)
	case B:
		return e.bodyB(lang)
	}
	return e.Envelope(lang, requestID)
}

func (e *Error) bodyA(lang string) any {
	message := e.Message(lang)
	if e.Code == Unauthorized {
		message = "Unauthenticated." // chat-api.md §0.10
	}
	if e.Code != Validation || len(e.Fields) == 0 {
		return map[string]any{"message": message}
	}
	byField := make(map[string][]string, len(e.Fields))
	for _, f := range e.Fields {
		byField[f.Name] = append(byField[f.Name], f.Message(lang))
	}
	return map[string]any{"message": message, "errors": byField}
}

func (e *Error) bodyB(lang string) any {
	if len(e.Fields) == 0 || e.Status(B) != http.StatusUnprocessableEntity {
		return map[string]any{"detail": e.Message(lang)}
	}
	list := make([]map[string]any, len(e.Fields))
	for i, f := range e.Fields {
		kind := "value_error"
		switch f.Reason {
		case Type:
			kind = "type_error"
		case Required:
			kind = "missing"
		}
		list[i] = map[string]any{"loc": []string{"body", f.Name}, "msg": f.Message(lang), "type": kind}
	}
	return map[string]any{"detail": list}
}

// Write answers a request with the error, in the form of contract c. The request's id is
// the one already in the header of the reply, or a new one.
func (e *Error) Write(w http.ResponseWriter, r *http.Request, c Contract) {
	h := w.Header()
	id := h.Get(HeaderRequestID)
	if id == "" {
		id = RequestID(r)
		h.Set(HeaderRequestID, id)
	}
	e.Header(h, c)
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(e.Status(c))
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(e.Body(c, Language(r.Header.Get("Accept-Language")), id)) // who reads has gone, nobody to tell
}
