package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Source is where a configuration comes from. Flags win over the environment, which
// wins over the file.
type Source struct {
	// File is the path of a YAML, JSON or TOML file; empty is none. Other endings than
	// .yaml, .yml, .json and .toml are told apart by their content.
	File string
	// Text, if not nil, is the file's content, and File only its name.
	Text []byte
	// Env holds variables as [os.Environ] returns them; those that begin with neither
	// KURANTY_ nor CENTRIFUGO_ are passed over.
	Env []string
	// Flags are pairs of a key and its value, as in {"http_server.port", "0"}.
	Flags [][2]string
}

// Result is a configuration that may be used.
type Result struct {
	Config *Config
	// Notes are what a person should know: translated keys, ignored ones. Each is
	// meant to be logged once.
	Notes []Note
	// Origins tells by key where each value comes from. Options of namespaces stand
	// under channel.namespaces.NAME.
	Origins map[string]Origin
}

// Origin is where a value was set: "default", "file config.json:3",
// "env KURANTY_LOG_LEVEL" or "flag --log.level".
type Origin string

const fromDefault Origin = "default"

// Note is something about one key that did not stop the loading.
type Note struct {
	Key    string
	Origin Origin
	Text   string
	// Warning tells notes that may surprise from those that only inform.
	Warning bool
}

// String is the note as one line.
func (n Note) String() string { return fmt.Sprintf("%s (%s): %s", n.Key, n.Origin, n.Text) }

// Problem is one mistake: the key, where it was set, and what is wrong with it. Key is
// empty if a file is wrong as a whole.
type Problem struct {
	Key    string
	Origin Origin
	Text   string
}

// String is the problem as one line.
func (p Problem) String() string {
	switch {
	case p.Key == "":
		return fmt.Sprintf("%s: %s", p.Origin, p.Text)
	case p.Origin == "":
		return fmt.Sprintf("%s: %s", p.Key, p.Text)
	default:
		return fmt.Sprintf("%s (%s): %s", p.Key, p.Origin, p.Text)
	}
}

// Error lists everything that is wrong with a configuration.
type Error struct{ Problems []Problem }

// Error has a line per problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	if len(lines) == 1 {
		return "configuration: " + lines[0]
	}
	return fmt.Sprintf("configuration: %d mistakes\n  %s", len(lines), strings.Join(lines, "\n  "))
}

// Load reads, translates, merges and checks. The error, if any, is an [*Error] that
// lists every mistake; then there is no result.
func Load(src Source) (*Result, error) {
	l := &loader{cfg: &Config{}, origins: map[string]Origin{}}
	keys.setDefaults(reflect.ValueOf(l.cfg).Elem())
	for o := range keys.values() {
		l.origins[o.path] = fromDefault
	}
	l.file(src)
	l.env(src.Env)
	l.flags(src.Flags)
	l.verbosity()
	l.check()
	if len(l.problems) > 0 {
		return nil, &Error{l.problems}
	}
	return &Result{Config: l.cfg, Notes: l.notes, Origins: l.origins}, nil
}

// loader merges one layer after the other into cfg.
type loader struct {
	cfg      *Config
	origins  map[string]Origin
	notes    []Note
	problems []Problem
	seen     map[string]place // what the current layer has set, by path
	debug    *place           // where the last engine.debug stands, if it is true
}

// place is where a value stands.
type place struct {
	layer string // "file NAME", "env NAME", "flag --KEY"
	line  int    // 0 outside files
	as    string // the old name it was written with, if any
}

func (p place) at(line int) place {
	p.line = line
	return p
}

func (p place) origin() Origin {
	if p.line > 0 {
		return Origin(p.layer + ":" + strconv.Itoa(p.line))
	}
	return Origin(p.layer)
}

func (l *loader) problem(key string, at place, format string, args ...any) {
	p := Problem{Key: key, Origin: at.origin(), Text: fmt.Sprintf(format, args...)}
	if at.as != "" && at.as != key {
		p.Text += " (written as " + at.as + ")"
	}
	l.problems = append(l.problems, p)
}

func (l *loader) note(key string, at place, warning bool, format string, args ...any) {
	l.notes = append(l.notes, Note{Key: key, Origin: at.origin(), Text: fmt.Sprintf(format, args...), Warning: warning})
}

