package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
)

// AuthReply is what somebody gets who has logged in (chat-api.md §C.1).
type AuthReply struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type" enum:"bearer"`
	ExpiresIn   int    `json:"expires_in" doc:"Seconds"`
	// RefreshToken is left out for web clients, who have it in a cookie.
	RefreshToken    string      `json:"refresh_token,omitempty" doc:"Left out for web clients, who have it in a cookie"`
	SessionID       string      `json:"session_id"`
	CentrifugoToken string      `json:"centrifugo_token"`
	WSURL           string      `json:"ws_url"`
	User            chatjson.Me `json:"user"`
}

// granted is an AuthReply with the cookie of web clients.
type granted struct {
	Status    int
	SetCookie string `header:"Set-Cookie"`
	Body      AuthReply
}

type registerInput struct {
	Body struct {
		Name     string `json:"name" maxLength:"400"`
		Email    string `json:"email,omitempty" maxLength:"400"`
		Username string `json:"username,omitempty" maxLength:"100"`
		Password string `json:"password" maxLength:"1024"`
		Invite   string `json:"invite,omitempty" maxLength:"200"`
		Device   string `json:"device,omitempty" maxLength:"400"`
		Platform string `json:"platform,omitempty" maxLength:"400"`
	}
}

func (a *API) register(ctx context.Context, c *call, in *registerInput) (*granted, error) {
	b := &in.Body
	g, err := a.o.Accounts.Register(ctx, identity.NewAccount{
		Name: b.Name, Email: b.Email, Username: b.Username, Password: b.Password, Invite: b.Invite, Device: c.device(b.Device, b.Platform),
	})
	return a.grant(ctx, c, http.StatusCreated, g, err)
}

type firstAdminInput struct {
	Body struct {
		Token    string `json:"token" maxLength:"200" doc:"As the server printed it at its first start"`
		Name     string `json:"name,omitempty" maxLength:"400"`
		Email    string `json:"email,omitempty" maxLength:"400"`
		Username string `json:"username,omitempty" maxLength:"100"`
		Password string `json:"password" maxLength:"1024"`
		Device   string `json:"device,omitempty" maxLength:"400"`
		Platform string `json:"platform,omitempty" maxLength:"400"`
	}
}

func (a *API) firstAdmin(ctx context.Context, c *call, in *firstAdminInput) (*granted, error) {
	b := &in.Body
	g, err := a.o.Accounts.CreateFirstAdmin(ctx, b.Token, identity.NewAccount{
		Name: b.Name, Email: b.Email, Username: b.Username, Password: b.Password, Device: c.device(b.Device, b.Platform),
	})
	if err == nil {
		c.User = g.Account.ID
		err = a.recordNew(ctx, c, &g.Account)
	}
	return a.grant(ctx, c, http.StatusCreated, g, err)
}

type loginInput struct {
	Body struct {
		Login    string `json:"login" doc:"E-mail address or username"`
		Password string `json:"password"`
		Device   string `json:"device,omitempty" maxLength:"400"`
		Platform string `json:"platform,omitempty" maxLength:"400"`
	}
}

func (a *API) login(ctx context.Context, c *call, in *loginInput) (*granted, error) {
	g, err := a.o.Accounts.Login(ctx, in.Body.Login, in.Body.Password, c.device(in.Body.Device, in.Body.Platform))
	return a.grant(ctx, c, http.StatusOK, g, err)
}

type refreshInput struct {
	Body *struct {
		RefreshToken string `json:"refresh_token,omitempty" maxLength:"200"`
	} `required:"false"`
}

func (a *API) refresh(ctx context.Context, c *call, in *refreshInput) (*granted, error) {
	token := ""
	if in.Body != nil {
		token = in.Body.RefreshToken
	}
	if token == "" {
		var err error
		if token, err = c.cookieToken(); err != nil {
			return nil, err
		}
	}
	g, err := a.o.Accounts.Refresh(ctx, token, c.device("", ""))
	return a.grant(ctx, c, http.StatusOK, g, err)
}

