package dispatch

import (
	"context"
	"net/http"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/egress"
)

// Ask asks the receiver of a webhook whether it wants events of a sender by that name
// (CloudEvents' abuse protection, spec/webhooks.md §4.15), and waits for the answer.
func (q *Requests) Ask(ctx context.Context, w *delivery.Webhook, origin string) delivery.Attempt {
	started := time.Now().UTC()
	h := make(http.Header, 2+len(w.Headers))
	for name, value := range w.Headers {
		h.Set(name, value)
	}
	h["User-Agent"] = []string{q.UserAgent}
	h["Webhook-Request-Origin"] = []string{origin}
	got := q.Client.Do(ctx, egress.Request{Method: http.MethodOptions, URL: w.URL, Header: h, Timeout: w.Timeout, TLS: identityOf(w)})
	return attempt(w, letter{number: 1, trigger: delivery.TriggerTest}, started, h, got)
}
