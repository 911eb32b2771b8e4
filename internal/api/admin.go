package api

import (
	"context"
	"net/http"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
)

// Account is an account as administrators see it.
type Account struct {
	ID         int64   `json:"id"`
	ExternalID *string `json:"external_id"`
	Username   *string `json:"username"`
	Email      *string `json:"email"`
	Verified   bool    `json:"email_verified"`
	Name       string  `json:"name"`
	Role       string  `json:"role" enum:"user,admin"`
	Kind       string  `json:"kind" enum:"human,bot"`
	State      string  `json:"state" enum:"active,suspended,deleted"`
	LastSeenAt *string `json:"last_seen_at" format:"date-time"`
	CreatedAt  string  `json:"created_at" format:"date-time"`
}

func account(acc *identity.Account) Account {
	return Account{
		ID: acc.ID, ExternalID: optional(acc.ExternalID), Username: optional(acc.Username), Email: optional(acc.Email),
		Verified: acc.EmailVerifiedAt != 0, Name: acc.Name, Role: acc.Role, Kind: acc.Kind, State: acc.State,
		LastSeenAt: chatjson.OptStamp(acc.LastSeenAt), CreatedAt: chatjson.Stamp(acc.CreatedAt),
	}
}

// AccountList are accounts by rising id.
type AccountList struct {
	Users     []Account `json:"users"`
	NextAfter *int64    `json:"next_after" doc:"What to give as after for the next page"`
}

type accountsInput struct {
	Q     string `query:"q" maxLength:"400" doc:"A part of the name, username or e-mail address"`
	State string `query:"state" enum:"active,suspended,deleted"`
	Role  string `query:"role" enum:"user,admin"`
	After int64  `query:"after" minimum:"0"`
	Limit int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
}

func (a *API) listAccounts(ctx context.Context, c *call, in *accountsInput) (*body[AccountList], error) {
	limit := in.Limit
	if limit == 0 {
		limit = 50
	}
	list, err := a.o.Accounts.ListAccounts(ctx, c.Caller, identity.AccountQuery{Search: in.Q, State: in.State, Role: in.Role, After: in.After, Limit: limit})
	if err != nil {
		return nil, err
	}
	out := AccountList{Users: make([]Account, len(list))}
	for i := range list {
		out.Users[i] = account(&list[i])
	}
	if len(list) == limit {
		out.NextAfter = &list[limit-1].ID
	}
	return reply(out), nil
}

// spec is what an administrator says of an account.
type spec struct {
	Name          *string `json:"name,omitempty"`
	Email         *string `json:"email,omitempty"`
	EmailVerified *bool   `json:"email_verified,omitempty"`
	Username      *string `json:"username,omitempty"`
	Lang          *string `json:"lang,omitempty"`
	TZ            *string `json:"tz,omitempty"`
	Picture       *string `json:"picture,omitempty" doc:"An https address"`
	Role          string  `json:"role,omitempty" enum:"user,admin" doc:"Of a new account"`
	Kind          string  `json:"kind,omitempty" enum:"human,bot" doc:"Of a new account"`
	Password      string  `json:"password,omitempty" doc:"Of a new account; without one nobody can log in by password"`
}

func (s *spec) domain() identity.AccountSpec {
	return identity.AccountSpec{
		Name: s.Name, Email: s.Email, EmailVerified: s.EmailVerified, Username: s.Username, Lang: s.Lang, TZ: s.TZ, Picture: s.Picture,
		Role: s.Role, Kind: s.Kind, Password: s.Password,
	}
}

type newAccountInput struct{ Body spec }

func (a *API) createAccount(ctx context.Context, c *call, in *newAccountInput) (*answer[Account], error) {
	acc, err := a.o.Accounts.CreateAccount(ctx, c.Caller, in.Body.domain())
	if err != nil {
		return nil, err
	}
	return &answer[Account]{Status: http.StatusCreated, Body: account(&acc)}, a.recordNew(ctx, c, &acc)
}

// recordNew puts a new account on record.
func (a *API) recordNew(ctx context.Context, c *call, acc *identity.Account) error {
	return a.recordOf(ctx, c, "user.create", event.User(acc.ID), map[string]any{"role": acc.Role, "kind": acc.Kind})
}

