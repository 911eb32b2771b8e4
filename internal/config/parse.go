package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Limits of a file: bytes, depth, and values (which aliases of YAML multiply).
const (
	maxFile   = 1 << 20
	maxDepth  = 32
	maxValues = 100_000
)

var (
	errDeep = fmt.Errorf("nested deeper than %d", maxDepth)
	errMany = fmt.Errorf("more than %d values", maxValues)
)

// syntaxError is a mistake in the form of a file. Its text never quotes the file.
type syntaxError struct {
	line int
	text string
}

func (e *syntaxError) Error() string { return e.text }

// parse reads a file into a section; which format it is in, its name says or, failing
// that, its content.
func parse(name string, data []byte) (value, error) {
	if len(data) > maxFile {
		return value{}, fmt.Errorf("larger than %d bytes", maxFile)
	}
	if !utf8.Valid(data) {
		return value{}, errors.New("not valid UTF-8")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var (
		v   value
		err error
	)
	switch strings.ToLower(filepath.Ext(name)) {
	case ".json":
		v, err = parseJSON(data)
	case ".yaml", ".yml":
		v, err = parseYAML(data)
	case ".toml":
		v, err = parseTOML(data)
	default:
		v, err = sniff(data)
	}
	if err != nil {
		return value{}, err
	}
	if v.kind != section && v.kind != null {
		return value{}, fmt.Errorf("the file holds %v instead of keys and values", v.kind)
	}
	return v, nil
}

func sniff(data []byte) (value, error) {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return parseJSON(data)
	}
	if v, err := parseTOML(data); err == nil {
		return v, nil
	}
	return parseYAML(data)
}

// parseJSON keeps lines and repeated keys, which decoding into a map would lose.
func parseJSON(data []byte) (value, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	p := jsonParser{d: d, data: data}
	v, err := p.value(0)
	if err == nil {
		if _, extra := d.Token(); !errors.Is(extra, io.EOF) {
			err = errors.New("text after the end of the object")
		}
	}
	if err == nil {
		return v, nil
	}
	var syntax *json.SyntaxError
	offset := d.InputOffset()
	if errors.As(err, &syntax) {
		offset = syntax.Offset
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("unexpected end of JSON input")
	}
	return value{}, &syntaxError{line: p.line(offset), text: "not valid JSON: " + err.Error()}
}

type jsonParser struct {
	d       *json.Decoder
	data    []byte
	counted int64 // offset up to which lines were counted
	lines   int
	values  int
}

// line returns the line of an offset; offsets of successive calls grow.
func (p *jsonParser) line(offset int64) int {
	offset = min(offset, int64(len(p.data)))
	if offset > p.counted {
		p.lines += bytes.Count(p.data[p.counted:offset], []byte("\n"))
		p.counted = offset
	}
	return p.lines + 1
}

func (p *jsonParser) value(depth int) (value, error) {
	if p.values++; p.values > maxValues {
		return value{}, errMany
	}
	if depth > maxDepth {
		return value{}, errDeep
	}
	tok, err := p.d.Token()
	if err != nil {
		return value{}, err
	}
	v := value{line: p.line(p.d.InputOffset())}
	switch t := tok.(type) {
	case nil:
	case string:
		v.kind, v.text = text, t
	case json.Number:
		v.kind, v.text = number, t.String()
	case bool:
		v.kind, v.text = boolean, fmt.Sprint(t)
	case json.Delim:
		v.kind = list
		if t == '{' {
			v.kind = section
		}
		for p.d.More() {
			var e entry
			if v.kind == section {
				key, err := p.d.Token()
				if err != nil {
					return value{}, err
				}
				e.key, e.line = key.(string), p.line(p.d.InputOffset())
			}
			if e.val, err = p.value(depth + 1); err != nil {
				return value{}, err
			}
			if v.kind == section {
				v.entries = append(v.entries, e)
			} else {
				v.items = append(v.items, e.val)
			}
		}
		if _, err := p.d.Token(); err != nil {
			return value{}, err
		}
	}
	return v, nil
}

