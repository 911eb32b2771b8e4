package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kuranty/kuranty/internal/client"
	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/identity"
)

type selftestCmd struct {
	caller
	TokenSecret string        `name:"token-secret" env:"KURANTY_TOKEN_SECRET" placeholder:"SECRET" help:"Secret (HS256) of connection tokens; by default the configured one, or that of the data folder."`
	Channel     string        `placeholder:"CHANNEL" help:"Channel to try, in which what is published stays; by default a new one where the configuration allows most."`
	Login       string        `placeholder:"NAME" help:"Account that tries the chat; by default one is made with the API key and deleted again."`
	Password    secret        `placeholder:"-" help:"Read the account's password from the input."`
	Wait        time.Duration `default:"5s" help:"Longest time of one step."`
	Output      string        `short:"o" default:"text" enum:"text,json" help:"text or json."`
}

func (selftestCmd) Help() string {
	return `It connects, subscribes, publishes, reads history and presence and comes back after a cut; with chat the same in a group that is made for it. What it made it deletes again. A step that the configuration does not allow is skipped and names the key.`
}

// Outcomes of a step.
const (
	passed  = "ok"
	skipped = "skipped"
	failed  = "failed"
)

// step is what was tried.
type step struct {
	Name   string  `json:"step"`
	Status string  `json:"status"`
	Millis float64 `json:"ms"`
	Detail string  `json:"detail,omitempty"`
}

// skip is the error of a step that cannot be tried, and why.
type skip string

func (s skip) Error() string { return string(s) }

// selftest is one run.
type selftest struct {
	*globals
	ctx      context.Context //nolint:containedctx // it lives as long as the command, which is its caller
	cmd      *selftestCmd
	settings *config.Config
	url      string
	api      client.API
	mark     string // what this run is called, in all that it makes
	steps    []step
	undo     []func(context.Context) error
	broken   error // of printing
}

