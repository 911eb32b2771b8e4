package eventapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What cannot be sent as a webhook is not taken: its canonical form is what has a size
// (webhooks.md §4.16).
func TestPayloadsFitIntoWebhooks(t *testing.T) {
	log := new(kept)
	api := serve(t, log, emptyLog{}, io.Discard)
	const most = 256 << 10
	fill := func(text string, n int) string {
		return `{"type":"order.paid","data":{"t":"` + strings.Repeat(text, n) + `"}}`
	}
	const around = len(`{"t": ""}`)
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"as large as can be":       {fill("x", most-around), 202, "event_id"},
		"one byte more":            {fill("x", most-around+1), 413, `"too_large"`},
		"Cyrillic":                 {fill("я", (most-around)/6), 202, "event_id"},
		"Cyrillic, one too much":   {fill("я", (most-around)/6+1), 413, `"data"`},
		"as many digits as can be": {`{"type":"order.paid","data":{"n":-` + strings.Repeat("1", 1000) + `}}`, 202, "event_id"},
		"one digit more":           {`{"type":"order.paid","data":{"n":-` + strings.Repeat("1", 1001) + `}}`, 422, "data"},
	} {
		log.batch = nil
		w := do(t, api, http.MethodPost, "/v1/events", c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if stored := len(log.batch) == 1; stored != (c.status == 202) {
			t.Errorf("%s: stored %t", name, stored)
		}
	}
}
