package trust

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"fmt"
	"math"
	"strings"
)

// signed decides a challenge by its signature. A text that cannot be a signature is only
// an error; refused is what the caller is told although something was stored.
func (s *Service) signed(ctx context.Context, tx Tx, by *Caller, i *Identity, v *Verification, signature string) (refused, err error) {
	if strings.TrimSpace(signature) == "" {
		return nil, &FieldError{"signature", "is required"}
	}
	b, ok := decode(signature, ed25519.SignatureSize)
	if !ok {
		return nil, &FieldError{"signature", "must be the 64 bytes of an Ed25519 signature in base64 or hexadecimal"}
	}
	if !ed25519.Verify(i.Key, []byte(v.Challenge), b) {
		refused = &FieldError{"signature", "is not that of the challenge by the identity's key; begin another verification"}
		return refused, s.settle(ctx, tx, by.Actor, i, v, Failed, 0)
	}
	return nil, s.settle(ctx, tx, by.Actor, i, v, Verified, Whole)
}

// coded decides about an address by a code.
func (s *Service) coded(ctx context.Context, tx Tx, by *Caller, i *Identity, v *Verification, code string) (refused, err error) {
	code = strings.TrimSpace(code)
	switch {
	case code == "":
		return nil, &FieldError{"code", "is required"}
	case len(code) != codeDigits || strings.Trim(code, "0123456789") != "":
		return nil, &FieldError{"code", fmt.Sprintf("must be the %d digits of the letter", codeDigits)}
	}
	p, err := tx.Person(ctx, i.User) // a code proves the address it was sent to, not one after it
	if err != nil {
		return nil, err
	}
	if hmac.Equal([]byte(s.hashed(v.ID, p.Email, code)), []byte(v.Secret)) {
		return nil, s.settle(ctx, tx, by.Actor, i, v, Verified, Whole)
	}
	if v.Tries++; v.Tries < codeTries {
		return &FieldError{"code", fmt.Sprintf("is wrong (%d of %d tries)", v.Tries, codeTries)}, tx.SaveVerification(ctx, v)
	}
	refused = &FieldError{"code", "was wrong too often; begin another verification"}
	return refused, s.settle(ctx, tx, by.Actor, i, v, Failed, 0)
}

// Decision is what an operator says of a verification. Confidence is from above 0 to 1; nil
// is 1.
type Decision struct {
	Status     string
	Confidence *float64
}

// Decide settles a verification of a type that operators decide, or takes one of any type
// back that is verified. The errors are [ErrNotFound], [ErrForbidden], [ErrState] and
// [*FieldError].
func (s *Service) Decide(ctx context.Context, by Caller, id string, d Decision) (v Verification, err error) {
	confidence := Whole
	switch c := d.Confidence; {
	case !by.Operator:
		return v, ErrForbidden
	case d.Status != Verified && d.Status != Failed:
		return v, &FieldError{"status", "must be verified or failed"}
	case c != nil && d.Status == Failed:
		return v, &FieldError{"confidence", "is only of what is verified"}
	case c != nil && !(*c >= 0.0001 && *c <= 1): // not so for NaN
		return v, &FieldError{"confidence", "must be from 0.0001 to 1"}
	case c != nil:
		confidence = Share(math.Round(*c * float64(Whole)))
	}
	if d.Status == Failed {
		confidence = 0
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		var i Identity
		if i, v, err = locked(ctx, tx, id); err != nil {
			return err
		}
		switch {
		case v.Status == Verified && d.Status == Failed: // taken back
		case v.Status != Pending:
			return ErrState
		case !decided(v.Type):
			return ErrForbidden
		case v.ExpiresAt <= s.now():
			return ErrState // the next sweep says so
		}
		if decided(v.Type) { // who vouched stays who vouched
			v.Verifier = by.Actor
		}
		return s.settle(ctx, tx, by.Actor, &i, &v, d.Status, confidence)
	})
	if err != nil {
		return Verification{}, fmt.Errorf("decide verification %s: %w", id, err)
	}
	return v, nil
}
