package config

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// Check loads src and writes what is wrong with it, or its notes and "ok"; the error is
// that of [Load], or of w.
func Check(w io.Writer, src Source) error {
	res, err := Load(src)
	if err != nil {
		_, _ = fmt.Fprintln(w, err)
		return err
	}
	var b bytes.Buffer
	for _, n := range res.Notes {
		fmt.Fprintln(&b, n)
	}
	b.WriteString("ok\n")
	_, err = w.Write(b.Bytes())
	return err
}

// masked stands for a secret that is set.
const masked = "***"

// Show writes the effective configuration as YAML, without secrets, and with origin
// set also where each value comes from. The error is that of w.
func (r *Result) Show(w io.Writer, origin bool) error {
	s := shower{origins: r.Origins}
	if !origin {
		s.origins = nil
	}
	s.section(keys, reflect.ValueOf(r.Config).Elem(), "", "")
	_, err := w.Write(s.Bytes())
	return err
}

type shower struct {
	bytes.Buffer
	origins map[string]Origin
}

func (s *shower) section(o *option, v reflect.Value, path, indent string) {
	for _, f := range o.fields {
		key, fv := path+f.name, v.FieldByIndex(f.index)
		switch {
		case f.isSection():
			fmt.Fprintf(s, "%s%s:\n", indent, f.name)
			s.section(f, fv, key+".", indent+"  ")
		case f.isList() && fv.Len() > 0:
			s.line(key, indent+f.name+":")
			for i := range fv.Len() {
				at := s.Len() + len(indent) + 2
				s.section(f, fv.Index(i), key+"."+elementName(fv.Index(i).Interface())+".", indent+"    ")
				s.Bytes()[at] = '-'
			}
		default:
			s.line(key, indent+f.name+": "+f.show(fv))
		}
	}
}

// elementName is what an element of a list is called in the names of its keys.
func elementName(element any) string {
	if ns, ok := element.(Namespace); ok {
		return ns.Name
	}
	return element.(EventType).Type //nolint:forcetypeassert // there are no other lists
}

func (s *shower) line(key, text string) {
	s.WriteString(text)
	if s.origins != nil {
		fmt.Fprintf(s, " # %s", s.origins[key])
	}
	s.WriteByte('\n')
}

// show is v as YAML on one line; secrets are masked.
func (o *option) show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return showDuration(x)
	case string:
		if o.secret() && x != "" {
			x = masked
		}
		return quote(x)
	case []string:
		x = append([]string{}, x...)
		for i := range x {
			if o.secret() {
				x[i] = masked
			}
		}
		return quote(x)
	case []int:
		return quote(append([]int{}, x...))
	default:
		if v.Kind() == reflect.Slice {
			return "[]"
		}
		return fmt.Sprint(x)
	}
}

// quote is x as JSON, which YAML reads alike.
func quote(x any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(x); err != nil {
		panic("config: quote: " + err.Error())
	}
	return strings.TrimSpace(b.String())
}

// showDuration is d without the zero parts: 1h, not 1h0m0s.
func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

const docsHead = `# Configuration

<!-- Written by "kuranty config docs"; change the tags in internal/config instead. -->

A value has one name. In a file (` + "`--config FILE`" + `; YAML, JSON or TOML) it is a path of sections, as a flag it is
` + "`--client.channel_limit 64`" + `, and as a variable ` + "`KURANTY_CLIENT_CHANNEL_LIMIT=64`" + `. Flags win over variables, variables
over the file. ` + "`kuranty config show --origin`" + ` tells what is in force and why, ` + "`kuranty config check`" + ` what is wrong.

- A zero (` + "`0`, `\"\"`, `\"0s\"`" + `) of a key that has a default means the default; where something can be switched off with a
  number or a duration, a negative one does it. The exceptions are booleans and keys that say what 0 does, such as ` + "`http_server.port`" + `.
- Durations are text with a unit: ` + "`\"300s\"`, `\"1h30m\"`" + `. Without a unit they are refused.
- A key that is not known stops the start; the message names its line and the nearest key there is.
- In variables, an empty value is no value, lists of texts and of numbers are separated by spaces, and ` + "`channel.namespaces` and `events.types`" + ` are JSON or a
  list of names. An option of one namespace is ` + "`KURANTY_CHANNEL_NAMESPACES_CHAT_PRESENCE=true`" + ` or
  ` + "`--channel.namespaces.chat.presence true`" + `.
- Keys that Centrifugo has too have the name they have in its version 6, and ` + "`CENTRIFUGO_…`" + ` variables are taken. Flat files
  of versions 3 to 5 are translated, with a line in the log for each key. What this version does not support is
  refused, unless it would change nothing.
- ` + "`engine.debug`, `debug` in flat files and `CENTRIFUGO_DEBUG=true`" + ` mean ` + "`log.level` `debug`" + `, unless that key is written.
- What only Kuranty has (` + "`storage`, `auth`, `chat`, `events`, `gateway`, `webhooks`, `mail`, `alerts`, `analytics`, `backup`" + `) stands beside the keys of either generation in
  the same file.
- A webhook that is switched off by hand records nothing while it is off: there is no ` + "`webhooks.legacy_inactive_records`" + `.
- ` + "`health`" + ` and ` + "`prometheus`" + ` are on unless switched off; Centrifugo has them off unless switched on.
- The listener is 127.0.0.1 unless ` + "`http_server.address`" + ` says otherwise; Centrifugo listens on all addresses.
- Options called insecure are refused unless the listener is a loopback address.
`

