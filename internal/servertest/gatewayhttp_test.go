package servertest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

const ownTypes = `{"events": {"types": ["order.paid", {"type": "order.created", "summary": "An order was placed.",
	"schema": {"type": "object", "required": ["number"], "properties": {"number": {"type": "integer"}}}, "sample": {"number": 7}}]}}`

// ask makes a request with JSON and decodes the answer into a map.
func ask(t *testing.T, in *servertest.Instance, token, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
	}
	r := request(t, in.URL, person{token: token}, method, path, "application/json", text)
	var out map[string]any
	if len(r.body) > 0 && json.Unmarshal([]byte(r.body), &out) != nil {
		t.Fatalf("%s %s: %d %q", method, path, r.status, r.body)
	}
	return r.status, out
}

// eventPage is an answer of GET /v1/events.
type eventPage struct {
	Events []struct {
		ID, Type, Event, Channel string
		Seq                      int64
		Data                     map[string]any
	}
	Next *string
	More bool
}

func listEvents(t *testing.T, in *servertest.Instance, token, query string) eventPage {
	t.Helper()
	r := request(t, in.URL, person{token: token}, http.MethodGet, "/v1/events?"+query, "", nil)
	var p eventPage
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.status != 200 {
		t.Fatalf("%s: %d %s %v", query, r.status, r.body, err)
	}
	return p
}

// field is the name of the first field that a refusal is about.
func field(answer map[string]any) string {
	problem, _ := answer["error"].(map[string]any)
	details, _ := problem["details"].(map[string]any)
	list, _ := details["fields"].([]any)
	if len(list) == 0 {
		return ""
	}
	first, _ := list[0].(map[string]any)
	name, _ := first["field"].(string)
	return name
}

