package config

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"
)

// option is a key of [Config]: a value, a section, or a list of named sections.
type option struct {
	name   string // last element of path
	path   string // from the root; an element of a list is *
	index  []int  // of the field in the struct of the parent
	typ    reflect.Type
	tag    reflect.StructTag
	fields []*option // of a section, or of an element of a list of sections
}

// keys is the root of all options.
var keys = newOption("", "", reflect.TypeFor[Config](), "")

func newOption(name, path string, typ reflect.Type, tag reflect.StructTag) *option {
	o := &option{name: name, path: path, typ: typ, tag: tag}
	if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct {
		typ, path = typ.Elem(), path+".*"
	}
	if typ.Kind() != reflect.Struct {
		return o
	}
	for _, f := range reflect.VisibleFields(typ) {
		if f.Anonymous {
			continue
		}
		key := f.Tag.Get("key")
		field := newOption(key, strings.TrimPrefix(path+"."+key, "."), f.Type, f.Tag)
		field.index = f.Index
		o.fields = append(o.fields, field)
	}
	return o
}

func (o *option) isSection() bool { return o.typ.Kind() == reflect.Struct }

func (o *option) isList() bool { return o.typ.Kind() == reflect.Slice && len(o.fields) > 0 }

func (o *option) secret() bool { return o.tag.Get("secret") != "" }

func (o *option) child(name string) *option {
	for _, f := range o.fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

// values yields o's values and lists, depth first, in the order of [Config]; those of
// list elements are not among them.
func (o *option) values() iter.Seq[*option] {
	return func(yield func(*option) bool) { o.walk(yield) }
}

func (o *option) walk(yield func(*option) bool) bool {
	if !o.isSection() {
		return yield(o)
	}
	for _, f := range o.fields {
		if !f.walk(yield) {
			return false
		}
	}
	return true
}

// convert turns v into a value of o's type, within what its tags allow. A zero means
// the default, except of booleans and where a zero is a choice of its own; usedDefault
// tells so.
func (o *option) convert(v value) (out reflect.Value, usedDefault bool, err error) {
	var x any
	switch o.typ {
	case reflect.TypeFor[string]():
		x, err = v.asString()
	case reflect.TypeFor[bool]():
		x, err = v.asBool()
	case reflect.TypeFor[time.Duration]():
		x, err = v.asDuration()
	case reflect.TypeFor[[]string]():
		x, err = v.asStrings()
	case reflect.TypeFor[[]int]():
		x, err = v.asInts()
	case reflect.TypeFor[float64]():
		x, err = v.asFloat()
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		x, err = v.asInt(o.typ.Bits())
	default:
		panic("config: no conversion to " + o.typ.String())
	}
	if err != nil {
		return out, false, err
	}
	out = reflect.ValueOf(x).Convert(o.typ)
	if allowed, ok := o.tag.Lookup("oneof"); ok && !out.IsZero() && !slices.Contains(strings.Split(allowed, "|"), out.String()) {
		return out, false, fmt.Errorf("must be one of %s", strings.Join(strings.Fields(strings.ReplaceAll(allowed, "|", " ")), ", "))
	}
	if (out.CanInt() && out.Int() < 0 || out.CanFloat() && out.Float() < 0) && o.tag.Get("off") == "" {
		return out, false, fmt.Errorf("must not be negative")
	}
	if def := o.fallback(); out.IsZero() && out.Kind() != reflect.Bool && o.tag.Get("zero") == "" && !def.IsZero() {
		return def, true, nil
	}
	return out, false, nil
}

// fallback is o's default.
func (o *option) fallback() reflect.Value {
	def, ok := o.tag.Lookup("default")
	if !ok {
		return reflect.Zero(o.typ)
	}
	plain := *o
	plain.tag = ""
	out, _, err := plain.convert(textValue(def))
	if err != nil {
		panic("config: default of " + o.path + " " + err.Error())
	}
	return out
}

// setDefaults fills the struct that o describes.
func (o *option) setDefaults(target reflect.Value) {
	for _, f := range o.fields {
		switch fv := target.FieldByIndex(f.index); {
		case f.isSection():
			f.setDefaults(fv)
		case !f.isList():
			fv.Set(f.fallback())
		}
	}
}

// nearest returns the candidate that a person who wrote name most likely meant: the
// same mistake in the last element counts less than a wrong section.
func nearest(name string, candidates []string) string {
	best, bestCost := "", -1
	for _, c := range candidates {
		cost := 2 * distance(name, c)
		if here, there := last(name), last(c); here != name || there != c {
			elsewhere := 1
			if strings.TrimSuffix(name, here) == strings.TrimSuffix(c, there) {
				elsewhere = 0
			}
			cost = min(cost, 2*distance(here, there)+elsewhere)
		}
		if bestCost < 0 || cost < bestCost {
			best, bestCost = c, cost
		}
	}
	return best
}

func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// distance counts the insertions, deletions, replacements and swaps of neighbours that
// turn a into b.
func distance(a, b string) int {
	if len(a) > 128 || len(b) > 128 {
		return max(len(a), len(b))
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
