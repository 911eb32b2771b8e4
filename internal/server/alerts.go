package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/identity"
)

// newAlerts returns the service that keeps what should be looked at.
func (s *Server) newAlerts(b *backend) (*alerts.Service, error) {
	a := &s.cfg.Alerts
	return alerts.New(alerts.Options{
		Store: b.store.Alerts(), Inspect: inspector{s, b}, SignIns: a.FailedSignIns, Tokens: a.RefusedTokens, Requests: a.RateLimited,
		Window: a.Window, Retention: a.Retention, Logger: s.log,
	})
}

// watcher notes what identity, the gateway and the HTTP contracts tell of.
type watcher struct{ to *alerts.Service }

// SignInFailed implements [identity.Watcher].
func (w watcher) SignInFailed(user int64, address string) {
	o := alerts.Observation{Kind: alerts.FailedSignIns, Subject: alerts.About(user, ""), User: user, Detail: from(address)}
	if user != 0 {
		w.to.Note(o)
	}
	if address != "" {
		w.to.Note(alerts.Observation{Kind: alerts.FailedSignIns, Subject: alerts.About(0, address), Detail: from(address)})
	}
}

// TokenReused implements [identity.Watcher].
func (w watcher) TokenReused(user int64, address string) {
	w.to.Note(alerts.Observation{Kind: alerts.TokenReused, Subject: alerts.About(user, address), User: user, Detail: from(address)})
}

// KeyRefused implements [identity.Watcher].
func (w watcher) KeyRefused(key string) {
	w.to.Note(alerts.Observation{Kind: alerts.RefusedTokens, Subject: event.Service(key)})
}

// TokenRefused implements [api.Watcher], and that of the gateway and of contracts A and B.
func (w watcher) TokenRefused(address string) {
	w.to.Note(alerts.Observation{Kind: alerts.RefusedTokens, Subject: alerts.About(0, address), Detail: from(address)})
}

// RateLimited implements [api.Watcher], and that of the gateway and of contracts A and B.
func (w watcher) RateLimited(user int64, address string) {
	w.to.Note(alerts.Observation{Kind: alerts.RateLimited, Subject: alerts.About(user, address), User: user, Detail: from(address)})
}

func from(address string) map[string]string {
	if address == "" {
		return nil
	}
	return map[string]string{"address": address}
}

// brokenFile says why the database broke, for the next start to tell: then there is
// nowhere else to keep it.
const brokenFile = "broken"

// keepBroken leaves the reason why the database broke. The disk may be why, so nobody
// waits long for it.
func (s *Server) keepBroken() {
	if s.backend == nil || s.backend.store.Err() == nil {
		return
	}
	done := run(context.Background(), func(context.Context) error {
		return s.dir.write(brokenFile, func(w io.Writer) error {
			_, err := io.WriteString(w, s.backend.store.Err().Error())
			return err
		})
	})
	select {
	case err := <-done:
		if err != nil {
			s.log.Warn("that the database broke will be no alert", "error", err)
		}
	case <-time.After(brokenTimeout / 2):
	}
}

// watchEvery is how often the parts are looked at that do not tell of themselves.
const watchEvery = time.Second

