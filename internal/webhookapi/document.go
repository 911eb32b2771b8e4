package webhookapi

import (
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kuranty/kuranty/internal/delivery"
)

// tag groups the endpoints in the document.
const tag = "webhooks"

// problem is the body of a refusal, for the document.
type problem struct{}

// Schema implements [huma.SchemaProvider].
func (problem) Schema(r huma.Registry) *huma.Schema {
	fields := r.Schema(reflect.TypeFor[[]delivery.FieldError](), true, "")
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"detail"},
		Properties: map[string]*huma.Schema{"detail": {
			Description: "What is wrong; with status 422 one entry for each value", OneOf: []*huma.Schema{{Type: huma.TypeString}, fields},
		}},
	}
}

// Describe adds the endpoints, and the schemas of their bodies, to a document.
func Describe(doc *huma.OpenAPI) {
	d := describer{registry: huma.NewMapRegistry("#/components/schemas/", schemaName)}
	if doc.Paths == nil {
		doc.Paths = map[string]*huma.PathItem{}
	}
	for _, r := range new(API).table() {
		item := doc.Paths[r.path]
		if item == nil {
			item = &huma.PathItem{}
			doc.Paths[r.path] = item
		}
		*slot(item, r.method) = d.operation(&r)
	}
	for name, schema := range d.registry.Map() {
		if schema.AdditionalProperties == false { // what is not known is ignored
			schema.AdditionalProperties = nil
		}
		nullable(d.registry.TypeFromRef("#/components/schemas/"+name), schema)
	}
	maps.Copy(doc.Components.Schemas.Map(), d.registry.Map())
	doc.Tags = append(doc.Tags, &huma.Tag{Name: tag, Description: "Webhooks and their deliveries"})
}

// schemaName keeps the schemas apart from those of other contracts.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if strings.HasPrefix(name, "Webhook") {
		return name
	}
	return "Webhook" + name
}

func slot(item *huma.PathItem, method string) **huma.Operation {
	switch method {
	case http.MethodPost:
		return &item.Post
	case http.MethodPatch:
		return &item.Patch
	case http.MethodDelete:
		return &item.Delete
	}
	return &item.Get
}

type describer struct{ registry huma.Registry }

// variable is a part of a path that has a name.
var variable = regexp.MustCompile(`\{(\w+)\}`)

func (d *describer) operation(r *route) *huma.Operation {
	o := &huma.Operation{
		OperationID: operationID(r), Summary: r.about.summary, Tags: []string{tag}, Method: r.method, Path: r.path, Responses: map[string]*huma.Response{},
	}
	if r.access != nil {
		o.Security = []map[string][]string{{"bearer": {}}, {"apiKey": {}}}
		o.Description = "A service needs the scope " + strings.Join(r.access, " or ") + "."
	}
	refused := map[int]bool{0: true}
	for _, status := range r.about.refused {
		refused[status] = true
	}
	for _, found := range variable.FindAllStringSubmatch(r.path, -1) {
		schema := &huma.Schema{Type: huma.TypeInteger, Format: "int64"}
		if found[1] == "job_id" {
			schema = &huma.Schema{Type: huma.TypeString}
		}
		o.Parameters = append(o.Parameters, &huma.Param{Name: found[1], In: "path", Required: true, Schema: schema})
		refused[http.StatusNotFound] = true
	}
	for _, p := range r.about.query {
		schema := &huma.Schema{Type: p.kind}
		if p.kind == "time" {
			schema = &huma.Schema{Type: huma.TypeString, Format: "date-time"}
		}
		o.Parameters = append(o.Parameters, &huma.Param{Name: p.name, In: "query", Description: p.says, Schema: schema})
	}
	if r.repeatable {
		o.Parameters = append(o.Parameters, &huma.Param{
			Name: keyHeader, In: "header", Description: "Makes repetitions harmless: the first answer is given again", Schema: &huma.Schema{Type: huma.TypeString},
		})
		refused[http.StatusConflict] = true
	}
	if r.about.request != nil {
		o.RequestBody = &huma.RequestBody{Required: r.about.requires(), Content: d.content(r.about.request)}
		refused[http.StatusRequestEntityTooLarge] = true
	}
	if r.access != nil {
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable} {
			refused[status] = true
		}
	}
	if len(o.Parameters) > 0 || r.about.request != nil {
		refused[http.StatusUnprocessableEntity] = true
	}
	status := max(r.about.status, http.StatusOK)
	o.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: d.content(r.about.response)}
	for status := range refused {
		name, text := strconv.Itoa(status), http.StatusText(status)
		if status == 0 {
			name, text = "default", "Any other refusal"
		}
		o.Responses[name] = &huma.Response{Description: text, Content: map[string]*huma.MediaType{"application/json": {
			Schema: d.registry.Schema(reflect.TypeFor[problem](), true, ""), Example: refusalExample(status),
		}}}
	}
	return o
}

// requires tells whether a body must be there: whether it has a member that must.
func (a *about) requires() bool {
	switch a.request.(type) {
	case createBody, recoverBody, replayBody, matchBody, checkBody:
		return true
	}
	return false
}

// operationID makes a name like webhooks-redeliver of what the route does.
func operationID(r *route) string {
	path := strings.TrimPrefix(strings.TrimPrefix(r.path, "/.well-known"), "/")
	words := strings.Split(variable.ReplaceAllString(path, "one"), "/")
	return strings.ToLower(r.method) + "-" + strings.Join(words, "-")
}

func (d *describer) content(example any) map[string]*huma.MediaType {
	if example == nil {
		return nil
	}
	return map[string]*huma.MediaType{"application/json": {Schema: d.registry.Schema(reflect.TypeOf(example), true, ""), Example: example}}
}

func refusalExample(status int) any {
	for _, e := range []*refusal{errNoKey, errScope, errAway, errRates, &refusals[0].refusal, &refusals[4].refusal, &refusals[6].refusal} {
		if e.status == status {
			return detail{e.text}
		}
	}
	if status == http.StatusUnprocessableEntity {
		return map[string]any{"detail": []delivery.FieldError{{Type: "missing", Loc: []any{"body", "name"}, Msg: "Field required", Input: []byte("{}")}}}
	}
	return detail{"Internal server error"}
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
