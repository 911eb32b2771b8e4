package webhookapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/webhook"
)

const strong = "a-secret-of-some-length"

// Everything that can be set is told as it was set; secrets, headers and keys are not.
func TestSettingsAreTold(t *testing.T) {
	r := start(t, options{limit: 2})
	got := r.call("POST", "/webhooks", `{"name":"n","url":"https://hooks.example.net/in","event_types":["ticket.*","user.created"],"filter":{"payload.user_id":{"$in":[1,2.0]}},
		"secret":"`+strong+`","payload_format":"cloudevents","ce_headers":true,"headers":{"X-Pass":"very secret"},"signature_scheme":"both","timeout_ms":3000,
		"rate_limit":{"max":5,"per_seconds":60},"max_in_flight":7,"ordering":"key","on_exhausted":"block","retry_schedule":[1,20],"metadata":{"team":150.0}}`).is(201,
		`"event_type":"ticket.*"`, `"event_types":["ticket.*","user.created"]`, `"filter":{"payload.user_id":{"$in":[1,2.0]}}`, `"payload_format":"cloudevents"`, `"ce_headers":true`,
		`"headers":{"X-Pass":"***"}`, `"signature_scheme":"both"`, `"timeout_ms":3000`, `"rate_limit":{"max":5,"per_seconds":60}`, `"max_in_flight":7`, `"ordering":"key"`,
		`"on_exhausted":"block"`, `"retry_schedule":[1,20]`, `"metadata":{"team":150.0}`, `"has_secret":true`, `"secret_hint":"ngth"`, `"secret_rotation":null`, `"health":"ok"`,
		`"disabled_at":null`, `"pending_deliveries":0`, `"warnings":[]`, `"tls":null`)
	if strings.Contains(got.raw, "very secret") || strings.Contains(got.raw, strong) {
		t.Errorf("a secret is told: %s", got.raw)
	}
	r.call("POST", "/webhooks", `{"name":"n","url":"https://hooks.example.net/in","event_type":"user.creatd","secret":"short","retry_schedule":[]}`).is(201,
		`"warnings":["event type \"user.creatd\" is not in the registry","secret has 5 characters; use at least 16"]`, `"secret_hint":null`, `"retry_schedule":[]`)
	r.call("POST", "/webhooks", `{"name":"n","url":"https://hooks.example.net/in","event_type":"user.created"}`).exactly(409, `{"detail":"There are 2 webhooks, which is the limit"}`)
	for url, says := range map[string]string{
		"ftp://hooks.example.net/": "scheme must be https", "https://10.0.0.7/": "target address is not allowed", "https://u:p@hooks.example.net/": "user name",
	} {
		r.call("POST", "/webhooks", `{"name":"n","event_type":"a.b","url":"`+url+`"}`).is(422, `"loc":["body","url"]`, says)
	}
	want := []string{fmt.Sprintf("webhook.create %d key:k_all", got.id())}
	if list := r.recorded(); len(list) != 2 || list[0] != want[0] {
		t.Errorf("on record: %v", list)
	}
}

