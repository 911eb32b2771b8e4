package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/kuranty/kuranty/internal/client"
	"github.com/kuranty/kuranty/webhook"
)

type listenCmd struct {
	remote
	APIKey    string            `name:"api-key" env:"KURANTY_API_KEY" placeholder:"KEY" help:"Key that may read the events; by default the configured one, or that of the data folder."`
	ForwardTo string            `required:"" placeholder:"URL" help:"Where the requests go, as http://localhost:3000/hook."`
	Events    []string          `aliases:"event" placeholder:"TYPE" help:"Events of a type or pattern, as ticket.*; may be repeated. Everything the key may read if not given."`
	Filter    string            `placeholder:"JSON" help:"Only events that pass a filter, as {\"payload.priority\": \"high\"}."`
	Format    webhook.Format    `enum:"plain,compact,envelope,cloudevents" default:"plain" help:"Body: plain, compact, envelope or cloudevents."`
	CEHeaders bool              `name:"ce-headers" help:"Add the attributes of CloudEvents as headers to plain and compact bodies."`
	Header    map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Header that the receiver wants; may be repeated."`
	Secret    string            `placeholder:"SECRET" help:"What requests are signed with, in the place of the one that is kept on this machine."`
	NewSecret bool              `help:"Make another secret and keep that."`
	Timeout   time.Duration     `default:"15s" help:"Longest time of a request."`
	Replay    string            `placeholder:"ID" help:"First send this event of the log, as evt_…."`
	Once      bool              `help:"With --replay: end after that, with 1 if the receiver did not answer 2xx."`
}

func (listenCmd) Help() string {
	return `Events come through the gateway, so this machine needs no public address, and go out as webhooks do, with the same headers and signatures. A lost connection is made again, and what was missed is fetched; nothing is tried again by itself. On a terminal r sends the last event again, d shows its request and answer, q quits.`
}

