package policy

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// Policy decides by its options. It is safe for concurrent use.
type Policy struct{ rules atomic.Pointer[rules] }

var (
	_ realtime.Authorizer = (*Policy)(nil)
	_ realtime.Channels   = (*Policy)(nil)
)

// New returns a policy with the options o. Its error names every mistake in them by
// the key in the configuration.
func New(o Options) (*Policy, error) {
	p := &Policy{}
	if err := p.Replace(o); err != nil {
		return nil, err
	}
	return p, nil
}

// Replace exchanges all options at once. If one of them is wrong, nothing changes.
func (p *Policy) Replace(o Options) error {
	r, err := compile(o)
	if err != nil {
		return err
	}
	p.rules.Store(r)
	return nil
}

// ChannelOptions implements [realtime.Channels].
func (p *Policy) ChannelOptions(channel string) (realtime.ChannelOptions, error) {
	r := p.rules.Load()
	n, _ := r.find(channel)
	if n == nil {
		return realtime.ChannelOptions{}, protocol.ErrUnknownChannel
	}
	return r.options(n, channel), nil
}

func (r *rules) options(n *namespace, channel string) realtime.ChannelOptions {
	o := n.channel
	if r.o.Sources != nil {
		o.Source = r.o.Sources(channel)
	}
	return o
}

// Subscribe implements [realtime.Authorizer] (auth-and-channels.md §6.1).
func (p *Policy) Subscribe(ctx context.Context, c realtime.Client, req *protocol.SubscribeRequest) (realtime.Grant, error) {
	r := p.rules.Load()
	n, err := r.check(req.Channel)
	if err != nil {
		return realtime.Grant{}, err
	}
	if req.Type != 0 { // no namespace has any of the other types yet
		return realtime.Grant{}, protocol.ErrNotAvailable
	}
	a := asked{req.Positioned, req.Recoverable, req.JoinLeave}
	var g realtime.Grant
	switch {
	case req.Token != "":
		t, err := r.subscriptionToken(ctx, c, req.Channel, req.Token)
		if err != nil {
			return realtime.Grant{}, err
		}
		g = r.grant(n, req.Channel, c.User, a, t.Override)
		g.Info, g.Data, g.ExpireAt = t.Info, t.Data, t.ExpireAt
		if r.o.Insecure {
			g.ExpireAt = 0
		}
	case !r.private(req.Channel) && r.mayOpen(n, req.Channel, c.User):
		g = r.grant(n, req.Channel, c.User, a, identity.Override{})
	default:
		return realtime.Grant{}, protocol.ErrPermissionDenied
	}
	if g.ExpireAt > 0 && g.ExpireAt <= time.Now().Unix() {
		return realtime.Grant{}, protocol.ErrExpired
	}
	if req.TF != nil { // no namespace allows tags filters yet
		return realtime.Grant{}, protocol.ErrBadRequest
	}
	return g, nil
}

// asked are the features a client asks for.
type asked struct{ positioned, recoverable, joinLeave bool }

// grant returns the permission for user to be subscribed: what the namespace or the
// override forces, and what was asked for and may be had.
func (r *rules) grant(n *namespace, channel, user string, a asked, force identity.Override) realtime.Grant {
	g := realtime.Grant{Options: r.options(n, channel)}
	o := &g.Options
	replace(&o.Presence, force.Presence)
	replace(&o.JoinLeave, force.JoinLeave)
	replace(&o.ForceRecovery, force.ForceRecovery)
	replace(&o.ForcePositioning, force.ForcePositioning)
	replace(&o.ForcePushJoinLeave, force.ForcePushJoinLeave)
	history, presence := r.may(n.history, user, true), r.may(n.presence, user, true)
	g.Recoverable = o.ForceRecovery || a.recoverable && (n.allowRecovery || history)
	g.Positioned = o.ForcePositioning || g.Recoverable || a.positioned && (n.allowPositioning || history)
	g.JoinLeave = o.ForcePushJoinLeave || a.joinLeave && o.JoinLeave && presence
	return g
}

func replace(v, with *bool) {
	if with != nil {
		*v = *with
	}
}