// logout revokes the session of the access token, or, of web clients, that of the cookie:
// their access token may have expired.
func (a *API) logout(ctx context.Context, c *call, _ *none) (*cookieReply, error) {
	out := &cookieReply{SetCookie: c.cookie("", -1).String()}
	if token, ok := bearer(c.r); ok {
		who, err := a.o.Accounts.Authenticate(ctx, token)
		if err == nil {
			return out, a.o.Accounts.Logout(ctx, who)
		}
		if !c.web() {
			return nil, err
		}
	}
	if !c.web() {
		return nil, apierror.New(apierror.Unauthorized, nil)
	}
	token, err := c.cookieToken()
	if err != nil {
		return nil, err
	}
	return out, a.o.Accounts.LogoutRefresh(ctx, token)
}

type cookieReply struct {
	SetCookie string `header:"Set-Cookie"`
}

// grant makes the reply to who has logged in.
func (a *API) grant(ctx context.Context, c *call, status int, g identity.Grant, err error) (*granted, error) {
	if err != nil {
		return nil, err
	}
	me, err := a.me(ctx, &g.Account)
	if err != nil {
		return nil, err
	}
	out := &granted{Status: status, Body: AuthReply{
		AccessToken: g.AccessToken, TokenType: "bearer", ExpiresIn: int(g.AccessExpires.Sub(a.o.Clock()).Round(time.Second) / time.Second),
		RefreshToken: g.RefreshToken, SessionID: g.Session.ID, WSURL: c.socket(), User: me,
	}}
	c.Caller = identity.Caller{User: g.Account.ID, Session: g.Session.ID, Role: g.Account.Role, Name: g.Account.Name, LoginAt: g.Session.CreatedAt}
	out.Body.CentrifugoToken, _, err = a.o.Accounts.ConnectionToken(ctx, c.Caller, 0)
	if err != nil {
		return nil, err
	}
	if c.web() {
		out.Body.RefreshToken = ""
		life := time.UnixMilli(g.Session.ExpiresAt).Sub(a.o.Clock())
		out.SetCookie = c.cookie(g.RefreshToken, int(life/time.Second)).String()
	}
	return out, nil
}

// web tells whether the client is a web page, which keeps its refresh token in a cookie.
// One that showed the cookie is, whatever it says: a script that got into the page could
// leave the header out to read the token in the body.
func (c *call) web() bool { return c.cookied || c.r.Header.Get("X-Client") == "web" }

// socket is the address of the realtime server for the client.
func (c *call) socket() string {
	return "ws" + strings.TrimPrefix(c.base, "http") + "/connection/websocket"
}

// cookie makes the cookie of a refresh token; its name holds browsers to Secure where the
// server is reached by https (guarantees.md S1).
func (c *call) cookie(token string, age int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure where there is https; see Options.PublicURL
		Name: c.cookieName(), Value: token, Path: prefix + "/auth", MaxAge: age,
		HttpOnly: true, Secure: c.https(), SameSite: http.SameSiteStrictMode,
	}
}

func (c *call) https() bool { return strings.HasPrefix(c.base, "https://") }

func (c *call) cookieName() string {
	if c.https() {
		return "__Secure-kuranty-refresh"
	}
	return "kuranty-refresh"
}

// cookieToken returns the refresh token of the cookie. A form or a link of another site
// cannot send the header that is wanted with it (chat-api.md §C.1, guarantees.md S21).
func (c *call) cookieToken() (string, error) {
	cookie, err := c.r.Cookie(c.cookieName())
	if err != nil {
		return "", apierror.New(apierror.Unauthorized, err)
	}
	if c.r.Header.Get("X-Requested-With") == "" {
		return "", apierror.NewField("X-Requested-With", apierror.Required)
	}
	c.cookied = true
	return cookie.Value, nil
}

// device is what is known of where a login comes from.
func (c *call) device(name, platform string) identity.Device {
	d := identity.Device{Name: name, Platform: platform, UserAgent: c.r.UserAgent(), Address: c.address}
	if cookie, err := c.r.Cookie(c.cookieName()); err == nil {
		d.Earlier = cookie.Value
	}
	return d
}
