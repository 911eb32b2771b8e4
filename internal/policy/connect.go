package policy

import (
	"context"
	"errors"
	"net/http"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// Connect implements [realtime.Authorizer] (auth-and-channels.md §1).
func (p *Policy) Connect(ctx context.Context, in realtime.Connecting) (realtime.Credentials, error) {
	r := p.rules.Load()
	cred, asks, err := r.authenticate(ctx, in)
	if err != nil {
		return realtime.Credentials{}, err
	}
	if pc := r.o.PersonalChannel; pc.Enabled && cred.User != "" {
		channel := r.personal + cred.User
		if _, ok := cred.Subs[channel]; !ok {
			n, _ := r.find(channel)
			addSub(&cred, channel, r.grant(n, channel, cred.User, asked{}, identity.Override{}))
		}
		cred.OnlyConnection = pc.SingleConnection
	}
	if asks {
		if err := r.requested(&cred, in.Request.Subs); err != nil {
			return realtime.Credentials{}, err
		}
	}
	if len(cred.Subs) > r.o.ChannelLimit {
		return realtime.Credentials{}, protocol.CloseChannelLimit
	}
	return cred, nil
}

func addSub(c *realtime.Credentials, channel string, g realtime.Grant) {
	if c.Subs == nil {
		c.Subs = make(map[string]realtime.Grant)
	}
	c.Subs[channel] = g
}

// authenticate returns who connects and whether they may ask for server-side
// subscriptions. A bad token never counts as none.
func (r *rules) authenticate(ctx context.Context, in realtime.Connecting) (cred realtime.Credentials, asks bool, err error) {
	if token := in.Request.Token; token != "" {
		cred, err = r.connectionToken(ctx, in, token)
		return cred, true, err
	}
	if r.o.AllowAnonymous || r.o.Insecure {
		return cred, true, nil
	}
	if r.o.UserIDHeader != "" {
		if v := in.Peer.Headers[http.CanonicalHeaderKey(r.o.UserIDHeader)]; len(v) > 0 && v[0] != "" {
			cred.User = v[0]
			return cred, false, nil
		}
	}
	return cred, false, protocol.CloseBadRequest
}

func (r *rules) connectionToken(ctx context.Context, in realtime.Connecting, token string) (realtime.Credentials, error) {
	t, err := r.verify(ctx, token)
	if err != nil {
		invalid := error(protocol.CloseInvalidToken)
		if errors.Is(err, identity.ErrInfo) {
			invalid = protocol.ErrInternal
		}
		return realtime.Credentials{}, r.refuse(err, "connection token", in.Client, protocol.ErrTokenExpired, invalid)
	}
	if t.User == "" && r.o.DisallowAnonymousTokens {
		return realtime.Credentials{}, protocol.ClosePermissionDenied
	}
	cred := realtime.Credentials{User: t.User, ExpireAt: t.ExpireAt, Info: t.Info, Meta: t.Meta}
	if r.o.Insecure {
		cred.ExpireAt = 0
	}
	cred.TokenSubs = sortedSet(t.Subs, t.Channels)
	if len(cred.TokenSubs) > r.o.ChannelLimit {
		return realtime.Credentials{}, protocol.CloseChannelLimit
	}
	for _, channel := range cred.TokenSubs {
		n, err := r.assigned(channel)
		if err != nil {
			return realtime.Credentials{}, err
		}
		s := t.Subs[channel]
		if in.Format == protocol.JSON && len(s.Data) > 0 && !protocol.ValidJSON(s.Data) {
			return realtime.Credentials{}, protocol.CloseInappropriate
		}
		g := r.grant(n, channel, t.User, asked{}, s.Override)
		g.Info, g.Data = s.Info, s.Data
		addSub(&cred, channel, g)
	}
	return cred, nil
}

func (r *rules) verify(ctx context.Context, token string) (identity.ConnectionClaims, error) {
	if r.o.Tokens == nil {
		return identity.ConnectionClaims{}, identity.ErrInvalid
	}
	return r.o.Tokens.ConnectionToken(ctx, token)
}

// assigned returns the namespace of a channel that a token assigns: it must exist, and
// that is all.
func (r *rules) assigned(channel string) (*namespace, error) {
	n, _ := r.find(channel)
	if n == nil || channel == "" {
		return nil, protocol.ErrUnknownChannel
	}
	return n, nil
}

// requested adds those of the channels a client asks for in its connect command that
// it could subscribe to without a token (auth-and-channels.md §6.4).
func (r *rules) requested(cred *realtime.Credentials, subs map[string]*protocol.SubscribeRequest) error {
	for channel, req := range subs {
		if _, ok := cred.Subs[channel]; ok || channel == "" {
			continue
		}
		n, err := r.check(channel)
		if errors.Is(err, protocol.ErrUnknownChannel) {
			return protocol.CloseBadRequest
		}
		if err != nil || len(channel) > r.o.MaxLength || req != nil && req.Type != 0 ||
			r.private(channel) || !r.mayOpen(n, channel, cred.User) {
			continue
		}
		addSub(cred, channel, r.grant(n, channel, cred.User, asked{}, identity.Override{}))
	}
	return nil
}

// Refresh implements [realtime.Authorizer] (auth-and-channels.md §2.2).
func (p *Policy) Refresh(ctx context.Context, c realtime.Client, token string) (realtime.Credentials, error) {
	r := p.rules.Load()
	if token == "" {
		return realtime.Credentials{}, protocol.CloseBadRequest
	}
	t, err := r.verify(ctx, token)
	if err != nil {
		return realtime.Credentials{}, r.refuse(err, "refresh token", c.ID, protocol.CloseExpired, protocol.CloseInvalidToken)
	}
	if t.User != c.User {
		r.log("refresh token", c.ID, errOther)
		return realtime.Credentials{}, protocol.CloseInvalidToken
	}
	cred := realtime.Credentials{User: t.User, ExpireAt: t.ExpireAt, Info: t.Info, Meta: t.Meta}
	if r.o.Insecure {
		cred.ExpireAt = 0
	}
	cred.TokenSubs = sortedSet(t.Subs, t.Channels)
	for _, channel := range cred.TokenSubs {
		if _, err := r.assigned(channel); err != nil {
			return realtime.Credentials{}, err
		}
	}
	return cred, nil
}
