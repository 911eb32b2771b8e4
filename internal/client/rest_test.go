package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/client"
)

// contract answers as our own contract does.
func contract(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/echo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-API-Key") != "key" || r.Header.Get("Content-Type") != "application/json" || r.Host == "" {
			t.Errorf("header %v of %s", r.Header, r.Host)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"got": %s, "q": %q}`, body, r.URL.Query().Get("q"))
	})
	mux.HandleFunc("DELETE /api/v2/thing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /api/v2/archive", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 100_000)) })
	refuse := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	mux.HandleFunc("GET /api/v2/wrong", refuse(422, `{"error":{"code":"validation","message":"Invalid.","details":{"fields":[{"field":"name","reason":"required","message":"name is required"}]}}}`))
	mux.HandleFunc("GET /api/v2/gone", refuse(404, `{"error":{"code":"not_found","message":"Not found.","details":{}}}`))
	mux.HandleFunc("GET /api/v2/may", refuse(403, `{"error":{"code":"forbidden","message":"You may not do this.","details":{}}}`))
	mux.HandleFunc("GET /api/v2/key", refuse(401, `{"error":{"code":"unauthorized","message":"No.","details":{}}}`))
	mux.HandleFunc("GET /api/v2/hook", refuse(404, `{"detail":"Webhook not found"}`))
	mux.HandleFunc("GET /api/v2/hook-key", refuse(401, `{"detail":"Missing API key"}`))
	mux.HandleFunc("GET /api/v2/hook-scope", refuse(403, `{"detail":"Insufficient scope"}`))
	mux.HandleFunc("GET /api/v2/hook-wrong", refuse(422, `{"detail":[{"type":"missing","loc":["body","name"],"msg":"Field required"},{"loc":["body","event_types",1],"msg":"Value error, a pattern"},{"loc":[],"msg":"whole"}]}`))
	mux.HandleFunc("GET /api/v2/hook-strange", refuse(422, `{"detail":{"a":1}}`))
	mux.HandleFunc("GET /api/v2/broken", refuse(500, "oops\nmore"))
	return mux
}

// What goes over HTTP and what stays in the process is the same.
func TestREST(t *testing.T) {
	handler := contract(t)
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	for name, r := range map[string]*client.REST{
		"http":       {URL: web.URL, Key: "key"},
		"in process": {URL: "http://localhost", Key: "key", Handler: handler},
	} {
		t.Run(name, func(t *testing.T) {
			var got struct {
				Got json.RawMessage
				Q   string
			}
			if err := r.Call(t.Context(), "POST", "/echo?q=%D1%8F", map[string]int{"n": 1}, &got); err != nil || string(got.Got) != `{"n":1}` || got.Q != "я" {
				t.Errorf("%s %q, %v", got.Got, got.Q, err)
			}
			if err := r.Call(t.Context(), "DELETE", "/thing", nil, &got); err != nil {
				t.Error(err)
			}
			var b bytes.Buffer
			if n, err := r.Fetch(t.Context(), "/archive", &b); err != nil || n != 100_000 || b.Len() != 100_000 {
				t.Errorf("%d bytes, %v", n, err)
			}
			for path, want := range map[string]string{
				"/wrong":        "name is required",
				"/gone":         "not found",
				"/may":          "you may not do this; a key needs the scope admin",
				"/key":          "the server refused the API key",
				"/hook":         "webhook not found",
				"/hook-key":     "the server refused the API key",
				"/hook-scope":   "insufficient scope; a key needs webhooks:read",
				"/hook-wrong":   "name: Field required; event_types.1: a pattern; whole",
				"/hook-strange": "the server answered 422: {",
				"/broken":       "the server answered 500: oops",
				"/none":         "is that a Kuranty server, and chat enabled",
			} {
				err := r.Call(t.Context(), "GET", path, nil, nil)
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "more") {
					t.Errorf("%s: %v", path, err)
				}
			}
			var refused *client.RefusedError
			if err := r.Call(t.Context(), "GET", "/gone", nil, nil); !errors.As(err, &refused) || refused.Code != "not_found" || refused.Status != 404 {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestRESTSaysThatNobodyIsThere(t *testing.T) {
	r := &client.REST{URL: "http://127.0.0.1:1", Key: "a secret key"}
	err := r.Call(t.Context(), "GET", "/me", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "start one with kuranty serve") || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}
