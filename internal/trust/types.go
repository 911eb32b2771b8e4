package trust

import (
	"crypto/ed25519"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/kuranty/kuranty/event"
)

// Types of verifications.
const (
	// Challenge is the signature of a challenge by the identity's key.
	Challenge = "challenge"
	// Email is a code that was sent to the address of the account.
	Email = "email"
	// Member is another member's word.
	Member = "member"

	// Operators decide these.
	Document   = "document"
	Phone      = "phone"
	Social     = "social"
	Blockchain = "blockchain"
)

// Documented is the type as events name it: event-gateway.md §5.1 has no word for a signed
// challenge, which is how one proves to be the owner of an address of a blockchain, nor for
// a member's word, which is social.
func Documented(typ string) string {
	switch typ {
	case Challenge:
		return Blockchain
	case Member:
		return Social
	}
	return typ
}

// decided tells whether verifications of the type are decided by operators.
func decided(typ string) bool {
	switch typ {
	case Document, Phone, Social, Blockchain:
		return true
	}
	return false
}

// States of verifications.
const (
	Pending  = "pending"
	Verified = "verified"
	Failed   = "failed"
	Expired  = "expired"
)

// Share is a part of one in ten-thousandths, so that both databases keep and compare it
// exactly.
type Share int64

// Whole is one.
const Whole Share = 10_000

// Float is the share as a number from 0 to 1.
func (s Share) Float() float64 { return float64(s) / float64(Whole) }

// Identity is what somebody has published of themselves, and what is thought of it. Times
// are in milliseconds since 1970.
type Identity struct {
	ID string
	// User is whose it is; everybody has one at most.
	User int64
	// Username belongs to this identity only. DisplayName may be empty.
	Username, DisplayName string
	Key                   ed25519.PublicKey
	// KeyVerified tells whether a challenge signed by the key stands.
	KeyVerified bool
	// Level is that of [Evidence.Level], Score that of [Evidence.Score].
	Level                string
	Score                Share
	CreatedAt, UpdatedAt int64
}

// Verification is one piece of evidence about an identity, or the attempt at one.
type Verification struct {
	ID, Identity, Type, Status string
	// Confidence is 0 unless Status is [Verified].
	Confidence Share
	// Verifier is who decided: the identity of who vouched, or the operator as events name
	// actors. It is empty where no person did.
	Verifier string
	// BegunBy is who began it, as events name actors.
	BegunBy string
	// Challenge is what is to be signed, as long as that is awaited.
	Challenge string
	// Secret is the keyed hash of a code, Tries how often a wrong one was given.
	Secret string
	Tries  int
	// ExpiresAt is when a pending or verified one does.
	CreatedAt, UpdatedAt, ExpiresAt int64
}

// Caller is who asks.
type Caller struct {
	// User is the person, 0 for a service.
	User int64
	// Operator sees everything and decides: an administrator, or a service with the scope.
	Operator bool
	// Actor is the caller as events name it.
	Actor string
}

// viewer is whose verifications the caller sees; 0 is everybody's.
func (c *Caller) viewer() int64 {
	if c.Operator {
		return 0
	}
	return c.User
}

// newID returns an id that sorts by time.
func newID(prefix string, at int64) string {
	return prefix + strings.TrimPrefix(event.NewID(time.UnixMilli(at)), "evt_")
}

const (
	identityPrefix     = "idn_"
	verificationPrefix = "vrf_"
)

// validID tells whether text can be an id with the prefix; what cannot is looked for
// nowhere.
func validID(prefix, text string) bool {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return false
	}
	_, err := ulid.ParseStrict(rest)
	return err == nil
}
