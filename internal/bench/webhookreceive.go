package bench

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kuranty/kuranty/webhook"
)

// receivers are the servers that webhooks are sent to: plain net/http with connections kept
// open, each at a port of its own. They check the signatures of one request in checkEvery.
type receivers struct {
	urls     []string
	secret   webhook.Secret
	verifier webhook.Verifier
	tally    *tally
	srv      *http.Server
	serving  sync.WaitGroup

	mu      sync.Mutex
	seen    int
	sample  *post         // the first request
	hanging int           // so many of the first receivers do not answer,
	held    chan struct{} // until this is closed
}

const checkEvery = 50

// barePath is where requests are taken that are not webhooks.
const barePath = "/bare"

// post is a request as a webhook is one.
type post struct {
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

func listenReceivers(n int) (*receivers, error) {
	r := &receivers{secret: webhook.NewSecret(), tally: new(tally), held: make(chan struct{})}
	r.verifier.Secrets = []webhook.Secret{r.secret}
	r.srv = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			r.close()
			return nil, fmt.Errorf("listen for webhooks: %w", err)
		}
		r.urls = append(r.urls, "http://"+l.Addr().String()+"/"+strconv.Itoa(i))
		r.serving.Go(func() { _ = r.srv.Serve(l) }) // ends with close
	}
	return r, nil
}

// close ends the receivers; no request is under way then.
func (r *receivers) close() {
	r.release()
	_ = r.srv.Close()
	r.serving.Wait()
}

// hang makes the first n receivers hang, until release.
func (r *receivers) hang(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hanging = n
}

// release makes all receivers answer.
func (r *receivers) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hanging = 0
	close(r.held)
	r.held = make(chan struct{})
}

// ServeHTTP takes one request.
func (r *receivers) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	at := now()
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // who sent it has gone
	}
	if q.URL.Path == barePath {
		_, _ = io.WriteString(w, "ok")
		return
	}
	if held := r.arrived(q, body, at); held != nil {
		select {
		case <-held:
		case <-q.Context().Done():
			return
		}
	}
	_, _ = io.WriteString(w, "ok")
}

// arrived notes a request. The answer waits for what it returns.
func (r *receivers) arrived(q *http.Request, body []byte, at int64) (held <-chan struct{}) {
	i, err := strconv.Atoi(strings.TrimPrefix(q.URL.Path, "/"))
	n, _, ok := newsStamp(body)
	if err != nil || !ok {
		r.tally.fail(fmt.Errorf("a webhook came that nobody asked for: %s %.300q", q.URL.Path, body))
		return nil
	}
	r.mu.Lock()
	r.seen++
	check := r.seen%checkEvery == 1
	if r.sample == nil {
		r.sample = &post{q.Header.Clone(), string(body)}
	}
	if i < r.hanging {
		held = r.held
	}
	r.mu.Unlock()
	if check {
		if err := r.verifier.Verify(q.Header, body); err != nil {
			r.tally.fail(fmt.Errorf("a webhook came with %.300q: %w", body, err))
		}
		if err := r.verifier.VerifyBody(q.Header, body); err != nil {
			r.tally.fail(fmt.Errorf("a webhook came with %.300q: %w", body, err))
		}
	}
	if held == nil { // first attempts at receivers that hang are not waited for
		r.tally.arrived(n, at)
	}
	return held
}

// taken is how many webhooks have come.
func (r *receivers) taken() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}