type externalInput struct {
	External string `path:"externalId" maxLength:"255"`
	Body     spec
}

func (a *API) upsertAccount(ctx context.Context, c *call, in *externalInput) (*answer[Account], error) {
	acc, created, err := a.o.Accounts.UpsertExternal(ctx, c.Caller, in.External, in.Body.domain())
	if err != nil {
		return nil, err
	}
	if created {
		return &answer[Account]{Status: http.StatusCreated, Body: account(&acc)}, a.recordNew(ctx, c, &acc)
	}
	return &answer[Account]{Status: http.StatusOK, Body: account(&acc)}, a.recordOf(ctx, c, "user.update", event.User(acc.ID), nil)
}

func (a *API) getAccount(ctx context.Context, _ *call, in *UserPath) (*body[Account], error) {
	acc, err := a.o.Accounts.Account(ctx, int64(in.User))
	if err != nil {
		return nil, err
	}
	return reply(account(&acc)), nil
}

type changeAccountInput struct {
	UserPath
	Body struct {
		State    *string `json:"state,omitempty" enum:"active,suspended"`
		Role     *string `json:"role,omitempty" enum:"user,admin"`
		Password *string `json:"password,omitempty"`
	}
}

// changeAccount applies each change that is given; each is a transaction of its own, and
// on record before it is told that it was done.
func (a *API) changeAccount(ctx context.Context, c *call, in *changeAccountInput) (*body[Account], error) {
	id, b := int64(in.User), &in.Body
	change := func(action string, data any, do func() error) error {
		if err := do(); err != nil {
			return err
		}
		return a.recordOf(ctx, c, action, event.User(id), data)
	}
	if b.Password != nil {
		err := change("user.password", nil, func() error { return a.o.Accounts.SetPassword(ctx, c.Caller, id, *b.Password) })
		if err != nil {
			return nil, err
		}
	}
	if b.Role != nil {
		err := change("user.role", map[string]any{"role": *b.Role}, func() error { return a.o.Accounts.SetRole(ctx, c.Caller, id, *b.Role) })
		if err != nil {
			return nil, err
		}
	}
	if b.State != nil {
		action, set := "user.unsuspend", a.o.Accounts.Unsuspend
		if *b.State == identity.StateSuspended {
			action, set = "user.suspend", a.o.Accounts.Suspend
		}
		if err := change(action, nil, func() error { return set(ctx, c.Caller, id) }); err != nil {
			return nil, err
		}
	}
	return a.getAccount(ctx, c, &in.UserPath)
}

// Token is a secret that is shown once.
type Token struct {
	Token     string `json:"token"`
	ExpiresAt string `json:"expires_at" format:"date-time"`
}

func (a *API) createReset(ctx context.Context, c *call, in *UserPath) (*answer[Token], error) {
	token, expires, err := a.o.Accounts.CreateReset(ctx, c.Caller, int64(in.User))
	if err != nil {
		return nil, err
	}
	out := &answer[Token]{Status: http.StatusCreated, Body: Token{token, chatjson.Stamp(expires.UnixMilli())}}
	return out, a.recordOf(ctx, c, "user.reset", event.User(int64(in.User)), nil)
}

type registrationInviteInput struct {
	Body *struct {
		MaxUses   int   `json:"max_uses,omitempty" minimum:"0" maximum:"10000" doc:"1 if not given"`
		ExpiresIn int64 `json:"expires_in,omitempty" minimum:"0" maximum:"86400" doc:"Seconds; a day if not given"`
	} `required:"false"`
}

func (a *API) createRegistration(ctx context.Context, c *call, in *registrationInviteInput) (*answer[Token], error) {
	var o identity.InviteOptions
	if in.Body != nil {
		o = identity.InviteOptions{MaxUses: in.Body.MaxUses, TTL: time.Duration(in.Body.ExpiresIn) * time.Second}
	}
	token, expires, err := a.o.Accounts.CreateInvite(ctx, c.Caller, o)
	if err != nil {
		return nil, err
	}
	out := &answer[Token]{Status: http.StatusCreated, Body: Token{token, chatjson.Stamp(expires.UnixMilli())}}
	return out, a.recordOf(ctx, c, "invite.create", "registration", map[string]any{"max_uses": max(o.MaxUses, 1)})
}