func (l *loader) file(src Source) {
	if src.File == "" && src.Text == nil {
		return
	}
	l.seen = map[string]place{}
	from := place{layer: "file " + src.File}
	data := src.Text
	if data == nil {
		var err error
		if data, err = os.ReadFile(src.File); err != nil {
			var failed *os.PathError
			if errors.As(err, &failed) {
				err = failed.Err
			}
			l.problem("", from, "read: %v", err)
			return
		}
	}
	root, err := parse(src.File, data)
	if err != nil {
		var syntax *syntaxError
		if errors.As(err, &syntax) {
			from.line = syntax.line
		}
		l.problem("", from, "%v", err)
		return
	}
	var added []change
	if isV3(root) {
		root, added = l.v3(root, from)
	}
	for _, e := range root.entries {
		l.top(e.key, e.val, from.at(e.line))
	}
	for _, c := range added {
		path := flatKeys[c.key]
		if _, set := l.seen[path]; !set && l.put(path, c.val, from.at(c.line)) {
			l.note(path, from.at(c.line), false, "set to %s: %s", c.val.text, c.why)
		}
	}
}

// v3 translates the channel options of a file of version 3. What it adds to the top
// level is returned apart, because it gives way to what is written.
func (l *loader) v3(root value, from place) (value, []change) {
	kept, added, wrong := translateV3(root.entries, 1, from)
	l.problems = append(l.problems, wrong...)
	root.entries = kept
	for i, e := range kept {
		if e.key != "namespaces" || e.val.kind != list {
			continue
		}
		items := make([]value, len(e.val.items))
		for j, ns := range e.val.items {
			opts, more, wrong := translateV3(ns.entries, ns.line, from)
			l.problems = append(l.problems, wrong...)
			name, _ := ns.get("name")
			for _, c := range more {
				opts = append(opts, c.entry)
				l.note("channel.namespaces."+name.text+"."+c.key, from.at(c.line), false, "set to %s: %s", c.val.text, c.why)
			}
			if ns.kind == section {
				ns.entries = opts
			}
			items[j] = ns
		}
		kept[i].val.items = items
	}
	return root, added
}

// top sets a key of the top level, by its present or its flat name. A name that is both
// is flat unless it holds a section.
func (l *loader) top(key string, v value, at place) {
	path, flat := flatKeys[key]
	if !flat || v.kind == section && isSectionName(key) {
		l.put(key, v, at)
		return
	}
	at.as = key
	if l.put(path, v, at) {
		l.note(path, at, false, "translated from %s", key)
	}
	if on, ok := implied[key]; ok && !v.zero() {
		l.put(on, value{kind: boolean, text: "true"}, at)
	}
	// Versions 3 and 4 meant all channels; so did 5 unless it said otherwise.
	if key == "history_meta_ttl" {
		if global := "channel.history_meta_ttl"; l.origins[global] == fromDefault && l.put(global, v, at) {
			delete(l.seen, global) // gives way to a later global_history_meta_ttl
			l.note(global, at, false, "translated from %s", key)
		}
	}
}

func isSectionName(key string) bool {
	_, _, below := foreign(key)
	return below || keys.child(key) != nil
}

// put sets the key at path, or each key of the section there. It tells whether path is
// a value of ours and now set.
func (l *loader) put(path string, v value, at place) bool {
	if v.kind == null {
		return false
	}
	o, target, generic := l.resolve(path)
	if o != nil && o.isSection() {
		if v.kind != section {
			l.problem(path, at, "is a section of keys, not %v", v.kind)
			return false
		}
		l.each(path, v, at)
		return false
	}
	f, found, below := foreign(generic)
	if o == nil && !found {
		inside, ofNamespace := strings.CutPrefix(path, inNamespace)
		ns, _ := l.namespace(inside, ".")
		switch {
		case below && v.kind == section:
			l.each(path, v, at)
		case ofNamespace && ns == nil:
			l.problem(path, at, "there is no such namespace in channel.namespaces")
		default:
			l.problem(path, at, "unknown key; the nearest known one is %s", l.suggest(path))
		}
		return false
	}
	if before, ok := l.seen[path]; ok {
		l.problem(path, at, "set twice, before as %s (%s)", before.name(path), before.origin())
		return false
	}
	l.seen[path] = at
	switch {
	case o == nil:
		l.foreign(path, f, v, at)
		return false
	case o.isList() && path == "events.types":
		return l.eventTypes(path, v, at)
	case o.isList():
		return l.namespaces(path, o, v, at)
	}
	x, usedDefault, err := o.convert(v)
	if err != nil {
		l.problem(path, at, "%v", err)
		return false
	}
	target.Set(x)
	l.origins[path] = at.origin()
	if usedDefault {
		l.origins[path] = fromDefault
	}
	return true
}