func onBoth(t *testing.T, config string, f func(t *testing.T, in *servertest.Instance)) {
	t.Run("sqlite", func(t *testing.T) { f(t, servertest.Start(t, servertest.Config(config))) })
	t.Run("postgres", func(t *testing.T) {
		f(t, servertest.Start(t, servertest.Config(config), servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", pgtest.Start(t))))
	})
}

// design.md §3.13.
func TestIngest(t *testing.T) {
	onBoth(t, ownTypes, func(t *testing.T, in *servertest.Instance) {
		key, _ := newKey(t, in, "events:publish:order.*")
		const id = "evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD"
		s := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
		s.want(adminWelcome)
		s.send(`{"type":"subscribe","events":["order.*"]}`)
		s.want(`{"type":"subscribed","events":["order.*"]}`)
		one := map[string]any{"type": "order.created", "data": map[string]any{"number": 7, "text": "ü<&"}, "id": id, "occurred_at": "2026-03-02T08:16:02.5+01:00", "ordering_key": "shop 1"}
		for i, path := range []string{"/v1/events", "/events", "/v1/events"} {
			status, got := ask(t, in, key, http.MethodPost, path, one)
			if status != 202 || got["event_id"] != id || got["duplicate"] != (i > 0) {
				t.Errorf("%d: %d %v", i, status, got)
			}
		}
		if got, want := s.next(), `{"type":"order.created","payload":{"number":7,"text":"ü<&"},"timestamp":"2026-03-02T07:16:02","id":"`+id+`","occurred_at":"2026-03-02T07:16:02.500Z"}`; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		one["data"] = map[string]any{"number": 8}
		if status, got := ask(t, in, key, http.MethodPost, "/v1/events", one); status != 409 || field(got) != "id" {
			t.Errorf("other content: %d %v", status, got)
		}
		one["data"] = map[string]any{"number": 7, "text": "ü<&"}
		if status, got := ask(t, in, in.APIKey, http.MethodPost, "/v1/events", one); status != 409 {
			t.Errorf("another producer: %d %v", status, got)
		}
		// Other ids are the producer's own.
		var first string
		for i, token := range []string{key, key, in.APIKey} {
			_, got := ask(t, in, token, http.MethodPost, "/v1/events", `{"type":"order.paid","payload":{},"id":"paid-1"}`)
			eventID, _ := got["event_id"].(string)
			if i == 0 {
				first = eventID
			}
			if len(first) != 30 || (eventID == first) != (i < 2) || got["duplicate"] != (i == 1) {
				t.Errorf("%d: %v", i, got)
			}
		}
		// All or nothing.
		until(t, "three", func() bool { return len(listEvents(t, in, in.APIKey, "channels=events").Events) == 3 })
		head := *listEvents(t, in, in.APIKey, "channels=events").Next
		status, got := ask(t, in, key, http.MethodPost, "/v1/events", `[{"type":"order.paid","data":{}},{"type":"order.created","data":{}}]`)
		if status != 422 || field(got) != "1.data" {
			t.Errorf("%d %v", status, got)
		}
		status, got = ask(t, in, key, http.MethodPost, "/v1/events", `[{"type":"order.paid","data":{"n":1}},{"type":"order.paid","data":{"n":2},"id":"`+id+`"}]`)
		if status != 409 || field(got) != "1.id" {
			t.Errorf("%d %v", status, got)
		}
		if p := listEvents(t, in, in.APIKey, "channels=events&after="+head); len(p.Events) != 0 {
			t.Errorf("%+v", p)
		}
		status, got = ask(t, in, key, http.MethodPost, "/v1/events", `[{"type":"order.paid","data":{"n":1},"id":"x"},{"type":"order.paid","data":{"n":1},"id":"x"},{"type":"order.paid","data":{"n":3}}]`)
		list, _ := got["events"].([]any)
		if status != 202 || len(list) != 3 || fmt.Sprint(list[0].(map[string]any)["duplicate"], list[1].(map[string]any)["duplicate"]) != "false true" {
			t.Errorf("%d %v", status, got)
		}
		until(t, "the batch", func() bool { return len(listEvents(t, in, in.APIKey, "channels=events&after="+head).Events) == 2 })
		// The same ids at the same time.
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if r := request(t, in.URL, person{token: key}, http.MethodPost, "/v1/events", "application/json", []byte(`{"type":"order.paid","data":{},"id":"race"}`)); r.status != 202 {
					t.Errorf("%d %s", r.status, r.body)
				}
			})
		}
		wg.Wait()
		until(t, "the one", func() bool { return len(listEvents(t, in, in.APIKey, "channels=events&after="+head).Events) == 3 })
	})
}

