package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/eventapi"
	"github.com/kuranty/kuranty/internal/gateway"
	"github.com/kuranty/kuranty/internal/identity"
)

// newCatalogue returns the types of events, those of the operator too.
func (s *Server) newCatalogue() (*event.Catalogue, error) {
	custom, err := customTypes(s.cfg.Events.Types)
	if err != nil {
		return nil, err
	}
	catalogue, err := event.NewCatalogue(custom...)
	if err != nil {
		return nil, fmt.Errorf("events.types: %w", err)
	}
	return catalogue, nil
}

// newGateway returns the event gateway on a backend.
func (s *Server) newGateway(b *backend) (*gateway.Gateway, error) {
	c := &s.cfg.Gateway
	return gateway.New(gateway.Options{
		Store: b.store.Gateway(), Accounts: gatewayAccounts{b.accounts}, Catalogue: b.catalogue, Source: s.cfg.Webhooks.Source, Sink: s.sinkName("gateway"), Logger: s.log,
		Subscriptions: c.SubscriptionLimit, FrameBytes: c.MessageSizeLimit, MessagesPerMinute: c.MessagesPerMinute, ConnectionsPerSubject: c.ConnectionLimit,
		PingInterval: c.PingInterval, PongTimeout: c.PongTimeout, AuthTimeout: c.AuthTimeout, StrictPong: c.StrictPong, NoQueryToken: !c.QueryToken, Watch: watcher{b.alerts},
	}), nil
}

// customTypes are the types of events that the operator registers. Schemas and samples are
// JSON, or the names of files with it.
func customTypes(types []config.EventType) (custom []event.Custom, err error) {
	for _, t := range types {
		c := event.Custom{Type: t.Type, Summary: t.Summary}
		for _, v := range []struct {
			name, text string
			into       *json.RawMessage
		}{{"schema", t.Schema, &c.Schema}, {"sample", t.Sample, &c.Sample}} {
			b := []byte(v.text)
			if v.text != "" && !strings.HasPrefix(strings.TrimSpace(v.text), "{") {
				if b, err = os.ReadFile(v.text); err != nil {
					return nil, fmt.Errorf("events.types.%s.%s: %w", t.Type, v.name, err)
				}
			}
			if len(b) > 0 && !json.Valid(b) {
				return nil, fmt.Errorf("events.types.%s.%s: is not JSON", t.Type, v.name)
			}
			*v.into = b
		}
		custom = append(custom, c)
	}
	return custom, nil
}

// handleGateway serves the gateway: its sockets, and the log over HTTP. The transport does
// not exist yet.
func (s *Server) handleGateway(mux *http.ServeMux) {
	if !s.cfg.Gateway.Enabled {
		return
	}
	b := s.backend
	mux.HandleFunc("/v1/ws", func(w http.ResponseWriter, r *http.Request) { b.gateway.ServeEvents(s.transport).ServeHTTP(w, r) })
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) { b.gateway.ServeAdmin(s.transport).ServeHTTP(w, r) })
	s.handleAsyncAPI(mux)
	plain, streams := eventapi.New(eventapi.Options{Gateway: b.gateway, Log: b.store.Ingest(), Allowed: b.api.Allowed, MaxPayload: s.cfg.Webhooks.MaxPayloadBytes, Logger: s.log}).Handlers()
	for path, h := range plain {
		mux.Handle(path, b.api.Around(h))
	}
	for path, h := range streams {
		mux.Handle(path, b.api.AroundStream(h))
	}
}

// gatewayAccounts tells the gateway who shows a credential.
type gatewayAccounts struct{ a *identity.Accounts }

// Authenticate implements gateway.Accounts.
func (g gatewayAccounts) Authenticate(ctx context.Context, credential string) (gateway.Caller, error) {
	c, err := g.a.Authenticate(ctx, credential)
	if err != nil {
		return gateway.Caller{}, refusal(err)
	}
	caller := gatewayCaller(c)
	if c.User != 0 {
		caller.Expires = identity.ExpiryOf(credential)
	} else if c.KeyExpires != 0 {
		caller.Expires = time.UnixMilli(c.KeyExpires)
	}
	return caller, nil
}

// Refresh implements gateway.Accounts. What is remembered of the caller may be older than
// the event that made the gateway ask.
func (g gatewayAccounts) Refresh(ctx context.Context, c gateway.Caller) (gateway.Caller, error) {
	var now identity.Caller
	var err error
	switch {
	case c.Session != "":
		g.a.Forget(c.Session)
		now, err = g.a.SessionCaller(ctx, c.Session)
	case c.User != 0:
		g.a.ForgetUser(c.User)
		now, err = g.a.UserCaller(ctx, c.User)
	case c.Key != "":
		g.a.Forget(c.Key)
		now, err = g.a.KeyCaller(ctx, c.Key)
	default: // the key of the configuration is good as long as the process runs
		return c, nil
	}
	if err != nil {
		if err = refusal(err); errors.Is(err, gateway.ErrInvalid) {
			err = gateway.ErrRevoked
		}
		return gateway.Caller{}, err
	}
	as := gatewayCaller(now)
	if c.Granted && !as.Admin { // what the token says stays so as long as it is good
		as.Permissions, as.Granted, as.Moderator = c.Permissions, true, c.Moderator
	}
	return as, nil
}

// refusal is an error of identity in the gateway's words.
func refusal(err error) error {
	switch {
	case errors.Is(err, identity.ErrExpired):
		return gateway.ErrExpired
	case errors.Is(err, identity.ErrSuspended):
		return gateway.ErrRevoked
	case errors.Is(err, identity.ErrUnauthorized):
		return gateway.ErrInvalid
	}
	return err
}

// What people may read beside their own account: rooms they are members of.
var readsOfPeople = []string{"read:messages", "read:rooms"}

// gatewayCaller is who makes a request as the gateway knows them.
func gatewayCaller(c identity.Caller) gateway.Caller {
	g := gateway.Caller{Subject: c.Actor(), User: c.User, Session: c.Session, Key: c.Key, Permissions: slices.Clone(c.Scopes)}
	switch {
	case c.Admin():
		g.Permissions = []string{"*"}
	case !c.Service && c.Granted != nil:
		g.Permissions, g.Granted = slices.Clone(c.Granted), true
	case !c.Service:
		g.Permissions = slices.Clone(readsOfPeople)
	case c.Can("events:read"):
		g.Permissions = append(g.Permissions, "read:*")
	}
	g.Admin = c.Admin()
	g.Moderator = c.Can("moderate:messages") || c.Admin() || slices.Contains(g.Permissions, "moderate:messages") || slices.Contains(g.Permissions, "*")
	return g
}

// drainGateway tells the gateway's clients to come back elsewhere, spread over a time.
func (s *Server) drainGateway(ctx context.Context, over time.Duration) {
	if s.backend != nil {
		s.backend.gateway.Drain(ctx, over)
	}
}