func (p place) name(path string) string {
	if p.as != "" {
		return p.as
	}
	return path
}

func (l *loader) each(path string, v value, at place) {
	for _, e := range v.entries {
		if e.line > 0 {
			at.line = e.line
		}
		l.put(path+"."+e.key, e.val, at)
	}
}

// inNamespace is the prefix of options of one namespace.
const inNamespace = "channel.namespaces."

// resolve finds the option at path and its field; generic is path as [foreign] wants it.
func (l *loader) resolve(path string) (o *option, target reflect.Value, generic string) {
	o, target = keys, reflect.ValueOf(l.cfg).Elem()
	rest := path
	generic = path
	if opt, ok := strings.CutPrefix(path, "channel.without_namespace."); ok {
		generic = anyChannels + opt
	}
	if inside, ok := strings.CutPrefix(path, inNamespace); ok {
		ns, opt := l.namespace(inside, ".")
		if ns == nil {
			return nil, target, path
		}
		o, target = keys.child("channel").child("namespaces"), reflect.ValueOf(ns).Elem()
		rest, generic = opt, anyChannels+opt
	}
	for name := range strings.SplitSeq(rest, ".") {
		if o = o.child(name); o == nil {
			return nil, target, generic
		}
		target = target.FieldByIndex(o.index)
	}
	return o, target, generic
}

// namespace finds the namespace whose name, up to sep, begins s, and what follows; of
// several the longest.
func (l *loader) namespace(s, sep string) (found *Namespace, rest string) {
	length := -1
	for i := range l.cfg.Channel.Namespaces {
		ns := &l.cfg.Channel.Namespaces[i]
		name := ns.Name
		if sep == "_" {
			name = envName(name)
		}
		if after, ok := strings.CutPrefix(s, name+sep); ok && len(name) > length {
			found, rest, length = ns, after, len(name)
		}
	}
	return found, rest
}

// namespaces replaces the list of namespaces: a list of sections, or, where there is
// only text, JSON or names.
func (l *loader) namespaces(path string, o *option, v value, at place) bool {
	if v.kind == text {
		if strings.HasPrefix(strings.TrimSpace(v.text), "[") {
			parsed, err := parseJSON([]byte(v.text))
			if err != nil {
				l.problem(path, at, "%v", err)
				return false
			}
			v = withoutLines(parsed)
		} else {
			names := strings.Fields(v.text)
			v = value{kind: list}
			for _, name := range names {
				v.items = append(v.items, textValue(name))
			}
		}
	}
	if v.kind != list {
		l.problem(path, at, "must be a list of namespaces, not %v", v.kind)
		return false
	}
	l.cfg.Channel.Namespaces = nil
	for key := range l.origins {
		if strings.HasPrefix(key, path+".") {
			delete(l.origins, key)
		}
	}
	at.as = ""
	for i, item := range v.items {
		at := at.at(item.line)
		if item.kind == text {
			item = value{kind: section, entries: []entry{{key: "name", line: item.line, val: item}}}
		}
		if item.kind != section {
			l.problem(path, at, "element %d must be a section, not %v", i+1, item.kind)
			continue
		}
		name, _ := item.get("name")
		switch ns, _ := l.namespace(name.text+".", "."); {
		case name.text == "":
			l.problem(path, at, "element %d has no name", i+1)
			continue
		case ns != nil && ns.Name == name.text:
			l.problem(path+"."+name.text, at, "a namespace of this name stands before")
			continue
		}
		l.cfg.Channel.Namespaces = append(l.cfg.Channel.Namespaces, Namespace{})
		ns := &l.cfg.Channel.Namespaces[len(l.cfg.Channel.Namespaces)-1]
		o.setDefaults(reflect.ValueOf(ns).Elem())
		ns.Name = name.text
		for _, f := range o.fields {
			l.origins[path+"."+ns.Name+"."+f.name] = fromDefault
		}
		for _, e := range item.entries {
			at := at
			if e.line > 0 {
				at.line = e.line
			}
			key := e.key
			if to, ok := flatElement[key]; ok {
				key, at.as = to, key
			}
			l.put(path+"."+name.text+"."+key, e.val, at)
		}
	}
	l.origins[path] = at.origin()
	return true
}

