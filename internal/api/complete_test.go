package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// The document and the routes are the same, and every schema of it can be used.
func TestDocumentIsComplete(t *testing.T) {
	s := start(t, options{})
	documented := make(map[string]bool)
	for path, item := range s.document.raw["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			documented[strings.ToUpper(method)+" "+path] = true
		}
	}
	ids := make(map[string]bool)
	for _, o := range s.api.Operations() {
		name := o.Method + " " + o.Path
		if !documented[name] {
			t.Errorf("%s is not in the document", name)
		}
		delete(documented, name)
		if ids[o.ID] {
			t.Errorf("%s: operation id %s is taken", name, o.ID)
		}
		ids[o.ID] = true
		_, op := s.document.operation(o.Method, o.Path)
		if op["summary"] == nil || op["tags"] == nil {
			t.Errorf("%s has no summary or tags", name)
		}
		if (op["security"] == nil) != (o.Access == "public") {
			t.Errorf("%s: security %v, access %s", name, op["security"], o.Access)
		}
		base := "/paths/" + escape(o.Path) + "/" + strings.ToLower(o.Method)
		for status, r := range op["responses"].(map[string]any) {
			response, where := s.document.response(r, base+"/responses/"+status)
			if response["description"] == "" {
				t.Errorf("%s: answer %s is not described", name, status)
			}
			s.document.examples(t, name+", "+status, where, content(response))
		}
		if op["responses"].(map[string]any)["default"] == nil {
			t.Errorf("%s: errors are not described", name)
		}
		s.document.examples(t, name, base+"/requestBody", content(op["requestBody"]))
	}
	for name := range documented {
		t.Errorf("%s is in the document only", name)
	}
}

// examples checks that bodies have schemas, and those of JSON examples that are as these say.
func (d *document) examples(t *testing.T, name, pointer string, content map[string]any) {
	t.Helper()
	for kind, v := range content {
		schema := d.schema(t, pointer+"/content/"+escape(kind)+"/schema")
		example := v.(map[string]any)["example"]
		if kind != "application/json" {
			continue
		}
		if example == nil {
			t.Errorf("%s: no example", name)
		} else if err := schema.Validate(example); err != nil {
			t.Errorf("%s: the example is not as its schema says: %v", name, err)
		}
	}
}

func content(v any) map[string]any {
	m, _ := v.(map[string]any)
	c, _ := m["content"].(map[string]any)
	return c
}

func TestPageListsEveryOperationWithoutScripts(t *testing.T) {
	s := start(t, options{})
	resp, err := http.Get(s.url + "/docs/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	if resp.StatusCode != 200 || strings.Contains(page, "<script") || !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v %.200s", resp.StatusCode, resp.Header, page)
	}
	for _, o := range s.api.Operations() {
		if !strings.Contains(page, "<code>"+o.Method+" "+o.Path+"</code>") {
			t.Errorf("%s %s is not on the page", o.Method, o.Path)
		}
	}
}