// Key is an API key without its secret.
type Key struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Hint       string   `json:"hint" doc:"How the key begins"`
	Scopes     []string `json:"scopes"`
	CreatedBy  *int64   `json:"created_by"`
	CreatedAt  string   `json:"created_at" format:"date-time"`
	ExpiresAt  *string  `json:"expires_at" format:"date-time"`
	LastUsedAt *string  `json:"last_used_at" format:"date-time"`
	LastUsedIP *string  `json:"last_used_ip"`
	RevokedAt  *string  `json:"revoked_at" format:"date-time"`
}

func key(k *identity.Key) Key {
	out := Key{
		ID: k.ID, Name: k.Name, Hint: k.Hint, Scopes: k.Scopes, CreatedAt: chatjson.Stamp(k.CreatedAt), ExpiresAt: chatjson.OptStamp(k.ExpiresAt),
		LastUsedAt: chatjson.OptStamp(k.LastUsedAt), LastUsedIP: optional(k.LastUsedIP), RevokedAt: chatjson.OptStamp(k.RevokedAt),
	}
	if k.CreatedBy != 0 {
		out.CreatedBy = &k.CreatedBy
	}
	return out
}

// Keys are all API keys, the newest first.
type Keys struct {
	Keys []Key `json:"keys"`
}

func (a *API) keys(ctx context.Context, c *call, _ *none) (*body[Keys], error) {
	list, err := a.o.Accounts.Keys(ctx, c.Caller)
	if err != nil {
		return nil, err
	}
	out := Keys{make([]Key, len(list))}
	for i := range list {
		out.Keys[i] = key(&list[i])
	}
	return reply(out), nil
}

type newKeyInput struct {
	Body struct {
		Name      string   `json:"name"`
		Scopes    []string `json:"scopes,omitempty" maxItems:"50" doc:"Everything if not given"`
		ExpiresIn int64    `json:"expires_in,omitempty" minimum:"0" maximum:"315360000" doc:"Seconds; never if not given"`
	}
}

// NewKey is an API key with its secret, which is shown once.
type NewKey struct {
	Key
	Secret string `json:"key"`
}

func (a *API) createKey(ctx context.Context, c *call, in *newKeyInput) (*answer[NewKey], error) {
	b := &in.Body
	secret, k, err := a.o.Accounts.CreateKey(ctx, c.Caller, b.Name, b.Scopes, time.Duration(b.ExpiresIn)*time.Second)
	if err != nil {
		return nil, err
	}
	out := &answer[NewKey]{Status: http.StatusCreated, Body: NewKey{key(&k), secret}}
	return out, a.recordOf(ctx, c, "key.create", event.Service(k.ID), map[string]any{"scopes": k.Scopes})
}

type keyPath struct {
	ID string `path:"id"`
}

func (a *API) revokeKey(ctx context.Context, c *call, in *keyPath) (*none, error) {
	if err := a.o.Accounts.RevokeKey(ctx, c.Caller, in.ID); err != nil {
		return nil, err
	}
	return nil, a.recordOf(ctx, c, "key.revoke", event.Service(in.ID), nil)
}

type noticeInput struct {
	Body struct {
		Content  string           `json:"content"`
		Level    string           `json:"level,omitempty" enum:"info,warning,critical"`
		StartsAt maybe[time.Time] `json:"starts_at,omitempty"`
		EndsAt   maybe[time.Time] `json:"ends_at,omitempty"`
	}
}

func (a *API) notifyAll(ctx context.Context, c *call, in *noticeInput) (*answer[chatjson.SystemNotice], error) {
	b := &in.Body
	n, err := a.o.Chats.NotifyAll(ctx, c.User, chat.SystemNotice{
		Content: b.Content, Level: b.Level, StartsAt: millis(b.StartsAt.value), EndsAt: millis(b.EndsAt.value),
	})
	if err != nil {
		return nil, err
	}
	out := &answer[chatjson.SystemNotice]{Status: http.StatusCreated, Body: chatjson.Notice(&n)}
	return out, a.recordOf(ctx, c, "notice.send", event.SystemStream, map[string]any{"level": n.Level})
}