func TestIngestRefusals(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes))
	key, _ := newKey(t, in, "events:publish:order.created", "read:events")
	_, anna := signUp(t, in, "anna")
	for _, c := range []struct {
		token, body string
		status      int
		field       string
	}{
		{"", `{"type":"order.created","data":{"number":1}}`, 401, ""},
		{"wrong", `{"type":"order.created","data":{"number":1}}`, 401, ""},
		{anna, `{"type":"order.created","data":{"number":1}}`, 403, ""},
		{key, `{"type":"order.paid","data":{}}`, 403, ""},
		{in.APIKey, `{"type":"order.lost","data":{}}`, 422, "type"},
		{in.APIKey, `{"type":"ticket.created","data":{"ticket_id":1}}`, 422, "type"},
		{in.APIKey, `{"type":"message.created","data":{}}`, 422, "type"},
		{in.APIKey, `{"type":"session.revoked","data":{"user_id":1}}`, 422, "type"},
		{key, `{"type":"order.created","data":{"number":"x"}}`, 422, "data"},
		{key, `{"type":"order.created","payload":{"number":"x"}}`, 422, "payload"},
		{key, `{"type":"order.created","payload":{"number":1},"data":{"number":1}}`, 422, "payload"},
		{key, `{"type":"order.created"}`, 422, "data"},
		{key, `{"type":"order.created","data":[]}`, 422, "data"},
		{key, `{"type":"order.created","data":{"number":1e999999}}`, 422, "data"},
		{key, `{"type":"order.created","data":{"number":1,"a":[1e-400,-1e400]}}`, 422, "data"},
		{key, `{"type":"order.created","data":{"number":1,"a":[1e-1001]}}`, 422, "data"},
		{key, `{"type":"order.created","data":{"number":` + strings.Repeat("9", 1001) + `}}`, 422, "data"},
		{key, `{"data":{}}`, 422, "type"},
		{key, `{"type":5,"data":{}}`, 422, "type"},
		{key, `{"type":"order.created","data":{"number":1},"id":7}`, 422, "id"},
		{key, `{"type":"order.created","data":{"number":1},"id":"evt_7"}`, 422, "id"},
		{key, `{"type":"order.created","data":{"number":1},"id":""}`, 422, "id"},
		{key, `{"type":"order.created","data":{"number":1},"id":"a\nb"}`, 422, "id"},
		{key, `{"type":"order.created","data":{"number":1},"id":"` + strings.Repeat("x", 129) + `"}`, 422, "id"},
		{key, `{"type":"order.created","data":{"number":1},"occurred_at":"yesterday"}`, 422, "occurred_at"},
		{key, `{"type":"order.created","data":{"number":1},"occurred_at":"2999-01-01T00:00:00Z"}`, 422, "occurred_at"},
		{key, `{"type":"order.created","data":{"number":1},"ordering_key":5}`, 422, "ordering_key"},
		{key, `{"type":"order.created","data":{"number":1},"colour":"red"}`, 422, "colour"},
		{key, `{"type":"order.created","type":"order.created","data":{"number":1}}`, 400, "body"},
		{key, `[]`, 422, "body"},
		{key, `[1]`, 422, "0.event"},
		{key, `5`, 422, "event"},
		{key, `"x"`, 422, "event"},
		{key, ``, 400, "body"},
		{key, `{`, 400, "body"},
		{key, "{\"type\":\"order.created\",\"data\":{\"number\":1,\"x\":\"\xff\"}}", 400, "body"},
		{key, `[` + strings.Repeat(`{"type":"order.created","data":{"number":1}},`, 100) + `{"type":"order.created","data":{"number":1}}]`, 422, "body"},
	} {
		status, got := ask(t, in, c.token, http.MethodPost, "/v1/events", c.body)
		if status != c.status || field(got) != c.field {
			t.Errorf("%.100s: %d %v; want %d about %q", c.body, status, got, c.status, c.field)
		}
	}
	if p := listEvents(t, in, in.APIKey, "channels=events"); len(p.Events) != 0 {
		t.Errorf("%+v", p)
	}
	status, got := ask(t, in, "", http.MethodPost, "/events", `{}`)
	if _, ok := got["detail"].(string); status != 401 || !ok {
		t.Errorf("/events: %d %v", status, got)
	}
}

// guarantees.md S23 for the bodies of events: each limit alone, at its value.
func TestS23_IngestLimits(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes))
	post := func(body string) int {
		status, _ := ask(t, in, in.APIKey, http.MethodPost, "/v1/events", body)
		return status
	}
	wrap := func(payload string) string { return `{"type":"order.paid","data":` + payload + `}` }
	deep := func(n int) string { return wrap(strings.Repeat(`{"a":`, n-1) + `1` + strings.Repeat(`}`, n-1)) }
	text := func(n int) string { return wrap(`{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}`) }
	batch := func(n int) string {
		part := strings.TrimSuffix(strings.Repeat(text(200<<10)+",", 5), ",")
		return `[` + part + strings.Repeat(" ", n-len(part)-2) + `]`
	}
	for what, c := range map[string]struct{ good, bad, status int }{
		"depth":   {post(deep(32)), post(deep(33)), 400},
		"payload": {post(text(256<<10 - 1)), post(text(256 << 10)), 413}, // its canonical form has one space more
		"body":    {post(batch(1 << 20)), post(batch(1<<20 + 1)), 413},
		"batch":   {post(`[` + strings.Repeat(wrap(`{}`)+",", 99) + wrap(`{}`) + `]`), post(`[` + strings.Repeat(wrap(`{}`)+",", 100) + wrap(`{}`) + `]`), 422},
	} {
		if c.good != 202 || c.bad != c.status {
			t.Errorf("%s: %d at the limit, %d above it; want 202, %d", what, c.good, c.bad, c.status)
		}
	}
	for query, status := range map[string]int{"limit=500": 200, "limit=501": 422, "limit=0": 422, "limit=x": 422, "events=" + strings.Repeat("*,", 100): 200, "events=" + strings.Repeat("*,", 101): 422} {
		if r := request(t, in.URL, person{token: in.APIKey}, http.MethodGet, "/v1/events?"+query, "", nil); r.status != status {
			t.Errorf("%.20s: %d %.200s", query, r.status, r.body)
		}
	}
}

