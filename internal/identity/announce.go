package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/event"
)

// The values of auth_type in user.created.
const (
	byPassword = "password"
	byExternal = "external"
	byAdmin    = "admin"
)

// userCreated is the payload of user.created.
type userCreated struct {
	User     int64   `json:"user_id"`
	Username *string `json:"username"`
	Email    *string `json:"email"`
	Name     string  `json:"name"`
	AuthType string  `json:"auth_type"`
}

// userChanged is the payload of user.updated: what has changed, and the account as it is
// now. It is for the account's owner and for the operator; others see less.
type userChanged struct {
	User     int64    `json:"user_id"`
	Changes  []string `json:"changes"`
	Username *string  `json:"username"`
	Email    *string  `json:"email"`
	Name     string   `json:"name"`
	About    string   `json:"about"`
	Avatar   *string  `json:"avatar_file_id"`
	Role     string   `json:"role"`
	Kind     string   `json:"kind"`
	State    string   `json:"state"`
	Lang     string   `json:"lang"`
	TZ       string   `json:"tz"`
	Privacy  Privacy  `json:"privacy"`
}

// userGone is the payload of user.suspended and user.deleted.
type userGone struct {
	User int64 `json:"user_id"`
}

// sessionRevoked is the payload of session.revoked.
type sessionRevoked struct {
	User     int64    `json:"user_id"`
	Sessions []string `json:"session_ids"`
	Reason   string   `json:"reason"`
}

// keyChanged is the payload of token.created and token.revoked.
type keyChanged struct {
	ID      string   `json:"token_id"`
	Name    string   `json:"name"`
	Scopes  []string `json:"scopes"`
	Expires *int64   `json:"expires_at"`
}

// optional is nil for an empty value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (a *Accounts) announceCreated(ctx context.Context, tx Tx, acc Account, how, actor string) error {
	return a.append(ctx, tx, event.UserCreated, actor, 0, userCreated{
		acc.ID, optional(acc.Username), optional(acc.Email), acc.Name, how,
	})
}

func (a *Accounts) announceUpdated(ctx context.Context, tx Tx, acc Account, actor string, changes ...string) error {
	return a.append(ctx, tx, event.UserUpdated, actor, acc.ID, userChanged{
		acc.ID, changes, optional(acc.Username), optional(acc.Email), acc.Name, acc.About, optional(acc.AvatarFile),
		acc.Role, acc.Kind, acc.State, acc.Lang, acc.TZ, acc.Privacy,
	})
}

// append adds an event to the log, if stream is not 0 with the next number of that user.
func (a *Accounts) append(ctx context.Context, tx Tx, typ, actor string, stream int64, payload any) error {
	e, err := event.New(typ, time.UnixMilli(a.now()), payload)
	if err != nil {
		return err
	}
	e.Actor = actor
	if stream != 0 {
		e.Stream = event.UserStream(stream)
		if e.Seq, err = tx.NextSeq(ctx, stream); err != nil {
			return fmt.Errorf("take a number of the user's stream: %w", err)
		}
	}
	return tx.Append(ctx, e)
}