// subscriptionToken verifies a token for c and channel (auth-and-channels.md §3).
func (r *rules) subscriptionToken(ctx context.Context, c realtime.Client, channel, token string) (identity.SubscriptionClaims, error) {
	t, err := identity.SubscriptionClaims{}, identity.ErrInvalid
	if r.o.SubscriptionTokens != nil {
		t, err = r.o.SubscriptionTokens.SubscriptionToken(ctx, token)
	}
	if err != nil && !errors.Is(err, identity.ErrInfo) {
		return t, r.refuse(err, "subscription token", c.ID, protocol.ErrTokenExpired, protocol.ErrPermissionDenied)
	}
	if n, _ := r.find(t.Channel); n == nil {
		return t, protocol.ErrUnknownChannel
	}
	if err != nil {
		return t, r.refuse(err, "subscription token", c.ID, nil, protocol.ErrPermissionDenied)
	}
	if t.User != c.User || t.Channel != channel || t.Client != "" && t.Client != c.ID {
		r.log("subscription token", c.ID, errOther)
		return t, protocol.CloseInvalidToken
	}
	return t, nil
}

var errOther = errors.New("it is for another user, channel or client")

// refuse turns an error of a verifier into an answer, and tells operators.
func (r *rules) refuse(err error, what, client string, expired, invalid error) error {
	switch {
	case errors.Is(err, identity.ErrExpired):
		return expired
	case errors.Is(err, identity.ErrKeysUnavailable):
		r.o.Logger.LogAttrs(context.Background(), slog.LevelWarn, "cannot verify "+what, slog.String("client", client), slog.Any("error", err))
		return protocol.ErrInternal
	}
	r.log(what, client, err)
	return invalid
}

// log says why something was refused, not what it was: tokens are secrets.
func (r *rules) log(what, client string, err error) {
	r.o.Logger.LogAttrs(context.Background(), slog.LevelInfo, "refused "+what, slog.String("client", client), slog.Any("error", err))
}

// SubRefresh implements [realtime.Authorizer].
func (p *Policy) SubRefresh(ctx context.Context, c realtime.Client, channel, token string) (realtime.Grant, error) {
	r := p.rules.Load()
	if token == "" {
		return realtime.Grant{}, protocol.ErrBadRequest
	}
	t, err := r.subscriptionToken(ctx, c, channel, token)
	switch {
	case errors.Is(err, protocol.ErrTokenExpired):
		return realtime.Grant{}, protocol.CloseSubExpired
	case errors.Is(err, protocol.ErrInternal):
		return realtime.Grant{}, err
	case err != nil:
		return realtime.Grant{}, protocol.CloseInvalidToken
	}
	g := realtime.Grant{Info: t.Info, ExpireAt: t.ExpireAt}
	if r.o.Insecure {
		g.ExpireAt = 0
	}
	return g, nil
}

// Publish implements [realtime.Authorizer] (auth-and-channels.md §6.2).
func (p *Policy) Publish(_ context.Context, c realtime.Client, channel string, data []byte, subscribed bool) error {
	r := p.rules.Load()
	n, err := r.check(channel)
	if err != nil {
		return err
	}
	if !n.channel.DataFormat.Accepts(data) {
		return protocol.ErrBadRequest
	}
	return r.permit(n.publish, c.User, subscribed)
}

// Presence implements [realtime.Authorizer] (auth-and-channels.md §6.3).
func (p *Policy) Presence(_ context.Context, c realtime.Client, channel string, subscribed bool) error {
	r := p.rules.Load()
	n, err := r.check(channel)
	if err != nil {
		return err
	}
	if !n.channel.Presence {
		return protocol.ErrNotAvailable
	}
	return r.permit(n.presence, c.User, subscribed)
}

// History implements [realtime.Authorizer] (auth-and-channels.md §6.3).
func (p *Policy) History(_ context.Context, c realtime.Client, channel string, subscribed bool) error {
	r := p.rules.Load()
	n, err := r.check(channel)
	if err != nil {
		return err
	}
	if o := r.options(n, channel); !o.History() {
		return protocol.ErrNotAvailable
	}
	return r.permit(n.history, c.User, subscribed)
}

func (r *rules) may(p permission, user string, subscribed bool) bool {
	return p.allows(user, subscribed) || r.o.Insecure
}

func (r *rules) permit(p permission, user string, subscribed bool) error {
	if !r.may(p, user, subscribed) {
		return protocol.ErrPermissionDenied
	}
	return nil
}

// sortedSet returns the keys of m, or else list, sorted and without repetitions.
func sortedSet[T any](m map[string]T, list []string) []string {
	out := slices.Clone(list)
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