// guarantees.md S21: a body that a form of another site could send, and other origins.
func TestS21_EventsOverHTTP(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes), servertest.Flag("client.allowed_origins", "https://app.example.com"))
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		if r := request(t, in.URL, person{token: in.APIKey}, http.MethodPost, "/v1/events", kind, []byte(`{"type":"order.paid","data":{}}`)); r.status != 415 {
			t.Errorf("%q: %d %s", kind, r.status, r.body)
		}
	}
	for origin, good := range map[string]bool{"": true, in.URL: true, "https://app.example.com": true, "https://app.example.com.evil": false, "https://evil.example": false, "null": false} {
		for _, c := range []struct{ method, path, body string }{
			{http.MethodPost, "/v1/events", `{"type":"order.paid","data":{}}`}, {http.MethodPost, "/v1/ws/tickets", ""}, {http.MethodHead, "/v1/events/stream", ""},
		} {
			r, err := http.NewRequestWithContext(t.Context(), c.method, in.URL+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Api-Key", in.APIKey)
			r.Header.Set("Content-Type", "application/json")
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if own := origin == "" || origin == "null"; !own && good && res.Header.Get("Access-Control-Allow-Origin") != origin {
				t.Errorf("%s %s from %q may not be read: %v", c.method, c.path, origin, res.Header)
			}
			if (res.StatusCode < 300) != good || !good && res.StatusCode != 403 {
				t.Errorf("%s %s from %q: %d", c.method, c.path, origin, res.StatusCode)
			}
		}
	}
}