// A secret is told once where it is made, and to who asks; while it is replaced both are good.
func TestSecrets(t *testing.T) {
	r := start(t, options{})
	made := r.call("POST", "/webhooks", `{"name":"n","url":"https://hooks.example.net/in","event_type":"user.created","generate_secret":true}`).is(201, `"secret":"whsec_`)
	path := fmt.Sprintf("/webhooks/%d", made.id())
	if got := r.call("GET", path, ""); strings.Contains(got.raw, "whsec_") {
		t.Errorf("the secret is told again: %s", got.raw)
	}
	r.call("GET", path+"/secret", "").exactly(200, `{"secret":"`+made.text("secret")+`","previous_secret":null,"previous_expires_at":null}`)

	rotated := r.call("POST", path+"/secret/rotate", `{"grace_seconds":3600}`).is(200, `"secret":"whsec_`)
	until, err := time.Parse(time.RFC3339Nano, rotated.text("previous_expires_at"))
	if wait := time.Until(until); err != nil || wait < 50*time.Minute || wait > time.Hour || rotated.text("secret") == made.text("secret") {
		t.Errorf("rotated: %s, %v", rotated.raw, err)
	}
	r.call("GET", path, "").is(200, `"secret_rotation":{"previous_expires_at":"`+rotated.text("previous_expires_at")+`"}`)
	r.call("GET", path+"/secret", "").is(200, `"previous_secret":"`+made.text("secret")+`"`)
	r.call("POST", path+"/secret/rotate", "").is(409, "replaced already")
	r.call("DELETE", path+"/secret/previous", "").is(204)
	r.call("DELETE", path+"/secret/previous", "").is(204)
	r.call("GET", path, "").is(200, `"secret_rotation":null`)
	r.call("POST", path+"/secret/rotate", `{"secret":"`+strong+`","grace_seconds":0}`).exactly(200, `{"secret":"`+strong+`","previous_expires_at":null}`)
	r.call("POST", path+"/secret/rotate", `{"secret":"whsec_!`+strong+`","grace_seconds":604801}`).is(422, `"loc":["body","secret"]`, `"loc":["body","grace_seconds"]`, `"le":604800`)
	if got := r.call("POST", path+"/secret/rotate", `{"secret":"whsec_x`+strong+`"}`).is(422); strings.Contains(got.raw, strong) {
		t.Errorf("a secret is repeated: %s", got.raw)
	}
	of := func(action string) (n int) {
		for _, line := range r.recorded() {
			if line == fmt.Sprintf("%s %d key:k_all", action, made.id()) {
				n++
			}
		}
		return n
	}
	if of("webhook.secret.rotate") != 2 || of("webhook.secret.drop_previous") != 1 {
		t.Errorf("what was refused, or changed nothing, is on record: %v", r.recorded())
	}
	got := r.call("PATCH", path, `{"generate_secret":true}`).is(200, `"secret":"whsec_`)
	r.call("GET", path+"/secret", "").is(200, `"secret":"`+got.text("secret")+`"`)
	r.call("PATCH", path, `{"generate_secret":true,"secret":"x"}`).is(422, `"loc":["body","generate_secret"]`)
	for _, action := range []string{"webhook.secret.read", "webhook.secret.rotate", "webhook.secret.drop_previous"} {
		if !slices.Contains(r.recorded(), fmt.Sprintf("%s %d key:k_all", action, made.id())) {
			t.Errorf("%s is not on record: %v", action, r.recorded())
		}
	}
}

// The same key and the same request get the first answer again; what is kept has no secret
// that can be read.
func TestRepeatedRequests(t *testing.T) {
	r := start(t, options{})
	body := `{"name":"n","url":"https://hooks.example.net/in","event_type":"user.created","generate_secret":true}`
	first := r.call("POST", "/webhooks", body, "Idempotency-Key", "k1").is(201)
	again := r.call("POST", "/webhooks", body, "Idempotency-Key", "k1")
	if again.status != 201 || again.raw != first.raw || !strings.HasPrefix(again.text("secret"), "whsec_") || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: %d %s, first %s", again.status, again.raw, first.raw)
	}
	r.call("POST", "/webhooks", strings.Replace(body, `"n"`, `"m"`, 1), "Idempotency-Key", "k1").exactly(409, `{"detail":"The Idempotency-Key was used for another request"}`)
	if other := r.call("POST", "/webhooks", body, "Idempotency-Key", "k1", "X-Api-Key", "kur_other").is(201); other.id() == first.id() {
		t.Error("somebody else's key is taken for the caller's")
	}
	r.call("POST", "/webhooks", `{}`, "Idempotency-Key", "k2").is(422, `"loc":["body","name"]`)
	r.call("POST", "/webhooks", body, "Idempotency-Key", "k2").is(201) // a refusal is not kept
	r.call("POST", "/webhooks", body, "Idempotency-Key", "a\tb").is(422, `"loc":["header","Idempotency-Key"]`)
	r.call("POST", "/webhooks", strings.Repeat(" ", 1<<20+1), "Idempotency-Key", "k3").is(413)
	plain := r.call("POST", fmt.Sprintf("/webhooks/%d/match", first.id()), `{"type":"user.created"}`, "Idempotency-Key", "k4").is(200)
	if plain.header.Get("Idempotency-Replayed") != "" {
		t.Error("what changes nothing is not to be kept")
	}
	for name, k := range r.kept.answers {
		if strings.Contains(k.body, "whsec_") || strings.Contains(k.body, `"id"`) {
			t.Errorf("%s is kept as %s", name, k.body)
		}
	}
	if len(r.kept.answers) != 3 {
		t.Errorf("kept: %v", r.kept.answers)
	}
}

