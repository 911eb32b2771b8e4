package webhookapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/store"
)

// The fields of the reference's objects, with the types of their values (spec/webhooks.md §1.4).
var (
	webhookFields = map[string]string{
		"id": "number", "name": "string", "url": "string", "event_type": "string", "is_active": "bool", "description": "string?",
		"created_at": "time", "updated_at": "time", "last_triggered_at": "time?", "failure_count": "number", "success_count": "number",
	}
	deliveryFields = map[string]string{
		"id": "number", "webhook_id": "number", "event_type": "string", "payload": "object", "response_status": "number?", "response_body": "string?",
		"status": "string", "error_message": "string?", "attempt_number": "number", "created_at": "time", "delivered_at": "time?", "next_retry_at": "time?",
	}
	webhookExtras = strings.Fields(`event_types filter payload_format ce_headers headers signature_scheme timeout_ms rate_limit max_in_flight ordering on_exhausted
		retry_schedule tls metadata verify has_secret secret_hint secret_rotation health disabled_at disabled_reason consecutive_failures pending_deliveries warnings`)
	deliveryExtras = strings.Fields(`event_id state error_code trigger max_attempts last_attempt_at duration_ms job_id`)
)

var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z$`)

// hasFields checks the fields of an object and the types of their values.
func hasFields(t *testing.T, what string, v map[string]any, fields map[string]string, extras []string) {
	t.Helper()
	want := append(slices.Collect(maps.Keys(fields)), extras...)
	have := slices.Collect(maps.Keys(v))
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		t.Errorf("%s has the fields %v,\nwant %v", what, have, want)
	}
	for name, kind := range fields {
		value := v[name]
		kind, optional := strings.CutSuffix(kind, "?")
		if value == nil && optional {
			continue
		}
		ok := false
		switch value := value.(type) {
		case string:
			ok = kind == "string" || kind == "time" && timeForm.MatchString(value)
		case float64:
			ok = kind == "number"
		case bool:
			ok = kind == "bool"
		case map[string]any:
			ok = kind == "object"
		}
		if !ok {
			t.Errorf("%s: %s is %v, want a %s", what, name, value, kind)
		}
	}
}

// spec/webhooks.md §1.1: credentials, in the order and with the texts of the reference.
func TestCredentials(t *testing.T) {
	r := start(t, options{})
	for _, c := range []struct {
		header []string
		status int
		body   string
	}{
		{[]string{"X-Api-Key", ""}, 401, `{"detail":"Missing API key"}`},
		{[]string{"Authorization", "Basic " + key}, 401, `{"detail":"Missing API key"}`},
		{[]string{"Authorization", "Bearer "}, 401, `{"detail":"Missing API key"}`},
		{[]string{"X-Api-Key", "kur_wrong"}, 401, `{"detail":"Invalid or expired API key"}`},
		{[]string{"Authorization", "Bearer kur_wrong"}, 401, `{"detail":"Invalid or expired API key"}`},
		{[]string{"Authorization", "Bearer " + key, "X-Api-Key", "kur_wrong"}, 401, `{"detail":"Invalid or expired API key"}`},
		{[]string{"Authorization", "bEARER  " + key + " "}, 200, ""},
		{[]string{"Authorization", "Bearer kur_wrong", "X-Api-Key", key}, 200, ""},
		{[]string{"Authorization", "Bearer admin"}, 200, ""},
		{[]string{"Authorization", "Bearer person"}, 403, `{"detail":"Insufficient scope"}`},
		{[]string{"X-Api-Key", "kur_none"}, 403, `{"detail":"Insufficient scope"}`},
	} {
		got := r.call("GET", "/webhooks", "", c.header...)
		if got.status != c.status || c.body != "" && got.raw != c.body {
			t.Errorf("%v: %d %s, want %d %s", c.header, got.status, got.raw, c.status, c.body)
		}
		if (got.status == 401) != (got.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%v: WWW-Authenticate is %q", c.header, got.header.Get("WWW-Authenticate"))
		}
	}
	if r.accounts.refused != 3 {
		t.Errorf("%d refusals were told", r.accounts.refused)
	}
	r.accounts.set(func(a *accounts) { a.limited = true })
	if got := r.call("GET", "/webhooks", "", "X-Api-Key", "kur_wrong").is(429); got.header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
	}
	r.call("GET", "/webhooks", "", "Authorization", "Bearer admin").is(429)
	r.call("GET", "/webhooks", "").is(200) // services are not limited
	r.accounts.set(func(a *accounts) { a.away = fmt.Errorf("%w: %w", store.ErrUnavailable, errAway) })
	r.call("GET", "/webhooks", "").exactly(503, `{"detail":"Service temporarily unavailable. Please try again later."}`)
}

// Each endpoint wants its scope, and no other opens it.
func TestScopes(t *testing.T) {
	r := start(t, options{})
	id := r.make("https://hooks.example.net/in", `"secret":"something-long-enough"`)
	hook := fmt.Sprintf("/webhooks/%d", id)
	for _, c := range []struct {
		method, path string
		scopes       string
	}{
		{"POST", "/webhooks", "write"},
		{"GET", "/webhooks", "read"},
		{"GET", "/webhooks/stats", "read"},
		{"GET", "/webhooks/meta", "read"},
		{"POST", "/webhooks/verify-signature", "read"},
		{"GET", "/webhooks/jobs/whj_1", "read log"},
		{"DELETE", "/webhooks/jobs/whj_1", "log"},
		{"GET", hook, "read"},
		{"PATCH", hook, "write"},
		{"GET", hook + "/deliveries", "read log"},
		{"GET", hook + "/deliveries/1", "read log"},
		{"POST", hook + "/deliveries/1/redeliver", "log"},
		{"POST", hook + "/deliveries/1/cancel", "log"},
		{"DELETE", hook + "/deliveries/1/payload", "log"},
		{"GET", hook + "/stats", "read log"},
		{"POST", hook + "/recover", "log"},
		{"POST", hook + "/replay", "log"},
		{"POST", hook + "/test", "write"},
		{"POST", hook + "/match", "read"},
		{"GET", hook + "/secret", "write"},
		{"POST", hook + "/secret/rotate", "write"},
		{"DELETE", hook + "/secret/previous", "write"},
		{"DELETE", hook, "write"},
	} {
		for _, who := range []string{"none", "read", "log", "write"} {
			may := slices.Contains(strings.Fields(c.scopes), who)
			got := r.call(c.method, c.path, "[", "X-Api-Key", "kur_"+who) // a body that is refused, if it is read
			if (got.status == 403) == may {
				t.Errorf("%s %s with the scope %s: %d %s", c.method, c.path, who, got.status, got.raw)
			}
		}
	}
}

func TestWebhooksAsRecorded(t *testing.T) {
	r := start(t, options{})
	// Create: only what the reference has.
	got := r.call("POST", "/webhooks", `{"name":"CRM sync","url":"https://hooks.example.net/in","event_type":"ticket.created","secret":"your-secret","unknown":1}`).is(201)
	hasFields(t, "webhook", got.body, webhookFields, webhookExtras)
	if got.body["is_active"] != true || got.body["description"] != nil || got.body["last_triggered_at"] != nil || got.body["failure_count"] != 0.0 {
		t.Errorf("a new webhook is %s", got.raw)
	}
	if strings.Contains(got.raw, "your-secret") {
		t.Error("the secret is told")
	}
	id := got.id()
	path := fmt.Sprintf("/webhooks/%d", id)
	if again := r.call("GET", path, "").is(200); again.raw != got.raw {
		t.Errorf("read back as %s,\nmade as %s", again.raw, got.raw)
	}

	// Patch: absent and null leave, "" clears; updated_at moves, even with an empty body.
	r.call("PATCH", path, `{"description":"for sales","event_type":"user.*"}`).is(200, `"description":"for sales"`, `"event_type":"user.*"`)
	changed := r.call("PATCH", path, `{"name":null,"description":"","is_active":false}`).is(200, `"name":"CRM sync"`, `"description":null`, `"is_active":false`, `"has_secret":true`)
	if empty := r.call("PATCH", path, `{}`).is(200); empty.text("updated_at") <= changed.text("updated_at") || empty.text("created_at") != got.text("created_at") {
		t.Errorf("updated_at: %s, then %s", changed.raw, empty.raw)
	}
	r.call("PATCH", path, `{"secret":""}`).is(200, `"has_secret":false`)

	// Delete.
	if gone := r.call("DELETE", path, ""); gone.status != 204 || gone.raw != "" {
		t.Errorf("delete: %d %q", gone.status, gone.raw)
	}
	for _, c := range [][2]string{{"GET", ""}, {"PATCH", ""}, {"DELETE", ""}, {"GET", "/deliveries"}} {
		r.call(c[0], path+c[1], "{}").exactly(404, `{"detail":"Webhook not found"}`)
	}
	r.call("GET", "/webhooks/99999999999999999999", "").exactly(404, `{"detail":"Webhook not found"}`)
}

// Lists: newest first, exact filters, bounds, and the total of all that match.
func TestPagesAsRecorded(t *testing.T) {
	r := start(t, options{})
	r.call("GET", "/webhooks", "").exactly(200, `{"items":[],"total":0,"limit":50,"offset":0}`)
	var made []int64
	for i := range 5 {
		typ := []string{"user.created", "ticket.*"}[i%2]
		made = append(made, r.call("POST", "/webhooks", fmt.Sprintf(`{"name":"%d","url":"https://hooks.example.net/","event_type":%q}`, i, typ)).is(201).id())
	}
	r.call("PATCH", fmt.Sprintf("/webhooks/%d", made[0]), `{"is_active":"off"}`).is(200)
	slices.Reverse(made)
	for _, c := range []struct {
		query string
		want  []int64
		total float64
	}{
		{"", made, 5},
		{"?limit=2", made[:2], 5},
		{"?limit=2&offset=3", made[3:], 5},
		{"?offset=9", nil, 5},
		{"?event_type=user.created", []int64{made[0], made[2], made[4]}, 3},
		{"?event_type=ticket.*&limit=1", made[1:2], 2},
		{"?event_type=ticket.created", nil, 0},
		{"?event_type=", made, 5},
		{"?is_active=TRUE", made[:4], 4},
		{"?is_active=n", made[4:], 1},
		{"?is_active=1&event_type=user.created", []int64{made[0], made[2]}, 2},
		{"?matches=ticket.created", []int64{made[1], made[3]}, 2},
		{"?matches=user.created", []int64{made[0], made[2]}, 2}, // who is switched off gets nothing
		{"?matches=payment.completed", nil, 0},
	} {
		got := r.call("GET", "/webhooks"+c.query, "").is(200)
		var ids []int64
		for _, item := range got.items() {
			ids = append(ids, int64(item["id"].(float64)))
		}
		if !slices.Equal(ids, c.want) || got.body["total"] != c.total {
			t.Errorf("%s: %v of %v, want %v of %v", c.query, ids, got.body["total"], c.want, c.total)
		}
	}
	r.call("GET", "/webhooks?limit=3&offset=1", "").is(200, `"limit":3,"offset":1`)
}

// spec/webhooks.md §1.2: all fields that are wrong, together.
func TestErrorsAsRecorded(t *testing.T) {
	r := start(t, options{})
	id := r.make("https://hooks.example.net/in")
	hook := fmt.Sprintf("/webhooks/%d", id)
	long := strings.Repeat("я", 51)
	for _, c := range []struct{ method, path, body, detail string }{
		{"GET", "/webhooks?limit=0", "", `[{"type":"greater_than_equal","loc":["query","limit"],"msg":"Input should be greater than or equal to 1","input":"0","ctx":{"ge":1}}]`},
		{
			"GET", "/webhooks?is_active=maybe&limit=201&offset=-1", "", `[{"type":"bool_parsing","loc":["query","is_active"],"msg":"Input should be a valid boolean, unable to interpret input","input":"maybe"},` +
				`{"type":"less_than_equal","loc":["query","limit"],"msg":"Input should be less than or equal to 200","input":"201","ctx":{"le":200}},` +
				`{"type":"greater_than_equal","loc":["query","offset"],"msg":"Input should be greater than or equal to 0","input":"-1","ctx":{"ge":0}}]`,
		},
		{"GET", "/webhooks?limit=ten", "", `[{"type":"int_parsing","loc":["query","limit"],"msg":"Input should be a valid integer, unable to parse string as an integer","input":"ten"}]`},
		{"GET", "/webhooks/abc", "", `[{"type":"int_parsing","loc":["path","webhook_id"],"msg":"Input should be a valid integer, unable to parse string as an integer","input":"abc"}]`},
		{
			"GET", "/webhooks/abc/deliveries?limit=0", "", `[{"type":"int_parsing","loc":["path","webhook_id"],"msg":"Input should be a valid integer, unable to parse string as an integer","input":"abc"},` +
				`{"type":"greater_than_equal","loc":["query","limit"],"msg":"Input should be greater than or equal to 1","input":"0","ctx":{"ge":1}}]`,
		},
		{
			"POST", "/webhooks", `{"name":"","url":7,"event_type":"` + long + `"}`, `[{"type":"string_too_short","loc":["body","name"],"msg":"String should have at least 1 character","input":"","ctx":{"min_length":1}},` +
				`{"type":"string_type","loc":["body","url"],"msg":"Input should be a valid string","input":7},` +
				`{"type":"string_too_long","loc":["body","event_type"],"msg":"String should have at most 50 characters","input":"` + long + `","ctx":{"max_length":50}}]`,
		},
		{
			"POST", "/webhooks", `{"name":"x","url":"https://hooks.example.net/"}`,
			`[{"type":"missing","loc":["body","event_type"],"msg":"Field required","input":{"name":"x","url":"https://hooks.example.net/"}}]`,
		},
		{"PATCH", hook, `{"name":"","is_active":"perhaps"}`, `[{"type":"string_too_short","loc":["body","name"],"msg":"String should have at least 1 character","input":"","ctx":{"min_length":1}},` +
			`{"type":"bool_parsing","loc":["body","is_active"],"msg":"Input should be a valid boolean, unable to interpret input","input":"perhaps"}]`},
		{"PATCH", "/webhooks/x", `{"name":""}`, `[{"type":"int_parsing","loc":["path","webhook_id"],"msg":"Input should be a valid integer, unable to parse string as an integer","input":"x"},` +
			`{"type":"string_too_short","loc":["body","name"],"msg":"String should have at least 1 character","input":"","ctx":{"min_length":1}}]`},
	} {
		got := r.call(c.method, c.path, c.body)
		if got.status != 422 || got.raw != `{"detail":`+c.detail+`}` {
			t.Errorf("%s %s %s: %d %s\nwant %s", c.method, c.path, c.body, got.status, got.raw, c.detail)
		}
	}
	r.call("POST", "/webhooks", `{"name":`).is(422, `"type":"json_invalid"`, `"loc":["body",8]`, `"msg":"JSON decode error"`)
	r.call("POST", "/webhooks", ``).is(422, `"type":"missing"`)
	secret := strings.Repeat("s", 129)
	got := r.call("POST", "/webhooks", `{"name":"n","event_type":"a","url":"https://hooks.example.net/","secret":"`+secret+`"}`).is(422, `"loc":["body","secret"]`, `"max_length":128`)
	if strings.Contains(got.raw, secret) {
		t.Error("a secret is repeated")
	}
	r.call("POST", "/webhooks", `{"name":"`+strings.Repeat("n", 1<<20)+`"}`).is(413, `{"detail":"The body is larger than`)
}

func TestPathsAsRecorded(t *testing.T) {
	r := start(t, options{})
	for path, location := range map[string]string{
		"/webhooks/": "/webhooks", "/webhooks/?limit=1": "/webhooks?limit=1", "/webhooks/7/": "/webhooks/7", "/webhooks/stats/": "/webhooks/stats",
	} {
		got := r.call("GET", path, "", "X-Api-Key", "")
		if got.status != http.StatusTemporaryRedirect || got.header.Get("Location") != location {
			t.Errorf("%s: %d to %q", path, got.status, got.header.Get("Location"))
		}
	}
	for path, allow := range map[string]string{"/webhooks": "POST, GET", "/webhooks/7": "GET, PATCH, DELETE", "/webhooks/7/deliveries": "GET"} {
		got := r.call("PUT", path, "{}")
		got.exactly(405, `{"detail":"Method Not Allowed"}`)
		if got.header.Get("Allow") != allow {
			t.Errorf("%s: Allow %q, want %q", path, got.header.Get("Allow"), allow)
		}
	}
	for _, path := range []string{"/webhooks/7/nothing", "/webhooks/7/deliveries/8/nothing", "/webhooks/7/nothing/", "/elsewhere"} {
		r.call("GET", path, "").exactly(404, `{"detail":"Not Found"}`)
	}
	r.call("GET", "/webhooks/stats", "").exactly(200,
		`{"total_webhooks":0,"active_webhooks":0,"total_deliveries":0,"successful_deliveries":0,"failed_deliveries":0,"success_rate":0.0}`)
	if head := r.call("HEAD", "/webhooks/stats", ""); head.status != 200 || head.raw != "" {
		t.Errorf("HEAD: %d %q", head.status, head.raw)
	}
}

// A delivery that succeeds and one that fails, as clients of the reference see them.
func TestDeliveriesAsRecorded(t *testing.T) {
	r := start(t, options{sending: true})
	good := receive(t, nil)
	bad := receive(t, answers(500, strings.Repeat("я", 1500)))
	worked, failed := r.make(good.URL), r.make(bad.URL, `"retry_schedule":[]`)
	retried := r.make(bad.URL, `"retry_schedule":[3600]`)
	event := r.ticket(55)

	d := r.delivered(worked, "success")
	hasFields(t, "delivery", d, deliveryFields, deliveryExtras)
	payload := `{"has_media":false,"priority":"normal","status":"open","ticket_id":55,"title":"Cannot pay","user_id":8}`
	if b, _ := json.Marshal(d["payload"]); string(b) != payload || d["event_id"] != event || d["event_type"] != "ticket.created" {
		t.Errorf("payload %s of %v", b, d)
	}
	if d["response_status"] != 200.0 || d["response_body"] != "" || d["error_message"] != nil || d["next_retry_at"] != nil || d["delivered_at"] == nil || d["attempt_number"] != 1.0 {
		t.Errorf("success: %v", d)
	}
	if got := good.all(); len(got) != 1 || got[0].header.Get("X-Webhook-Id") != fmt.Sprint(worked) || got[0].header.Get("X-Webhook-Event") != "ticket.created" {
		t.Errorf("the receiver got %v", got)
	}

	d = r.delivered(failed, "failed")
	hasFields(t, "delivery", d, deliveryFields, deliveryExtras)
	if d["response_status"] != 500.0 || d["response_body"] != strings.Repeat("я", 1000)+"... (truncated)" || d["error_message"] != "HTTP 500: "+strings.Repeat("я", 500) ||
		d["next_retry_at"] != nil || d["delivered_at"] != nil || d["state"] != "exhausted" || d["error_code"] != "http_500" {
		t.Errorf("failure: %v", d)
	}
	if d = r.delivered(retried, "failed"); d["next_retry_at"] == nil || d["state"] != "retrying" || d["max_attempts"] != 2.0 {
		t.Errorf("failure that is tried again: %v", d)
	}

	r.call("GET", "/webhooks/stats", "").exactly(200,
		`{"total_webhooks":3,"active_webhooks":3,"total_deliveries":3,"successful_deliveries":1,"failed_deliveries":2,"success_rate":33.33}`)
	for status, want := range map[string]float64{"success": 0, "failed": 1, "pending": 0, "nonsense": 0, "": 1} {
		got := r.call("GET", fmt.Sprintf("/webhooks/%d/deliveries?status=%s", failed, status), "").is(200)
		if got.body["total"] != want || len(got.items()) != int(want) {
			t.Errorf("status=%s: %s", status, got.raw)
		}
	}
	r.call("GET", fmt.Sprintf("/webhooks/%d", worked), "").is(200, `"success_count":1`, `"failure_count":0`)
	if got := r.call("GET", fmt.Sprintf("/webhooks/%d", failed), "").is(200, `"success_count":0`, `"failure_count":1`, `"consecutive_failures":1`); got.body["last_triggered_at"] == nil {
		t.Errorf("%s", got.raw)
	}
	r.call("DELETE", fmt.Sprintf("/webhooks/%d", failed), "").is(204)
	r.call("GET", "/webhooks/stats", "").is(200, `"total_webhooks":2`, `"total_deliveries":2`)
}
