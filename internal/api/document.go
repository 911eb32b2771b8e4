package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// configuration is the library's: the document and the page are served by us, for its own
// page loads scripts from elsewhere.
func configuration(version string) huma.Config {
	if version == "" {
		version = "dev"
	}
	c := huma.DefaultConfig("Kuranty", version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks, c.Transformers = nil, nil // they would add links to schemas to every reply
	c.Formats = map[string]huma.Format{"application/json": {Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}, "json": {Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}}
	c.AllowAdditionalPropertiesByDefault = true
	c.Info.Description = "Accounts, chats and messages. Errors have the same form everywhere; X-Error-Code repeats their code."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An access token of POST /api/v2/auth/login, or an API key"},
	}
	return c
}

// describe finishes the document and makes the page of it.
func (a *API) describe() error {
	doc := a.huma.OpenAPI()
	registry := doc.Components.Schemas
	for name, schema := range registry.Map() {
		nullable(registry.TypeFromRef("#/components/schemas/"+name), schema)
	}
	describeUploads(doc)
	var err error
	if a.document, err = json.Marshal(doc); err != nil {
		return fmt.Errorf("api: encode document: %w", err)
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, a.sections()); err != nil {
		return fmt.Errorf("api: make page: %w", err)
	}
	a.page = page.Bytes()
	a.mux.HandleFunc("GET /openapi.json", a.serve("application/openapi+json", a.document))
	a.mux.HandleFunc("GET /avatars/{name}", a.serveAvatar)
	a.mux.HandleFunc("GET /docs/{$}", a.serve("text/html; charset=utf-8", a.page))
	return nil
}

// describeUploads describes the bodies that are read as they come, of which the library
// does not know.
func describeUploads(doc *huma.OpenAPI) {
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	kind := &huma.Schema{Type: huma.TypeString, Enum: []any{"file", "image", "voice", "video", "avatar"}, Description: "What the file is to be; comes before it"}
	form := func(properties map[string]*huma.Schema) *huma.RequestBody {
		return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"multipart/form-data": {Schema: &huma.Schema{Type: huma.TypeObject, Properties: properties, Required: []string{"file"}}},
		}}
	}
	operationOf(doc, http.MethodPost, prefix+"/files").RequestBody = form(map[string]*huma.Schema{"kind": kind, "file": binary})
	operationOf(doc, http.MethodPut, prefix+"/me/avatar").RequestBody = form(map[string]*huma.Schema{"file": binary})
	operationOf(doc, http.MethodPut, prefix+"/files/uploads/{id}").RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: binary},
	}}
	read := operationOf(doc, http.MethodGet, prefix+"/files/{id}/{variant}")
	for _, status := range []string{"200", "206"} {
		read.Responses[status].Content = map[string]*huma.MediaType{"application/octet-stream": {Schema: binary}}
	}
}

// nullable says of members that are objects or null that they are: the library takes
// pointers to objects for objects.
func nullable(t reflect.Type, schema *huma.Schema) {
	if t == nil || t.Kind() != reflect.Struct || schema.Type != huma.TypeObject {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		property := schema.Properties[name]
		if property == nil || property.Ref == "" || f.Type.Kind() != reflect.Pointer || strings.Contains(options, "omitempty") {
			continue
		}
		schema.Properties[name] = &huma.Schema{OneOf: []*huma.Schema{{Ref: property.Ref}, {Type: "null"}}, Description: property.Description}
	}
}

func (a *API) serve(kind string, b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("Referrer-Policy", "same-origin")
		_, _ = w.Write(b) // who reads has gone, nobody to tell
	}
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// section is a group of operations on the page.
type section struct {
	Name       string
	Operations []described
}

type described struct{ Method, Path, Summary, Access string }

func (a *API) sections() (all []section) {
	for _, o := range a.operations {
		name, _, _ := strings.Cut(strings.TrimPrefix(o.Path, prefix+"/"), "/")
		if len(all) == 0 || all[len(all)-1].Name != name {
			all = append(all, section{Name: name})
		}
		last := &all[len(all)-1]
		last.Operations = append(last.Operations, described{o.Method, o.Path, a.summary(o), string(o.Access)})
	}
	return all
}

func (a *API) summary(o Operation) string {
	return operationOf(a.huma.OpenAPI(), o.Method, o.Path).Summary
}

func operationOf(doc *huma.OpenAPI, method, path string) *huma.Operation {
	item := doc.Paths[path]
	switch method {
	case http.MethodGet:
		return item.Get
	case http.MethodPost:
		return item.Post
	case http.MethodPut:
		return item.Put
	case http.MethodPatch:
		return item.Patch
	}
	return item.Delete
}