// The test button makes a real request, once a second, and counts for nothing.
func TestTestButton(t *testing.T) {
	r := start(t, options{})
	rc := receive(t, answers(500, "oops"))
	id := r.make(rc.URL, `"secret":"`+strong+`"`, `"headers":{"X-Pass":"very secret"}`)
	path := fmt.Sprintf("/webhooks/%d", id)
	got := r.call("POST", path+"/test", "").is(200, `"response_status":500`, `"response_body":"oops"`, `"error_code":"http_500"`, `"trigger":"test"`, `"id":null`, `"X-Pass":"***"`)
	if got.text("remote_ip") != "127.0.0.1" || got.body["duration_ms"] == nil || strings.Contains(got.raw, "very secret") {
		t.Errorf("attempt: %s", got.raw)
	}
	if soon := r.call("POST", path+"/test", "").is(429); soon.header.Get("Retry-After") != "1" {
		t.Errorf("too soon: %v", soon.header)
	}
	sent := rc.all()
	v := webhook.Verifier{Secrets: []webhook.Secret{secret(t, strong)}}
	if len(sent) != 1 || sent[0].header.Get("X-Webhook-Event") != "webhook.test" || sent[0].body != fmt.Sprintf(`{"message": "test", "webhook_id": %d}`, id) ||
		v.Verify(sent[0].header, []byte(sent[0].body)) != nil || sent[0].header.Get("X-Pass") != "very secret" {
		t.Errorf("sent: %v", sent)
	}
	r.call("GET", path, "").is(200, `"failure_count":0`, `"last_triggered_at":null`, `"consecutive_failures":0`)
	r.call("GET", path+"/deliveries", "").is(200, `"total":0`)

	sample, own := r.make(rc.URL), r.make(rc.URL)
	r.call("POST", fmt.Sprintf("/webhooks/%d/test", sample), `{"event_type":"ticket.created"}`).is(200)
	r.call("POST", fmt.Sprintf("/webhooks/%d/test", own), `{"event_type":"my.type","payload":{"b":1.50,"a":"ü"}}`).is(200)
	sent = rc.all()
	if len(sent) != 3 || !strings.Contains(sent[1].body, `"ticket_id": `) || sent[2].body != `{"a": "\u00fc", "b": 1.5}` {
		t.Errorf("sent: %v", sent)
	}
	r.call("POST", path+"/test", `{"event_type":"a\r\nX-Evil: 1"}`).is(422, `"loc":["body","event_type"]`)
	r.call("POST", path+"/test", `{"payload":[1]}`).is(422, `"loc":["body","payload"]`)
	r.call("POST", path+"/test", `{"payload":{"x":1e999}}`).is(422, `"loc":["body","payload"]`)
	r.call("POST", path+"/test", `{"payload":{"x":"`+strings.Repeat("x", 300<<10)+`"}}`).is(413)
	r.call("POST", "/webhooks/99/test", "").is(404)
}