// watch notes what the counters of other parts say, until ctx ends.
func (s *Server) watch(ctx context.Context) error {
	b := s.backend
	if b == nil {
		<-ctx.Done()
		return nil
	}
	if f, err := s.dir.take(brokenFile); err == nil {
		why, err := io.ReadAll(io.LimitReader(f, 1000))
		if err = errors.Join(err, f.Close()); err != nil {
			s.log.Warn("read why the database broke", "error", err)
		}
		b.alerts.Note(alerts.Observation{Kind: alerts.DatabaseBroken, Subject: "database", Detail: map[string]string{"error": string(why)}})
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	away, seen := false, map[string]uint64{}
	// more is by how much a counter has grown since the last look.
	more := func(name string, now uint64) int64 {
		grown := now - seen[name]
		seen[name] = now
		return int64(min(grown, 1<<30))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := b.store.Ready()
		if err != nil && !away {
			b.alerts.Note(alerts.Observation{Kind: alerts.DatabaseUnavailable, Subject: "database", Detail: map[string]string{"error": err.Error()}})
		}
		away = err != nil
		for _, sink := range b.log.Stats() {
			if n := more("sink "+sink.Sink, sink.Refused); n > 0 {
				b.alerts.Note(alerts.Observation{Kind: alerts.RefusedEvents, Subject: "sink:" + sink.Sink, N: n})
			}
		}
		if s.api != nil {
			if n := more("api", s.api.Stats().Unauthorized); n > 0 {
				b.alerts.Note(alerts.Observation{Kind: alerts.RefusedTokens, Subject: "server API", N: n})
			}
		}
		if n := more("rate", s.transport.Stats().Refused["rate"]); n > 0 {
			b.alerts.Note(alerts.Observation{Kind: alerts.RateLimited, Subject: "new connections", N: n})
		}
	}
}

// inspector tells scans what the server is like.
type inspector struct {
	s *Server
	b *backend
}

// Inspect implements [alerts.Inspector]. What may change while the server runs is as it is in force now.
func (i inspector) Inspect(ctx context.Context, deep bool) (*alerts.Facts, error) {
	c, now := i.s.cfg, i.s.cfg
	if changed := i.s.inForce.Load(); changed != nil {
		now = changed
	}
	f := &alerts.Facts{
		TLS: c.HTTPServer.TLS.Enabled, Proxies: len(c.HTTPServer.TrustedProxies) > 0,
		Origins: c.Client.AllowedOrigins, UserHeader: now.Client.UserIDHTTPHeader,
		Registration: c.Auth.Registration, Mail: i.s.o.Mailer != nil, AdminPassword: c.Auth.FirstAdmin.Password != "",
		PublicMetrics: c.Prometheus.Enabled && i.s.publicMetrics, RetentionDays: c.Chat.RetentionDays, UnsafeDurability: c.Storage.UnsafeDurability,
	}
	if c.Auth.Mode == string(identity.External) {
		f.Registration = ""
	}
	for _, address := range append([]string{c.HTTPServer.Address}, c.HTTPServer.ExtraAddresses...) {
		host, _, err := net.SplitHostPort(address)
		if err != nil { // http_server.address has no port
			host = address
		}
		if !loopbackHost(host) {
			f.Public = append(f.Public, address)
		}
	}
	if f.TLS {
		cert, err := certificate(&c.HTTPServer.TLS)
		if err != nil {
			return nil, err
		}
		if cert.Leaf != nil {
			f.CertificateEnds = cert.Leaf.NotAfter.UnixMilli()
		}
	}
	cl, sub, ext := &now.Client, &now.Client.SubscriptionToken, &c.Auth.External
	on := func(list *[]string, is bool, key string) {
		if is {
			*list = append(*list, key)
		}
	}
	on(&f.Insecure, cl.Insecure, "client.insecure")
	on(&f.Insecure, cl.InsecureSkipTokenSignatureVerify, "client.insecure_skip_token_signature_verify")
	on(&f.Insecure, c.HTTPAPI.Insecure && !c.HTTPAPI.Disabled, "http_api.insecure")
	on(&f.Unexpiring, !cl.Token.RequireExp, "client.token.require_exp")
	on(&f.Unexpiring, sub.Enabled && !sub.RequireExp, "client.subscription_token.require_exp")
	on(&f.Unexpiring, c.Auth.Mode != string(identity.Builtin) && !ext.RequireExp, "auth.external.require_exp")
	on(&f.QuerySecrets, c.HTTPAPI.QueryKey && !c.HTTPAPI.Disabled, "http_api.query_key")
	on(&f.QuerySecrets, c.Gateway.QueryToken && c.Gateway.Enabled, "gateway.query_token")
	on(&f.Anonymous, cl.AllowAnonymousConnectWithoutToken, "client.allow_anonymous_connect_without_token")
	on(&f.Anonymous, now.Channel.WithoutNamespace.AllowPublishForAnonymous, "channel.without_namespace.allow_publish_for_anonymous")
	for k := range now.Channel.Namespaces {
		ns := &now.Channel.Namespaces[k]
		on(&f.Anonymous, ns.AllowPublishForAnonymous, "channel.namespaces."+ns.Name+".allow_publish_for_anonymous")
	}
	for _, secret := range []struct{ key, value string }{
		{"http_api.key", c.HTTPAPI.Key},
		{"client.token.hmac_secret_key", cl.Token.HMACSecretKey},
		{"client.token.hmac_previous_secret_key", cl.Token.HMACPreviousSecretKey},
		{"client.subscription_token.hmac_secret_key", sub.HMACSecretKey},
		{"client.subscription_token.hmac_previous_secret_key", sub.HMACPreviousSecretKey},
		{"auth.external.hmac_secret_key", ext.HMACSecretKey},
	} {
		f.Secrets = append(f.Secrets, alerts.Secret{Key: secret.key, Bytes: len(secret.value)})
	}
	if deep {
		i.look(ctx, f)
	}
	return f, nil
}

// look finds out what the configuration does not say.
func (i inspector) look(ctx context.Context, f *alerts.Facts) {
	for what, find := range map[string]func(context.Context, *alerts.Facts) error{
		"the database": i.database, "API keys": i.keys, "administrators": i.admins, "the data folder": i.files,
	} {
		if err := find(ctx, f); err != nil {
			f.Unknown = append(f.Unknown, fmt.Sprintf("%s: %v", what, err))
		}
	}
}

func (i inspector) database(ctx context.Context, f *alerts.Facts) (err error) {
	if f.Database, err = i.b.store.Settings(ctx); err != nil {
		return err
	}
	f.RefusedEvents, err = i.b.store.CountRefused(ctx)
	return err
}

// scanning is who looks at keys and accounts.
var scanning = identity.Operator("scan")

func (i inspector) keys(ctx context.Context, f *alerts.Facts) error {
	list, err := i.b.accounts.Keys(ctx, scanning)
	if err != nil {
		return err
	}
	now := time.Now().UnixMilli()
	for _, k := range list {
		if k.RevokedAt == 0 && (k.ExpiresAt == 0 || k.ExpiresAt > now) {
			f.Keys = append(f.Keys, alerts.Key{ID: k.ID, Name: k.Name, Scopes: k.Scopes, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt, LastUsedAt: k.LastUsedAt})
		}
	}
	return nil
}

func (i inspector) admins(ctx context.Context, f *alerts.Facts) error {
	for q := (identity.AccountQuery{Role: identity.RoleAdmin, State: identity.StateActive, Limit: 200}); ; {
		list, err := i.b.accounts.ListAccounts(ctx, scanning, q)
		if err != nil {
			return err
		}
		for k := range list {
			f.Admins = append(f.Admins, alerts.Admin{User: list[k].ID, CreatedAt: list[k].CreatedAt, LastSeenAt: list[k].LastSeenAt})
			q.After = list[k].ID
		}
		if len(list) < q.Limit {
			return nil
		}
	}
}

// files looks at the data folder. What is in a folder that others cannot enter is safe
// whatever its own mode.
func (i inspector) files(_ context.Context, f *alerts.Facts) error {
	dir := i.s.dir.Path()
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !readableByOthers(info.Mode()) {
		return nil
	}
	f.Files = append(f.Files, alerts.File{Path: "the data folder", Mode: fmt.Sprintf("%04o", info.Mode().Perm())})
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := os.Lstat(filepath.Join(dir, e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone meanwhile
		case err != nil:
			return err
		case info.Mode().Type() != fs.ModeSymlink && readableByOthers(info.Mode()):
			f.Files = append(f.Files, alerts.File{Path: e.Name(), Mode: fmt.Sprintf("%04o", info.Mode().Perm())})
		}
	}
	return nil
}
