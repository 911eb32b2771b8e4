package chequite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/internal/apierror"
)

const (
	// maxDepth is how deep a body may be nested (guarantees.md S23), maxFields how many
	// fields a form may have.
	maxDepth, maxFields = 32, 1000
)

// readFields reads the body of a request: JSON, also where no type is given, or a form of
// either kind. An empty body has no fields, and neither has null.
func readFields(w http.ResponseWriter, r *http.Request, limit int64) (fields, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, malformed(err)
	}
	return decodeBody(r.Header.Get("Content-Type"), body)
}

func decodeBody(contentType string, body []byte) (fields, error) {
	if len(body) == 0 {
		return fields{}, nil
	}
	kind, params := "application/json", map[string]string(nil)
	if contentType != "" {
		var err error
		if kind, params, err = mime.ParseMediaType(contentType); err != nil {
			return nil, apierror.New(apierror.UnsupportedMedia, err)
		}
	}
	var f fields
	var err error
	switch kind {
	case "application/json":
		f, err = decodeJSON(body)
	case "application/x-www-form-urlencoded":
		f, err = decodeForm(string(body))
	case "multipart/form-data":
		f, err = decodeMultipart(body, params["boundary"])
	default:
		return nil, apierror.New(apierror.UnsupportedMedia, fmt.Errorf("body of type %q", kind))
	}
	if err != nil {
		return nil, malformed(err)
	}
	return f, nil
}

var (
	errDepth    = errors.New("nested too deep")
	errNoObject = errors.New("body is not an object")
	errFields   = errors.New("too many fields")
	errText     = errors.New("form is not UTF-8")
)

func decodeJSON(body []byte) (fields, error) {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	v, err := decodeValue(d, maxDepth)
	if err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, fmt.Errorf("after the object: %w", errNoObject)
	}
	switch object := v.(type) {
	case map[string]any:
		return object, nil
	case nil:
		return fields{}, nil
	}
	return nil, errNoObject
}

// decodeValue reads a value that may be nested depth deep.
func decodeValue(d *jsontext.Decoder, depth int) (any, error) {
	if depth < 0 {
		return nil, errDepth
	}
	t, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return t.Bool(), nil
	case '"':
		return t.String(), nil
	case '0':
		return number(t.String()), nil
	case '[':
		list := []any{}
		for d.PeekKind() != ']' {
			v, err := decodeValue(d, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.ReadToken()
		return list, err
	}
	object := make(map[string]any)
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String() // before the next token, which takes its place
		if object[key], err = decodeValue(d, depth-1); err != nil {
			return nil, err
		}
	}
	_, err = d.ReadToken()
	return object, err
}

func decodeForm(body string) (fields, error) {
	if strings.Count(body, "&") >= maxFields {
		return nil, errFields
	}
	root := make(form)
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if err := root.set(name, value); err != nil {
			return nil, err
		}
	}
	return root.fields(), nil
}

// decodeMultipart reads a form of parts. Files among them are left out: they are uploaded
// elsewhere.
func decodeMultipart(body []byte, boundary string) (fields, error) {
	if boundary == "" {
		return nil, errors.New("multipart without a boundary")
	}
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	root := make(form)
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return root.fields(), nil
		}
		if err != nil {
			return nil, err
		}
		if n >= maxFields {
			return nil, errFields
		}
		if part.FormName() == "" || part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		if err := root.set(part.FormName(), string(value)); err != nil {
			return nil, err
		}
	}
}

// form is the fields of a form under construction. Names such as "files[0][id]" stand for
// lists and objects, as PHP has it; each is a form of its own until the end.
type form map[string]any

func (f form) set(name, value string) error {
	if !utf8.ValidString(name) || !utf8.ValidString(value) {
		return errText
	}
	path, err := splitName(name)
	if err != nil {
		return err
	}
	for _, key := range path[:len(path)-1] {
		key = f.key(key)
		inner, ok := f[key].(form)
		if !ok {
			inner = make(form)
			f[key] = inner // as in PHP, the later field wins
		}
		f = inner
	}
	f[f.key(path[len(path)-1])] = value
	return nil
}

// key is the name under which a value is kept; the empty one is that of the next element.
func (f form) key(name string) string {
	if name != "" {
		return name
	}
	for n := len(f); ; n++ {
		if key := strconv.Itoa(n); f[key] == nil {
			return key
		}
	}
}

// splitName takes "a[b][]" apart into "a", "b", "". A name whose brackets do not match is
// one of its own.
func splitName(name string) ([]string, error) {
	first, rest, found := strings.Cut(name, "[")
	if !found || first == "" || !strings.HasSuffix(rest, "]") {
		return []string{name}, nil
	}
	path := append([]string{first}, strings.Split(rest[:len(rest)-1], "][")...)
	if len(path) > maxDepth {
		return nil, errDepth
	}
	return path, nil
}

// fields returns f with its inner forms as lists, where the keys are 0, 1, 2 …, and objects.
func (f form) fields() fields {
	out := make(map[string]any, len(f))
	for name, value := range f {
		if inner, ok := value.(form); ok {
			value = inner.value()
		}
		out[name] = value
	}
	return out
}

func (f form) value() any {
	all := f.fields()
	list := make([]any, 0, len(all))
	for i := range len(all) {
		v, ok := all[strconv.Itoa(i)]
		if !ok {
			return map[string]any(all)
		}
		list = append(list, v)
	}
	return list
}
