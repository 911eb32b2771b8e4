package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/webhook"
)

// forwarder sends events to a receiver on this machine as the server would, and says how
// that went.
type forwarder struct {
	*globals
	to       *url.URL
	client   http.Client
	secret   webhook.Secret
	format   webhook.Format
	describe bool // by headers, as CloudEvents are
	header   map[string]string

	deliveries int64
	last       *exchange
}

// maxAnswer is how much of an answer is read, as by the server (spec/webhooks.md §4.5).
const maxAnswer = 64 << 10

// headerName is what a header may be called (RFC 9110, token).
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// localClient makes requests as the server does: by no proxy, following no redirect, and with
// the body as it comes.
func localClient(timeout time.Duration) http.Client {
	return http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// exchange is one event on its way: its last request and what came of it.
type exchange struct {
	event    *webhook.Event
	body     []byte
	delivery int64
	attempt  int

	sent    time.Time
	took    time.Duration
	request http.Header
	err     error // why there is no answer
	status  int
	answer  http.Header
	text    []byte
}

// taken tells whether the receiver said that it has the event.
func (x *exchange) taken() bool { return x.err == nil && x.status >= 200 && x.status < 300 }

// greet says what a receiver has to know.
func (f *forwarder) greet() error {
	_, err := fmt.Fprintf(f.stdout, "secret: %s\nforwarding to %s\n", plain(f.secret.Reveal()), plain(f.to.Redacted()))
	return err
}

// press does what a key of the terminal means.
func (f *forwarder) press(ctx context.Context, key rune) error {
	var err error
	switch {
	case key != 'r' && key != 'd':
		_, err = fmt.Fprintln(f.stderr, "r sends the last event again, d shows its request and answer, q quits")
	case f.last == nil:
		_, err = fmt.Fprintln(f.stderr, "nothing has been sent yet")
	case key == 'd':
		_, err = io.WriteString(f.stdout, f.last.details(f.to))
	default:
		f.last.attempt++
		return f.send(ctx)
	}
	return err
}

// forward sends an event.
func (f *forwarder) forward(ctx context.Context, e *webhook.Event) error {
	body, err := f.format.Body(e)
	if err != nil {
		_, err = fmt.Fprintf(f.stderr, "kuranty: %s %s cannot be sent: %v\n", plain(e.Type), plain(e.ID), err)
		return err
	}
	f.deliveries++
	f.last = &exchange{event: e, body: body, delivery: f.deliveries, attempt: 1}
	return f.send(ctx)
}

// send makes the request of the last exchange and prints how it went. The error is that of
// printing.
func (f *forwarder) send(ctx context.Context) error {
	x := f.last
	x.err, x.status, x.answer, x.text = nil, 0, nil, nil
	x.sent = time.Now()
	x.request = f.headers(x)
	x.err = f.do(ctx, x)
	x.took = time.Since(x.sent)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // who ended it does not want to know
	}
	_, err := fmt.Fprintln(f.stdout, x.line())
	return err
}

func (f *forwarder) do(ctx context.Context, x *exchange) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.to.String(), bytes.NewReader(x.body))
	if err != nil {
		return err
	}
	req.Header = x.request
	resp, err := f.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	x.status, x.answer = resp.StatusCode, resp.Header
	if x.status == http.StatusSwitchingProtocols { // no body but the connection, which has no end
		return nil
	}
	x.text, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return err
}

// headers makes the header of a request (spec/webhooks.md §1.6, §4.3): what the server
// sends, of a webhook with the number 0.
func (f *forwarder) headers(x *exchange) http.Header {
	h := make(http.Header)
	for name, value := range f.header {
		h.Set(name, value)
	}
	e := x.event
	h.Set("Content-Type", f.format.ContentType())
	h.Set("User-Agent", "Kuranty-Webhooks/"+version)
	h.Set("Accept-Encoding", "identity")
	h.Set(webhook.HeaderEvent, e.Type)
	h.Set(webhook.HeaderWebhook, "0")
	h.Set(webhook.HeaderDelivery, strconv.FormatInt(x.delivery, 10))
	h.Set(webhook.HeaderAttempt, strconv.Itoa(x.attempt))
	h.Set(webhook.HeaderID, e.ID)
	h.Set(webhook.HeaderTimestamp, strconv.FormatInt(x.sent.Unix(), 10))
	h.Set(webhook.HeaderSignature, f.secret.Sign(x.body))
	h.Set(webhook.HeaderSignatureList, f.secret.SignStandard(e.ID, x.sent, x.body))
	if f.describe && (f.format == webhook.FormatPlain || f.format == webhook.FormatCompact) {
		e.Describe(h)
	}
	return h
}

// line is an exchange in a line: what was sent, the status, how long it took, and of what is
// no success the beginning of the answer.
func (x *exchange) line() string {
	about := fmt.Sprintf("%s  %s  %s  ", x.sent.Format("15:04:05"), plain(x.event.Type), plain(x.event.ID))
	if x.status == 0 {
		return about + "no answer: " + plain(why(x.err))
	}
	text := fmt.Sprintf("%s%d  %s", about, x.status, milliseconds(x.took))
	switch {
	case x.err != nil:
		return text + "  the answer breaks off: " + plain(why(x.err))
	case !x.taken():
		if said := strings.TrimSpace(plain(shortened(x.text))); said != "" {
			return text + "  " + said
		}
	}
	return text
}

// shortened is the beginning of an answer.
func shortened(text []byte) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return string(text)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}

// why is what went wrong, without the address, which stands elsewhere.
func why(err error) string {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		if wrapped.Timeout() {
			return "it took too long"
		}
		err = wrapped.Err
	}
	return err.Error()
}

// details is an exchange as it was on the wire.
func (x *exchange) details(to *url.URL) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s\n", plain(to.Redacted()))
	writeHeader(&b, x.request)
	fmt.Fprintf(&b, "\n%s\n\n", harmless(x.body))
	if x.status == 0 {
		fmt.Fprintf(&b, "no answer: %s\n", plain(why(x.err)))
		return b.String()
	}
	fmt.Fprintf(&b, "%s after %s\n", strings.TrimSpace(fmt.Sprintf("%d %s", x.status, http.StatusText(x.status))), milliseconds(x.took))
	writeHeader(&b, x.answer)
	_ = b.WriteByte('\n')
	for line := range strings.Lines(string(x.text)) {
		fmt.Fprintln(&b, plain(strings.TrimRight(line, "\r\n")))
	}
	if x.err != nil {
		fmt.Fprintf(&b, "the answer breaks off: %s\n", plain(why(x.err)))
	} else if len(x.text) == maxAnswer {
		fmt.Fprintf(&b, "more than %d bytes are not read\n", maxAnswer)
	}
	return b.String()
}

func writeHeader(b *strings.Builder, h http.Header) {
	for _, name := range slices.SortedFunc(maps.Keys(h), cmp.Compare[string]) {
		for _, value := range h[name] {
			fmt.Fprintf(b, "%s: %s\n", plain(name), plain(value))
		}
	}
}
