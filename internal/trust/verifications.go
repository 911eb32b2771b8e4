package trust

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
)

// verificationTx is what a transaction can do with verifications.
type verificationTx interface {
	AddVerification(ctx context.Context, v *Verification) error
	Verification(ctx context.Context, id string) (Verification, error)
	// SaveVerification stores what can change of one.
	SaveVerification(ctx context.Context, v *Verification) error
	// Verifications returns those with ids below one that q selects, the newest first, of
	// what a viewer sees: those of their identity, and those they began. A viewer of 0 sees
	// all.
	Verifications(ctx context.Context, viewer int64, q *VerificationQuery, below string) ([]Verification, error)
	// Current returns those of an identity of a type and in a state.
	Current(ctx context.Context, identity, typ, status string) ([]Verification, error)
	// Vouched tells whether a member, named by their identity, has vouched for an identity
	// and that has not expired.
	Vouched(ctx context.Context, identity, member string) (bool, error)
	// Evidence returns what stands for an identity.
	Evidence(ctx context.Context, identity string) (Evidence, error)
	// Begun counts the verifications that an actor began after a time, Mailed those of an
	// identity that codes were sent for; first is when the first of them was.
	Begun(ctx context.Context, actor string, after int64) (n int, first int64, err error)
	Mailed(ctx context.Context, identity string, after int64) (n int, first int64, err error)
	// Person returns where somebody is written to, unless their account is deleted.
	Person(ctx context.Context, user int64) (Person, error)
}

// Person is where somebody is written to. Email may be empty.
type Person struct{ Email, Name, Lang string }

// types are all types of verifications.
var types = []string{Challenge, Email, Member, Document, Phone, Social, Blockchain}

// NewVerification is what is to be begun. An empty Identity is the caller's own.
type NewVerification struct{ Type, Identity string }

// VerificationQuery selects verifications; empty fields select all.
type VerificationQuery struct {
	Identity, Type, Status string
	Limit                  int // 50 if it is 0
	Cursor                 string
}

// VerificationPage is a part of a list; Next is the cursor of the next, empty at the end.
type VerificationPage struct {
	Verifications []Verification
	Next          string
}

// codeDigits is the length of a code, codeTries how many may be given for it.
const (
	codeDigits = 6
	codeTries  = 5
)

// mailTimeout bounds the sending of a code.
const mailTimeout = 20 * time.Second

// Begin begins a verification, and ends one of the same type that is pending. Of a
// [Challenge] the result says what is to be signed; the word of a [Member] is verified at
// once. The errors are [ErrNotFound], [ErrForbidden], [ErrExists] if the caller has vouched
// already, [ErrNoMailer], [ErrMail], [*FieldError] and [*RateError].
func (s *Service) Begin(ctx context.Context, by Caller, in NewVerification) (v Verification, err error) {
	switch {
	case !slices.Contains(types, in.Type):
		return v, &FieldError{"type", "must be one of " + strings.Join(types, ", ")}
	case in.Type == Email && s.o.Mailer == nil:
		return v, ErrNoMailer
	case in.Identity == "" && (by.User == 0 || in.Type == Member):
		return v, &FieldError{"identity_id", "is required"}
	case in.Identity != "" && !validID(identityPrefix, in.Identity):
		return v, ErrNotFound
	}
	var letter Mail
	err = s.store.Update(ctx, func(tx Tx) error {
		i, err := s.target(ctx, tx, &by, &in)
		if err != nil {
			return err
		}
		v, letter, err = s.begin(ctx, tx, &by, &i, in.Type)
		return err
	})
	if err != nil {
		return Verification{}, fmt.Errorf("begin verification: %w", err)
	}
	if in.Type != Email {
		return v, nil
	}
	mailing, cancel := context.WithTimeout(context.WithoutCancel(ctx), mailTimeout)
	defer cancel()
	if err := s.o.Mailer(mailing, letter); err != nil {
		s.log.Error("code not sent", "verification", v.ID, "error", err)
		return Verification{}, errors.Join(ErrMail, s.fail(context.WithoutCancel(ctx), v.ID))
	}
	return v, nil
}

// target locks the identity that is to be verified.
func (s *Service) target(ctx context.Context, tx Tx, by *Caller, in *NewVerification) (Identity, error) {
	if in.Identity != "" {
		return tx.LockIdentity(ctx, in.Identity)
	}
	own, err := tx.IdentityOf(ctx, by.User)
	if errors.Is(err, ErrNotFound) {
		return own, &FieldError{"identity_id", "is required: you have no identity"}
	}
	if err != nil {
		return own, err
	}
	return tx.LockIdentity(ctx, own.ID)
}