// Run is called by kong.
func (c *listenCmd) Run(g *globals) error {
	if c.Once && c.Replay == "" {
		return usageError{errors.New("--once goes with --replay")}
	}
	if c.Timeout <= 0 {
		return usageError{errors.New("--timeout must be more than nothing")}
	}
	settings, err := g.settings()
	if err != nil {
		return err
	}
	f, err := c.forwarder(g)
	if err != nil {
		return err
	}
	in := inlet{
		rest:   client.REST{URL: c.address(settings), Key: cmp.Or(c.APIKey, settings.HTTPAPI.Key), Prefix: gatewayPath},
		query:  url.Values{"format": {"cloudevents"}},
		notice: func(text string) { fmt.Fprintln(g.stderr, "kuranty: "+plain(text)) },
	}
	if len(c.Events) > 0 {
		in.query.Set("events", strings.Join(c.Events, ","))
	}
	if c.Filter != "" {
		in.query.Set("filter", c.Filter)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	after, err := in.end(ctx)
	if err != nil {
		return fmt.Errorf("follow events: %w", err)
	}
	if err := f.greet(); err != nil {
		return err
	}
	if c.Replay != "" {
		done, err := c.replay(ctx, &in, f)
		if err != nil || done {
			return err
		}
	}
	return c.listen(ctx, &in, f, after)
}

// replay sends an event of the log; done tells that this was all.
func (c *listenCmd) replay(ctx context.Context, in *inlet, f *forwarder) (done bool, err error) {
	e, err := in.find(ctx, c.Replay)
	if err != nil {
		return false, fmt.Errorf("replay %s: %w", plain(c.Replay), err)
	}
	if err := f.forward(ctx, e); err != nil || !c.Once {
		return false, err
	}
	if !f.last.taken() {
		return true, errors.New("the receiver did not take it")
	}
	return true, nil
}

// listen forwards what happens after an event until ctx ends, or somebody quits.
func (c *listenCmd) listen(ctx context.Context, in *inlet, f *forwarder, after string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys, restore, err := pressed(os.Stdin)
	if err != nil {
		return err
	}
	defer restore()
	events, ended := make(chan *webhook.Event, waiting), make(chan error, 1)
	go func() { ended <- in.follow(ctx, after, events) }()
	running := true
	defer func() {
		cancel()
		if running {
			<-ended //nolint:errcheck // what it says now is that it was ended
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			running = false
			if err != nil {
				return fmt.Errorf("follow events: %w", err)
			}
			return nil
		case e := <-events:
			err = f.forward(ctx, e)
		case key, open := <-keys:
			switch {
			case !open:
				keys = nil // the input has ended; events have not
			case key == 'q':
				return nil
			default:
				err = f.press(ctx, key)
			}
		}
		if err != nil {
			return err
		}
	}
}

// forwarder makes what sends the requests.
func (c *listenCmd) forwarder(g *globals) (*forwarder, error) {
	to, err := localURL(c.ForwardTo)
	if err != nil {
		return nil, usageError{fmt.Errorf("--forward-to %w", err)}
	}
	for name, value := range c.Header {
		if !headerName.MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			return nil, usageError{fmt.Errorf("--header: %q cannot be a header", excerpt([]byte(name)))}
		}
		if webhook.OwnHeader(strings.ToLower(name)) {
			return nil, usageError{fmt.Errorf("--header: %s is a header that only the server sets", name)}
		}
	}
	f := &forwarder{globals: g, to: to, client: localClient(c.Timeout), format: c.Format, describe: c.CEHeaders, header: c.Header}
	switch {
	case c.Secret != "" && c.NewSecret:
		return nil, usageError{errors.New("give --secret or --new-secret, not both")}
	case c.Secret != "":
		if f.secret, err = webhook.ParseSecret(c.Secret); err != nil {
			return nil, usageError{fmt.Errorf("--secret is %w", err)}
		}
	default:
		if f.secret, err = keptSecret(c.NewSecret); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// localURL reads the address of a receiver; http:// may be left out.
func localURL(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("must be an address as http://localhost:3000/hook, not %q", excerpt([]byte(text)))
	}
	u.Fragment = ""
	return u, nil
}

// waiting is how many events may wait while one is being sent. After that the server waits,
// which has them in its log.
const waiting = 64

// inlet is the way from the gateway. It asks for CloudEvents, which say all that a webhook
// says of an event.
type inlet struct {
	rest   client.REST
	query  url.Values
	notice func(string)
}

// arrived is an event as the gateway sends it.
type arrived struct {
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Source   string          `json:"source"`
	Subject  string          `json:"subject"`
	Time     time.Time       `json:"time"`
	Sequence int64           `json:"sequence,string"`
	Data     json.RawMessage `json:"data"`
}

// end returns the newest event that there is, after which to begin.
func (in *inlet) end(ctx context.Context) (string, error) {
	q := url.Values{"newest": {"true"}, "limit": {"1"}}
	maps.Copy(q, in.query)
	var page struct {
		Next string `json:"next"`
	}
	if err := in.rest.Call(ctx, http.MethodGet, "/events?"+q.Encode(), nil, &page); err != nil {
		return "", err
	}
	return cmp.Or(page.Next, client.Beginning), nil
}

// follow gives what happens after an event to events, until ctx ends.
func (in *inlet) follow(ctx context.Context, after string, events chan<- *webhook.Event) error {
	return client.Events(ctx, client.EventsOptions{
		URL: in.rest.URL, Key: in.rest.Key, Query: in.query, LastEventID: after, Notice: in.notice,
		Event: func(_ string, text []byte) error {
			e, err := in.read(ctx, text)
			if err != nil {
				return err
			}
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
}

// read reads an event. One that is too long for a message is fetched.
func (in *inlet) read(ctx context.Context, text []byte) (*webhook.Event, error) {
	var a arrived
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	var cut struct {
		Truncated bool   `json:"truncated"`
		Href      string `json:"href"`
	}
	if json.Unmarshal(a.Data, &cut) == nil && cut.Truncated && cut.Href == gatewayPath+"/events/"+a.ID {
		return in.find(ctx, a.ID)
	}
	return a.event(), nil
}

// find returns an event of the log.
func (in *inlet) find(ctx context.Context, id string) (*webhook.Event, error) {
	var a arrived
	if err := in.rest.Call(ctx, http.MethodGet, "/events/"+url.PathEscape(id)+"?format=cloudevents", nil, &a); err != nil {
		return nil, err
	}
	return a.event(), nil
}

func (a *arrived) event() *webhook.Event {
	return &webhook.Event{ID: a.ID, Type: a.Type, OccurredAt: a.Time, Payload: a.Data, Source: a.Source, Subject: a.Subject, Sequence: a.Sequence}
}
