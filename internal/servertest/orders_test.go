package servertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/webhook"
)

// orders is a ledger of events that a service appends, and what its webhooks made of them.
type orders struct {
	*ledger

	service person

	mu sync.Mutex
	// sent are the bodies of what was tried to append, acked of what was acknowledged.
	sent, acked map[string]string
}

func newOrders() *orders {
	return &orders{ledger: newLedger(), service: person{token: hookKey}, sent: map[string]string{}, acked: map[string]string{}}
}

// hookView is a webhook as the API shows it.
type hookView struct {
	ID                int64
	IsActive          bool    `json:"is_active"`
	DisabledReason    *string `json:"disabled_reason"`
	PendingDeliveries int     `json:"pending_deliveries"`
	Health            string
	Secret            string
}

// hook makes a webhook for order.paid, with more settings.
func (o *orders) hook(t *testing.T, url string, more map[string]any) (v hookView) {
	t.Helper()
	body := map[string]any{"name": url, "url": url, "event_type": "order.paid"}
	maps.Copy(body, more)
	if _, err := o.call(t.Context(), o.service, "POST", "/webhooks", body, &v); err != nil {
		t.Fatalf("make a webhook: %v", err)
	}
	return v
}

func (o *orders) hookOf(t *testing.T, id int64) (v hookView) {
	t.Helper()
	if _, err := o.call(t.Context(), o.service, "GET", fmt.Sprintf("/webhooks/%d", id), nil, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// write appends events of a writer until ctx ends, each again until it is acknowledged.
func (o *orders) write(ctx context.Context, writer int, pause time.Duration) {
	for n := 0; ctx.Err() == nil; n++ {
		id := o.prepare(writer, n)
		if err := o.insist(context.WithoutCancel(ctx), id); err != nil {
			o.complain("%v", err)
			return
		}
		time.Sleep(pause) // receivers are to keep up
	}
}

// prepare notes an event that will be sent and returns its id.
func (o *orders) prepare(writer, n int) (id string) {
	id = event.NewID(time.Now())
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[id] = fmt.Sprintf(`{"n":%d,"text":"Заказ <№> %d","total":150.0,"writer":%d}`, n, n, writer)
	return id
}

// post sends an event once.
func (o *orders) post(ctx context.Context, id string) error {
	o.mu.Lock()
	data := o.sent[id]
	o.mu.Unlock()
	_, err := o.call(ctx, o.service, "POST", "/v1/events", map[string]any{"type": "order.paid", "id": id, "data": json.RawMessage(data)}, nil)
	if err == nil {
		o.mu.Lock()
		o.acked[id] = data
		o.mu.Unlock()
	}
	return err
}

// insist sends an event until it is acknowledged.
func (o *orders) insist(ctx context.Context, id string) error {
	var err error
	for late := time.Now().Add(limit); time.Now().Before(late); {
		if err = o.post(ctx, id); err == nil {
			return nil
		}
		if refused := (*statusError)(nil); errors.As(err, &refused) && refused.status < 500 && refused.status != http.StatusTooManyRequests {
			return fmt.Errorf("event %s was refused: %w", id, err)
		}
		time.Sleep(time.Duration(5+rand.IntN(20)) * time.Millisecond) // the server is being started
	}
	return fmt.Errorf("event %s was never acknowledged, at last: %w", id, err)
}

// order is one entry of the server's log.
type order struct {
	ID   string
	Data json.RawMessage
}

func (e *order) writer() (n int) {
	var data struct{ Writer int }
	_ = json.Unmarshal(e.Data, &data)
	return data.Writer
}

// log reads what the server says happened, in its order.
func (o *orders) log(t *testing.T) (all []order) {
	t.Helper()
	for after := ""; ; {
		var page struct{ Events []order }
		if _, err := o.call(t.Context(), o.service, "GET", "/v1/events?events=order.paid&limit=500"+after, nil, &page); err != nil {
			t.Fatalf("read the log: %v", err)
		}
		if len(page.Events) == 0 {
			return all
		}
		all = append(all, page.Events...)
		after = "&after=" + page.Events[len(page.Events)-1].ID
	}
}

// bodies are the requests that a log leads to, by event.
func bodies(t *testing.T, log []order) map[string]string {
	t.Helper()
	all := make(map[string]string, len(log))
	for _, e := range log {
		body, err := webhook.Canonical(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		all[e.ID] = string(body)
	}
	return all
}

// consigned is a delivery as the API shows it.
type consigned struct {
	ID            int64
	EventID       string `json:"event_id"`
	Status, State string
	NextRetryAt   *string `json:"next_retry_at"`
}

// deliveries reads all deliveries of a webhook, newest first.
func (o *orders) deliveries(t *testing.T, hook int64) (all []consigned) {
	t.Helper()
	for cursor := ""; ; {
		var page struct {
			Items      []consigned
			NextCursor *string `json:"next_cursor"`
		}
		if _, err := o.call(t.Context(), o.service, "GET", fmt.Sprintf("/webhooks/%d/deliveries?limit=200%s", hook, cursor), nil, &page); err != nil {
			t.Fatalf("read deliveries: %v", err)
		}
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all
		}
		cursor = "&cursor=" + *page.NextCursor
	}
}

// settled waits until a webhook has nothing to do and has so many deliveries.
func (o *orders) settled(t *testing.T, hook int64, n int) {
	t.Helper()
	late := time.Now().Add(2 * limit)
	for {
		var page struct{ Total int }
		if _, err := o.call(t.Context(), o.service, "GET", fmt.Sprintf("/webhooks/%d/deliveries?limit=1", hook), nil, &page); err != nil {
			t.Fatalf("read deliveries: %v", err)
		}
		pending := o.hookOf(t, hook).PendingDeliveries
		if page.Total >= n && pending == 0 {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("webhook %d has %d deliveries, of which %d wait; want %d, and none that waits", hook, page.Total, pending, n)
		}
		time.Sleep(50 * time.Millisecond) // another process is waited for
	}
}

// agree compares what the ledger, the log, the inbox and the deliveries of one webhook say of the
// events that it wants. It returns what does not agree.
func (o *orders) agree(t *testing.T, hook int64, wants func(*order) bool, log []order, got []parcel) (wrong []string) {
	t.Helper()
	say := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("webhook %d: ", hook)+fmt.Sprintf(format, args...))
	}
	found := map[string]consigned{}
	for _, d := range o.deliveries(t, hook) {
		if _, twice := found[d.EventID]; twice {
			say("event %s has two deliveries", d.EventID)
		}
		found[d.EventID] = d
	}
	delivered := map[string]bool{}
	for _, p := range got {
		if p.webhook == fmt.Sprint(hook) {
			delivered[p.event] = delivered[p.event] || p.delivered()
			if _, known := found[p.event]; !known {
				say("event %s was sent and has no delivery", p.event)
			}
		}
	}
	wanted := 0
	for i := range log {
		if !wants(&log[i]) {
			continue
		}
		wanted++
		switch d, made := found[log[i].ID]; {
		case !made:
			say("event %s has no delivery", log[i].ID)
		case d.State == "succeeded" && !delivered[d.EventID]:
			say("event %s is called delivered and never was", d.EventID)
		case d.State != "succeeded" && (d.State != "exhausted" || d.Status != "failed" || d.NextRetryAt != nil):
			say("event %s ended as %+v", d.EventID, d)
		}
	}
	if len(found) != wanted {
		say("%d deliveries, want %d", len(found), wanted)
	}
	return wrong
}

// acknowledged tells which events were acknowledged and are not in the log.
func (o *orders) acknowledged(log []order) (wrong []string) {
	wrong = o.missing(log)
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range log {
		if o.sent[e.ID] == "" {
			wrong = append(wrong, fmt.Sprintf("event %s is in the log and was not sent", e.ID))
		}
	}
	return append(wrong, o.wrong...)
}

// missing is what was acknowledged and is not in the log: on PostgreSQL events get their
// places in it after the commit, and after a kill from the next process.
func (o *orders) missing(log []order) (wrong []string) {
	there := map[string]bool{}
	for _, e := range log {
		there[e.ID] = true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.acked {
		if !there[id] {
			wrong = append(wrong, fmt.Sprintf("event %s was acknowledged and is not in the log", id))
		}
	}
	return wrong
}

// report fails the test with what is wrong, or the first of it.
func report(t *testing.T, wrong []string) {
	t.Helper()
	slices.Sort(wrong)
	if n := len(wrong); n > 20 {
		wrong = append(wrong[:20:20], fmt.Sprintf("… and %d more", n-20))
	}
	if len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
}