func TestEventPages(t *testing.T) {
	onBoth(t, ownTypes, func(t *testing.T, in *servertest.Instance) {
		const n = 600
		for i := range n / 100 {
			var batch []string
			for j := range 100 {
				typ := "order.paid"
				if j%2 == 0 {
					typ = "order.created"
				}
				batch = append(batch, fmt.Sprintf(`{"type":%q,"data":{"number":%d}}`, typ, i*100+j))
			}
			if status, got := ask(t, in, in.APIKey, http.MethodPost, "/v1/events", "["+strings.Join(batch, ",")+"]"); status != 202 {
				t.Fatalf("%d %v", status, got)
			}
		}
		until(t, "all", func() bool { return len(listEvents(t, in, in.APIKey, "events=order.paid&limit=500").Events) == n/2 })
		for _, c := range []struct {
			query string
			want  int
		}{
			{"channels=events&limit=7", n}, {"events=order.paid&limit=100", n / 2}, {"events=order.*&limit=500&filter=" + url.QueryEscape(`{"data.number":{"$lt":50}}`), 50}, {"channels=system,tickets", 0},
		} {
			var numbers []int
			after := ""
			for {
				p := listEvents(t, in, in.APIKey, c.query+after)
				for _, e := range p.Events {
					numbers = append(numbers, int(e.Data["number"].(float64)))
					if e.Type != "event" || e.Channel != "events" || e.Seq == 0 {
						t.Fatalf("%+v", e)
					}
				}
				if p.Next == nil {
					t.Fatalf("%s: no next", c.query)
				}
				after = "&after=" + *p.Next
				if !p.More {
					break
				}
			}
			if len(numbers) != c.want || !slices.IsSorted(numbers) || len(slices.Compact(numbers)) != c.want {
				t.Errorf("%s: %d, want %d in order", c.query, len(numbers), c.want)
			}
		}
		if p := listEvents(t, in, in.APIKey, "events=order.paid&limit=3&newest=true"); len(p.Events) != 3 || p.Events[0].Data["number"] != n-5.0 || p.Events[2].Data["number"] != n-1.0 {
			t.Errorf("newest: %+v", p)
		}
		p := listEvents(t, in, in.APIKey, "channels=events&limit=1")
		if status, got := ask(t, in, in.APIKey, http.MethodGet, "/v1/events/"+p.Events[0].ID, nil); status != 200 || got["event"] != "order.created" || got["id"] != p.Events[0].ID {
			t.Errorf("%d %v", status, got)
		}
		if status, got := ask(t, in, in.APIKey, http.MethodGet, "/v1/events/"+p.Events[0].ID+"?format=cloudevents", nil); status != 200 || got["specversion"] != "1.0" || got["type"] != "order.created" {
			t.Errorf("%d %v", status, got)
		}
		blind, _ := newKey(t, in, "read:tickets")
		if status, _ := ask(t, in, blind, http.MethodGet, "/v1/events/"+p.Events[0].ID, nil); status != 404 {
			t.Errorf("a key without the permission: %d", status)
		}
		for query, status := range map[string]int{
			"channels=nothing": 422, "events=no.such": 422, "after=evt_7": 422, "after=evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD": 410, "filter=5": 422, "format=xml": 422, "onLost=x": 422,
		} {
			if r := request(t, in.URL, person{token: in.APIKey}, http.MethodGet, "/v1/events?"+query, "", nil); r.status != status {
				t.Errorf("%s: %d %s", query, r.status, r.body)
			}
		}
		if r := request(t, in.URL, person{token: blind}, http.MethodGet, "/v1/events?channels=events", "", nil); r.status != 403 {
			t.Errorf("a key without the permission: %d %s", r.status, r.body)
		}
	})
}

// Events of rooms are for their members, as on sockets, in pages and one by one.
func TestS14_EventPagesShowRoomsToMembersOnly(t *testing.T) {
	in := servertest.Start(t)
	_, annasToken := signUp(t, in, "anna")
	bert, bertsToken := signUp(t, in, "bert")
	_, clarasToken := signUp(t, in, "clara")
	r := call(t, in, annasToken, http.MethodPost, "/chats", map[string]any{"kind": "group", "title": "Garden", "user_ids": []int64{bert}})
	var chat struct{ ID int64 }
	if err := json.Unmarshal([]byte(r.body), &chat); err != nil || chat.ID == 0 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	call(t, in, annasToken, http.MethodPost, fmt.Sprintf("/chats/%d/messages", chat.ID), map[string]any{"text": "secret"})
	seen := func(token string) (ids []string) {
		for _, e := range listEvents(t, in, token, "events=message.created").Events {
			ids = append(ids, e.ID)
		}
		return ids
	}
	until(t, "the message", func() bool { return len(seen(annasToken)) == 1 })
	id := seen(annasToken)[0]
	if len(seen(bertsToken)) != 1 || len(seen(clarasToken)) != 0 {
		t.Errorf("bert sees %v, clara %v", seen(bertsToken), seen(clarasToken))
	}
	for token, status := range map[string]int{bertsToken: 200, clarasToken: 404, in.APIKey: 200} {
		if got, _ := ask(t, in, token, http.MethodGet, "/v1/events/"+id, nil); got != status {
			t.Errorf("%d, want %d", got, status)
		}
	}
	call(t, in, bertsToken, http.MethodDelete, fmt.Sprintf("/chats/%d/members/%d", chat.ID, bert), nil)
	if status, _ := ask(t, in, bertsToken, http.MethodGet, "/v1/events/"+id, nil); status != 404 || len(seen(bertsToken)) != 0 {
		t.Errorf("bert has left and sees %v, %d", seen(bertsToken), status)
	}
}