func secret(t *testing.T, text string) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A captured request is accepted by the schemes that would, and the others say why not.
func TestCapturedRequests(t *testing.T) {
	r := start(t, options{})
	rc := receive(t, nil)
	id := r.make(rc.URL, `"secret":"`+strong+`"`, `"signature_scheme":"both"`)
	path := fmt.Sprintf("/webhooks/%d", id)
	r.call("POST", path+"/test", `{"payload":{"a":1.0}}`).is(200)
	sent := rc.all()[0]
	check := func(body string, at time.Time, header http.Header) *got {
		t.Helper()
		flat := map[string]string{}
		for name, values := range header {
			flat[strings.ToLower(name)] = values[0]
		}
		b, err := json.Marshal(map[string]any{"webhook_id": id, "headers": flat, "body": body, "received_at": at.UTC().Format(time.RFC3339)})
		if err != nil {
			t.Fatal(err)
		}
		return r.call("POST", "/webhooks/verify-signature", string(b)).is(200)
	}
	now := time.Now()
	all := check(sent.body, now, sent.header)
	all.is(200, `{"accepted":true`, `{"scheme":"X-Webhook-Signature","accepted":true,"reason":"signed with the secret"}`, `{"scheme":"X-Webhook-Signature-Next","accepted":false,"reason":"the header is missing"}`,
		`{"scheme":"webhook-signature v1","accepted":true,"reason":"signed with the secret"}`, `{"scheme":"webhook-signature v1a","accepted":true,"reason":"signed with the server's public key"}`)
	check(`{"a":1.0}`, now, sent.header).is(200, `{"accepted":false`, "the body is not as it was sent: in canonical form it is signed with the secret", "no key makes this signature")
	check(sent.body, now.Add(time.Hour), sent.header).is(200, `{"scheme":"X-Webhook-Signature","accepted":true`, `{"scheme":"webhook-signature v1","accepted":false,"reason":"signed with the secret, but webhook-timestamp is `)
	check(sent.body, now, http.Header{}).is(200, `{"accepted":false`)

	r.call("POST", path+"/secret/rotate", "").is(200)
	check(sent.body, now, sent.header).is(200, `{"scheme":"X-Webhook-Signature","accepted":true,"reason":"signed with the previous secret"}`)
	r.call("DELETE", path+"/secret/previous", "").is(204)
	check(sent.body, now, sent.header).is(200, `{"scheme":"X-Webhook-Signature","accepted":false,"reason":"no secret makes this signature of this body"}`)
	r.call("POST", "/webhooks/verify-signature", `{"headers":{"a":1},"body":2}`).is(422, `"loc":["body","webhook_id"]`, `"loc":["body","headers","a"]`, `"loc":["body","body"]`)
	r.call("POST", "/webhooks/verify-signature", `{"webhook_id":99,"headers":{},"body":""}`).is(404)
}

func TestMatching(t *testing.T) {
	r := start(t, options{})
	id := r.make("https://hooks.example.net/", `"event_types":["user.created","ticket.*"]`, `"filter":{"payload.user_id":{"$gte":8}}`)
	path := fmt.Sprintf("/webhooks/%d/match", id)
	r.call("POST", path, `{"type":"ticket.created","payload":{"user_id":8.0}}`).exactly(200, `{"matches":true,"reason":"event_types[1]"}`)
	r.call("POST", path, `{"type":"ticket.created","payload":{"user_id":7}}`).exactly(200, `{"matches":false,"reason":"filter"}`)
	r.call("POST", path, `{"type":"payment.completed"}`).exactly(200, `{"matches":false,"reason":"event_types"}`)
	r.call("POST", path, `{"payload":7}`).is(422, `"loc":["body","type"]`, `"loc":["body","payload"]`)
	r.call("POST", "/webhooks/99/match", `{"type":"a"}`).is(404)
	r.call("PATCH", fmt.Sprintf("/webhooks/%d", id), `{"is_active":false}`).is(200)
	r.call("POST", path, `{"type":"user.created","payload":{"user_id":8}}`).exactly(200, `{"matches":false,"reason":"is_active"}`)
	r.call("PATCH", fmt.Sprintf("/webhooks/%d", id), `{"filter":{"user_id":8}}`).is(422, `"loc":["body","filter"]`, "user_id: is nothing that events have here: paths begin with type or payload")
}

