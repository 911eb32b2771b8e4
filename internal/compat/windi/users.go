package windi

import (
	"errors"
	"math"
	"net"
	"net/http"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
)

// account is a person's own.
type account struct {
	ID        int64   `json:"id"`
	Email     *string `json:"email"`
	Name      string  `json:"name"`
	Username  *string `json:"username"`
	About     string  `json:"about"`
	Avatar    *string `json:"avatar"`
	Role      string  `json:"role"`
	Lang      *string `json:"lang"`
	TZ        *string `json:"tz"`
	CreatedAt string  `json:"created_at"`
	UpdatedAt string  `json:"updated_at"`
	IsActive  bool    `json:"is_active"`
}

func (c *Contract) account(a *identity.Account) account {
	avatar := a.AvatarFile
	setDefault(&avatar, a.Picture)
	return account{
		a.ID, orNil(a.Email), a.Name, orNil(a.Username), a.About, c.avatar(avatar), a.Role, orNil(a.Lang), orNil(a.TZ),
		chatjson.Stamp(a.CreatedAt), chatjson.Stamp(a.UpdatedAt), a.State == identity.StateActive,
	}
}

// register makes an account. It does not log in: there is an endpoint for that.
func (c *Contract) register(r *request) (reply, error) {
	var in struct {
		Name            string  `json:"name"`
		Username        string  `json:"username"`
		Email           string  `json:"email"`
		Password        string  `json:"password"`
		ConfirmPassword *string `json:"confirm_password"`
		Invite          string  `json:"invite"`
	}
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	if in.ConfirmPassword != nil && *in.ConfirmPassword != in.Password {
		return reply{}, &invalid{loc: []any{"body", "confirm_password"}, msg: "differs from password"}
	}
	setDefault(&in.Name, in.Username)
	grant, err := c.o.Accounts.Register(r.Context(), identity.NewAccount{
		Name: in.Name, Username: in.Username, Email: in.Email, Password: in.Password, Invite: in.Invite, Device: c.device(r),
	})
	if err != nil {
		return reply{}, err
	}
	// Nobody is told the token of the session that comes with the account.
	by := identity.Caller{User: grant.Account.ID, Session: grant.Session.ID, Role: grant.Account.Role}
	if err := c.o.Accounts.Logout(r.Context(), by); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: c.account(&grant.Account)}, nil
}

type loginReply struct {
	AccessToken     string  `json:"access_token"`
	TokenType       string  `json:"token_type"`
	ExpiresIn       int64   `json:"expires_in"`
	RefreshToken    string  `json:"refresh_token"`
	SessionID       string  `json:"session_id"`
	User            account `json:"user"`
	CentrifugoToken *string `json:"centrifugo_token"`
}

// login takes a form with the address as username, as OAuth has it, or JSON.
func (c *Contract) login(r *request) (reply, error) {
	var in struct {
		Email    string `json:"email"`
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	setDefault(&in.Email, in.Username)
	grant, err := c.o.Accounts.Login(r.Context(), in.Email, in.Password, c.device(r))
	if err != nil {
		return reply{}, err
	}
	out := loginReply{
		AccessToken: grant.AccessToken, TokenType: "bearer", ExpiresIn: int64(math.Ceil(grant.AccessExpires.Sub(c.o.Clock()).Seconds())),
		RefreshToken: grant.RefreshToken, SessionID: grant.Session.ID, User: c.account(&grant.Account),
	}
	by := identity.Caller{User: grant.Account.ID, Session: grant.Session.ID, Role: grant.Account.Role}
	token, _, err := c.o.Accounts.ConnectionToken(r.Context(), by, c.o.TokenTTL)
	switch {
	case err == nil:
		out.CentrifugoToken = &token
	case !errors.Is(err, identity.ErrDisabled): // without a key for them there are none
		return reply{}, err
	}
	return reply{body: out}, nil
}

// device is where a login comes from.
func (c *Contract) device(r *request) identity.Device {
	return identity.Device{UserAgent: r.UserAgent(), Address: c.o.Address(r.Request)}
}

// peer is the address of who sent the request, without the port.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (c *Contract) me(r *request) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	a, err := c.o.Accounts.Account(r.Context(), user)
	return reply{body: c.account(&a)}, err
}

func (c *Contract) changeMe(r *request) (reply, error) {
	var in struct {
		Name     *string `json:"name"`
		Username *string `json:"username"`
		About    *string `json:"about"`
		Lang     *string `json:"lang"`
		TZ       *string `json:"tz"`
	}
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	a, err := c.o.Accounts.UpdateProfile(r.Context(), r.by, identity.ProfileChange{
		Name: in.Name, Username: in.Username, About: in.About, Lang: in.Lang, TZ: in.TZ,
	})
	return reply{body: c.account(&a)}, err
}

// logout ends the session, and by that its connections.
func (c *Contract) logout(r *request) (reply, error) {
	return reply{body: successReply{Success: true}}, c.o.Accounts.Logout(r.Context(), r.by)
}

type statusReply struct {
	IsOnline bool    `json:"is_online"`
	LastSeen *string `json:"last_seen"`
}

// status tells whether somebody is there; of who does not show it, and of who does not
// exist, nothing.
func (c *Contract) status(r *request) (reply, error) {
	viewer, err := r.user()
	if err != nil {
		return reply{}, err
	}
	user, err := r.path("user")
	if err != nil {
		return reply{}, err
	}
	all, err := c.o.Presence.Status(r.Context(), viewer, []int64{user})
	if err != nil {
		return reply{}, err
	}
	s := all[user]
	out := statusReply{IsOnline: s.Online && !s.Hidden}
	if !s.Online && !s.Hidden {
		out.LastSeen = chatjson.OptStamp(s.LastSeen)
	}
	return reply{body: out}, nil
}

var errForbidden = chat.ErrForbidden
