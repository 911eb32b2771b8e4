package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/privacy"
)

// adminPeopleRoutes are operations on people of §C.14 that whoever owns the machine has
// by the command line too.
func (a *API) adminPeopleRoutes() {
	handle(a, op{post, "/admin/first-admin", Admins, "Make the first administrator", created, nil, false}, a.makeFirstAdmin)
	handle(a, op{post, "/admin/first-admin/token", Admins, "Make a token that makes the first administrator", created, nil, false}, a.firstAdminToken)
	handle(a, op{del, "/admin/users/{id}", FreshAdmins, "Delete an account and what is known of the person", 0, nil, false}, a.deleteAccount)
	handle(a, op{post, "/admin/users/{id}/token", FreshAdmins, "Make a token with which the person's clients connect", created, nil, false}, a.accountToken)
}

type makeFirstAdminInput struct {
	Body struct {
		Username string `json:"username" maxLength:"100"`
		Name     string `json:"name,omitempty" maxLength:"400"`
		Email    string `json:"email,omitempty" maxLength:"400"`
		Password string `json:"password" maxLength:"1024"`
	}
}

func (a *API) makeFirstAdmin(ctx context.Context, c *call, in *makeFirstAdminInput) (*answer[Account], error) {
	b := &in.Body
	acc, made, err := a.o.Accounts.EnsureAdmin(ctx, identity.NewAccount{Name: b.Name, Email: b.Email, Username: b.Username, Password: b.Password})
	if err == nil && !made {
		err = identity.ErrAdminExists
	}
	if err != nil {
		return nil, err
	}
	return &answer[Account]{Status: http.StatusCreated, Body: account(&acc)}, a.recordNew(ctx, c, &acc)
}

// firstAdminTTL is how long the token is valid ([identity.Accounts.FirstAdminToken]).
const firstAdminTTL = 24 * time.Hour

func (a *API) firstAdminToken(ctx context.Context, c *call, _ *none) (*answer[Token], error) {
	token, err := a.o.Accounts.FirstAdminToken(ctx)
	if err == nil && token == "" {
		err = identity.ErrAdminExists
	}
	if err != nil {
		return nil, err
	}
	out := &answer[Token]{Status: http.StatusCreated, Body: Token{token, chatjson.Stamp(a.o.Clock().Add(firstAdminTTL).UnixMilli())}}
	return out, a.recordOf(ctx, c, "invite.create", "first_admin", nil)
}

func (a *API) deleteAccount(ctx context.Context, c *call, in *UserPath) (*none, error) {
	asked, err := a.eraseRest(ctx, int64(in.User))
	if err != nil {
		return nil, err
	}
	err = a.o.Accounts.Delete(ctx, c.Caller, int64(in.User))
	if err != nil && (!asked || !errors.Is(err, identity.ErrNotFound)) { // then erasing was faster
		return nil, err
	}
	if a.o.Trust != nil { // an identity is a name, and goes with the account's
		if err := a.o.Trust.Personal().Erase(ctx, int64(in.User)); err != nil {
			return nil, err
		}
	}
	return nil, a.recordOf(ctx, c, "user.delete", event.User(int64(in.User)), nil)
}

// eraseRest asks for the erasure of what is known of a person beside the account, such as
// tickets; asked tells whether anybody will. It comes before the account is deleted, so
// that a crash between leaves nothing behind.
func (a *API) eraseRest(ctx context.Context, user int64) (asked bool, err error) {
	p := a.o.Privacy
	if p == nil {
		return false, nil
	}
	held, err := p.UserHeld(ctx, user)
	if err == nil && held { // which stops erasure, and this erases what the account says
		err = apierror.New(apierror.LegalHold, nil)
	}
	if err != nil {
		return false, err
	}
	mode := privacy.Anonymize
	if e, err := p.Erasure(ctx, user); err == nil { // as the person has asked for it
		mode = e.Mode
	}
	_, err = p.RequestErasure(ctx, user, mode, 0)
	return err == nil, err
}

type accountTokenInput struct {
	UserPath
	Body *struct {
		ExpiresIn int64 `json:"expires_in,omitempty" minimum:"0" maximum:"31536000" doc:"Seconds; an hour if not given"`
	} `required:"false"`
}

func (a *API) accountToken(ctx context.Context, c *call, in *accountTokenInput) (*answer[Token], error) {
	if _, err := a.o.Accounts.Account(ctx, int64(in.User)); err != nil {
		return nil, err
	}
	person, err := a.o.Accounts.UserCaller(ctx, int64(in.User))
	if err != nil { // the account is suspended or deleted: the caller is not
		return nil, apierror.New(apierror.Forbidden, err)
	}
	var ttl time.Duration
	if in.Body != nil {
		ttl = time.Duration(in.Body.ExpiresIn) * time.Second
	}
	token, expires, err := a.o.Accounts.ConnectionToken(ctx, person, ttl)
	if err != nil {
		return nil, err
	}
	out := &answer[Token]{Status: http.StatusCreated, Body: Token{token, chatjson.Stamp(expires.UnixMilli())}}
	return out, a.recordOf(ctx, c, "user.token", event.User(int64(in.User)), nil)
}