// A webhook that wants verification is active once its receiver has agreed.
func TestVerification(t *testing.T) {
	r := start(t, options{})
	status := http.StatusInternalServerError
	ping := receive(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	got := r.call("POST", "/webhooks", `{"name":"n","url":"`+ping.URL+`","event_type":"user.created","verify":"ping","secret":"`+strong+`"}`).is(201,
		`"is_active":false`, `"health":"disabled"`, `"disabled_reason":"unverified"`, "not verified, so the webhook is not active: HTTP 500")
	path := fmt.Sprintf("/webhooks/%d", got.id())
	status = http.StatusNoContent
	r.call("PATCH", path, `{"is_active":true}`).is(200, `"is_active":true`, `"disabled_reason":null`, `"warnings":[]`)
	sent := ping.all()
	v := webhook.Verifier{Secrets: []webhook.Secret{secret(t, strong)}}
	if len(sent) != 2 || sent[1].header.Get("X-Webhook-Event") != "webhook.ping" || v.Verify(sent[1].header, []byte(sent[1].body)) != nil {
		t.Errorf("sent: %v", sent)
	}

	allowed := ""
	handshake := receive(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("WebHook-Request-Origin") != "events.example.com" {
			w.WriteHeader(400)
		}
		w.Header().Set("WebHook-Allowed-Origin", allowed)
		w.Header().Set("WebHook-Allowed-Rate", "120")
	})
	r.call("PATCH", path, `{"url":"`+handshake.URL+`","verify":"cloudevents"}`).is(200, `"is_active":false`, "has no WebHook-Allowed-Origin")
	allowed = "Events.example.com"
	r.call("PATCH", path, `{"is_active":true}`).is(200, `"is_active":true`, `"rate_limit":{"max":120,"per_seconds":60}`)
	if sent := handshake.all(); len(sent) != 2 || sent[0].method != http.MethodOptions || sent[0].body != "" {
		t.Errorf("asked: %v", sent)
	}
	r.call("PATCH", path, `{"verify":"none","url":"`+handshake.URL+`/other"}`).is(200, `"is_active":true`)
}

// Redelivery by hand, a copy with a new id, and erasing.
func TestDeliveriesByHand(t *testing.T) {
	r := start(t, options{sending: true})
	rc := receive(t, nil)
	id := r.make(rc.URL)
	path := fmt.Sprintf("/webhooks/%d/deliveries", id)
	event := r.ticket(1)
	d := r.delivered(id, "success")
	one := fmt.Sprintf("%s/%d", path, int64(d["id"].(float64)))
	r.call("POST", one+"/redeliver", "").is(202, `"event_id":"`+event+`"`)
	whole := r.await(one, func(g *got) bool { return g.body["attempt_number"] == 2.0 })
	attempts := whole.body["attempts"].([]any)
	if len(attempts) != 2 || attempts[1].(map[string]any)["trigger"] != "manual" || attempts[0].(map[string]any)["id"] == nil {
		t.Errorf("attempts: %s", whole.raw)
	}
	copied := r.call("POST", one+"/redeliver", `{"new_id":true}`).is(202, `"trigger":"manual"`)
	if copied.text("event_id") == event || copied.id() == int64(d["id"].(float64)) {
		t.Errorf("copy: %s", copied.raw)
	}
	r.await(fmt.Sprintf("%s/%d", path, copied.id()), func(g *got) bool { return g.text("status") == "success" })
	sent := rc.all()
	if len(sent) != 3 || sent[1].header.Get("Webhook-Id") != event || sent[2].header.Get("Webhook-Id") != copied.text("event_id") || sent[0].body != sent[2].body {
		t.Errorf("sent: %v", sent)
	}
	r.call("POST", one+"/cancel", "").is(200, `"state":"succeeded"`) // it is over
	r.call("DELETE", one+"/payload", "").is(204)
	r.call("GET", one, "").is(200, `"payload":null`, `"payload_expired":true`)
	r.call("POST", one+"/redeliver", "").exactly(409, `{"detail":"The payload has expired and cannot be sent again"}`)
	for _, c := range [][2]string{{"GET", ""}, {"POST", "/redeliver"}, {"POST", "/cancel"}, {"DELETE", "/payload"}} {
		r.call(c[0], path+"/999"+c[1], "").exactly(404, `{"detail":"Delivery not found"}`)
		r.call(c[0], "/webhooks/999/deliveries/1"+c[1], "").exactly(404, `{"detail":"Webhook not found"}`)
		r.call(c[0], "/webhooks/x/deliveries/y"+c[1], "").is(422, `"webhook_id"`, `"delivery_id"`)
	}
	r.call("GET", fmt.Sprintf("/webhooks/%d/stats", id), "").is(200, `"attempts":3,"succeeded":3,"failed":0,"success_rate":100.0,"outcomes":{"success":3}`, `"hours":[{`)
	r.call("GET", fmt.Sprintf("/webhooks/%d/stats?since=2030-01-01T00:00:00Z", id), "").is(200, `"attempts":0,"succeeded":0,"failed":0,"success_rate":0.0,"outcomes":{},"duration_ms":{"p50":null`)
	r.call("GET", fmt.Sprintf("/webhooks/%d/stats?since=yesterday", id), "").is(422, `"datetime_parsing"`)
}

