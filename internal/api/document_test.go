package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is the OpenAPI document of a server, against which its answers are checked.
type document struct {
	raw      map[string]any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
	// used counts the operations that were called.
	used map[string]int
}

const documentURL = "kuranty:openapi.json"

// noLoader refuses references to elsewhere.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) { return nil, errors.New("refers to " + url) }

// published is the document of the first server; it is the same of all.
var published struct {
	once sync.Once
	text any
	err  error
}

func readDocument(t testing.TB, url string) *document {
	t.Helper()
	published.once.Do(func() {
		resp, err := http.Get(url + "/openapi.json")
		if err != nil {
			published.err = err
			return
		}
		defer resp.Body.Close()
		published.text, published.err = jsonschema.UnmarshalJSON(resp.Body)
	})
	if published.err != nil {
		t.Fatal(published.err)
	}
	v := published.text
	d := &document{raw: v.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: make(map[string]*jsonschema.Schema), used: make(map[string]int)}
	d.compiler.UseLoader(noLoader{})
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentURL, v); err != nil {
		t.Fatal(err)
	}
	return d
}

// operation finds the path of the document that a path is of, the one with the most
// words, and its operation.
func (d *document) operation(method, path string) (template string, op map[string]any) {
	best := -1
	for candidate, item := range d.raw["paths"].(map[string]any) {
		words, ok := match(candidate, path)
		found, has := item.(map[string]any)[strings.ToLower(method)].(map[string]any)
		if ok && has && words > best {
			best, template, op = words, candidate, found
		}
	}
	return template, op
}

func match(template, path string) (words int, ok bool) {
	a, b := strings.Split(template, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return 0, false
	}
	for i := range a {
		switch {
		case strings.HasPrefix(a[i], "{"):
		case a[i] == b[i]:
			words++
		default:
			return 0, false
		}
	}
	return words, true
}

func (d *document) schema(t testing.TB, pointer string) *jsonschema.Schema {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.schemas[pointer]; s != nil {
		return s
	}
	s, err := d.compiler.Compile(documentURL + "#" + pointer)
	if err != nil {
		t.Fatalf("schema %s: %v", pointer, err)
	}
	d.schemas[pointer] = s
	return s
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// check checks that an exchange is as the document says: the answer always, the request
// if it was accepted.
func (d *document) check(t testing.TB, r *http.Request, sent []byte, got *answered) {
	t.Helper()
	template, op := d.operation(r.Method, r.URL.Path)
	if op == nil {
		if strings.HasPrefix(r.URL.Path, "/api/v2/") && got.status != 404 && got.status != 405 && r.Method != http.MethodOptions {
			t.Errorf("%s %s: not in the document, but answered %d", r.Method, r.URL.Path, got.status)
		}
		return
	}
	d.mu.Lock()
	d.used[r.Method+" "+template]++
	d.mu.Unlock()
	base := "/paths/" + escape(template) + "/" + strings.ToLower(r.Method)
	if got.status < 300 && len(sent) > 0 && r.Header.Get("Content-Type") == "application/json" {
		d.validate(t, base+"/requestBody/content/application~1json/schema", sent, "request of "+r.Method+" "+template)
	}
	status := fmt.Sprint(got.status)
	responses := op["responses"].(map[string]any)
	if responses[status] == nil {
		if got.status < 400 {
			t.Errorf("%s %s: status %d is not in the document", r.Method, template, got.status)
			return
		}
		status = "default"
	}
	response, where := d.response(responses[status], base+"/responses/"+status)
	content, _ := response["content"].(map[string]any)
	kind, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
	switch {
	case kind == "text/csv" && content[kind] != nil:
	case content["application/json"] != nil:
		d.validate(t, where+"/content/application~1json/schema", got.body, fmt.Sprintf("answer %d of %s %s", got.status, r.Method, template))
	case len(got.body) > 0 && got.header.Get("Content-Type") == "application/json":
		t.Errorf("%s %s: answer %d has a body that the document does not describe: %s", r.Method, template, got.status, got.body)
	}
}

// response is v, which stands at a pointer, or what it refers to.
func (d *document) response(v any, pointer string) (map[string]any, string) {
	m, _ := v.(map[string]any)
	ref, ok := m["$ref"].(string)
	if !ok {
		return m, pointer
	}
	name := strings.TrimPrefix(ref, "#/components/responses/")
	m, _ = d.raw["components"].(map[string]any)["responses"].(map[string]any)[name].(map[string]any)
	return m, "/components/responses/" + name
}

func (d *document) validate(t testing.TB, pointer string, b []byte, what string) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Errorf("%s is no JSON: %v: %q", what, err, b)
		return
	}
	if err := d.schema(t, pointer).Validate(v); err != nil {
		t.Errorf("%s is not as the document says: %v\n%s", what, err, b)
	}
}
