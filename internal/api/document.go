package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kuranty/kuranty/internal/apierror"
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
		"apiKey": {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "An API key, for services"},
	}
	c.Info.License = &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"}
	c.Servers = []*huma.Server{{URL: "/", Description: "The server that this document is from"}}
	return c
}

// describe finishes the document. It is encoded when somebody first asks for it, which
// takes longer than the rest of a start.
func (a *API) describe() {
	doc := a.huma.OpenAPI()
	registry := doc.Components.Schemas
	for name, schema := range registry.Map() {
		nullable(registry.TypeFromRef("#/components/schemas/"+name), schema)
	}
	describeUploads(doc)
	describeErrors(doc)
	for _, o := range a.operations {
		a.finish(doc, o)
	}
	if a.o.Describe != nil {
		a.o.Describe(doc)
	}
	a.mux.HandleFunc("GET /openapi.json", onceMade("application/openapi+json", func() ([]byte, error) { return json.Marshal(doc) }))
	a.mux.HandleFunc("GET /avatars/{name}", a.serveAvatar)
	a.mux.HandleFunc("GET /docs/{$}", onceMade("text/html; charset=utf-8", func() ([]byte, error) {
		var page bytes.Buffer
		err := pageTemplate.Execute(&page, a.sections())
		return page.Bytes(), err
	}))
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

// finish adds to an operation what follows from who may call it, from its path and its bodies.
func (a *API) finish(doc *huma.OpenAPI, o Operation) {
	described := operationOf(doc, o.Method, o.Path)
	for _, name := range described.Tags {
		if !slices.ContainsFunc(doc.Tags, func(t *huma.Tag) bool { return t.Name == name }) {
			doc.Tags = append(doc.Tags, &huma.Tag{Name: name})
		}
	}
	may := []int{429, 503}
	if o.Access != Public {
		may = append(may, 401, 403)
	}
	if o.Access != Public && o.Access != People {
		described.Security = append(described.Security, map[string][]string{"apiKey": {}})
	}
	if strings.Contains(o.Path, "{") {
		may = append(may, 404)
	}
	if len(described.Parameters) > 0 || described.RequestBody != nil {
		may = append(may, 400, 422)
	}
	if described.RequestBody != nil {
		may = append(may, 413, 415)
		addExamples(doc, described.RequestBody.Content)
	}
	for _, p := range described.Parameters {
		if len(p.Schema.OneOf) > 0 { // an id: in an address a number and a text of digits are the same
			plain := *p.Schema.OneOf[0]
			plain.Description, p.Schema = p.Schema.Description, &plain
		}
	}
	for _, response := range described.Responses {
		addExamples(doc, response.Content)
	}
	for _, status := range may {
		described.Responses[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + errorNames[status]}
	}
	described.Responses["default"] = &huma.Response{Ref: "#/components/responses/Error"}
}

// errorNames are the components that describe refusals; 0 is any other.
var errorNames = map[int]string{
	0: "Error", 400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 413: "TooLarge", 415: "UnsupportedMedia",
	422: "Validation", 429: "RateLimited", 503: "Unavailable",
}

// describeErrors describes refusals, once for all operations (chat-api.md §0.10).
func describeErrors(doc *huma.OpenAPI) {
	text, number := &huma.Schema{Type: huma.TypeString}, &huma.Schema{Type: huma.TypeInteger}
	doc.Components.Responses = make(map[string]*huma.Response)
	for status, e := range map[int]*apierror.Error{
		0: apierror.New(apierror.IdempotencyConflict, nil), 400: apierror.New(apierror.BadRequest, nil), 401: apierror.New(apierror.Unauthorized, nil),
		403: apierror.New(apierror.Forbidden, nil), 404: apierror.New(apierror.NotFound, nil), 413: apierror.New(apierror.TooLarge, nil),
		415: apierror.New(apierror.UnsupportedMedia, nil), 422: apierror.NewField("text", apierror.Required),
		429: apierror.New(apierror.RateLimited, nil), 503: apierror.New(apierror.Unavailable, nil),
	} {
		headers := map[string]*huma.Param{
			apierror.HeaderCode:      {Description: "The code of the error", Schema: text},
			apierror.HeaderRequestID: {Description: "The id of the request, to ask about", Schema: text},
		}
		switch status {
		case 401:
			headers["WWW-Authenticate"] = &huma.Param{Schema: text}
		case 429, 503:
			headers["Retry-After"] = &huma.Param{Description: "Seconds after which to try again", Schema: number}
		}
		if status == 429 {
			headers["X-RateLimit-Limit"] = &huma.Param{Description: "Calls allowed in the time", Schema: number}
			headers["X-RateLimit-Remaining"] = &huma.Param{Description: "Calls left", Schema: number}
			headers["X-RateLimit-Reset"] = &huma.Param{Description: "Seconds until there is one more", Schema: number}
		}
		doc.Components.Responses[errorNames[status]] = &huma.Response{
			Description: e.Message(apierror.English), Headers: headers,
			Content: map[string]*huma.MediaType{"application/json": {
				Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}, Example: e.Envelope(apierror.English, "6b9fb0e5c3abda480e9431e5"),
			}},
		}
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

// onceMade serves what is made when it is first asked for.
func onceMade(kind string, made func() ([]byte, error)) http.HandlerFunc {
	text := sync.OnceValue(func() []byte {
		b, err := made()
		if err != nil {
			panic(fmt.Sprintf("api: %s document: %v", kind, err)) // the tests ask for each
		}
		return b
	})
	return func(w http.ResponseWriter, _ *http.Request) {
		b := text()
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