func TestEventTypes(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes))
	for _, path := range []string{"/event-types", "/v1/event-types"} {
		r := request(t, in.URL, person{token: in.APIKey}, http.MethodGet, path, "", nil)
		var got struct {
			Types []struct {
				Type, Channel, Summary string
				Publishable            bool
				Schema, Sample         map[string]any
			}
		}
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 {
			t.Fatalf("%d %s %v", r.status, r.body, err)
		}
		found := 0
		for _, typ := range got.Types {
			switch typ.Type {
			case "ticket.created":
				found++
				if typ.Publishable || typ.Channel != "tickets" || typ.Schema["title"] != "ticket.created" || typ.Sample["ticket_id"] == nil {
					t.Errorf("%+v", typ)
				}
			case "order.created":
				found++
				if !typ.Publishable || typ.Channel != "events" || typ.Summary == "" || typ.Schema["required"] == nil || typ.Sample["number"] != 7.0 {
					t.Errorf("%+v", typ)
				}
			}
		}
		if found != 2 {
			t.Errorf("%s: %d of 2", path, found)
		}
	}
	if r := request(t, in.URL, person{}, http.MethodGet, "/event-types", "", nil); r.status != 401 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// streamed is an open stream.
type streamed struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Scanner
	stop context.CancelFunc
}

func openStream(t *testing.T, in *servertest.Instance, token, query, last string) *streamed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, in.URL+"/v1/events/stream?"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	s := &streamed{t, res.Body, bufio.NewScanner(res.Body), cancel}
	s.in.Buffer(nil, 1<<20)
	t.Cleanup(func() { cancel(); _ = res.Body.Close() })
	return s
}

// next reads an event: its id, name and data; ended tells that the stream is over.
func (s *streamed) next() (id, name, data string, ended bool) {
	for s.in.Scan() {
		key, value, _ := strings.Cut(s.in.Text(), ": ")
		switch key {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if data != "" {
				return id, name, data, false
			}
		}
	}
	return "", "", "", true
}

func TestEventStream(t *testing.T) {
	onBoth(t, ownTypes, func(t *testing.T, in *servertest.Instance) {
		s := openStream(t, in, in.APIKey, "channels=events", "")
		send := func(n int) {
			t.Helper()
			if status, got := ask(t, in, in.APIKey, http.MethodPost, "/v1/events", fmt.Sprintf(`{"type":"order.created","data":{"number":%d}}`, n)); status != 202 {
				t.Fatalf("%d %v", status, got)
			}
		}
		send(1)
		id, name, data, ended := s.next()
		if ended || name != "order.created" || !strings.HasPrefix(data, `{"type":"event","id":"`+id+`"`) || !strings.HasSuffix(data, `"data":{"number":1}}`) {
			t.Fatalf("%s %s %s", id, name, data)
		}
		s.stop()
		for i := range 5 {
			send(i + 2)
		}
		until(t, "all", func() bool { return len(listEvents(t, in, in.APIKey, "channels=events").Events) == 6 })
		time.Sleep(200 * time.Millisecond) // until the gateway has offered them
		back := openStream(t, in, in.APIKey, "events=order.*", id)
		for i := range 5 {
			if _, _, data, _ := back.next(); !strings.HasSuffix(data, fmt.Sprintf(`"data":{"number":%d}}`, i+2)) || !strings.Contains(data, `"replayed":true`) {
				t.Errorf("%s, want %d", data, i+2)
			}
		}
		send(7)
		if _, _, data, _ := back.next(); !strings.HasSuffix(data, `"data":{"number":7}}`) {
			t.Errorf("%s", data)
		}
		lost := openStream(t, in, in.APIKey, "channels=events", "evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD")
		if _, name, data, _ := lost.next(); name != "lost" || !strings.Contains(data, `"earliest":"evt_`) {
			t.Errorf("%s %s", name, data)
		}
		cloud := openStream(t, in, in.APIKey, "channels=events&format=cloudevents", "")
		send(8)
		if _, _, data, _ := cloud.next(); !strings.HasPrefix(data, `{"specversion":"1.0"`) {
			t.Errorf("%s", data)
		}
	})
}