func (s *Service) begin(ctx context.Context, tx Tx, by *Caller, i *Identity, typ string) (v Verification, letter Mail, err error) {
	now := s.now()
	v = Verification{
		ID: newID(verificationPrefix, now), Identity: i.ID, Type: typ, Status: Pending, BegunBy: by.Actor,
		CreatedAt: now, UpdatedAt: now, ExpiresAt: now + s.o.ProofTTL.Milliseconds(),
	}
	own := by.User != 0 && by.User == i.User
	switch {
	case typ == Member:
		err = s.vouch(ctx, tx, by, i, &v)
	case !own && !(decided(typ) && by.Operator):
		err = ErrForbidden
	case typ == Challenge:
		v.Challenge = challenge(i, &v)
	case typ == Email:
		letter, err = s.code(ctx, tx, i, &v)
	default:
		v.ExpiresAt = now + s.o.DecisionTTL.Milliseconds()
	}
	if err == nil && !by.Operator {
		err = s.mayNow(ctx, tx.Begun, by.Actor, s.o.PerHour)
	}
	if err == nil && typ != Member {
		err = s.endAll(ctx, tx, by.Actor, i, typ, Pending, Failed)
	}
	if err == nil {
		err = tx.AddVerification(ctx, &v)
	}
	if err == nil {
		err = s.announce(ctx, tx, by.Actor, i.ID, event.TrustVerificationCreated, now, verificationPayload(&v))
	}
	if err == nil && v.Status == Verified {
		err = s.assess(ctx, tx, by.Actor, i, typ+" "+v.Status)
	}
	return v, letter, err
}

// vouch makes v the word of the caller, who is a member with another identity.
func (s *Service) vouch(ctx context.Context, tx Tx, by *Caller, i *Identity, v *Verification) error {
	if by.User == 0 {
		return ErrForbidden
	}
	if by.User == i.User {
		return &FieldError{"identity_id", "is your own: nobody vouches for themselves"}
	}
	own, err := tx.IdentityOf(ctx, by.User)
	if errors.Is(err, ErrNotFound) {
		return &FieldError{"type", "needs an identity of your own"}
	}
	if err != nil {
		return err
	}
	switch there, err := tx.Vouched(ctx, i.ID, own.ID); {
	case err != nil:
		return err
	case there:
		return ErrExists
	}
	v.Status, v.Verifier, v.Confidence = Verified, own.ID, word(own.Score)
	v.ExpiresAt = v.CreatedAt + s.o.VerifiedTTL.Milliseconds()
	return nil
}

// challenge is what is to be signed: no other text that anybody signs begins like it.
func challenge(i *Identity, v *Verification) string {
	var nonce [32]byte
	_, _ = rand.Read(nonce[:]) // documented never to fail
	return fmt.Sprintf("kuranty trust challenge v1\nidentity: %s\nkey: %s\nverification: %s\nnonce: %s\nexpires: %s",
		i.ID, Fingerprint(i.Key), v.ID, base64.RawURLEncoding.EncodeToString(nonce[:]), at(v.ExpiresAt).Format(time.RFC3339))
}

// code makes v wait for a code, and returns the letter with it.
func (s *Service) code(ctx context.Context, tx Tx, i *Identity, v *Verification) (Mail, error) {
	p, err := tx.Person(ctx, i.User)
	if err != nil {
		return Mail{}, err
	}
	if p.Email == "" {
		return Mail{}, &FieldError{"type", "needs an e-mail address in your account"}
	}
	if err := s.mayNow(ctx, tx.Mailed, i.ID, s.o.MailsPerHour); err != nil {
		return Mail{}, err
	}
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return Mail{}, fmt.Errorf("make code: %w", err)
	}
	code := fmt.Sprintf("%0*d", codeDigits, n)
	v.Secret = s.hashed(v.ID, p.Email, code)
	return Mail{To: p.Email, Name: p.Name, Lang: p.Lang, Code: code, Expires: at(v.ExpiresAt)}, nil
}

