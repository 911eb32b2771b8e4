package api_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestMetrics(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		root, reader, writer := s.admin("Root"), s.key("analytics:read"), s.key("analytics:write")
		const path = "/api/v2/metrics"
		root.do("GET", path, nil).want(200).is("metrics", []any{}, "next_cursor", nil, "points", nil)
		writer.do("POST", path, obj{"name": "load", "value": 2.5, "unit": "percent", "metadata": obj{"server": "web-1", "region": "eu"}}).want(201).is("accepted", 1)
		writer.do("POST", path, []obj{{"name": "load", "value": 1}, {"name": "queue", "value": -3, "timestamp": "2026-05-01T13:59:00+02:00", "unit": nil}}).want(201).is("accepted", 2)
		writer.do("POST", path, obj{"metrics": []obj{{"name": "queue", "value": 5, "timestamp": "2026-05-01T11:59:30.5Z"}}}).want(201).is("accepted", 1)

		page := reader.do("GET", path+"?limit=2", nil).want(200).is("metrics.0.name", "load", "metrics.0.server", nil, "metrics.0.unit", nil, "metrics.0.value", 1,
			"metrics.1.server", "web-1", "metrics.1.unit", "percent", "metrics.1.metadata.region", "eu", "metrics.1.timestamp", "2026-05-01T12:00:00.000Z")
		reader.do("GET", path+"?limit=2&cursor="+strings.ReplaceAll(page.str("next_cursor"), "|", "%7C"), nil).want(200).
			is("metrics.0.name", "queue", "metrics.0.value", 5, "next_cursor", nil)
		reader.do("GET", path+"?server=web-1", nil).want(200).is("metrics.0.server", "web-1").len("metrics")

		reader.do("GET", path+"?name=queue&step=1m&from=2026-05-01T11:00:00Z", nil).want(200).is(
			"points.0.value", 1, "points.0.count", 2, "points.0.timestamp", "2026-05-01T11:59:00.000Z",
			"aggregate", "avg", "step_seconds", 60, "from", "2026-05-01T11:00:00.000Z", "to", "2026-05-01T12:00:00.000Z", "metrics.0.name", "queue")
		for aggregate, want := range map[string]any{"min": -3, "max": 5, "sum": 2, "last": 5} {
			reader.do("GET", path+"?name=queue&step=3600&aggregate="+aggregate, nil).want(200).is("points.0.value", want, "aggregate", aggregate)
		}
		reader.do("GET", path+"?name=none", nil).want(200).is("points", []any{}, "metrics", []any{}, "step_seconds", 10)

		// A key that only reads changes nothing, one that only writes reads nothing.
		reader.do("POST", path, obj{"name": "x", "value": 1}).refused(403, "forbidden")
		writer.do("GET", path, nil).refused(403, "forbidden")
		s.person("Anna").do("GET", path, nil).refused(403, "forbidden")
		for query, field := range map[string]string{
			"from=x": "from", "to=x": "to", "from=1969-01-01": "from", "from=2026-05-02": "from", "step=x": "step", "step=0": "step", "step=-1s": "step",
			"step=99999999999999999999": "step", "step=1s&from=2026-01-01": "step", "step=367d": "step", "aggregate=median": "aggregate",
		} {
			if got := reader.do("GET", path+"?name=load&"+query, nil); got.status != 422 || got.str("error.details.fields.0.field") != field {
				t.Errorf("%s: %d %s", query, got.status, got.body)
			}
		}
		reader.do("GET", path+"?cursor=x", nil).refused(422, "validation").is("error.details.fields.0.field", "cursor")
		reader.do("GET", path+"?name=%00&server=%00", nil).want(200).is("points", []any{})
	})
}

