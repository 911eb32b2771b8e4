package servertest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/compat/chequite"
	"github.com/kuranty/kuranty/internal/compat/windi"
	"github.com/kuranty/kuranty/internal/servertest"
)

// endpoint is what the attack knows of an endpoint: a path with {parameters}, what may be
// asked in a query, and what a body may have.
type endpoint struct {
	method, path  string
	query, fields []string
	fair          map[string]string // members a body needs, with values of their type, if that is known
}

// foreignFields are members of the bodies and queries of the two contracts that came
// before ours, which have no document.
var foreignFields = []string{
	"text", "message", "content", "chatId", "chat_id", "typing", "is_typing", "userId", "user_id", "users", "participants", "participant_ids",
	"attachments", "reply_to_id", "title", "name", "type", "email", "login", "username", "password", "channel", "channels", "data", "token",
	"query", "q", "page", "limit", "offset", "before", "since", "cursor", "sort", "user", "client", "client_id", "fields",
}

// endpoints are all of the document and of the contracts.
func endpoints(t *testing.T, document []byte) (all []endpoint) {
	t.Helper()
	type schema struct {
		Ref        string                     `json:"$ref"`
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters  []struct{ Name, In string }
			RequestBody struct {
				Content map[string]struct{ Schema schema }
			} `json:"requestBody"`
		}
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	for path, operations := range doc.Paths {
		for method, o := range operations {
			e := endpoint{method: strings.ToUpper(method), path: path}
			for _, p := range o.Parameters {
				if p.In == "query" {
					e.query = append(e.query, p.Name)
				}
			}
			for _, content := range o.RequestBody.Content {
				body := content.Schema
				if body.Ref != "" {
					body = doc.Components.Schemas[strings.TrimPrefix(body.Ref, "#/components/schemas/")]
				}
				e.fields, e.fair = slices.Sorted(maps.Keys(body.Properties)), make(map[string]string)
				for _, name := range body.Required {
					e.fair[name] = fair(string(body.Properties[name]))
				}
			}
			all = append(all, e)
		}
	}
	if len(all) < 50 {
		t.Fatalf("the document has %d operations", len(all))
	}
	for _, r := range chequite.Routes() {
		all = append(all, endpoint{r.Method, r.Pattern, foreignFields, foreignFields, nil})
	}
	for _, r := range windi.Routes() {
		all = append(all, endpoint{r.Method, r.Pattern, foreignFields, foreignFields, nil})
	}
	return all
}

var kindOf = regexp.MustCompile(`"type":\[?"(\w+)"`)

// fair is a value of the type of a property.
func fair(property string) string {
	kind := kindOf.FindStringSubmatch(property)
	if kind == nil {
		return `null`
	}
	return map[string]string{"string": `"group"`, "integer": `1`, "number": `1`, "boolean": `true`, "array": `[1]`, "object": `{}`}[kind[1]]
}

// spoiled are bodies that are fair but for one member, which gets past the first check.
func (e endpoint) spoiled() (all []string) {
	for at, name := range e.fields {
		values := hostileValues
		if e.fair == nil {
			values = []string{hostileValues[at%len(hostileValues)], hostileValues[(at+7)%len(hostileValues)]}
		}
		for _, value := range values {
			members := []string{fmt.Sprintf("%q:%s", name, value)}
			for other, good := range e.fair {
				if other != name {
					members = append(members, fmt.Sprintf("%q:%s", other, good))
				}
			}
			all = append(all, "{"+strings.Join(members, ",")+"}")
		}
	}
	return all
}

// hostileValues are JSON values that are right for hardly any member.
var hostileValues = []string{
	`null`, `true`, `-1`, `0`, `1e400`, `0.5`, `99999999999999999999`, `-9223372036854775808`, `9223372036854775807`, `""`, `"\u0000"`, `"\ud800"`, "\"\xff\xfe\"",
	`"';--%_\\"`, `[]`, `[null]`, `[[[]]]`, `[1,"x",{}]`, `[-1,0,9223372036854775807]`, `{}`, `{"":null}`, `"` + strings.Repeat("я", 50_000) + `"`,
}

