package bench_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/bench"
	"github.com/kuranty/kuranty/webhook"
)

// fakeWebhooks is the smallest sender of webhooks that the measure accepts: each event goes
// to whose type it is, once, signed.
type fakeWebhooks struct {
	mu    sync.Mutex
	hooks map[string]fakeHook // by type
	sent  int
	// forging is on when there are eight webhooks: signatures are of other bytes then.
	forging bool
}

type fakeHook struct {
	ID     int
	URL    string `json:"url"`
	Type   string `json:"event_type"`
	Secret string `json:"secret"`
}

func (f *fakeWebhooks) add(mux *http.ServeMux) {
	f.hooks = map[string]fakeHook{}
	mux.HandleFunc("POST /webhooks", func(w http.ResponseWriter, r *http.Request) {
		var h fakeHook
		if json.NewDecoder(r.Body).Decode(&h) != nil {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		f.mu.Lock()
		h.ID = len(f.hooks) + 1
		f.hooks[h.Type] = h
		f.forging = len(f.hooks) >= 8
		f.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":`+strconv.Itoa(h.ID)+`}`)
	})
	mux.HandleFunc("POST /v1/events", func(w http.ResponseWriter, r *http.Request) {
		var events []struct {
			Type string          `json:"type"`
			Data json.RawMessage `json:"data"`
		}
		if json.NewDecoder(r.Body).Decode(&events) != nil || len(events) > 100 {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		f.mu.Lock()
		for _, e := range events {
			if h, ok := f.hooks[e.Type]; ok {
				f.sent++
				go h.send("evt_"+strconv.Itoa(f.sent), e.Data, f.forging)
			}
		}
		f.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"events":[]}`)
	})
}

func (h *fakeHook) send(id string, data []byte, forge bool) {
	body, err := webhook.Canonical(data)
	secret, err2 := webhook.ParseSecret(h.Secret)
	r, err3 := http.NewRequest(http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil || err2 != nil || err3 != nil {
		return
	}
	at := time.Now()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(webhook.HeaderSignature, secret.Sign(body))
	r.Header.Set(webhook.HeaderID, id)
	r.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	r.Header.Set(webhook.HeaderSignatureList, secret.SignStandard(id, at, body))
	if forge {
		r.Header.Set(webhook.HeaderSignature, secret.Sign(data))
	}
	if resp, err := http.DefaultClient.Do(r); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

func smallWebhooks(only string, webhooks int) *bench.Webhook {
	return &bench.Webhook{
		Target: small, Only: []string{only}, Events: 400, Webhooks: webhooks, Batch: 10, Window: 50, Size: 250, Rate: 500, Turn: 50 * time.Millisecond,
		Endpoints: webhooks, Hanging: 2, Backlog: 100, Watch: 100 * time.Millisecond,
	}
}

func TestWebhookSpeed(t *testing.T) {
	results, err := smallWebhooks("sqlite", 3).Measure(t.Context())
	if err != nil || len(results) != 4 {
		t.Fatalf("%d results, %v; want 4", len(results), err)
	}
	for _, r := range results[:3] {
		if len(r.Rounds) != 1 || r.Value <= 0 || r.Met != nil {
			t.Errorf("%s: %v, met %v; want a value, and no verdict of another shape", r.Measure, r.Rounds, r.Met)
		}
	}
	if cost := results[3]; len(cost.Rounds) != 1 || cost.Floor <= 0 {
		t.Errorf("%s: %v against %v; want one of each", cost.Measure, cost.Rounds, cost.Floors)
	}
}

func TestWebhooksBesideReceiversThatHang(t *testing.T) {
	results, err := smallWebhooks("hanging", 5).Measure(t.Context())
	if err != nil || len(results) != 2 {
		t.Fatalf("%d results, %v; want 2", len(results), err)
	}
	if late, ratio := results[0], results[1]; late.Value <= 0 || ratio.Ratio <= 0 {
		t.Errorf("late %v, ratio %v", late.Value, ratio.Ratio)
	}
}

// The fake forges signatures when it has eight webhooks.
func TestWebhookWithAForgedSignatureEndsTheMeasure(t *testing.T) {
	_, err := smallWebhooks("sqlite", 8).Measure(t.Context())
	if err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("error = %v, want one about a signature", err)
	}
}

func TestWebhookRefusals(t *testing.T) {
	for _, c := range []struct {
		change func(*bench.Webhook)
		want   string
	}{
		{func(w *bench.Webhook) { w.URL = "http://127.0.0.1:1" }, "--url"},
		{func(w *bench.Webhook) { w.Batch = 101 }, "--batch must be at most 100"},
		{func(w *bench.Webhook) { w.Batch = 60 }, "--batch must be at most 100 and --window"},
		{func(w *bench.Webhook) { w.Hanging = 3 }, "--hanging must be less than --endpoints"},
		{func(w *bench.Webhook) { w.Events = 0 }, "numbers must be 1 or more"},
		{func(w *bench.Webhook) { w.Size = 10 }, "--size must be at least"},
		{func(w *bench.Webhook) { w.Rounds = 0 }, "--rounds"},
	} {
		w := smallWebhooks("sqlite", 3)
		c.change(w)
		if _, err := w.Measure(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error = %v, want %s", err, c.want)
		}
	}
}