// Docs writes the reference of all keys as Markdown. The error is that of w.
func Docs(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(docsHead)
	docSection(&b, keys, "")
	_, err := w.Write(b.Bytes())
	return err
}

// docFields writes a table of the keys of o that are no sections.
func docFields(b *bytes.Buffer, o *option, head string) {
	first := true
	for _, f := range o.fields {
		if f.isSection() {
			continue
		}
		if first {
			fmt.Fprintf(b, "%s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", head)
			first = false
		}
		def := ""
		if d, ok := f.tag.Lookup("default"); ok {
			def = "`" + d + "`"
		}
		meaning := f.tag.Get("doc")
		if allowed, ok := f.tag.Lookup("oneof"); ok {
			meaning += " One of " + strings.Join(strings.Fields(strings.ReplaceAll(allowed, "|", " ")), ", ") + "."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.name, f.typeName(), def, strings.ReplaceAll(meaning, "|", `\|`))
	}
}

func docSection(b *bytes.Buffer, o *option, path string) {
	docFields(b, o, "\n## "+path)
	for _, f := range o.fields {
		switch {
		case f.path == "events.types":
			fmt.Fprintf(b, "\n## %s\n\nA list; each element is the name of a type, or has these keys.", f.path)
			docFields(b, f, "")
		case f.isList():
			fmt.Fprintf(b, "\n## %s\n\nA list; each element has a `name` and the options of channel.without_namespace.\n", f.path)
		case f.isSection():
			docSection(b, f, f.path)
		}
	}
}

func (o *option) typeName() string {
	switch {
	case o.typ == reflect.TypeFor[time.Duration]():
		return "duration"
	case o.typ == reflect.TypeFor[[]string]():
		return "list of texts"
	case o.typ == reflect.TypeFor[[]int]():
		return "list of numbers"
	case o.isList():
		return "list of sections"
	case o.typ.Kind() == reflect.String:
		return "text"
	case o.typ.Kind() == reflect.Bool:
		return "boolean"
	default:
		return "number"
	}
}

const starter = `# Configuration of Kuranty. All keys: kuranty config docs. What is in force: kuranty config show --origin.

http_server:
  address: 127.0.0.1 # 0.0.0.0 lets other machines in
  port: 8000

client:
  # Web pages that may connect. Your application's address, as the browser shows it.
  allowed_origins: ["http://localhost:3000"]
  token:
    # Your application signs connection tokens (JWT, HS256) with it. Keep it secret.
    hmac_secret_key: %s

http_api:
  # Opens the API for your application's own servers. Keep it secret.
  key: %s

channel:
  # Options of channels without a namespace, such as news.
  without_namespace:
    allow_subscribe_for_client: true
  # Options of channels such as room:42.
  namespaces:
    - name: room
      presence: true
      join_leave: true
      history_size: 100
      history_ttl: 24h
      force_recovery: true # clients get what they missed
      allow_subscribe_for_client: true
      allow_publish_for_subscriber: true
      allow_presence_for_subscriber: true
      allow_history_for_subscriber: true

# Accounts, chats, messages and files, whose channels are chat:42 and the like.
chat:
  enabled: true
auth:
  registration: open # or invite, domain, closed
`

// Generate writes a commented file to start from, with fresh random secrets. The error
// is that of w.
func Generate(w io.Writer) error {
	_, err := fmt.Fprintf(w, starter, rand.Text()+rand.Text(), rand.Text()+rand.Text())
	return err
}