// mayNow counts what was done in the last hour. Who does more at the very same time may get
// a few more through.
func (s *Service) mayNow(ctx context.Context, count func(context.Context, string, int64) (int, int64, error), who string, limit int) error {
	if limit < 0 {
		return nil
	}
	now := s.now()
	n, first, err := count(ctx, who, now-time.Hour.Milliseconds())
	if err != nil || n < limit {
		return err
	}
	return &RateError{Limit: limit, Window: time.Hour, RetryAfter: max(time.Hour-time.Duration(now-first)*time.Millisecond, time.Second)}
}

// locked returns a verification with its identity, both locked.
func locked(ctx context.Context, tx Tx, id string) (i Identity, v Verification, err error) {
	if !validID(verificationPrefix, id) {
		return i, v, ErrNotFound
	}
	if v, err = tx.Verification(ctx, id); err != nil {
		return i, v, err
	}
	if i, err = tx.LockIdentity(ctx, v.Identity); err != nil {
		return i, v, err
	}
	v, err = tx.Verification(ctx, id) // it may have changed before the lock
	return i, v, err
}

// fail ends a verification whose code nobody got.
func (s *Service) fail(ctx context.Context, id string) error {
	return s.store.Update(ctx, func(tx Tx) error {
		i, v, err := locked(ctx, tx, id)
		if err != nil || v.Status != Pending {
			return err
		}
		return s.settle(ctx, tx, "", &i, &v, Failed, 0)
	})
}

// Proof is the answer to a challenge, or the code of a letter.
type Proof struct{ Signature, Code string }

// Confirm completes a verification of the caller's own identity. A signature that is not
// the key's ends it, as does the last of [codeTries] wrong codes. The errors are
// [ErrNotFound], [ErrForbidden], [ErrState], [ErrExpired] and [*FieldError].
func (s *Service) Confirm(ctx context.Context, by Caller, id string, p Proof) (v Verification, err error) {
	var refused error // after which what is stored has changed
	err = s.store.Update(ctx, func(tx Tx) (err error) {
		refused = nil
		var i Identity
		if i, v, err = locked(ctx, tx, id); err != nil {
			return err
		}
		switch own := by.User != 0 && by.User == i.User; {
		case !own && !by.Operator && v.BegunBy != by.Actor:
			return ErrNotFound
		case !own || v.Type != Challenge && v.Type != Email:
			return ErrForbidden
		case v.Status != Pending:
			return ErrState
		case v.ExpiresAt <= s.now():
			refused = ErrExpired
			return s.settle(ctx, tx, "", &i, &v, Expired, 0)
		case v.Type == Challenge:
			refused, err = s.signed(ctx, tx, &by, &i, &v, p.Signature)
		default:
			refused, err = s.coded(ctx, tx, &by, &i, &v, p.Code)
		}
		return err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return Verification{}, fmt.Errorf("confirm verification %s: %w", id, err)
	}
	return v, nil
}

// Verification returns a verification. The error is [ErrNotFound].
func (s *Service) Verification(ctx context.Context, by Caller, id string) (v Verification, err error) {
	if !validID(verificationPrefix, id) {
		return v, ErrNotFound
	}
	err = s.store.View(ctx, func(tx Tx) error {
		if v, err = tx.Verification(ctx, id); err != nil || by.Operator || v.BegunBy == by.Actor {
			return err
		}
		i, err := tx.Identity(ctx, v.Identity)
		if err == nil && i.User != by.User {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return Verification{}, err
	}
	return v, nil
}

// Verifications lists the verifications that the caller may see, the newest first. The
// errors are [ErrNotFound] if there is no such identity, and [*FieldError].
func (s *Service) Verifications(ctx context.Context, by Caller, q VerificationQuery) (p VerificationPage, err error) {
	if q.Cursor != "" && !validID(verificationPrefix, q.Cursor) {
		return p, &FieldError{"cursor", "is none of ours"}
	}
	if q.Identity != "" {
		if _, err := s.Identity(ctx, q.Identity); err != nil {
			return p, err
		}
	}
	setDefault(&q.Limit, 50)
	limit := q.Limit
	q.Limit++ // whether there are more
	err = s.store.View(ctx, func(tx Tx) error {
		p.Verifications, err = tx.Verifications(ctx, by.viewer(), &q, below(verificationPrefix, q.Cursor))
		return err
	})
	if err != nil {
		return VerificationPage{}, fmt.Errorf("list verifications: %w", err)
	}
	if len(p.Verifications) > limit {
		p.Verifications = p.Verifications[:limit]
		p.Next = p.Verifications[limit-1].ID
	}
	return p, nil
}