// R35: whatever is pushed, the answer names what is wrong and nothing is stored.
func TestR35_HostileMetrics(t *testing.T) {
	s := start(t, options{})
	writer := s.key("analytics:*")
	const path = "/api/v2/metrics"
	for body, field := range map[string]string{
		`null`: "metrics", `5`: "metrics", `"x"`: "metrics", `[]`: "metrics", `{}`: "metrics", `{"metrics": []}`: "metrics", `{"metrics": null}`: "metrics",
		`{"metrics": 5}`: "metrics", `{"metrics": {}}`: "metrics",
		`[5]`: "metrics[0]", `[null]`: "metrics[0]", `[[]]`: "metrics[0]", `{"name": "x"}`: "value", `{"value": 1}`: "name",
		`{"name": "x", "value": null}`: "value", `{"name": "x", "value": "1"}`: "value", `{"name": "x", "value": 1e200}`: "value",
		`{"name": 5, "value": 1}`: "name", `{"name": "", "value": 1}`: "name", `{"name": "a b", "value": 1}`: "name", `{"name": "x\u0000", "value": 1}`: "name",
		`{"name": "x", "value": 1, "unit": 5}`: "unit", `{"name": "x", "value": 1, "timestamp": 5}`: "timestamp", `{"name": "x", "value": 1, "timestamp": "now"}`: "timestamp",
		`{"name": "x", "value": 1, "timestamp": "1970-01-01T00:00:00Z"}`: "timestamp", `{"name": "x", "value": 1, "timestamp": "9999-12-31T23:59:59Z"}`: "timestamp",
		`{"name": "x", "value": 1, "metadata": []}`: "metadata", `{"name": "x", "value": 1, "metadata": {"server": []}}`: "metadata.server",
		`{"name": "x", "value": 1, "metadata": {"server": "\u0000"}}`:                    "metadata.server",
		`[{"name": "x", "value": 1}, {"name": "x", "value": true}]`:                      "metrics[1].value",
		"[" + strings.Repeat(`{"name":"x","value":1},`, 500) + `{"name":"x","value":1}]`: "metrics",
	} {
		got := writer.send(request{method: "POST", path: path, body: []byte(body), header: http.Header{"Content-Type": {"application/json"}}})
		if len(body) > 100 {
			body = body[:100]
		}
		if got.status != 422 && got.status != 400 || !strings.Contains(string(got.body), `"field":"`+field+`"`) {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	for _, body := range []string{`{`, `[1,`, `{"name": "x", "value": NaN}`, `{"name": "x", "value": 1e400}`, `{"name": "x", "value": 1, "metadata": ` + strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9001), strings.Repeat("[", 20_000)} {
		if got := writer.send(request{method: "POST", path: path, body: []byte(body), header: http.Header{"Content-Type": {"application/json"}}}); got.status != 400 && got.status != 422 {
			t.Errorf("%.40s: %d %s", body, got.status, got.body)
		}
	}
	writer.do("GET", path, nil).want(200).is("metrics", []any{})
	// A request that is repeated is one request.
	q := request{method: "POST", path: path, body: obj{"name": "x", "value": 1}, header: http.Header{"Idempotency-Key": {"k"}}}
	writer.send(q).want(201)
	writer.send(q).want(201)
	writer.do("GET", path+"?name=x", nil).want(200).is("points.0.count", 1)
}

func TestReports(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		root, reader, writer := s.admin("Root"), s.key("analytics:read"), s.key("analytics:write")
		const path = "/api/v2/reports"
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		ask := func(body obj) string {
			t.Helper()
			id := writer.do("POST", path, body).want(202).is("status", "pending", "size", 0, "url", nil, "completed_at", nil).str("id")
			reader.do("GET", path+"/"+id+"/file", nil).refused(409, "not_ready")
			return id
		}
		writer.do("POST", "/api/v2/metrics", obj{"name": "load", "value": 2, "unit": "=1", "timestamp": "2026-05-01T11:00:00Z"}).want(201)
		first := ask(obj{"type": "performance", "format": "csv", "from": "2026-05-01"})
		second := root.do("POST", path, obj{"type": "usage", "to": "2026-05-01T12:00:00Z"}).want(202).
			is("from", "2026-04-24T12:00:00.000Z", "to", "2026-05-01T12:00:00.000Z", "format", "json", "created_at", "2026-05-01T12:00:00.000Z").str("id")
		root.do("GET", "/api/v2/admin/audit?action=report.create", nil).want(200).is("entries.0.target", "report:"+second)
		go func() { ended <- s.analytics.Work(ctx) }()
		for _, id := range []string{first, second} {
			for range 500 {
				if reader.do("GET", path+"/"+id, nil).want(200).str("status") != "pending" {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			reader.do("GET", path+"/"+id, nil).want(200).is("status", "completed", "url", path+"/"+id+"/file")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		got := reader.do("GET", path+"/"+first+"/file", nil).want(200)
		if want := "section,period,name,server,unit,count,avg,min,max,last\nmetrics,total,load,,'=1,1,2,2,2,2\n"; string(got.body) != want {
			t.Errorf("csv %q", got.body)
		}
		if h := got.header; h.Get("Content-Type") != "text/csv; charset=utf-8; header=present" || h.Get("Content-Disposition") != `attachment; filename="`+first+`.csv"` || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("headers %v", h)
		}
		reader.do("GET", path+"/"+second+"/file", nil).want(200).is("type", "usage", "rows.0.section", "people")
		page := reader.do("GET", path+"?limit=1&status=completed", nil).want(200)
		reader.do("GET", path+"?limit=1&cursor="+page.str("next_cursor"), nil).want(200).is("next_cursor", nil)
		reader.do("GET", path+"?status=pending", nil).want(200).is("reports", []any{})
		reader.do("GET", path+"?cursor=x", nil).refused(422, "validation").is("error.details.fields.0.field", "cursor")

		reader.do("POST", path, obj{"type": "usage"}).refused(403, "forbidden")
		writer.do("GET", path+"/"+first, nil).refused(403, "forbidden")
		s.person("Anna").do("GET", path+"/"+first+"/file", nil).refused(403, "forbidden")
		for _, id := range []string{"rep_none", "%00", "%ff", "7", strings.Repeat("x", 64)} {
			reader.do("GET", path+"/"+id, nil).refused(404, "not_found")
			reader.do("GET", path+"/"+id+"/file", nil).refused(404, "not_found")
		}
		for field, body := range map[string]obj{
			"type": {}, "type ": {"type": "all"}, "format": {"type": "usage", "format": "pdf"}, "from": {"type": "usage", "from": "x"}, "from ": {"type": "usage", "from": "2020-01-01"},
			"to": {"type": "usage", "to": "2030-01-01"},
		} {
			if got := writer.do("POST", path, body); got.status != 422 || got.str("error.details.fields.0.field") != strings.TrimSpace(field) {
				t.Errorf("%v: %d %s", body, got.status, got.body)
			}
		}
	})
}

func FuzzMetrics(f *testing.F) {
	for _, seed := range []string{
		`{"name":"x","value":1}`, `[{"name":"x","value":-1e9,"unit":null}]`, `{"metrics":[{"name":"x","value":1,"timestamp":"2026-05-01T12:00:00Z"}]}`,
		`{"name":"x","value":1,"metadata":{"server":"a","b":[{}]}}`, `[[`, `null`, `{"metrics":null}`, `[null,1e400]`,
	} {
		f.Add([]byte(seed))
	}
	s := start(f, options{})
	writer := s.key("analytics:write")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v2/metrics", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+writer.token)
		w := httptest.NewRecorder()
		s.api.Handler().ServeHTTP(w, r)
		switch w.Code {
		case 201, 400, 422:
		default:
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}
