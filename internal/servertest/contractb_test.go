package servertest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"testing"

	"github.com/kuranty/kuranty/internal/servertest"
)

// What is made in contract B with an Idempotency-Key is made once (chat-api.md §0.12).
func TestContractBMakesOnceWhatHasAKey(t *testing.T) {
	server := servertest.Start(t)
	token := ""
	call := func(path, key, kind string, body []byte) (int, string, http.Header) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/api/v1"+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b), res.Header
	}
	const plain = "application/json"
	account := []byte(`{"name":"Anna","username":"anna","email":"anna@example.org","password":"correct horse anna"}`)
	if status, body, _ := call("/users/register", "", plain, account); status != 201 {
		t.Fatal(status, body)
	}
	status, body, _ := call("/users/login", "", plain, account)
	var in struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &in); err != nil || status != 200 {
		t.Fatal(status, body, err)
	}
	token = in.Token

	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("files", "a.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(part, "hello")
	w.Close()
	for _, x := range []struct{ path, kind, body string }{
		{"/chats", plain, `{"type":"group","name":"Team","user_ids":[]}`},
		{"/files/upload", w.FormDataContentType(), form.String()},
	} {
		status, first, _ := call(x.path, "key of "+x.path, x.kind, []byte(x.body))
		if status != 201 {
			t.Fatalf("%s: %d %s", x.path, status, first)
		}
		status, second, header := call(x.path, "key of "+x.path, x.kind, []byte(x.body))
		if status != 201 || second != first || header.Get("Idempotency-Replayed") != "true" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s again: %d %v\n%s%s", x.path, status, header, first, second)
		}
	}
	if status, body, _ := call("/chats", "key of /chats", plain, []byte(`{"type":"group","name":"Other"}`)); status != 409 {
		t.Errorf("the key with another body: %d %s", status, body)
	}
	if status, body, _ := call("/chats", "ключ", plain, []byte(`{"type":"group","name":"Other"}`)); status != 422 || !bytes.Contains([]byte(body), []byte(`["header","Idempotency-Key"]`)) {
		t.Errorf("a key that is none: %d %s", status, body)
	}
	if status, body, _ := call("/chats", "too large", plain, bytes.Repeat([]byte(" "), 1<<20+1)); status != 413 {
		t.Errorf("a body that is too large: %d %s", status, body)
	}
}