// Pages by cursor have every delivery once, also while new ones come.
func TestCursors(t *testing.T) {
	r := start(t, options{sending: true})
	rc := receive(t, nil)
	id := r.make(rc.URL)
	path := fmt.Sprintf("/webhooks/%d/deliveries", id)
	const n = 7
	for i := range n {
		r.ticket(int64(i))
	}
	all := r.await(path+"?status=success", func(g *got) bool { return g.body["total"] == float64(n) })
	if all.body["next_cursor"] != nil {
		t.Errorf("a last page has a cursor: %s", all.raw)
	}
	var seen []any
	page := r.call("GET", path+"?limit=3", "").is(200, `"total":7`)
	for {
		for _, item := range page.items() {
			seen = append(seen, item["id"])
		}
		cursor := page.text("next_cursor")
		if cursor == "" {
			break
		}
		r.ticket(100) // newer than the page
		page = r.call("GET", path+"?limit=3&cursor="+cursor, "").is(200, `"total":null`)
	}
	var want []any
	for _, item := range all.items() {
		want = append(want, item["id"])
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %v, want %v", seen, want)
	}
	newest, older := all.items()[0]["created_at"].(string), 0.0
	for _, item := range all.items() {
		if item["created_at"].(string) < newest { // some are of one moment
			older++
		}
	}
	for query, total := range map[string]float64{
		"state=succeeded&until=" + newest: older, "state=queued&event_type=nothing": 0, "event_id=" + all.items()[2]["event_id"].(string): 1,
		"error_code=timeout": 0, "since=2100-01-01T00:00:00Z": 0, "event_type=user.created": 0,
	} {
		if got := r.call("GET", path+"?"+query, "").is(200); got.body["total"] != total {
			t.Errorf("%s: %v, want %v", query, got.body["total"], total)
		}
	}
	r.call("GET", path+"?cursor=nonsense&since=x", "").is(422, `"loc":["query","cursor"]`, `"loc":["query","since"]`)
}

