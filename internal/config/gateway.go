package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Gateway is /v1/ws, /ws and the log of events over HTTP.
type Gateway struct {
	Enabled           bool          `key:"enabled" default:"true" doc:"Serve event streams: /v1/ws, /ws, /v1/events and what belongs to them."`
	QueryToken        bool          `key:"query_token" default:"true" doc:"Take tokens in ?token= and ?api_key= too; addresses are often logged by others."`
	SubscriptionLimit int           `key:"subscription_limit" default:"100" doc:"Most subscriptions of one connection, 10 to 1000."`
	MessageSizeLimit  int           `key:"message_size_limit" default:"65536" doc:"Most bytes of a message from a client, 1024 to 1048576."`
	MessagesPerMinute int           `key:"messages_per_minute" default:"120" doc:"Most messages of one connection in a minute, half of them at once; pong and ack are free."`
	ConnectionLimit   int           `key:"connection_limit" default:"100" doc:"Most connections of one account or API key."`
	AuthTimeout       time.Duration `key:"auth_timeout" default:"10s" doc:"Time a connection has to authenticate, at most 10s."`
	PingInterval      time.Duration `key:"ping_interval" default:"30s" doc:"Time between pings to a client."`
	PongTimeout       time.Duration `key:"pong_timeout" default:"75s" doc:"Time without a sign of life after which a connection is closed, above ping_interval."`
	StrictPong        bool          `key:"strict_pong" doc:"Take only pong messages for a sign of life."`
}

// EventType is a type of events of the operator's services.
type EventType struct {
	Type    string `key:"type" doc:"Name of the type."`
	Summary string `key:"summary" doc:"When it happens, in a sentence."`
	Schema  string `key:"schema" doc:"JSON Schema of the payloads, as a section, JSON text or the path of a file; empty lets every object pass."`
	Sample  string `key:"sample" doc:"A payload, given like the schema."`
}

// typeName is the form of a type's name.
var typeName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)

func (l *loader) checkGateway(g *Gateway) {
	const prefix = "gateway."
	l.checkRange(prefix+"subscription_limit", g.SubscriptionLimit, 10, 1000)
	l.checkRange(prefix+"message_size_limit", g.MessageSizeLimit, 1024, 1<<20)
	if g.AuthTimeout < time.Second || g.AuthTimeout > 10*time.Second {
		l.wrong(prefix+"auth_timeout", "must be 1s to 10s")
	}
	if g.PingInterval < time.Second {
		l.wrong(prefix+"ping_interval", "must be at least 1s")
	}
	if g.PongTimeout <= g.PingInterval {
		l.wrong(prefix+"pong_timeout", "must be more than gateway.ping_interval (%s)", showDuration(g.PingInterval))
	}
}

func (l *loader) checkEventTypes(types []EventType) {
	const key = "events.types"
	for _, t := range types {
		if len(t.Type) > 128 || !typeName.MatchString(t.Type) {
			l.wrong(key, "%.128q must be words of a-z, 0-9 and _ with dots between, up to 128 characters", t.Type)
		}
		for _, v := range []struct{ name, text string }{{"schema", t.Schema}, {"sample", t.Sample}} {
			if strings.HasPrefix(strings.TrimSpace(v.text), "{") && !json.Valid([]byte(v.text)) {
				l.wrong(key, "%s of %s is not JSON", v.name, t.Type)
			}
		}
	}
}

// eventTypes replaces the list of types: a list of sections, or, where there is only text,
// JSON or names.
func (l *loader) eventTypes(path string, v value, at place) bool {
	v, err := v.asList()
	if err != nil {
		l.problem(path, at, "must be a list of types, not %v", v.kind)
		return false
	}
	types := make([]EventType, 0, len(v.items))
	seen := make(map[string]bool)
	good := true
	wrong := func(at place, format string, args ...any) {
		l.problem(path, at, format, args...)
		good = false
	}
	for i, item := range v.items {
		at := at.at(item.line)
		if item.kind == text {
			item = value{kind: section, entries: []entry{{key: "type", line: item.line, val: item}}}
		}
		if item.kind != section {
			wrong(at, "element %d must be a section, not %v", i+1, item.kind)
			continue
		}
		var t EventType
		fields := map[string]*string{"type": &t.Type, "summary": &t.Summary, "schema": &t.Schema, "sample": &t.Sample}
		for _, e := range item.entries {
			if e.line > 0 {
				at.line = e.line
			}
			into := fields[e.key]
			switch {
			case into == nil:
				wrong(at, "element %d: unknown key %s; there are type, summary, schema and sample", i+1, e.key)
			case e.val.kind == section && (e.key == "schema" || e.key == "sample"):
				b, err := json.Marshal(e.val.plain())
				if err != nil {
					wrong(at, "element %d: %s: %v", i+1, e.key, err)
				}
				*into = string(b)
			default:
				if *into, err = e.val.asString(); err != nil {
					wrong(at, "element %d: %s %v", i+1, e.key, err)
				}
			}
		}
		switch {
		case t.Type == "":
			wrong(at, "element %d has no type", i+1)
		case seen[t.Type]:
			wrong(at, "%s stands twice", t.Type)
		}
		seen[t.Type] = true
		types = append(types, t)
	}
	if good {
		l.cfg.Events.Types = types
		l.origins[path] = at.origin()
	}
	return good
}

// asList takes a list, JSON text of one, or text with spaces between the elements.
func (v value) asList() (value, error) {
	if v.kind != text {
		if v.kind != list {
			return v, fmt.Errorf("is no list")
		}
		return v, nil
	}
	if strings.HasPrefix(strings.TrimSpace(v.text), "[") {
		parsed, err := parseJSON([]byte(v.text))
		if err != nil {
			return v, err
		}
		return withoutLines(parsed), nil
	}
	out := value{kind: list}
	for _, name := range strings.Fields(v.text) {
		out.items = append(out.items, textValue(name))
	}
	return out, nil
}

// plain is v as JSON has it.
func (v value) plain() any {
	switch v.kind {
	case section:
		m := make(map[string]any, len(v.entries))
		for _, e := range v.entries {
			m[e.key] = e.val.plain()
		}
		return m
	case list:
		all := make([]any, len(v.items))
		for i, item := range v.items {
			all[i] = item.plain()
		}
		return all
	case boolean, number:
		if json.Valid([]byte(v.text)) {
			return json.RawMessage(v.text)
		}
	case null:
		return nil
	case text:
	}
	return v.text
}
