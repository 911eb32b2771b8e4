package webui_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/webui"
)

func demo(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(webui.Demo(func(name string) (string, error) {
		if name == "Broken" {
			return "", errors.New("no key")
		}
		return "token of " + name, nil
	}))
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestPageAndItsFiles(t *testing.T) {
	server := demo(t)
	resp, page := get(t, server.URL+"/")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("page: %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	types := map[string]string{"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
	found := regexp.MustCompile(`(?:src|href)="([^"]+\.(\w+))"`).FindAllStringSubmatch(page, -1)
	if len(found) < 3 {
		t.Fatalf("the page refers to %d files, want at least 3", len(found))
	}
	for _, f := range found {
		asset, body := get(t, server.URL+f[1])
		if asset.StatusCode != http.StatusOK || body == "" || asset.Header.Get("Content-Type") != types[f[2]] {
			t.Errorf("%s: %s, %d bytes, %q", f[1], asset.Status, len(body), asset.Header.Get("Content-Type"))
		}
		if got := asset.Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("%s: Cache-Control = %q, want immutable", f[1], got)
		}
	}
}

func TestS28_Headers(t *testing.T) {
	server := demo(t)
	for _, path := range []string{"/", "/nowhere", "/assets/licenses.txt"} {
		resp, _ := get(t, server.URL+path)
		csp := resp.Header.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'self'", "object-src 'none'", "img-src 'self' blob: data:", "base-uri 'none'",
			"form-action 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
		} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s = %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestNothingInlineInThePage(t *testing.T) {
	_, page := get(t, demo(t).URL+"/")
	for _, bad := range []string{"<style", " style=", "javascript:", " onclick", "http://", "https://"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	if strings.Count(page, "<script") != strings.Count(page, "<script type=\"module\" src=") {
		t.Error("the page has an inline script")
	}
}

func TestUnchangedPageIsNotSentAgain(t *testing.T) {
	server := demo(t)
	resp, _ := get(t, server.URL+"/")
	again, body := get(t, server.URL+"/", "If-None-Match", resp.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("second request: %s with %d bytes, want 304", again.Status, len(body))
	}
}

func TestUnknownPaths(t *testing.T) {
	server := demo(t)
	for _, path := range []string{"/nowhere", "/assets/", "/assets/none.js", "/assets/..%2findex.html", "/demo/token/x"} {
		if resp, _ := get(t, server.URL+path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s, want 404", path, resp.Status)
		}
	}
}

func TestToken(t *testing.T) {
	server := demo(t)
	own := server.URL
	for name, c := range map[string]struct {
		origin, kind, body string
		status             int
		token              string
	}{
		"ours":            {own, "application/json", `{"name":" Анна "}`, 200, "token of Анна"},
		"no page":         {"", "application/json; charset=utf-8", `{"name":"a"}`, 200, "token of a"},
		"another site":    {"http://evil.example", "application/json", `{"name":"a"}`, 403, ""},
		"opaque origin":   {"null", "application/json", `{"name":"a"}`, 403, ""},
		"form":            {own, "text/plain", `{"name":"a"}`, 415, ""},
		"empty name":      {own, "application/json", `{"name":"  "}`, 400, ""},
		"no name":         {own, "application/json", `{}`, 400, ""},
		"null":            {own, "application/json", `null`, 400, ""},
		"not JSON":        {own, "application/json", `name`, 400, ""},
		"32 characters":   {own, "application/json", `{"name":"` + strings.Repeat("я", 32) + `"}`, 200, "token of " + strings.Repeat("я", 32)},
		"33 characters":   {own, "application/json", `{"name":"` + strings.Repeat("я", 33) + `"}`, 400, ""},
		"control":         {own, "application/json", `{"name":"a\u0007b"}`, 400, ""},
		"too long a body": {own, "application/json", `{"name":"` + strings.Repeat("a", 2000) + `"}`, 400, ""},
		"token fails":     {own, "application/json", `{"name":"Broken"}`, 500, ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/demo/token", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", c.kind)
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Fatalf("status = %d, want %d", resp.StatusCode, c.status)
			}
			if c.status != http.StatusOK {
				return
			}
			var out struct{ Token string }
			if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || out.Token != c.token {
				t.Errorf("token = %q (%v), want %q", out.Token, err, c.token)
			}
			if got := resp.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control = %q, want no-store", got)
			}
		})
	}
}