// withoutLines forgets lines, which mean nothing outside a file.
func withoutLines(v value) value {
	v.line = 0
	for i := range v.items {
		v.items[i] = withoutLines(v.items[i])
	}
	for i := range v.entries {
		v.entries[i].line, v.entries[i].val = 0, withoutLines(v.entries[i].val)
	}
	return v
}

// foreign deals with a key that Centrifugo has and we do not.
func (l *loader) foreign(path string, f foreignKey, v value, at place) {
	written := at.name(path)
	switch f.treatment {
	case refused:
		if !f.asksForNothing(v) {
			l.problem(path, at, "known to Centrifugo, not supported by this version")
		}
	case idle:
		if !v.zero() {
			l.note(written, at, false, "known to Centrifugo, changes nothing in this version")
		}
	case console:
		if !slices.ContainsFunc(l.notes, func(n Note) bool { return n.Key == "admin" }) {
			l.note("admin", at, false, "taken, but the operator console comes in a later version")
		}
	case commercial:
		l.note(written, at, true, "an option of Centrifugo's commercial edition, ignored")
	case verbose:
		on, err := v.asBool()
		if err != nil {
			l.problem(path, at, "%v", err)
		}
		if l.debug = nil; on {
			l.debug = &at
		}
	}
}

// verbosity is what engine.debug, or debug of the flat files, comes to when all layers are
// read: a level of the log, which gives way to one that is written anywhere.
func (l *loader) verbosity() {
	const path = "log.level"
	if l.debug == nil {
		return
	}
	written := l.debug.name("engine.debug")
	if l.origins[path] != fromDefault {
		l.note(written, *l.debug, false, "gives way to %s (%s)", path, l.origins[path])
		return
	}
	l.cfg.Log.Level, l.origins[path] = "debug", l.debug.origin()
	l.note(path, *l.debug, false, "translated from %s", written)
}

// suggest names the key most like the unknown one at path.
func (l *loader) suggest(path string) string {
	var known []string
	for o := range keys.values() {
		known = append(known, o.path)
	}
	for key := range foreignKeys {
		known = append(known, strings.Replace(key, anyChannels, "channel.without_namespace.", 1))
	}
	if !strings.Contains(path, ".") {
		for key := range flatKeys {
			known = append(known, key)
		}
	}
	if ns, _ := l.namespace(strings.TrimPrefix(path, inNamespace), "."); ns != nil {
		known = known[:0]
		prefix := "channel.namespaces." + ns.Name + "."
		for _, o := range keys.child("channel").child("namespaces").fields {
			known = append(known, prefix+o.name)
		}
		for key := range foreignKeys {
			if option, ok := strings.CutPrefix(key, anyChannels); ok {
				known = append(known, prefix+option)
			}
		}
	}
	return nearest(path, known)
}

func (l *loader) flags(flags [][2]string) {
	last := map[string]string{}
	var order []string
	for _, f := range flags {
		if _, ok := last[f[0]]; !ok {
			order = append(order, f[0])
		}
		last[f[0]] = f[1]
	}
	// Options of namespaces come when all namespaces are known.
	slices.SortStableFunc(order, func(a, b string) int {
		return cmp.Compare(strings.Count(a, inNamespace), strings.Count(b, inNamespace))
	})
	l.seen = map[string]place{}
	for _, key := range order {
		l.put(key, textValue(last[key]), place{layer: "flag --" + key})
	}
}
