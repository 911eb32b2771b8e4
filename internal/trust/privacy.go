package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/event"
)

// Personal is what privacy asks of identities: it is a part of exports and erasures.
type Personal struct{ *Service }

// Personal returns the part.
func (s *Service) Personal() Personal { return Personal{s} }

// Name implements privacy.Part.
func (Personal) Name() string { return "trust" }

// erasureTx is what erasing needs.
type erasureTx interface {
	// Shown returns up to limit events after a row of the log that are about an identity,
	// RewriteEvent replaces the payload of one.
	Shown(ctx context.Context, identity string, after int64, limit int) ([]event.Event, error)
	RewriteEvent(ctx context.Context, row int64, payload []byte) error
	// RemoveVerifications removes up to limit verifications of an identity, RemoveIdentity
	// an identity that has none, and the kept replies to the requests of its user.
	RemoveVerifications(ctx context.Context, identity string, limit int) (n int64, err error)
	RemoveIdentity(ctx context.Context, i *Identity) error
}

// deletedName is the username that events show of who was erased.
const deletedName = "deleted"

// Erase implements privacy.Part. The identity and what was verified of it are gone, and the
// log has no name of it. What its owner said for others stands, under an id that leads to
// nobody.
func (p Personal) Erase(ctx context.Context, user int64) error {
	var i Identity
	// From here on nothing that is announced has the name; after a crash the row is still
	// there to be found.
	err := p.store.Update(ctx, func(tx Tx) (err error) {
		if i, err = tx.IdentityOf(ctx, user); err != nil {
			return err
		}
		if i, err = tx.LockIdentity(ctx, i.ID); err != nil {
			return err
		}
		i.Username, i.DisplayName = i.ID, ""
		return tx.SaveIdentity(ctx, &i)
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		err = p.redactLog(ctx, i.ID)
	}
	for more := true; more && err == nil; {
		err = p.store.Update(ctx, func(tx Tx) error {
			if _, err := tx.LockIdentity(ctx, i.ID); err != nil {
				return err
			}
			n, err := tx.RemoveVerifications(ctx, i.ID, batch)
			if more = n == batch; err != nil || more {
				return err
			}
			return tx.RemoveIdentity(ctx, &i)
		})
	}
	if err != nil && !errors.Is(err, ErrNotFound) { // somebody else has done it
		return fmt.Errorf("erase identity %s: %w", i.ID, err)
	}
	return nil
}

// redactLog takes the names of an identity out of the log.
func (p Personal) redactLog(ctx context.Context, id string) error {
	for after, more := int64(0), true; more; {
		err := p.store.Update(ctx, func(tx Tx) error {
			found, err := tx.Shown(ctx, id, after, batch)
			if err != nil {
				return err
			}
			if more = len(found) == batch; more {
				after = found[batch-1].Row()
			}
			for n := range found {
				if err := redact(ctx, tx, &found[n]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func redact(ctx context.Context, tx Tx, e *event.Event) error {
	var v map[string]json.RawMessage
	if err := json.Unmarshal(e.Payload, &v); err != nil {
		return fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	if _, named := v["username"]; !named {
		return nil
	}
	delete(v, "displayName")
	v["username"] = json.RawMessage(`"` + deletedName + `"`)
	payload, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("payload of event %s: %w", e.ID, err)
	}
	return tx.RewriteEvent(ctx, e.Row(), payload)
}

// What an export has. Times are RFC 3339 in UTC.
type (
	identityCopy struct {
		ID          string  `json:"id"`
		Username    string  `json:"username"`
		DisplayName string  `json:"display_name,omitempty"`
		PublicKey   []byte  `json:"public_key"`
		Fingerprint string  `json:"fingerprint"`
		Level       string  `json:"verification_level"`
		Reputation  float64 `json:"reputation"`
		CreatedAt   string  `json:"created_at"`
		UpdatedAt   string  `json:"updated_at"`
	}

	verificationCopy struct {
		ID         string  `json:"id"`
		Identity   string  `json:"identity_id"`
		Type       string  `json:"type"`
		Status     string  `json:"status"`
		Confidence float64 `json:"confidence"`
		Verifier   string  `json:"verifier_id,omitempty"`
		CreatedAt  string  `json:"created_at"`
		UpdatedAt  string  `json:"updated_at"`
		ExpiresAt  string  `json:"expires_at"`
	}
)

// Export implements privacy.Part: the identity, and pages of its verifications and of those
// that the person began for others.
func (p Personal) Export(ctx context.Context, user int64, write func(name string, v any) error) error {
	var i Identity
	err := p.store.View(ctx, func(tx Tx) (err error) {
		i, err = tx.IdentityOf(ctx, user)
		return err
	})
	switch {
	case err == nil:
		err = write("identity", identityCopy{
			i.ID, i.Username, i.DisplayName, i.Key, Fingerprint(i.Key), i.Level, i.Score.Float(), stamp(i.CreatedAt), stamp(i.UpdatedAt),
		})
	case errors.Is(err, ErrNotFound):
		err = nil
	}
	own := Caller{User: user, Actor: event.User(user)}
	for n, q := 1, (VerificationQuery{Limit: batch}); err == nil; n++ {
		page, err := p.Verifications(ctx, own, q)
		if err != nil || len(page.Verifications) == 0 {
			return err
		}
		list := make([]verificationCopy, len(page.Verifications))
		for k := range list {
			v := &page.Verifications[k]
			list[k] = verificationCopy{
				v.ID, v.Identity, v.Type, v.Status, v.Confidence.Float(), v.Verifier, stamp(v.CreatedAt), stamp(v.UpdatedAt), stamp(v.ExpiresAt),
			}
		}
		if err := write(fmt.Sprintf("verifications-%d", n), list); err != nil || page.Next == "" {
			return err
		}
		q.Cursor = page.Next
	}
	return err
}

func stamp(ms int64) string { return at(ms).Format("2006-01-02T15:04:05.000Z07:00") }
