package servertest_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/servertest"
)

// hookKey opens the API of servers whose webhooks are tested.
const hookKey = "a-key-that-opens-the-api-of-webhooks"

// hookOptions make a server send webhooks to this machine.
func hookOptions(dataDir string, more ...servertest.Option) []servertest.Option {
	return append([]servertest.Option{
		servertest.DataDir(dataDir), servertest.Config(`{"events": {"types": ["order.paid"]}}`), servertest.Flag("http_api.key", hookKey),
		servertest.Flag("webhooks.allow_http", "true"), servertest.Flag("webhooks.allow_networks", "127.0.0.0/8"),
	}, more...)
}

// encryptionKey is one of those that secrets of webhooks are sealed with.
func encryptionKey(n byte) string { return strings.Repeat(fmt.Sprintf("%02x", n), 32) }

// parcel is one request that an inbox got.
type parcel struct {
	// webhook, event and attempt are as its headers say; from is the address of who sent it.
	webhook, event, attempt, from string
	header                        http.Header
	body                          string
	began                         time.Time
	// status is what it was answered with, 0 before, or if there was no answer.
	status int
}

func (p *parcel) delivered() bool { return p.status >= 200 && p.status < 300 }

// inbox is a server that webhooks are sent to. It keeps what it gets.
type inbox struct {
	*httptest.Server

	// after, if it is not nil, is called when an answer has been written to its end.
	after func()

	mu  sync.Mutex
	got []*parcel
	// underWay are requests without an answer.
	underWay map[*parcel]bool
	gone     map[string]bool // senders that are killed
	wrong    []string
}

// newInbox starts an inbox. Answer returns the status that a request is answered with, or 0
// to hang up; nil answers 200.
func newInbox(t *testing.T, answer func(p *parcel, r *http.Request) int) *inbox {
	t.Helper()
	in := &inbox{underWay: map[*parcel]bool{}, gone: map[string]bool{}}
	in.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender was killed, so nobody knows what it was
		}
		p := in.take(r, string(body))
		defer in.leave(p)
		status := http.StatusOK
		if answer != nil {
			status = answer(p, r)
		}
		in.mu.Lock()
		p.status = status
		in.mu.Unlock()
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
		if err := http.NewResponseController(w).Flush(); err == nil && in.after != nil {
			in.after()
		}
	}))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) take(r *http.Request, body string) *parcel {
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	p := &parcel{
		webhook: r.Header.Get("X-Webhook-Id"), event: r.Header.Get("Webhook-Id"), attempt: r.Header.Get("X-Webhook-Attempt"),
		from: from, header: r.Header.Clone(), body: body, began: time.Now(),
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.got = append(in.got, p)
	for other := range in.underWay {
		if other.event == p.event && other.webhook == p.webhook && !in.gone[other.from] {
			in.wrong = append(in.wrong, fmt.Sprintf("%s sends event %s to webhook %s while %s does", p.from, p.event, p.webhook, other.from))
		}
	}
	in.underWay[p] = true
	return p
}

func (in *inbox) leave(p *parcel) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.underWay, p)
}

// dies says that a sender is about to be killed: what it has sent may come again meanwhile.
func (in *inbox) dies(from string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.gone[from] = true
}

func (p *parcel) path() string { return p.event + " " + p.webhook + " " + p.from }

// all are the requests so far, in the order in which they came.
func (in *inbox) all() []parcel {
	in.mu.Lock()
	defer in.mu.Unlock()
	all := make([]parcel, len(in.got))
	for i, p := range in.got {
		all[i] = *p
	}
	return all
}

// last is who sent the last request, or empty.
func (in *inbox) last() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.got) == 0 {
		return ""
	}
	return in.got[len(in.got)-1].from
}

// heard is how many requests a sender has sent.
func (in *inbox) heard(from string) (n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, p := range in.got {
		if p.from == from {
			n++
		}
	}
	return n
}

// check judges what came as a whole. Log is what the server says happened: bodies by event.
func (in *inbox) check(log map[string]string) (wrong []string) {
	in.mu.Lock()
	wrong = slices.Clone(in.wrong)
	in.mu.Unlock()
	answered := map[string]bool{} // webhook, event and sender of what was answered 2xx
	for _, p := range in.all() {
		body, known := log[p.event]
		switch {
		case !known:
			wrong = append(wrong, fmt.Sprintf("event %s was sent to webhook %s and never happened", p.event, p.webhook))
		case body != p.body:
			wrong = append(wrong, fmt.Sprintf("event %s was sent as %s, want %s", p.event, p.body, body))
		}
		if answered[p.path()] {
			wrong = append(wrong, fmt.Sprintf("%s sent event %s to webhook %s again, attempt %s, although it was answered", p.from, p.event, p.webhook, p.attempt))
		}
		answered[p.path()] = answered[p.path()] || p.delivered()
	}
	return wrong
}

// repeated counts the events that were answered 2xx more than once, and the most of them
// that one sender answered for.
func (in *inbox) repeated() (events, most int) {
	last := map[string]string{} // webhook and event → who was answered 2xx last
	lost := map[string]int{}    // sender → answers that it did not record
	for _, p := range in.all() {
		if !p.delivered() {
			continue
		}
		key := p.webhook + " " + p.event
		if before, again := last[key]; again {
			lost[before]++
			events++
		}
		last[key] = p.from
	}
	return events, slices.Max(append(slices.Collect(maps.Values(lost)), 0))
}
