package servertest_test

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

// hooksOnBoth runs a test with a process that sends webhooks to this machine, on each database.
func hooksOnBoth(t *testing.T, test func(t *testing.T, o *orders)) {
	for name, more := range map[string]func(t *testing.T) []servertest.Option{
		"sqlite": func(*testing.T) []servertest.Option { return nil },
		"postgres": func(t *testing.T) []servertest.Option {
			return []servertest.Option{servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", pgtest.Start(t))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOrders()
			o.at(servertest.Binary(t, hookOptions(t.TempDir(), more(t)...)...).URL)
			test(t, o)
		})
	}
}

// Of 100 receivers ten hang; the others hear of each event within 2 s.
func TestR23_TenOfAHundredHang(t *testing.T) {
	hooksOnBoth(t, func(t *testing.T, o *orders) {
		const hooks, hanging, events = 100, 10, 12
		over := make(chan struct{})
		var stuck atomic.Int64
		in := newInbox(t, func(_ *parcel, r *http.Request) int { // one host, which they share a limit of
			if r.URL.Path == "/hang" {
				stuck.Add(1)
				select {
				case <-over:
				case <-r.Context().Done():
				}
			}
			return 200
		})
		defer close(over)
		hangs := map[string]bool{}
		for i := range hooks {
			url, bad := in.URL, i%(hooks/hanging) == 0
			if bad {
				url += "/hang"
			}
			hangs[strconv.FormatInt(o.hook(t, url, nil).ID, 10)] = bad
		}
		healthy := func() (took []*parcel) {
			for _, p := range in.all() {
				if !hangs[p.webhook] {
					took = append(took, &p)
				}
			}
			return took
		}
		began := map[string]time.Time{}
		for n := range events {
			id := o.prepare(0, n)
			began[id] = time.Now()
			if err := o.post(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // so that most happen while all that can hang do
		}
		until(t, "all healthy ones are told of everything", func() bool {
			return len(healthy()) >= (hooks-hanging)*events
		})
		var took []time.Duration
		for _, p := range healthy() {
			took = append(took, p.began.Sub(began[p.event]))
		}
		slices.Sort(took)
		p99 := took[len(took)*99/100]
		t.Logf("%d first attempts: median %v, p99 %v, slowest %v, while %d hang", len(took), took[len(took)/2], p99, took[len(took)-1], stuck.Load())
		if p99 > 2*time.Second {
			t.Errorf("p99 is %v, want at most 2 s", p99)
		}
		if n := stuck.Load(); n < 4*hanging || n >= 50 {
			t.Errorf("%d attempts hang, want the most that leaves room at their host", n)
		}
	})
}

// What is not to be reached is not reached, however it is written, and who asks learns no
// more than that.
func TestS31_ServerReachesNothingInside(t *testing.T) {
	var reached atomic.Int64
	inside := newInbox(t, func(*parcel, *http.Request) int { reached.Add(1); return 200 })
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	s := servertest.Start(t, servertest.Config(`{"events": {"types": ["order.paid"]}}`), servertest.Flag("http_api.key", hookKey), servertest.Flag("webhooks.allow_http", "true"))
	o := newOrders()
	o.at(s.URL)
	_, own, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	var made []int64
	for _, host := range []string{
		"127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "localhost", "LOCALHOST.",
		"169.254.169.254", "10.0.0.1", "192.168.0.1", "172.16.0.1", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]", "224.0.0.1", "255.255.255.255",
	} {
		for _, p := range []string{port, own} {
			var v hookView
			url := "http://" + host + ":" + p + "/"
			status, err := o.call(t.Context(), o.service, "POST", "/webhooks", map[string]any{"name": "in", "url": url, "event_type": "order.paid", "retry_schedule": []int{}}, &v)
			switch {
			case status == http.StatusCreated: // a name, which may have another address when it is called
				made = append(made, v.ID)
			case status != http.StatusUnprocessableEntity:
				t.Errorf("%s: %d %v", url, status, err)
			case strings.Contains(strings.ReplaceAll(err.Error(), url, ""), "127.0.0.1"):
				t.Errorf("%s: the refusal tells an address: %v", url, err)
			}
		}
	}
	if err := o.post(t.Context(), o.prepare(0, 0)); err != nil {
		t.Fatal(err)
	}
	for _, id := range made {
		o.settled(t, id, 1)
		var page struct {
			Items []struct {
				State string
				Code  string  `json:"error_code"`
				Text  string  `json:"error_message"`
				Body  *string `json:"response_body"`
			}
		}
		if _, err := o.call(t.Context(), o.service, "GET", fmt.Sprintf("/webhooks/%d/deliveries", id), nil, &page); err != nil {
			t.Fatal(err)
		}
		if d := page.Items[0]; d.Body != nil || d.Code+": "+d.Text != "target_blocked: Target address is not allowed" && d.Code != "dns" {
			t.Errorf("webhook %d: %+v", id, d)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d requests reached this machine", n)
	}
}

// A redirect leads nowhere, and what the receiver says is all that its owner learns.
func TestS31_ServerFollowsNoRedirect(t *testing.T) {
	hooksOnBoth(t, func(t *testing.T, o *orders) {
		inside := newInbox(t, nil)
		away := newInbox(t, nil)
		away.Config.Handler = http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect)
		hook := o.hook(t, away.URL, map[string]any{"retry_schedule": []int{}})
		if err := o.post(t.Context(), o.prepare(0, 0)); err != nil {
			t.Fatal(err)
		}
		o.settled(t, hook.ID, 1)
		if d := o.deliveries(t, hook.ID)[0]; d.State != "exhausted" {
			t.Errorf("%+v", d)
		}
		if n := len(inside.all()); n > 0 {
			t.Errorf("followed %d times", n)
		}
	})
}

