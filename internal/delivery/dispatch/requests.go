package dispatch

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/egress"
	"github.com/kuranty/kuranty/webhook"
)

// errExpired means that the payload of a delivery is not kept any more.
var errExpired = errors.New("payload has expired")

// internalError is what owners are told of faults of ours.
const internalError = "Internal error"

// maxShown is how much of an answer a delivery shows, in characters (spec/webhooks.md §4.14).
const maxShown = 1000

// Requests makes the requests of deliveries. It is safe for concurrent use.
type Requests struct {
	// Client makes them.
	Client *egress.Client
	// Key signs for webhooks that want Ed25519.
	Key ed25519.PrivateKey
	// Source is the URI of this server in CloudEvents, UserAgent the header.
	Source, UserAgent string
}

// Body returns the body that a webhook's requests of an event have: always the same bytes.
func (q *Requests) Body(w *delivery.Webhook, e delivery.Event) ([]byte, error) {
	return q.body(w.PayloadFormat, &e)
}

func (q *Requests) body(format webhook.Format, e *delivery.Event) ([]byte, error) {
	if e.Payload == nil {
		return nil, errExpired
	}
	return format.Body(q.told(e))
}

// told is an event as receivers are told of it.
func (q *Requests) told(e *delivery.Event) *webhook.Event {
	return &webhook.Event{
		ID: e.ID, Type: e.Type, OccurredAt: e.At, Payload: e.Payload,
		Source: q.Source, Subject: e.OrderingKey, Sequence: e.Pos,
	}
}

// Attempt makes one request of a delivery and waits for its end.
func (q *Requests) Attempt(ctx context.Context, w *delivery.Webhook, e delivery.Event, id int64, number int, trigger delivery.Trigger) delivery.Attempt {
	body, err := q.Body(w, e)
	a, _ := q.send(ctx, w, letter{event: e, body: body, err: err, delivery: id, number: number, trigger: trigger})
	return a
}

// letter is what one request says. Of the event the payload is not needed.
type letter struct {
	event    delivery.Event
	body     []byte
	err      error // why there is no body
	delivery int64
	number   int
	trigger  delivery.Trigger
}

// send makes the request and says how it went: for the log, and for the delivery.
func (q *Requests) send(ctx context.Context, w *delivery.Webhook, l letter) (delivery.Attempt, delivery.Result) {
	started := time.Now().UTC()
	header := q.header(w, &l, started)
	var got egress.Attempt
	if l.err != nil {
		got = egress.Attempt{Code: egress.CodeInternal, Message: internalError}
		if errors.Is(l.err, errExpired) {
			got.Message = "The payload has expired"
		}
	} else {
		got = q.Client.Do(ctx, egress.Request{URL: w.URL, Header: header, Body: l.body, Timeout: w.Timeout, TLS: identityOf(w)})
	}
	a := attempt(w, l, started, header, got)
	r := a.Result()
	r.Body = cut(r.Body)
	r.RetryAfter, r.Control = got.RetryAfter, got.Control
	return a, r
}

// attempt is a request and its answer as the log keeps them.
func attempt(w *delivery.Webhook, l letter, started time.Time, header http.Header, got egress.Attempt) delivery.Attempt {
	return delivery.Attempt{
		DeliveryID: l.delivery, WebhookID: w.ID, Number: l.number, Trigger: l.trigger, Started: started,
		Duration: got.Timings.Total, DNS: got.Timings.DNS, Connect: got.Timings.Connect, TLS: got.Timings.TLS, FirstByte: got.Timings.FirstByte,
		RemoteIP: got.RemoteIP, HTTPVersion: got.HTTPVersion, RequestHeaders: shown(header, w), ResponseHeaders: got.Header,
		ResponseStatus: got.Status, ResponseBody: got.Body, ResponseTruncated: got.Truncated, Code: got.Code, Message: got.Message,
	}
}

func identityOf(w *delivery.Webhook) egress.TLS {
	if w.Settings.TLS == nil {
		return egress.TLS{}
	}
	t := w.Settings.TLS
	return egress.TLS{Cert: []byte(t.ClientCert), Key: []byte(t.ClientKey), CA: []byte(t.CA)}
}

// header makes the header of a request (spec/webhooks.md §1.6, §4.3).
func (q *Requests) header(w *delivery.Webhook, l *letter, now time.Time) http.Header {
	h := make(http.Header, 12+len(w.Headers))
	for name, value := range w.Headers {
		h.Set(name, value)
	}
	h["Content-Type"] = []string{w.PayloadFormat.ContentType()}
	h["User-Agent"] = []string{q.UserAgent}
	h["X-Webhook-Event"] = []string{l.event.Type}
	h["X-Webhook-Id"] = []string{strconv.FormatInt(w.ID, 10)}
	h["X-Webhook-Delivery"] = []string{strconv.FormatInt(l.delivery, 10)}
	h["X-Webhook-Attempt"] = []string{strconv.Itoa(l.number)}
	h["Webhook-Id"] = []string{l.event.ID}
	h["Webhook-Timestamp"] = []string{strconv.FormatInt(now.Unix(), 10)}
	if w.CEHeaders && (w.PayloadFormat == webhook.FormatPlain || w.PayloadFormat == webhook.FormatCompact) {
		q.told(&l.event).Describe(h)
	}
	q.sign(h, w, l, now)
	return h
}

// sign adds the signatures. While a secret is being replaced, the documented header stays
// on the old one, which is all that its receivers know; the list has both, the new one
// first (spec/webhooks.md §4.4).
func (q *Requests) sign(h http.Header, w *delivery.Webhook, l *letter, now time.Time) {
	var list []string
	if w.HasSecret() && w.SignatureScheme != delivery.SchemeEd25519 {
		documented := w.Secret
		list = append(list, w.Secret.SignStandard(l.event.ID, now, l.body))
		if w.PreviousSecret.Reveal() != "" && now.Before(w.PreviousUntil) {
			documented = w.PreviousSecret
			list = append(list, w.PreviousSecret.SignStandard(l.event.ID, now, l.body))
			h["X-Webhook-Signature-Next"] = []string{w.Secret.Sign(l.body)}
		}
		h["X-Webhook-Signature"] = []string{documented.Sign(l.body)}
	}
	if w.SignatureScheme != delivery.SchemeHMAC {
		list = append(list, webhook.SignEd25519(q.Key, l.event.ID, now, l.body))
	}
	if len(list) > 0 {
		h["Webhook-Signature"] = []string{strings.Join(list, " ")}
	}
}

// shown are the headers of a request as the log keeps them: what the owner added may be a
// password.
func shown(h http.Header, w *delivery.Webhook) map[string][]string {
	if len(w.Headers) == 0 {
		return h
	}
	kept := maps.Clone(h)
	for name := range w.Headers {
		kept[http.CanonicalHeaderKey(name)] = []string{"***"}
	}
	return kept
}

// cut shortens an answer to what a delivery shows of it.
func cut(body string) string {
	n := 0
	for i := range body {
		if n++; n > maxShown {
			return fmt.Sprintf("%s... (truncated)", body[:i])
		}
	}
	return body
}