func parseYAML(data []byte) (v value, err error) {
	defer func() {
		if recover() != nil { // the library's; a reload must not end a running server
			v, err = value{}, &syntaxError{text: "not valid YAML"}
		}
	}()
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return value{}, yamlError(err)
	}
	var docs []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			docs = append(docs, doc.Body)
		}
	}
	switch len(docs) {
	case 0:
		return value{kind: section}, nil
	case 1:
		p := yamlParser{anchors: map[string]ast.Node{}}
		return p.value(docs[0], 0)
	default:
		return value{}, &syntaxError{line: docs[1].GetToken().Position.Line, text: "more than one YAML document"}
	}
}

// yamlError keeps message and line and drops the excerpt, which may show secrets.
func yamlError(err error) error {
	var e yaml.Error
	if !errors.As(err, &e) {
		return &syntaxError{text: "not valid YAML"}
	}
	s := &syntaxError{text: "not valid YAML: " + e.GetMessage()}
	if tok := e.GetToken(); tok != nil && tok.Position != nil {
		s.line = tok.Position.Line
	}
	return s
}

type yamlParser struct {
	anchors map[string]ast.Node
	values  int
}

func (p *yamlParser) value(n ast.Node, depth int) (value, error) {
	var v value
	if n == nil {
		return v, nil
	}
	if tok := n.GetToken(); tok != nil && tok.Position != nil {
		v.line = tok.Position.Line
	}
	fail := func(err error) (value, error) { return value{}, &syntaxError{line: v.line, text: err.Error()} }
	if p.values++; p.values > maxValues {
		return fail(errMany)
	}
	if depth > maxDepth {
		return fail(errDeep)
	}
	switch n := n.(type) {
	case *ast.NullNode, *ast.CommentGroupNode:
	case *ast.StringNode:
		v.kind, v.text = text, n.Value
	case *ast.LiteralNode:
		v.kind, v.text = text, n.Value.Value
	case *ast.BoolNode:
		v.kind, v.text = boolean, fmt.Sprint(n.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		v.kind, v.text = number, n.GetToken().Value
	case *ast.AnchorNode:
		p.anchors[n.Name.GetToken().Value] = n.Value
		return p.value(n.Value, depth)
	case *ast.AliasNode:
		target, ok := p.anchors[n.Value.GetToken().Value]
		if !ok {
			return fail(errors.New("not valid YAML: alias of an unknown anchor"))
		}
		return p.value(target, depth+1)
	case *ast.TagNode:
		inner, err := p.value(n.Value, depth+1)
		if err == nil && token.ReservedTagKeyword(n.Start.Value) == token.StringTag && inner.kind <= number {
			inner.kind = text
		}
		return inner, err
	case *ast.SequenceNode:
		v.kind = list
		for _, item := range n.Values {
			iv, err := p.value(item, depth+1)
			if err != nil {
				return value{}, err
			}
			v.items = append(v.items, iv)
		}
	case *ast.MappingNode:
		v.kind = section
		for _, merge := range []bool{false, true} { // what is written wins over what is merged
			for _, pair := range n.Values {
				if pair.Key.IsMergeKey() != merge {
					continue
				}
				if err := p.pair(&v, pair, depth); err != nil {
					return value{}, err
				}
			}
		}
	case *ast.MappingValueNode:
		v.kind = section
		if err := p.pair(&v, n, depth); err != nil {
			return value{}, err
		}
	default:
		return fail(fmt.Errorf("not understood: YAML %v", n.Type()))
	}
	return v, nil
}

// pair adds a key and its value to the section v; "<<" adds the keys of another
// section that v does not have.
func (p *yamlParser) pair(v *value, pair *ast.MappingValueNode, depth int) error {
	pv, err := p.value(pair.Value, depth+1)
	if err != nil {
		return err
	}
	tok := pair.Key.GetToken()
	if pair.Key.IsMergeKey() {
		for _, e := range pv.entries {
			if _, ok := v.get(e.key); !ok {
				v.entries = append(v.entries, e)
			}
		}
		return nil
	}
	if _, ok := pair.Key.(ast.ScalarNode); !ok {
		return &syntaxError{line: tok.Position.Line, text: "a key must be plain text"}
	}
	v.entries = append(v.entries, entry{key: tok.Value, line: tok.Position.Line, val: pv})
	return nil
}

// parseTOML lets the decoder judge the file and takes keys, values and lines from the
// parser below it.
func parseTOML(data []byte) (value, error) {
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		s := &syntaxError{text: "not valid TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
		var e *toml.DecodeError
		if errors.As(err, &e) {
			s.line, _ = e.Position()
		}
		return value{}, s
	}
	p := tomlParser{root: value{kind: section}}
	p.Reset(data)
	p.table = &p.root
	for p.NextExpression() {
		if err := p.expression(p.Expression()); err != nil {
			return value{}, err
		}
	}
	if err := p.Error(); err != nil {
		return value{}, &syntaxError{text: "not valid TOML"}
	}
	return p.root, nil
}

type tomlParser struct {
	unstable.Parser
	root  value
	table *value // the one that key-values now belong to
}

func (p *tomlParser) expression(e *unstable.Node) error {
	switch e.Kind {
	case unstable.Table, unstable.ArrayTable:
		p.table = &p.root
		for it := e.Key(); it.Next(); {
			k := it.Node()
			last := it.IsLast()
			next := p.child(p.table, k)
			switch {
			case last && e.Kind == unstable.ArrayTable:
				next.kind = list
				next.items = append(next.items, value{kind: section, line: p.line(k)})
				next = &next.items[len(next.items)-1]
			case next.kind == list && len(next.items) > 0:
				next = &next.items[len(next.items)-1]
			default:
				next.kind = section
			}
			p.table = next
		}
	case unstable.KeyValue:
		return p.keyValue(p.table, e, 0)
	}
	return nil
}

// child returns the value of key k in the section t, which gets one if it has none.
func (p *tomlParser) child(t *value, k *unstable.Node) *value {
	key := string(k.Data)
	for i := range t.entries {
		if t.entries[i].key == key {
			return &t.entries[i].val
		}
	}
	line := p.line(k)
	t.entries = append(t.entries, entry{key: key, line: line, val: value{line: line}})
	return &t.entries[len(t.entries)-1].val
}

func (p *tomlParser) line(n *unstable.Node) int { return p.Shape(n.Raw).Start.Line }

func (p *tomlParser) keyValue(t *value, e *unstable.Node, depth int) error {
	line := 0
	for it := e.Key(); it.Next(); {
		line = p.line(it.Node())
		t.kind = section
		t = p.child(t, it.Node())
	}
	v, err := p.value(e.Value(), line, depth)
	*t = v
	return err
}

func (p *tomlParser) value(n *unstable.Node, line, depth int) (value, error) {
	v := value{line: line}
	if depth > maxDepth {
		return v, &syntaxError{line: line, text: errDeep.Error()}
	}
	switch n.Kind {
	case unstable.Bool:
		v.kind, v.text = boolean, string(n.Data)
	case unstable.Integer, unstable.Float:
		v.kind, v.text = number, string(n.Data)
	case unstable.Array:
		v.kind = list
		for it := n.Children(); it.Next(); {
			item, err := p.value(it.Node(), line, depth+1)
			if err != nil {
				return v, err
			}
			v.items = append(v.items, item)
		}
	case unstable.InlineTable:
		v.kind = section
		for it := n.Children(); it.Next(); {
			if err := p.keyValue(&v, it.Node(), depth+1); err != nil {
				return v, err
			}
		}
	default: // strings; dates are text to us
		v.kind, v.text = text, string(n.Data)
	}
	return v, nil
}
