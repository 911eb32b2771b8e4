package windi

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxBody = 1 << 20 // bytes of a request that is no upload (chat-api.md §0.12)
	// maxDepth bounds the nesting of JSON (guarantees.md S23).
	maxDepth = 32
	// maxID is the largest id there is (chat-api.md §0.1).
	maxID = 1<<53 - 1
)

// readBody returns the body of a request as JSON. A form becomes an object of texts; no
// body is an empty object.
func readBody(w http.ResponseWriter, r *http.Request) (jsontext.Value, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && (kind == "application/x-www-form-urlencoded" || kind == "multipart/form-data") {
		return readForm(r, kind == "multipart/form-data")
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, readError(err)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return jsontext.Value("{}"), nil
	}
	return b, checkJSON(b)
}

func readForm(r *http.Request, multipart bool) (jsontext.Value, error) {
	var err error
	if multipart {
		err = r.ParseMultipartForm(maxBody)
	} else {
		err = r.ParseForm()
	}
	if err != nil {
		return nil, readError(err)
	}
	return formJSON(r.PostForm)
}

func readError(err error) error {
	if limit := (*http.MaxBytesError)(nil); errors.As(err, &limit) {
		return err
	}
	return &invalid{loc: []any{"body"}, msg: "cannot be read", code: badRequest}
}

// formJSON turns the fields of a form into an object: "ids[]" and what is given more than
// once become lists.
func formJSON(form url.Values) (jsontext.Value, error) {
	fields := make(map[string]any, len(form))
	for name, values := range form {
		plain, many := strings.CutSuffix(name, "[]")
		if many || len(values) > 1 {
			fields[plain] = values
		} else {
			fields[plain] = values[0]
		}
	}
	b, err := json.Marshal(fields, json.Deterministic(true))
	if err != nil {
		return nil, &invalid{loc: []any{"body"}, msg: "must be UTF-8", code: badRequest}
	}
	return b, nil
}

// checkJSON checks that b is one JSON value that is not nested too deeply.
func checkJSON(b []byte) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(b))
	for values := 0; ; {
		switch _, err := d.ReadToken(); {
		case err == io.EOF && values == 1:
			return nil
		case err != nil:
			return &invalid{loc: []any{"body", d.InputOffset()}, msg: "is not well-formed JSON", code: badRequest}
		case d.StackDepth() > maxDepth:
			return &invalid{loc: []any{"body"}, msg: "is nested too deeply", code: badRequest}
		}
		if d.StackDepth() == 0 {
			if values++; values > 1 {
				return &invalid{loc: []any{"body"}, msg: "must be one JSON value", code: badRequest}
			}
		}
	}
}

// decode reads an object into a struct; loc is where the object stands.
func decode(v jsontext.Value, into any, loc ...any) error {
	if v.Kind() != '{' {
		return &invalid{loc: loc, msg: "must be an object", code: badRequest}
	}
	err := json.Unmarshal(v, into)
	if err == nil {
		return nil
	}
	wrong := &invalid{loc: slices.Clone(loc), msg: "has the wrong type", code: badRequest}
	if at := (*json.SemanticError)(nil); errors.As(err, &at) {
		for name := range at.JSONPointer.Tokens() {
			wrong.loc = append(wrong.loc, name)
		}
		if own := errValue(""); errors.As(at.Err, &own) {
			wrong.msg = own.Error()
		}
	}
	return wrong
}

// errValue says what a value must be; it completes a sentence that begins with its name.
type errValue string

func (e errValue) Error() string { return string(e) }

// number is a positive integer, of which a decimal text is taken too (chat-api.md §0.1);
// 0 is absent.
type number int64

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (n *number) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	text := string(v)
	switch v.Kind() {
	case 'n':
		*n = 0
		return nil
	case '"':
		b, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return errValue("must be a positive integer")
		}
		text = string(b)
	}
	id, ok := parseID(text)
	if !ok {
		return errValue("must be a positive integer")
	}
	*n = number(id)
	return nil
}

// parseID reads an id: decimal digits without leading zeros.
func parseID(s string) (int64, bool) {
	if s == "" || s[0] < '1' || s[0] > '9' {
		return 0, false
	}
	id, err := strconv.ParseInt(s, 10, 64)
	return id, err == nil && id <= maxID
}

// numbers is a list of them; one alone is a list of one.
type numbers []number

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (l *numbers) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if k := d.PeekKind(); k == '0' || k == '"' {
		*l = make(numbers, 1)
		return (*l)[0].UnmarshalJSONFrom(d)
	}
	if err := json.UnmarshalDecode(d, (*[]number)(l)); err != nil {
		return err
	}
	if slices.Contains(*l, 0) { // null within the list
		return errValue("must be positive integers")
	}
	return nil
}

func (l numbers) ids() []int64 {
	out := make([]int64, len(l))
	for i, n := range l {
		out[i] = int64(n)
	}
	return out
}

// flag is a boolean, of which 1, 0 and texts are taken too.
type flag bool

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (f *flag) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	switch string(v) {
	case `true`, `1`, `"1"`, `"true"`:
		*f = true
	case `false`, `0`, `"0"`, `"false"`:
		*f = false
	default:
		return errValue("must be true or false")
	}
	return nil
}

// nested is a list or an object, which a form has as a text.
type nested jsontext.Value

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (n *nested) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	switch v.Kind() {
	case 'n':
		*n = nil
		return nil
	case '"':
		b, err := jsontext.AppendUnquote(nil, v)
		if err != nil || checkJSON(b) != nil {
			return errValue("must be JSON")
		}
		if v = b; len(bytes.TrimSpace(v)) == 0 {
			return nil
		}
	}
	*n = nested(bytes.Clone(bytes.TrimSpace(v)))
	return nil
}

// query reads numbers of a query.
type query struct {
	values url.Values
	err    error
}

func queryOf(r *http.Request) *query { return &query{values: r.URL.Query()} }

// id reads a positive integer; 0 is absent.
func (q *query) id(name string) int64 {
	s := q.values.Get(name)
	if s == "" {
		return 0
	}
	id, ok := parseID(s)
	if !ok {
		q.fail(name, "must be a positive integer")
	}
	return id
}

// between reads an integer from least to most.
func (q *query) between(name string, least, most, def int) int {
	s := q.values.Get(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < least || n > most {
		q.fail(name, "must be "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
	}
	return n
}

func (q *query) flag(name string) bool {
	switch q.values.Get(name) {
	case "", "false", "0":
		return false
	case "true", "1":
		return true
	}
	q.fail(name, "must be true or false")
	return false
}

func (q *query) fail(name, why string) {
	if q.err == nil {
		q.err = &invalid{loc: []any{"query", name}, msg: why}
	}
}
