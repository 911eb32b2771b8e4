package server

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/delivery/egress"
	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/seal"
	"github.com/kuranty/kuranty/internal/status"
	"github.com/kuranty/kuranty/internal/webhookapi"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// hooks are what sends webhooks.
type hooks struct {
	ring       *seal.Ring
	key        ed25519.PrivateKey
	client     *egress.Client
	requests   *dispatch.Requests
	dispatcher *dispatch.Dispatcher
	figures    *webhookFigures
	retries    delivery.Retries
	panics     atomic.Uint64
	bind       []netip.Addr // addresses that requests come from; empty if the system chooses
}

// newHooks returns what sends webhooks as the configuration wants it; the log exists.
func (s *Server) newHooks(b *backend) (*hooks, error) {
	c := &s.cfg.Webhooks
	types := make([]string, 0, len(b.catalogue.Kinds()))
	for _, k := range b.catalogue.Kinds() {
		types = append(types, k.Type)
	}
	h := &hooks{figures: newWebhookFigures(types), retries: retries(c)}
	var err error
	if h.ring, err = keyRing(c); err != nil {
		return nil, err
	}
	h.key = ed25519.NewKeyFromSeed(derived(s.cfg.Auth.Secret, "signatures of webhooks"))
	o, err := s.egressOptions()
	if err != nil {
		return nil, err
	}
	h.bind = o.Bind
	if h.client, err = egress.NewClient(o); err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	h.requests = &dispatch.Requests{Client: h.client, Key: h.key, Source: c.Source, UserAgent: "Kuranty-Webhooks/" + s.o.Version}
	h.dispatcher = dispatch.New(dispatch.Options{
		Store: b.store.Dispatch(h.ring), Log: b.log, Requests: h.requests, Catalogue: b.catalogue,
		Retries: h.retries, Limits: delivery.Limits{Consecutive: c.DisableConsecutive, After: c.DisableAfter},
		Slots: c.SenderSlots, Reserve: orNone(c.FirstAttemptReserve), Grace: c.ShutdownGrace,
		Retention: dispatch.Retention{Deliveries: c.RetentionDeliveries, Exhausted: c.RetentionExhausted},
		Logger:    s.log, Observer: h.figures, Failed: failingWebhook(b.alerts, 1), Troubled: failingWebhook(b.alerts, atOnce), Panicked: func() { h.panics.Add(1) },
	})
	return h, nil
}

// orNone is a part of which 0 means none, as an option of which 0 means the default.
func orNone(part float64) float64 {
	if part == 0 {
		return -1
	}
	return part
}

func retries(c *config.Webhooks) delivery.Retries {
	r := delivery.Retries{Schedule: delivery.Schedule{}, Jitter: orNone(c.RetryJitter), MaxAge: c.MaxDeliveryAge}
	for _, seconds := range c.RetrySchedule {
		r.Schedule = append(r.Schedule, time.Duration(seconds)*time.Second)
	}
	return r
}

// keyRing holds the keys that secrets are sealed with in the database.
func keyRing(c *config.Webhooks) (*seal.Ring, error) {
	var keys [][]byte
	for _, text := range append([]string{c.SecretEncryptionKey}, c.PreviousEncryptionKeys...) {
		key, err := config.ReadEncryptionKey(text)
		if err != nil {
			return nil, fmt.Errorf("webhooks.secret_encryption_key, webhooks.previous_encryption_keys: %w", err)
		}
		keys = append(keys, key)
	}
	return seal.New(keys...)
}