// Jobs queue again what failed, and what a webhook missed.
func TestJobs(t *testing.T) {
	r := start(t, options{sending: true})
	status := make(chan int, 10)
	status <- 500
	rc := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		select {
		case s := <-status:
			w.WriteHeader(s)
		default:
		}
	})
	id := r.make(rc.URL, `"retry_schedule":[]`)
	r.ticket(1)
	r.delivered(id, "failed")
	path := fmt.Sprintf("/webhooks/%d", id)
	since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	job := r.call("POST", path+"/recover", `{"since":"`+since+`","error_codes":["http_500"]}`).is(202, `"kind":"recover"`, `"state":"running"`)
	r.await("/webhooks/jobs/"+job.text("id"), func(g *got) bool { return g.text("state") == "done" && g.body["succeeded"] == 1.0 })
	d := r.delivered(id, "success")
	if d["trigger"] != "recover" || d["job_id"] != job.text("id") || d["attempt_number"] != 2.0 {
		t.Errorf("recovered: %v", d)
	}
	r.call("POST", path+"/recover", `{"since":"2999-01-01T00:00:00Z"}`).is(422, `"loc":["body","since"]`, "is in the future")
	late := r.make(rc.URL)
	job = r.call("POST", fmt.Sprintf("/webhooks/%d/replay", late), `{"since":"`+since+`","event_types":["ticket.*"]}`).is(202, `"kind":"replay"`)
	r.await("/webhooks/jobs/"+job.text("id"), func(g *got) bool { return g.text("state") == "done" && g.body["succeeded"] == 1.0 })
	if d := r.delivered(late, "success"); d["trigger"] != "replay" {
		t.Errorf("replayed: %v", d)
	}
	r.call("DELETE", "/webhooks/jobs/"+job.text("id"), "").is(200, `"state":"done"`) // it is over
	r.call("GET", "/webhooks/jobs/whj_none", "").exactly(404, `{"detail":"Job not found"}`)
	r.call("DELETE", "/webhooks/jobs/whj_none", "").exactly(404, `{"detail":"Job not found"}`)
	r.call("POST", path+"/recover", "").is(422, `"loc":["body","since"]`, `"msg":"Field required"`)
	r.call("POST", path+"/replay", `{"since":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z","event_types":["a*"],"only_missing":"x"}`).is(422,
		`"loc":["body","until"]`, `"loc":["body","event_types",0]`, `"loc":["body","only_missing"]`)
	r.call("POST", "/webhooks/99/recover", `{"since":"`+since+`"}`).is(404)
}

// What was paused while a webhook was disabled is canceled if its owner wants none of it.
func TestResumeNone(t *testing.T) {
	r := start(t, options{sending: true})
	rc := receive(t, answers(http.StatusGone, ""))
	id := r.make(rc.URL)
	path := fmt.Sprintf("/webhooks/%d", id)
	r.ticket(1)
	r.await(path, func(g *got) bool { return g.text("disabled_reason") == "gone" })
	r.ticket(2)
	r.await(path+"/deliveries?state=paused", func(g *got) bool { return g.body["total"] == 1.0 })
	r.call("GET", path, "").is(200, `"pending_deliveries":1`)
	r.call("PATCH", path, `{"is_active":true,"resume":"none"}`).is(200, `"is_active":true`, `"disabled_reason":null`, `"pending_deliveries":0`)
	r.call("GET", path+"/deliveries?state=canceled", "").is(200, `"total":1`)
	if n := len(rc.all()); n != 1 {
		t.Errorf("%d requests", n)
	}
	// Disabled three times in seven days: only with force.
	if _, err := r.hooks.Change(t.Context(), id, func(w *delivery.Webhook) error {
		for range 3 {
			w.IsActive = true
			w.Disable(time.Now(), delivery.ReasonFailures)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r.call("PATCH", path, `{"is_active":true}`).is(409, "force")
	r.call("PATCH", path, `{"is_active":true,"force":true}`).is(200, `"is_active":true`)
}

func TestMetaAndKeys(t *testing.T) {
	r := start(t, options{})
	meta := r.call("GET", "/webhooks/meta", "").is(200, `"source_ips":["192.0.2.1"]`, `"user_agent":"Kuranty-Webhooks/test"`, `"retry_schedule":[5,300,1800,7200,18000,36000,50400,72000,86400]`,
		`"timeout_ms":15000`, `"signature_schemes":["hmac","ed25519","both"]`)
	keys := r.call("GET", "/.well-known/webhook-keys", "", "X-Api-Key", "").is(200, `"kty":"OKP"`, `"crv":"Ed25519"`)
	k := keys.body["keys"].([]any)[0].(map[string]any)
	if _, err := webhook.ParsePublicKey(k["whpk"].(string)); err != nil || meta.body["public_key"] != k["whpk"] {
		t.Errorf("keys %s, meta %s: %v", keys.raw, meta.raw, err)
	}
}