// bodies are whole hostile bodies, and objects with hostile members.
func (e endpoint) bodies() []string {
	all := []string{
		``, `null`, `[]`, `"x"`, `1e400`, `{`, `{"a":1,"a":2}`, "\xff\xfe", "\x00", "{\"text\":\"\xc3\x28\"}", strings.Repeat(" ", 100_000) + "{}",
		strings.Repeat(`{"a":`, 20_000) + `1` + strings.Repeat(`}`, 20_000), strings.Repeat(`[`, 100_000),
	}
	if len(e.fields) == 0 {
		return all[:6]
	}
	for i := range hostileValues {
		var members []string
		for k, name := range e.fields {
			value := hostileValues[(i+k)%len(hostileValues)]
			if len(value) > 1000 && k > len(hostileValues) {
				value = `{}` // once is enough
			}
			members = append(members, fmt.Sprintf("%q:%s", name, value))
		}
		all = append(all, "{"+strings.Join(members, ",")+"}")
	}
	return all
}

// hostileIDs are values for paths and queries, as they stand in a request line.
var hostileIDs = []string{"1", "0", "-1", "99999999999999999999", "9223372036854775807", "%00", "..%2f..", "../..", "%ff%fe", "%25", "1e3", "me", "'--", "%D1%8F"}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// targets are the paths and queries to try.
func (e endpoint) targets() (all []string) {
	if !parameter.MatchString(e.path) {
		all = append(all, e.path)
	} else {
		for _, id := range hostileIDs {
			all = append(all, parameter.ReplaceAllLiteralString(e.path, id))
		}
	}
	if len(e.query) == 0 {
		return all
	}
	for i := range hostileIDs {
		var pairs []string
		for k, name := range e.query {
			pairs = append(pairs, name+"="+hostileIDs[(i+k)%len(hostileIDs)])
		}
		all = append(all, parameter.ReplaceAllLiteralString(e.path, "1")+"?"+strings.Join(pairs, "&"))
	}
	return append(all, parameter.ReplaceAllLiteralString(e.path, "1")+"?%zz=%&;=&"+e.query[0]+"=1&"+e.query[0]+"=2")
}

// attacker sends requests just as they are written, on one connection while the server
// keeps that open.
type attacker struct {
	address string
	conn    net.Conn
	r       *bufio.Reader
}

// send returns the answer to one request; it is nil if the server hung up on a body that
// is too long, and its answer went with the connection.
func (a *attacker) send(method, target, token, kind, body string) (resp *http.Response, answer string, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n", method, target, a.address, kind, len(body))
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	b.WriteString("\r\n")
	b.WriteString(body)
	kept := a.conn != nil
	if !kept {
		if a.conn, err = net.Dial("tcp", a.address); err != nil {
			return nil, "", err
		}
		a.r = bufio.NewReader(a.conn)
	}
	_ = a.conn.SetDeadline(time.Now().Add(limit))
	_, wrote := io.WriteString(a.conn, b.String()) // an answer may come before all is read
	if resp, err = http.ReadResponse(a.r, &http.Request{Method: method}); err != nil {
		a.close()
		switch {
		case kept: // the server had closed it
			return a.send(method, target, token, kind, body)
		case len(body) > 50_000:
			return nil, "", nil
		}
		return nil, "", err
	}
	b.Reset()
	_, err = io.Copy(&b, io.LimitReader(resp.Body, 1<<20))
	if resp.Close || wrote != nil || err != nil {
		a.close()
	}
	if len(body) > 50_000 {
		err = nil // some of the answer is lost as well
	}
	return resp, b.String(), err
}

func (a *attacker) close() {
	if a.conn != nil {
		_ = a.conn.Close()
		a.conn = nil
	}
}

// telling is what no answer may say of the inside.
var telling = regexp.MustCompile(`panic|goroutine|SQL|sqlite|constraint|\.go:\d`)