// A server whose database is away tells callers of webhooks that, and nothing of itself.
func TestS33_WebhooksTellNothingOfTheInside(t *testing.T) {
	way, dsn := newProxy(t, pgtest.Start(t))
	s := servertest.Start(t, hookOptions(t.TempDir(), servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", dsn))...)
	o := newOrders()
	o.at(s.URL)
	hook := o.hook(t, "http://127.0.0.1:1/", nil)
	one := fmt.Sprintf("/webhooks/%d", hook.ID)
	calls := map[string]string{
		"GET /webhooks": "", "POST /webhooks": `{"name":"a","url":"http://127.0.0.1:1/","event_type":"order.paid"}`, "GET /webhooks/stats": "", "GET " + one: "", "PATCH " + one: `{"name":"b"}`,
		"GET " + one + "/deliveries": "", "GET " + one + "/deliveries/1": "", "GET " + one + "/stats": "", "POST " + one + "/recover": `{"since":"2026-01-01T00:00:00Z"}`,
		"GET " + one + "/secret": "", "POST " + one + "/secret/rotate": "{}", "POST " + one + "/test": "{}", "DELETE " + one: "",
	}
	way.refused.Store(true)
	way.cut()
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		method, path, _ := strings.Cut(call, " ")
		got := request(t, s.URL, o.service, method, path, "application/json", []byte(calls[call]))
		if got.status != http.StatusServiceUnavailable || got.body != `{"detail":"Service temporarily unavailable. Please try again later."}`+"\n" && got.body != `{"detail":"Service temporarily unavailable. Please try again later."}` {
			t.Errorf("%s: %d %s", call, got.status, got.body)
		}
	}
	way.refused.Store(false)
	until(t, "the database is back", func() bool {
		return request(t, s.URL, o.service, "GET", one, "", nil).status == http.StatusOK
	})
	for path, body := range map[string]string{
		"/webhooks/9223372036854775808": "", "/webhooks/x": "", "/webhooks/jobs/'": "", "/webhooks/0/deliveries/-1": "", "/webhooks?limit='": "", "/webhooks": `{"name":"\u0000","url":"http://[::1`,
	} {
		method := "GET"
		if body != "" {
			method = "POST"
		}
		got := request(t, s.URL, o.service, method, path, "application/json", []byte(body))
		for _, inside := range []string{"sql", "pgx", "goroutine", ".go:", s.DataDir, "SELECT", "panic", "strconv", "json:"} {
			if got.status >= 500 || strings.Contains(got.body, inside) {
				t.Errorf("%s %s: %d %s", method, path, got.status, got.body)
			}
		}
	}
}