func (c *selftestCmd) Run(g *globals) error {
	if (c.Login == "") != (c.Password == "") {
		return usageError{errors.New("--login and --password=- belong together")}
	}
	if c.Wait <= 0 {
		return usageError{errors.New("--wait must be more than 0")}
	}
	settings, err := g.settings()
	if err != nil {
		return err
	}
	if c.TokenSecret != "" {
		settings.Client.Token.HMACSecretKey = c.TokenSecret
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t := &selftest{
		globals: g, ctx: ctx, cmd: c, settings: settings, url: c.address(settings),
		mark: "selftest_" + strings.ToLower(rand.Text()[:8]),
	}
	t.api = client.API{URL: t.url, Prefix: settings.HTTPAPI.HandlerPrefix, Key: settings.HTTPAPI.Key}
	if c.APIKey != "" {
		t.api.Key = c.APIKey
	}
	if t.health() {
		t.plainChannel()
		t.chat()
		t.cleanUp()
	}
	return t.sum()
}

// step tries something and prints what came of it. It tells whether it went well.
func (t *selftest) step(name string, do func(context.Context) (detail string, err error)) bool {
	ctx, cancel := context.WithTimeoutCause(t.ctx, t.cmd.Wait, fmt.Errorf("nothing came within %v; is the server overloaded? --wait gives it longer", t.cmd.Wait))
	defer cancel()
	begun := time.Now()
	detail, err := do(ctx)
	s := step{Name: name, Status: passed, Millis: float64(time.Since(begun).Microseconds()) / 1000, Detail: detail}
	var why skip
	switch {
	case errors.As(err, &why):
		s.Status, s.Detail = skipped, string(why)
	case err != nil:
		s.Status, s.Detail = failed, err.Error()
	}
	t.steps = append(t.steps, s)
	if t.cmd.Output == "text" && t.broken == nil {
		line := fmt.Sprintf("%-8s %8.1f ms  %s", s.Status, s.Millis, s.Name)
		if s.Detail != "" {
			line += ": " + plain(s.Detail)
		}
		_, t.broken = fmt.Fprintln(t.stdout, line)
	}
	return s.Status == passed
}

// sum prints the end; the error tells that a step failed.
func (t *selftest) sum() error {
	count := map[string]int{}
	for _, s := range t.steps {
		count[s.Status]++
	}
	if t.broken == nil && t.cmd.Output == "json" {
		var text []byte
		text, t.broken = json.Marshal(struct {
			OK    bool   `json:"ok"`
			URL   string `json:"url"`
			Steps []step `json:"steps"`
		}{count[failed] == 0, t.url, t.steps})
		if t.broken == nil {
			t.broken = printLines(t.stdout, []json.RawMessage{text})
		}
	}
	if t.broken != nil {
		return t.broken
	}
	if count[failed] > 0 {
		return fmt.Errorf("selftest of %s: %d of %d steps failed", t.url, count[failed], len(t.steps))
	}
	if t.cmd.Output == "json" {
		return nil
	}
	_, err := fmt.Fprintf(t.stdout, "%s works: %d steps, %d skipped\n", t.url, count[passed], count[skipped])
	return err
}

// health asks whether there is a server. It tells whether to go on.
func (t *selftest) health() bool {
	for _, check := range [][2]string{{"health", "/health"}, {"readiness", "/readyz"}} {
		t.step(check[0], func(ctx context.Context) (string, error) {
			err := client.Check(ctx, t.url, check[1])
			if errors.Is(err, client.ErrNothing) {
				return "", skip("health.enabled is false")
			}
			return "", err
		})
		if t.steps[len(t.steps)-1].Status == failed {
			return false
		}
	}
	return true
}

// cleanUp takes back what was made, the latest first, also after an interruption.
func (t *selftest) cleanUp() {
	if len(t.undo) == 0 {
		return
	}
	t.ctx = context.WithoutCancel(t.ctx)
	t.step("clean up", func(ctx context.Context) (string, error) {
		var errs []error
		for _, undo := range slices.Backward(t.undo) {
			errs = append(errs, undo(ctx))
		}
		return "", errors.Join(errs...)
	})
}

// plainChannel tries a channel that is not one of chat.
func (t *selftest) plainChannel() {
	channel, options := t.cmd.Channel, "channel.without_namespace."
	if channel == "" {
		channel = t.bestNamespace() + t.mark
	}
	if ns, _, ok := strings.Cut(strings.TrimPrefix(channel, t.settings.Channel.PrivatePrefix), t.settings.Channel.NamespaceBoundary); ok {
		options = "channel.namespaces." + ns + "."
	}
	token, channelToken, err := t.tokens(channel)
	x := &exam{
		selftest: t, what: "channel", channel: channel, token: token, channelToken: channelToken,
		data: func(mark string) json.RawMessage { return json.RawMessage(`{"selftest":"` + mark + `"}`) },
		serverPublish: func(ctx context.Context, data json.RawMessage) error {
			return t.callAPI(ctx, "publish", map[string]any{"channel": channel, "data": data}, nil)
		},
		keys: keysOf{
			subscribe: options + "allow_subscribe_for_client", publish: options + "allow_publish_for_subscriber",
			history: options + "history_size and " + options + "history_ttl", readHistory: options + "allow_history_for_subscriber",
			presence: options + "presence", readPresence: options + "allow_presence_for_subscriber",
			recovery: options + "allow_recovery (with history_size and history_ttl)",
		},
	}
	if err != nil {
		t.step("token", func(context.Context) (string, error) { return "", err })
		return
	}
	x.run()
	if !x.subscribed {
		return
	}
	t.step("channel: history by the server API", func(ctx context.Context) (string, error) {
		var past struct {
			Publications []json.RawMessage `json:"publications"`
		}
		err := t.callAPI(ctx, "history", map[string]any{"channel": channel, "limit": historyLimit, "reverse": true}, &past)
		if err != nil {
			return "", allow(err, map[int]string{108: x.keys.history})
		}
		return count(len(past.Publications), "publication"), x.missing(past.Publications)
	})
	t.step("channel: presence by the server API", func(ctx context.Context) (string, error) {
		var who struct {
			Presence map[string]json.RawMessage `json:"presence"`
		}
		err := t.callAPI(ctx, "presence", map[string]any{"channel": channel}, &who)
		return x.present(len(who.Presence), err)
	})
	x.end()
	if t.cmd.Channel != "" {
		return // others' history may be there
	}
	t.undo = append(t.undo, func(ctx context.Context) error {
		err := t.callAPI(ctx, "history_remove", map[string]any{"channel": channel}, nil)
		if err = allow(err, map[int]string{108: x.keys.history}); err == nil || errors.As(err, new(skip)) {
			return nil // without history nothing stays, and without a key it ends by history_ttl
		}
		return fmt.Errorf("remove the history of %s: %w", channel, err)
	})
}

// callAPI calls the server API, which is skipped where there is none or no key.
func (t *selftest) callAPI(ctx context.Context, method string, params, result any) error {
	if t.api.Key == "" && !t.settings.HTTPAPI.Insecure {
		return skip("there is no key of the server API; give it with --api-key or KURANTY_API_KEY")
	}
	err := t.api.Call(ctx, method, params, result)
	if errors.Is(err, client.ErrNothing) {
		return skip("http_api.disabled is true, or http_api.handler_prefix another than here")
	}
	return err
}

// tokens are those of a connection to the channel, empty if nothing is known to sign with.
func (t *selftest) tokens(channel string) (connection, subscription string, err error) {
	if t.settings.Client.Token.HMACSecretKey == "" {
		return "", "", nil // perhaps none is needed
	}
	user := strings.ReplaceAll(t.mark, "_", "-") // no number, so nobody of the chat
	s, err := signer(&t.settings.Client.Token)
	if err != nil {
		return "", "", err
	}
	if connection, err = s.CreateConnectionToken(identity.ConnectionTokenOptions{User: user, TTL: time.Hour}); err != nil {
		return "", "", err
	}
	keys := subscriptionKeys(t.settings)
	if keys.HMACSecretKey == "" {
		return connection, "", nil
	}
	if s, err = signer(keys); err != nil {
		return "", "", err
	}
	subscription, err = s.CreateSubscriptionToken(identity.SubscriptionTokenOptions{User: user, Channel: channel, TTL: time.Hour})
	return connection, subscription, err
}

// bestNamespace is what the name of a channel begins with that allows most.
func (t *selftest) bestNamespace() string {
	ch := &t.settings.Channel
	begin, most := "", worth(&ch.WithoutNamespace)
	for i := range ch.Namespaces {
		ns := &ch.Namespaces[i]
		if n := worth(&ns.ChannelOptions); n > most {
			begin, most = ns.Name+ch.NamespaceBoundary, n
		}
	}
	return begin
}

// worth counts what can be tried in channels with the options.
func worth(o *config.ChannelOptions) (n int) {
	if o.ChannelRegex != "" || o.PublicationDataFormat == "binary" {
		return -1
	}
	history := o.HistorySize > 0 && o.HistoryTTL > 0
	for _, can := range []bool{
		history, history && (o.AllowRecovery || o.ForceRecovery), history && (o.AllowHistoryForClient || o.AllowHistoryForSubscriber),
		o.Presence, o.Presence && (o.AllowPresenceForClient || o.AllowPresenceForSubscriber),
		o.AllowPublishForClient || o.AllowPublishForSubscriber,
	} {
		if can {
			n++
		}
	}
	return n
}

// allow turns a refusal with one of the codes into a skip that names the key behind it.
func allow(err error, keys map[int]string) error {
	var refused *client.Error
	if errors.As(err, &refused) {
		if key := keys[refused.Code]; key != "" {
			return skip("the configuration does not allow it: " + key)
		}
	}
	return err
}
