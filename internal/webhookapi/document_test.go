package webhookapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/kuranty/kuranty/internal/webhookapi"
)

// document is the OpenAPI document with the endpoints in it.
type document struct {
	raw      map[string]any
	compiler *jsonschema.Compiler
}

const documentURL = "kuranty:openapi.json"

func newDocument(t *testing.T) *document {
	t.Helper()
	doc := &huma.OpenAPI{OpenAPI: "3.1.0", Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)}}
	webhookapi.Describe(doc)
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	d := &document{compiler: jsonschema.NewCompiler()}
	if err := json.Unmarshal(b, &d.raw); err != nil {
		t.Fatal(err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentURL, parsed); err != nil {
		t.Fatal(err)
	}
	return d
}

func escape(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(s)
}

// path finds what the document says of a path.
func (d *document) path(path string) (template string, item map[string]any) {
	best := -1
	for candidate, v := range d.raw["paths"].(map[string]any) {
		want, have := strings.Split(candidate, "/"), strings.Split(path, "/")
		same, fits := 0, len(want) == len(have)
		for i := 0; fits && i < len(want); i++ {
			switch {
			case want[i] == have[i]:
				same++
			case !strings.HasPrefix(want[i], "{"):
				fits = false
			}
		}
		if fits && same > best {
			best, template, item = same, candidate, v.(map[string]any)
		}
	}
	return template, item
}

// check compares an answer with the document.
func (d *document) check(t *testing.T, r *http.Request, g *got) {
	t.Helper()
	template, item := d.path(r.URL.Path)
	op, _ := item[strings.ToLower(r.Method)].(map[string]any)
	if op == nil || g.status == http.StatusTemporaryRedirect {
		return
	}
	status := fmt.Sprint(g.status)
	if op["responses"].(map[string]any)[status] == nil {
		if g.status < 400 {
			t.Errorf("%s %s answers %s, of which the document knows nothing", r.Method, template, status)
		}
		status = "default"
	}
	if g.raw == "" {
		return
	}
	d.validate(t, "/paths/"+escape(template)+"/"+strings.ToLower(r.Method)+"/responses/"+status+"/content/application~1json/schema", g.raw)
}

func (d *document) validate(t *testing.T, pointer, text string) {
	t.Helper()
	schema, err := d.compiler.Compile(documentURL + "#" + pointer)
	if err != nil {
		t.Fatalf("schema %s: %v", pointer, err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("not as the document says: %v\n%s", err, text)
	}
}

// Every endpoint is described whole, and its examples are as its schemas say.
func TestDocumentIsComplete(t *testing.T) {
	d := newDocument(t)
	ids, n := map[string]bool{}, 0
	for path, item := range d.raw["paths"].(map[string]any) {
		for method, v := range item.(map[string]any) {
			n++
			op, name := v.(map[string]any), method+" "+path
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s: operation id %q", name, id)
			}
			ids[id] = true
			if op["summary"] == nil || op["tags"] == nil || (op["security"] == nil) != (path == "/.well-known/webhook-keys") {
				t.Errorf("%s: summary %v, tags %v, security %v", name, op["summary"], op["tags"], op["security"])
			}
			responses := op["responses"].(map[string]any)
			if responses["default"] == nil {
				t.Errorf("%s: errors are not described", name)
			}
			base := "/paths/" + escape(path) + "/" + method
			for status, r := range responses {
				d.example(t, base+"/responses/"+status, r.(map[string]any))
			}
			if body, ok := op["requestBody"].(map[string]any); ok {
				d.example(t, base+"/requestBody", body)
			}
		}
	}
	if n != 24 {
		t.Errorf("%d operations are described", n)
	}
	for name := range d.raw["components"].(map[string]any)["schemas"].(map[string]any) {
		if !strings.HasPrefix(name, "Webhook") {
			t.Errorf("schema %s may be another contract's", name)
		}
	}
}

func (d *document) example(t *testing.T, pointer string, v map[string]any) {
	t.Helper()
	content, ok := v["content"].(map[string]any)
	if !ok {
		return
	}
	example, err := json.Marshal(content["application/json"].(map[string]any)["example"])
	if err != nil {
		t.Fatal(err)
	}
	d.validate(t, pointer+"/content/application~1json/schema", string(example))
}
