package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ExternalOptions say which tokens of the operator's own application are taken, and what
// their claims mean (chat-api.md §0.4).
type ExternalOptions struct {
	// Verifier has the keys. Its SkipSignature and UserIDClaim do not count here.
	Verifier *Verifier
	// UserClaim names the claim that is the account's external id; empty means sub.
	// NameClaim, EmailClaim and PictureClaim fill a new account; empty means name, email
	// and picture.
	UserClaim, NameClaim, EmailClaim, PictureClaim string
	// NumericIDs makes an external id that is a number, up to 2^52, the account's id too.
	// Other accounts get numbers above that.
	NumericIDs bool
}

// externalClaims are what a verified foreign token says.
type externalClaims struct {
	user, name, email, picture string
	emailVerified              bool
	granted                    []string
	expires, loginAt           int64 // milliseconds since 1970; expires is 0 for never
}

// verifyExternal verifies a token of the operator's application. Our own tokens for
// connections and subscriptions are refused, even when the same key signs them.
func (a *Accounts) verifyExternal(ctx context.Context, raw string) (out externalClaims, err error) {
	v := a.o.External.Verifier
	t, err := parse(raw)
	if err != nil {
		return out, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	if err := v.checkSignature(ctx, &t); err != nil {
		if errors.Is(err, ErrKeysUnavailable) {
			return out, err
		}
		return out, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	var c struct {
		Aud      audience `json:"aud"`
		Iss      string   `json:"iss"`
		Exp      unixTime `json:"exp"`
		Nbf      unixTime `json:"nbf"`
		Iat      unixTime `json:"iat"`
		AuthTime unixTime `json:"auth_time"`
	}
	var all map[string]jsontext.Value
	if err := errors.Join(json.Unmarshal(t.payload, &c), json.Unmarshal(t.payload, &all)); err != nil {
		return out, fmt.Errorf("%w: claims: %w", ErrUnauthorized, err)
	}
	checked := claims{Aud: c.Aud, Iss: c.Iss, Exp: c.Exp, Nbf: c.Nbf}
	if err := errors.Join(v.checkParties(&checked), v.current(&checked, a.o.Now().Unix())); err != nil {
		return out, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	audiences := []string{defaultAudience, accessAudience}
	if a.o.Signer != nil {
		audiences = append(audiences, a.o.Signer.o.Audience)
	}
	for _, ours := range audiences {
		if c.Aud.has(ours) && v.o.Audience != ours {
			return out, fmt.Errorf("%w: token is for something else", ErrUnauthorized)
		}
	}
	if present(all["channel"]) != nil {
		return out, fmt.Errorf("%w: token is for a subscription", ErrUnauthorized)
	}
	o := a.o.External
	if out.user, err = text(all[o.UserClaim], o.UserClaim); err == nil {
		out.user, err = externalField(out.user)
	}
	if err != nil { // of the token, not of a field that the client sent
		return out, fmt.Errorf("%w: %v", ErrUnauthorized, err)
	}
	// What does not fit is left out: the person is known without it.
	out.name, _ = text(all[o.NameClaim], o.NameClaim)
	out.email, _ = text(all[o.EmailClaim], o.EmailClaim)
	out.picture, _ = text(all[o.PictureClaim], o.PictureClaim)
	out.emailVerified = all["email_verified"].Kind() == 't'
	out.granted = granted(all)
	if c.Exp.set {
		out.expires = c.Exp.at * 1000
	}
	if out.loginAt = c.AuthTime.at * 1000; !c.AuthTime.set {
		out.loginAt = c.Iat.at * 1000
	}
	return out, nil
}

// external returns who shows a token of the operator's application. On first contact the
// account is made.
func (a *Accounts) external(ctx context.Context, raw string) (Caller, error) {
	claims, err := a.verifyExternal(ctx, raw)
	if err != nil {
		return Caller{}, err
	}
	c, err := a.cache.get("external "+claims.user, func() (Caller, int64, error) {
		acc, err := a.provision(ctx, claims)
		if err != nil {
			return Caller{}, 0, err
		}
		c, err := callerOf(acc)
		return c, 0, err
	})
	c.LoginAt, c.Granted = claims.loginAt, claims.granted
	return c, err
}

// maxGranted bounds the permissions of a token.
const maxGranted = 100

// granted returns the permissions of the event gateway that claims name (event-gateway.md
// §1, rule 5): permissions is a list, scope words with blanks between, and of the roles two
// imply all. Words without a colon, such as the openid of other scopes, are none of ours.
func granted(all map[string]jsontext.Value) (names []string) {
	words := func(claim string) (list []string) {
		v := all[claim]
		if v.Kind() == '[' {
			if json.Unmarshal(v, &list) != nil {
				return nil
			}
			return list
		}
		s, _ := text(v, claim)
		return strings.Fields(s)
	}
	for _, role := range words("roles") {
		if role == "admin" || role == "super_admin" {
			return []string{"*"}
		}
	}
	if all["permissions"].Kind() == '[' {
		names = []string{} // none is said, too
	}
	for _, claim := range []string{"permissions", "scope"} {
		for _, name := range words(claim) {
			if (name == "*" || strings.Contains(name, ":")) && len(name) <= 160 && len(names) < maxGranted && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// provision returns the account of an external person, making it if there is none. An
// account that only has the same e-mail address is somebody else's: nothing is linked
// without its owner (guarantees.md S12).
func (a *Accounts) provision(ctx context.Context, c externalClaims) (acc Account, err error) {
	fresh := a.fromClaims(c)
	for range 4 { // others may make it at the same time, or have the address
		err = a.store.View(ctx, func(tx Tx) (err error) {
			acc, err = accountOf(ctx, tx, c.user)
			return err
		})
		if !errors.Is(err, ErrNotFound) {
			return acc, err
		}
		acc = fresh
		err = a.store.Update(ctx, func(tx Tx) error {
			acc.ID = a.numericID(c.user)
			return a.add(ctx, tx, &acc, byExternal, "")
		})
		switch {
		case err == nil:
			return acc, nil
		case isTaken(err, "email"):
			fresh.Email, fresh.EmailVerifiedAt = "", 0
		case isTaken(err, "external_id"), isTaken(err, "id"):
		default:
			return Account{}, err
		}
	}
	a.log.Warn("somebody of the external application cannot have an account: their number is another account's", "number", c.user)
	return Account{}, fmt.Errorf("%w: account of external user %q: %v", ErrUnauthorized, c.user, err)
}

// accountOf returns the account of an external id, also a deleted one.
func accountOf(ctx context.Context, tx Tx, externalID string) (Account, error) {
	acc, err := tx.AccountByExternal(ctx, externalID)
	if errors.Is(err, ErrNotFound) {
		acc, err = tx.AccountByExternal(ctx, deletedExternal(externalID))
	}
	return acc, err
}

// deletedExternal is what a deleted account keeps of its external id, which may say who it
// was: enough to know the person again, who would else get a new account by their token.
func deletedExternal(externalID string) string {
	if externalID == "" {
		return ""
	}
	return "deleted:" + hashSecret("external id "+externalID)
}

// fromClaims is the account that claims describe. What of them is not acceptable is left out.
func (a *Accounts) fromClaims(c externalClaims) Account {
	now := a.now()
	acc := Account{
		ExternalID: c.user, Name: cut(c.name, maxName), Role: RoleUser, Kind: KindHuman, State: StateActive,
		Privacy: DefaultPrivacy(), CreatedAt: now, UpdatedAt: now,
	}
	if acc.Name == "" {
		acc.Name = cut(c.user, maxName)
	}
	if email, err := emailField(c.email); err == nil && email != "" {
		acc.Email = email
		if c.emailVerified {
			acc.EmailVerifiedAt = now
		}
	}
	if picture, err := pictureField(c.picture); err == nil {
		acc.Picture = picture
	}
	return acc
}