// egressOptions are how others' servers are called, and which.
func (s *Server) egressOptions() (o egress.Options, err error) {
	c := &s.cfg.Webhooks
	p := &o.Policy
	p.AllowHTTP, p.AllowPrivate, p.AllowHosts = c.AllowHTTP, c.AllowPrivateNetworks, c.AllowHosts
	if p.AllowNetworks, err = networks("webhooks.allow_networks", c.AllowNetworks); err != nil {
		return o, err
	}
	if p.DenyNetworks, err = networks("webhooks.deny_networks", c.DenyNetworks); err != nil {
		return o, err
	}
	if s.o.Demo {
		p.AllowHTTP = true
		p.AllowNetworks = append(p.AllowNetworks, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
		s.log.Warn("the demo sends webhooks to http:// addresses and to this machine; a real server does not, unless webhooks.allow_http and webhooks.allow_networks say so")
	}
	own, err := s.ownAddresses()
	if err != nil {
		return o, err
	}
	for _, ip := range own {
		if !slices.ContainsFunc(p.AllowNetworks, func(n netip.Prefix) bool { return n.Contains(ip) }) {
			p.DenyNetworks = append(p.DenyNetworks, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	for _, text := range c.EgressBind {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return o, fmt.Errorf("webhooks.egress_bind: %w", err)
		}
		o.Bind = append(o.Bind, ip)
	}
	if c.EgressProxy != "" {
		if o.Proxy, err = url.Parse(c.EgressProxy); err != nil {
			return o, errors.New("webhooks.egress_proxy: not a URL")
		}
	}
	o.Timeout, o.ConnectTimeout = time.Duration(c.TimeoutMS)*time.Millisecond, time.Duration(c.ConnectTimeoutMS)*time.Millisecond
	o.CaptureBytes = c.CaptureBytes
	return o, nil
}

// ownAddresses are those that this server listens on: a webhook must not call our own API
// with what is allowed to us (spec/webhooks.md §4.12).
func (s *Server) ownAddresses() (own []netip.Addr, err error) {
	for _, address := range append([]string{s.cfg.HTTPServer.Address}, s.cfg.HTTPServer.ExtraAddresses...) {
		host, _, err := net.SplitHostPort(address)
		if err != nil { // http_server.address has no port
			host = address
		}
		ip, err := netip.ParseAddr(host)
		switch {
		case err == nil && !ip.IsUnspecified():
			own = append(own, ip.Unmap().WithZone(""))
			continue
		case err != nil && host != "": // a name; if it is this machine's, it is loopback or the next listener's
			continue
		}
		all, err := net.InterfaceAddrs()
		if err != nil {
			return nil, fmt.Errorf("find the addresses of this machine: %w", err)
		}
		for _, a := range all {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					own = append(own, ip.Unmap().WithZone(""))
				}
			}
		}
	}
	return own, nil
}

// handleWebhooks serves what owners of webhooks can do.
func (s *Server) handleWebhooks(mux *http.ServeMux) {
	b := s.backend
	h := b.hooks
	if h == nil {
		return
	}
	o := webhooks.Options{
		Store: b.store.Webhooks(h.ring), Catalogue: b.catalogue, Guard: h.client.Guard(), Sender: h.requests, Poke: h.dispatcher.Poke,
		Retries: h.retries, Timeout: time.Duration(s.cfg.Webhooks.TimeoutMS) * time.Millisecond, Limit: s.cfg.Webhooks.MaxWebhooks, Origin: s.origin(), UserAgent: h.requests.UserAgent, SourceIPs: h.bind, Logger: s.log,
		Audit: func(ctx context.Context, e webhooks.Entry) error {
			return b.privacy.Audit(ctx, privacy.Entry{
				Actor: e.Actor, Action: e.Action, Target: "webhook:" + strconv.FormatInt(e.Webhook, 10), IP: e.Address,
			}, e.Detail)
		},
	}
	if key, ok := h.key.Public().(ed25519.PublicKey); ok {
		o.PublicKey = key
	}
	if s.cfg.Webhooks.EgressProxy == "" {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	a := webhookapi.New(webhookapi.Options{
		Service: webhooks.New(o), Accounts: b.accounts, Limits: b.api, Watch: watcher{b.alerts}, Keep: b.api.Keep, Seal: h.ring, Logger: s.log,
		Address: func(r *http.Request) string {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil {
				return r.RemoteAddr
			}
			return host
		},
	})
	for _, path := range a.Paths() {
		mux.Handle(path, b.api.Around(a))
	}
}

// describeOthers adds to the REST API's document what is served beside it.
func (s *Server) describeOthers(doc *huma.OpenAPI) {
	if s.cfg.Webhooks.Enabled {
		webhookapi.Describe(doc)
	}
}

// origin is the name of this server that receivers are asked with.
func (s *Server) origin() string {
	if u, err := url.Parse(s.cfg.HTTPServer.PublicURL); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return "kuranty"
}

// atOnce is as many observations as an alert needs, and more.
const atOnce = 1000

// failingWebhook makes alerts of attempts that failed, each of which counts n times.
func failingWebhook(to *alerts.Service, n int64) func(*delivery.Webhook, delivery.Result) {
	return func(w *delivery.Webhook, r delivery.Result) {
		to.Note(alerts.Observation{
			Kind: alerts.FailingWebhook, Subject: "webhook:" + strconv.FormatInt(w.ID, 10),
			N: n, Detail: map[string]string{"name": w.Name, "error": delivery.Brief(r.Message)},
		})
	}
}

// run sends until ctx ends. First it seals again what an older key sealed.
func (h *hooks) run(ctx context.Context, b *backend) error {
	for ctx.Err() == nil {
		n, err := b.store.Reseal(ctx, h.ring, 50)
		if err != nil && ctx.Err() == nil {
			b.logger.Warn("secrets of webhooks are still encrypted with an older key; the next start goes on", "error", err)
		}
		if n == 0 || err != nil {
			break
		}
		b.logger.Info("secrets of webhooks encrypted with the new key", "webhooks", n)
	}
	err := h.dispatcher.Run(ctx)
	h.client.Close()
	return err
}

// Deliveries that nothing holds back and that are not sent for as long make the component
// delivery degraded, and then one with an outage.
const (
	lateDelivery  = 10 * time.Second
	stuckDelivery = 2 * time.Minute
)

// deliveryState is that of sending webhooks. A process that does not send says nothing bad.
func deliveryState(s dispatch.Stats) (status.State, string) {
	switch {
	case s.Trouble != "" || s.OldestDue > stuckDelivery:
		return status.PartialOutage, "Webhooks are stored, and sent when the trouble is over."
	case s.OldestDue > lateDelivery:
		return status.Degraded, "Webhooks are sent late."
	}
	return status.Operational, ""
}