// attack sends everything to one endpoint, as nobody and as a person.
func (a *attacker) attack(e endpoint, tokens []string) error {
	try := func(target, token, kind, body string) error {
		resp, answer, err := a.send(e.method, target, token, kind, body)
		if err != nil {
			return fmt.Errorf("%s %s %.80q: %w", e.method, target, body, err)
		}
		if resp == nil {
			return nil
		}
		if resp.StatusCode >= 500 && (resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "") {
			return fmt.Errorf("%s %s %.200q: %d %.200s", e.method, target, body, resp.StatusCode, answer)
		}
		if said := telling.FindString(answer); said != "" && resp.StatusCode >= 400 {
			return fmt.Errorf("%s %s %.200q: says %q: %.300s", e.method, target, body, said, answer)
		}
		return nil
	}
	targets, good := e.targets(), parameter.ReplaceAllLiteralString(e.path, "1")
	for i, target := range targets {
		for _, token := range []string{tokens[0], tokens[1+i%(len(tokens)-1)]} {
			if err := try(target, token, "application/json", ""); err != nil {
				return err
			}
		}
	}
	if e.method == http.MethodGet || e.method == http.MethodDelete && len(e.fields) == 0 {
		return try(good, tokens[0], "application/json", "null")
	}
	kinds := []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain; charset=\x01", ""}
	for i, body := range e.bodies() {
		for _, token := range tokens {
			if err := try(good, token, kinds[0], body); err != nil {
				return err
			}
		}
		if err := try(targets[i%len(targets)], tokens[0], kinds[i%len(kinds)], body); err != nil {
			return err
		}
	}
	for _, body := range e.spoiled() {
		if err := try(good, tokens[0], kinds[0], body); err != nil {
			return err
		}
	}
	for _, form := range []string{"--x", "--x\r\n\r\n", "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../\x00\"\r\n\r\n\xff\r\n--x--", "text=%zz&a[]=%00"} {
		for _, kind := range kinds[1:3] {
			if err := try(good, tokens[0], kind, form); err != nil {
				return err
			}
		}
	}
	return nil
}

// endings are endpoints that may end a session, an account or a chat; and those of
// administrators. They come last, so that the others meet a person who is a member.
var endings = regexp.MustCompile(`/admin/|/auth/|logout|session|password|^DELETE|leave|block`)

// Requests nobody would send in earnest, to every endpoint of the chat: none is answered
// as a fault of the server or tells of its inside, and none makes it panic.
func TestR35_HostileRequests(t *testing.T) {
	t.Parallel()
	flags := []servertest.Option{servertest.Flag("health.enabled", "true"), servertest.Flag("prometheus.enabled", "true")}
	for _, name := range []string{"requests_per_minute", "anonymous_per_minute", "search_per_minute", "chats_per_minute", "chats_per_day", "uploads_per_minute"} {
		flags = append(flags, servertest.Flag("chat.limits."+name, "10000000"))
	}
	p := servertest.Binary(t, append(flags, servertest.Flag("http_api.key", theKey))...)
	l := newLedger()
	l.at(p.URL)
	people, _ := l.people(t, 2, 1) // the first and chat 1 are the target, the second attacks
	api := newCaller(t, p.URL, theKey)
	_, document, err := api.do(http.MethodGet, "/openapi.json", "")
	if err != nil {
		t.Fatal(err)
	}
	var harmless, ending []endpoint
	for _, e := range endpoints(t, []byte(document)) {
		if endings.MatchString(e.method + " " + e.path) {
			ending = append(ending, e)
		} else {
			harmless = append(harmless, e)
		}
	}
	attack := func(all []endpoint, tokens ...string) {
		each(t, len(all), 4, func(i int) error {
			a := &attacker{address: strings.TrimPrefix(p.URL, "http://")}
			defer a.close()
			return a.attack(all[i], tokens)
		})
	}
	attack(harmless, people[1].token, "")
	if _, err := l.call(t.Context(), people[1], http.MethodGet, "/api/v2/me", nil, nil); err != nil {
		t.Errorf("who attacked was nobody in the end: %v", err)
	}
	attack(ending, theKey, people[1].token, "a.b.c")
	if status, answer, err := api.do(http.MethodGet, "/readyz", ""); err != nil || status != http.StatusOK {
		t.Errorf("after the attack: %d %s %v", status, answer, err)
	}
	if n := api.metrics(t)["kuranty_panics_total"]; n != 0 {
		t.Errorf("%v panics were contained\n%s", n, p.Log())
	}
}