// A stream ends when its key is revoked, and when the server stops.
func TestEventStreamEnds(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes))
	key, id := newKey(t, in, "read:events")
	s := openStream(t, in, key, "channels=events", "")
	other := openStream(t, in, in.APIKey, "channels=events", "")
	if r := call(t, in, in.APIKey, http.MethodDelete, "/admin/keys/"+id, nil); r.status >= 300 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	began := time.Now()
	if _, name, data, _ := s.next(); name != "error" || !strings.Contains(data, `"reason":"revoked"`) {
		t.Errorf("%s %s", name, data)
	}
	if _, _, _, ended := s.next(); !ended || time.Since(began) > 5*time.Second {
		t.Errorf("the stream of a revoked key goes on after %v", time.Since(began))
	}
	go in.Stop()
	if _, name, data, _ := other.next(); name != "error" || !strings.Contains(data, `"code":"5002"`) {
		t.Errorf("%s %s", name, data)
	}
	if _, _, _, ended := other.next(); !ended {
		t.Error("the stream goes on")
	}
}

// A client that takes a tenth costs a bounded buffer, then reads the log, and delays nobody.
func TestEventStreamSlowReader(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes))
	slow := openStream(t, in, in.APIKey, "channels=events", "")
	quick := openStream(t, in, in.APIKey, "channels=events", "")
	const n = 400
	pad := strings.Repeat("x", 40<<10)
	go func() {
		for i := range n {
			body := fmt.Sprintf(`{"type":"order.paid","data":{"n":%d,"pad":%q}}`, i, pad)
			if r := request(t, in.URL, person{token: in.APIKey}, http.MethodPost, "/v1/events", "application/json", []byte(body)); r.status != 202 {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
	}()
	take := func(s *streamed, i int) {
		t.Helper()
		_, _, data, ended := s.next()
		if ended || !strings.Contains(data, `"data":{"n":`+strconv.Itoa(i)+`,`) {
			t.Fatalf("%d: %.200s", i, data)
		}
	}
	late := 0
	for i := range n {
		take(quick, i)
		if i%10 == 0 { // enough not to be taken for stalled, however slow the machine is
			take(slow, late)
			late++
		}
	}
	for ; late < n; late++ {
		take(slow, late)
	}
}

// event-gateway.md §14.
func TestGatewayConnections(t *testing.T) {
	in := servertest.Start(t)
	s := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
	s.want(adminWelcome)
	_, anna := signUp(t, in, "anna")
	_ = s.next()
	if status, _ := ask(t, in, anna, http.MethodGet, "/v1/ws/connections", nil); status != 403 {
		t.Errorf("%d", status)
	}
	_, got := ask(t, in, in.APIKey, http.MethodGet, "/v1/ws/connections", nil)
	list, _ := got["connections"].([]any)
	if len(list) != 1 {
		t.Fatalf("%v", got)
	}
	c := list[0].(map[string]any)
	if c["kind"] != "admin" || c["subject"] != "key:config" || c["subscriptions"] != 6.0 || c["lag"] != 0.0 || c["address"] != "127.0.0.1" || c["bytesOut"] == 0.0 {
		t.Errorf("%v", c)
	}
	if status, _ := ask(t, in, anna, http.MethodDelete, fmt.Sprint("/v1/ws/connections/", c["id"]), nil); status != 403 {
		t.Errorf("%d", status)
	}
	if status, _ := ask(t, in, in.APIKey, http.MethodDelete, fmt.Sprint("/v1/ws/connections/", c["id"]), nil); status != 204 {
		t.Errorf("%d", status)
	}
	s.ends(1000, "closed by an administrator")
	if status, _ := ask(t, in, in.APIKey, http.MethodDelete, fmt.Sprint("/v1/ws/connections/", c["id"]), nil); status != 404 {
		t.Errorf("%d", status)
	}
}

// event-gateway.md §1, rule 5: the permissions of a token of the operator's application.
func TestExternalTokensName(t *testing.T) {
	const secret = "a secret of the application that is long"
	in := servertest.Start(t, servertest.Config(`{"auth": {"mode": "both", "external": {"hmac_secret_key": "`+secret+`"}}}`))
	sign := func(claims jwt.MapClaims) string {
		claims["sub"], claims["exp"] = "u-1", time.Now().Add(time.Hour).Unix()
		text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, c := range []struct {
		claims  jwt.MapClaims
		allowed []string
	}{
		{jwt.MapClaims{}, []string{"messages", "rooms", "system"}},
		{jwt.MapClaims{"permissions": []string{"read:analytics"}}, []string{"analytics", "system"}},
		{jwt.MapClaims{"scope": "openid read:trust_network"}, []string{"trust", "system"}},
		{jwt.MapClaims{"roles": []string{"admin"}}, []string{"messages", "rooms", "trust", "analytics", "security", "system", "tickets"}},
	} {
		token := sign(c.claims)
		for _, channel := range []string{"messages", "rooms", "trust", "analytics", "security", "system", "tickets"} {
			r := request(t, in.URL, person{token: token}, http.MethodGet, "/v1/events?channels="+channel, "", nil)
			want := 403
			if slices.Contains(c.allowed, channel) {
				want = 200
			}
			if r.status != want {
				t.Errorf("%v reads %s: %d, want %d", c.claims, channel, r.status, want)
			}
		}
		// Nothing but the gateway goes by them (S2).
		if r := call(t, in, token, http.MethodGet, "/admin/users", nil); r.status != 403 {
			t.Errorf("%v: %d %.200s", c.claims, r.status, r.body)
		}
		if status, _ := ask(t, in, token, http.MethodGet, "/v1/ws/connections", nil); status != 403 {
			t.Errorf("%v: %d", c.claims, status)
		}
	}
	dialGateway(t, in, "/ws?token="+sign(jwt.MapClaims{"roles": []string{"admin"}}), nil).want(adminWelcome)
}

// guarantees.md S33, S6: nothing of the inside, and no credential, in answers and logs.
func TestS33_EventAnswersTellNothing(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes), servertest.Flag("log.level", "debug"))
	const canary = "canary-7f3a9b"
	for _, path := range []string{"/v1/events", "/v1/events/" + canary, "/v1/events/stream", "/event-types", "/v1/ws/connections", "/v1/ws", "/ws", "/events"} {
		for _, query := range []string{"token=" + canary, "api_key=" + canary, "ticket=" + canary, "after=';drop table events", "channels=" + canary} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.URL+path+"?"+strings.ReplaceAll(query, " ", "+"), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode >= 500 || bytes.Contains(b, []byte(canary)) || bytes.Contains(b, []byte(".go")) || bytes.Contains(b, []byte("SQL")) {
				t.Errorf("%s?%s: %d %s", path, query, res.StatusCode, b)
			}
			if strings.HasPrefix(path, "/v1/e") && res.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s has no request id", path)
			}
		}
	}
	dialGateway(t, in, "/ws?token="+canary, nil).ends(1008, "Unauthorized: Invalid token")
	if strings.Contains(strings.ReplaceAll(in.Log(), "/v1/events/"+canary, ""), canary) {
		t.Errorf("the log has the credential:\n%s", in.Log())
	}
}

// event-gateway.md §1, rule 6, over HTTP: guessing is bounded, and no good key is held up by it.
func TestEventsStormGuard(t *testing.T) {
	in := servertest.Start(t)
	get := func(token string) reply {
		return request(t, in.URL, person{token: token}, http.MethodGet, "/v1/events", "", nil)
	}
	for i := range 60 {
		r := get("guess" + strconv.Itoa(i))
		if i < 50 && r.status != 401 || i >= 50 && (r.status != 429 || r.retry == "") {
			t.Fatalf("%d: %d %s", i, r.status, r.body)
		}
	}
	if r := get(in.APIKey); r.status != 200 {
		t.Errorf("a good key: %d %s", r.status, r.body)
	}
}
