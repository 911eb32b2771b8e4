package api

import (
	"context"
	"time"

	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
)

type logoutAllInput struct {
	Body *struct {
		ExceptCurrent bool `json:"except_current,omitempty"`
	} `required:"false"`
}

// Revoked is how many sessions were ended.
type Revoked struct {
	Revoked int `json:"revoked"`
}

func (a *API) logoutAll(ctx context.Context, c *call, in *logoutAllInput) (*body[Revoked], error) {
	n, err := a.o.Accounts.LogoutAll(ctx, c.Caller, in.Body != nil && in.Body.ExceptCurrent)
	return reply(Revoked{n}), err
}

// Session is a login of the caller.
type Session struct {
	ID         string  `json:"id"`
	Device     *string `json:"device"`
	Platform   *string `json:"platform"`
	Address    *string `json:"address"`
	UserAgent  *string `json:"user_agent"`
	CreatedAt  string  `json:"created_at" format:"date-time"`
	LastUsedAt string  `json:"last_used_at" format:"date-time"`
	ExpiresAt  string  `json:"expires_at" format:"date-time"`
	Current    bool    `json:"current"`
}

// Sessions are the logins of the caller.
type Sessions struct {
	Sessions []Session `json:"sessions"`
}

func (a *API) sessions(ctx context.Context, c *call, _ *none) (*body[Sessions], error) {
	list, err := a.o.Accounts.Sessions(ctx, c.Caller)
	if err != nil {
		return nil, err
	}
	out := Sessions{make([]Session, len(list))}
	for i, s := range list {
		out.Sessions[i] = Session{
			s.ID, optional(s.Device), optional(s.Platform), optional(s.Address), optional(s.UserAgent),
			chatjson.Stamp(s.CreatedAt), chatjson.Stamp(s.LastUsedAt), chatjson.Stamp(s.ExpiresAt), s.ID == c.Session,
		}
	}
	return reply(out), nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type sessionPath struct {
	ID string `path:"id"`
}

func (a *API) terminate(ctx context.Context, c *call, in *sessionPath) (*none, error) {
	return nil, a.o.Accounts.Terminate(ctx, c.Caller, in.ID)
}

type passwordInput struct {
	Body struct {
		Current string `json:"current"`
		New     string `json:"new"`
	}
}

func (a *API) changePassword(ctx context.Context, c *call, in *passwordInput) (*none, error) {
	return nil, a.o.Accounts.ChangePassword(ctx, c.Caller, in.Body.Current, in.Body.New)
}

type forgotInput struct {
	Body struct {
		Email string `json:"email" maxLength:"400"`
	}
}

func (a *API) forgotPassword(ctx context.Context, c *call, in *forgotInput) (*none, error) {
	return nil, a.o.Accounts.ForgotPassword(ctx, in.Body.Email, c.device("", ""))
}

type resetInput struct {
	Body struct {
		Token string `json:"token" maxLength:"200"`
		New   string `json:"new"`
	}
}

func (a *API) resetPassword(ctx context.Context, _ *call, in *resetInput) (*none, error) {
	return nil, a.o.Accounts.ResetPassword(ctx, in.Body.Token, in.Body.New)
}

type verifyInput struct {
	Body struct {
		Token string `json:"token" maxLength:"200"`
	}
}

func (a *API) verifyEmail(ctx context.Context, _ *call, in *verifyInput) (*none, error) {
	return nil, a.o.Accounts.VerifyEmail(ctx, in.Body.Token)
}

// ConnectionToken is what a client connects to the realtime server with.
type ConnectionToken struct {
	Token     string `json:"token"`
	ExpiresAt int64  `json:"expires_at" doc:"Seconds since 1970"`
	WSURL     string `json:"ws_url"`
}

func (a *API) connectionToken(ctx context.Context, c *call, _ *none) (*body[ConnectionToken], error) {
	token, expires, err := a.o.Accounts.ConnectionToken(ctx, c.Caller, 0)
	if err != nil {
		return nil, err
	}
	return reply(ConnectionToken{token, expires.Unix(), c.socket()}), nil
}

// millis is a time that a client gave in RFC 3339, in milliseconds since 1970.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// own is what only the owner sees of an account.
func own(acc *identity.Account) chatjson.Own {
	p := acc.Privacy
	return chatjson.Own{Email: acc.Email, Role: acc.Role, Lang: acc.Lang, TZ: acc.TZ, Privacy: chatjson.Privacy{
		LastSeen: p.LastSeen, ReadReceipts: p.ReadReceipts, Email: p.Email, WhoCanMessage: p.WhoCanMessage, WhoCanAdd: p.WhoCanAdd,
	}}
}
