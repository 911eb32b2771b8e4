package api

import (
	"context"
	"encoding/base64"
	"net/http"

	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/trust"
)

// Scopes of keys for identities and their verifications.
const (
	trustRead  = "trust:read"
	trustWrite = "trust:write"
)

// trustRoutes are identities, which everybody with an account sees, and verifications, which
// are seen by whose they are, by who began them and by operators.
func (a *API) trustRoutes() {
	handle(a, op{get, "/trust/identities", AnyoneOr(trustRead), "List identities, the newest first", ok, nil, false}, a.listIdentities)
	handle(a, op{post, "/trust/identities", AnyoneOr(trustWrite), "Publish the own identity", created, nil, true}, a.createIdentity)
	handle(a, op{get, "/trust/identities/{id}", AnyoneOr(trustRead), "Show an identity", ok, nil, false}, a.getIdentity)
	handle(a, op{patch, "/trust/identities/{id}", People, "Change the own identity", ok, nil, false}, a.changeIdentity)
	handle(a, op{get, "/trust/identities/{id}/verifications", AnyoneOr(trustRead), "List what the caller may see of an identity's verifications", ok, nil, false}, a.listVerificationsOf)
	handle(a, op{get, "/trust/verifications", AnyoneOr(trustRead), "List verifications, the newest first", ok, nil, false}, a.listVerifications)
	handle(a, op{post, "/trust/verifications", AnyoneOr(trustWrite), "Begin a verification", created, nil, true}, a.beginVerification)
	handle(a, op{get, "/trust/verifications/{id}", AnyoneOr(trustRead), "Show a verification", ok, nil, false}, a.getVerification)
	handle(a, op{post, "/trust/verifications/{id}/confirm", AnyoneOr(trustWrite), "Answer a challenge, or give the code of a letter", ok, nil, false}, a.confirmVerification)
	handle(a, op{patch, "/trust/verifications/{id}", FreshAdminsOr(trustWrite), "Decide a verification, or take one back", ok, nil, false}, a.decideVerification)
}

// trust returns the service, if identities are on.
func (a *API) trust() (*trust.Service, error) { return enabled(a.o.Trust) }

// member is the caller to identities, whose operators have a scope.
func (c *call) member(scope string) trust.Caller {
	return trust.Caller{User: c.User, Operator: c.sees(scope), Actor: c.Actor()}
}

// Identity is what somebody has published of themselves, and what is thought of it.
type Identity struct {
	ID              string  `json:"id" example:"idn_01JNB3C7Q9V5T2M8K4X6Z0R1WD"`
	UserID          int64   `json:"user_id"`
	Username        string  `json:"username"`
	DisplayName     string  `json:"display_name"`
	PublicKey       string  `json:"public_key" doc:"The Ed25519 key, in base64" example:"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`
	Fingerprint     string  `json:"fingerprint" doc:"SHA256: and the base64 of the hash of the key" example:"SHA256:If5+J5n4YcB2Yka2AANqyDxUBPR2u2P0xkDyfq9r32U"`
	KeyVerified     bool    `json:"key_verified" doc:"Whether a challenge signed by the key stands"`
	Level           string  `json:"verification_level" enum:"basic,medium,high,excellent"`
	Reputation      float64 `json:"reputation" minimum:"0" maximum:"1"`
	ReputationLevel string  `json:"reputation_level" enum:"poor,low,medium,high,excellent"`
	CreatedAt       string  `json:"created_at" format:"date-time"`
	UpdatedAt       string  `json:"updated_at" format:"date-time"`
}

func identityOf(i *trust.Identity) Identity {
	return Identity{
		ID: i.ID, UserID: i.User, Username: i.Username, DisplayName: i.DisplayName,
		PublicKey: base64.StdEncoding.EncodeToString(i.Key), Fingerprint: trust.Fingerprint(i.Key), KeyVerified: i.KeyVerified,
		Level: i.Level, Reputation: i.Score.Float(), ReputationLevel: trust.ReputationLevel(i.Score),
		CreatedAt: chatjson.Stamp(i.CreatedAt), UpdatedAt: chatjson.Stamp(i.UpdatedAt),
	}
}

// Verification is evidence about an identity, or an attempt at it.
type Verification struct {
	ID               string  `json:"id" example:"vrf_01JNB3C7Q9V5T2M8K4X6Z0R1WD"`
	IdentityID       string  `json:"identity_id" example:"idn_01JNB3C7Q9V5T2M8K4X6Z0R1WD"`
	Type             string  `json:"type" enum:"challenge,email,member,document,phone,social,blockchain"`
	VerificationType string  `json:"verification_type" enum:"email,phone,document,social,blockchain" doc:"The type as events name it"`
	Status           string  `json:"status" enum:"pending,verified,failed,expired"`
	Confidence       float64 `json:"confidence" minimum:"0" maximum:"1"`
	VerifierID       *string `json:"verifier_id" doc:"The identity of who vouched, or the operator who decided, as user:1"`
	CreatedAt        string  `json:"created_at" format:"date-time"`
	UpdatedAt        string  `json:"updated_at" format:"date-time"`
	ExpiresAt        *string `json:"expires_at" format:"date-time" doc:"Of what is pending or verified"`
	Challenge        *string `json:"challenge,omitempty" doc:"The text to be signed, of a pending challenge and for whose identity it is"`
}

// verificationOf shows a challenge only to who can answer it, who is who began it.
func verificationOf(c *call, v *trust.Verification) Verification {
	out := Verification{
		ID: v.ID, IdentityID: v.Identity, Type: v.Type, VerificationType: trust.Documented(v.Type), Status: v.Status, Confidence: v.Confidence.Float(),
		VerifierID: optional(v.Verifier), CreatedAt: chatjson.Stamp(v.CreatedAt), UpdatedAt: chatjson.Stamp(v.UpdatedAt),
	}
	if v.Status == trust.Pending || v.Status == trust.Verified {
		out.ExpiresAt = chatjson.OptStamp(v.ExpiresAt)
	}
	if v.BegunBy == c.Actor() {
		out.Challenge = optional(v.Challenge)
	}
	return out
}

// IdentityList is a page of identities, the newest first.
type IdentityList struct {
	Identities []Identity `json:"identities"`
	NextCursor *string    `json:"next_cursor"`
}

type identitiesInput struct {
	User        ID     `query:"user_id" doc:"Whose it is"`
	Username    string `query:"username" maxLength:"100"`
	Fingerprint string `query:"fingerprint" maxLength:"100" doc:"As SHA256:…; the plus sign is written %2B"`
	Limit       int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor      string `query:"cursor" maxLength:"64"`
}

func (a *API) listIdentities(ctx context.Context, _ *call, in *identitiesInput) (*body[IdentityList], error) {
	t, err := a.trust()
	if err != nil {
		return nil, err
	}
	page, err := t.Identities(ctx, trust.IdentityQuery{
		User: int64(in.User), Username: in.Username, Fingerprint: in.Fingerprint, Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := IdentityList{make([]Identity, len(page.Identities)), optional(page.Next)}
	for i := range page.Identities {
		out.Identities[i] = identityOf(&page.Identities[i])
	}
	return reply(out), nil
}

type newIdentityInput struct {
	Body struct {
		User        ID            `json:"user_id,omitempty" doc:"Whose it is; needed from services, for operators only"`
		Username    string        `json:"username" maxLength:"100" doc:"3 to 32 of a-z, 0-9, dot, hyphen and underscore; it stays"`
		DisplayName maybe[string] `json:"display_name,omitempty" doc:"Up to 100 characters"`
		PublicKey   string        `json:"public_key" maxLength:"200" doc:"The 32 bytes of an Ed25519 key, in base64 or hexadecimal" example:"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`
	}
}

func (a *API) createIdentity(ctx context.Context, c *call, in *newIdentityInput) (*answer[Identity], error) {
	t, err := a.trust()
	if err != nil {
		return nil, err
	}
	i, err := t.Create(ctx, c.member(trustWrite), trust.NewIdentity{
		User: int64(in.Body.User), Username: in.Body.Username, DisplayName: in.Body.DisplayName.value, PublicKey: in.Body.PublicKey,
	})
	if err != nil {
		return nil, err
	}
	return &answer[Identity]{Status: http.StatusCreated, Body: identityOf(&i)}, nil
}

// IdentityPath names an identity.
type IdentityPath struct {
	ID string `path:"id" maxLength:"64" doc:"The identity's id" example:"idn_01JNB3C7Q9V5T2M8K4X6Z0R1WD"`
}

func (a *API) getIdentity(ctx context.Context, _ *call, in *IdentityPath) (*body[Identity], error) {
	t, err := a.trust()
	if err != nil {
		return nil, err
	}
	i, err := t.Identity(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return reply(identityOf(&i)), nil
}

type changeIdentityInput struct {
	IdentityPath
	Body struct {
		DisplayName maybe[string] `json:"display_name,omitempty" doc:"Up to 100 characters; null removes it"`
		PublicKey   maybe[string] `json:"public_key,omitempty" doc:"Another key; what the old one proved expires"`
	}
}

func (a *API) changeIdentity(ctx context.Context, c *call, in *changeIdentityInput) (*body[Identity], error) {
	t, err := a.trust()
	if err != nil {
		return nil, err
	}
	i, err := t.Change(ctx, c.member(trustWrite), in.ID, trust.Change{DisplayName: in.Body.DisplayName.pointer(), PublicKey: in.Body.PublicKey.pointer()})
	if err != nil {
		return nil, err
	}
	return reply(identityOf(&i)), nil
}

// VerificationList is a page of verifications, the newest first.
type VerificationList struct {
	Verifications []Verification `json:"verifications"`
	NextCursor    *string        `json:"next_cursor"`
}

// VerificationFilter selects verifications.
type VerificationFilter struct {
	Type   string `query:"type" enum:"challenge,email,member,document,phone,social,blockchain"`
	Status string `query:"status" enum:"pending,verified,failed,expired"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor string `query:"cursor" maxLength:"64"`
}

type verificationsOfInput struct {
	IdentityPath
	VerificationFilter
}

func (a *API) listVerificationsOf(ctx context.Context, c *call, in *verificationsOfInput) (*body[VerificationList], error) {
	if in.ID == "" {
		return nil, trust.ErrNotFound
	}
	return a.verifications(ctx, c, in.ID, &in.VerificationFilter)
}

type verificationsInput struct {
	VerificationFilter
	Identity string `query:"identity_id" maxLength:"64"`
}

func (a *API) listVerifications(ctx context.Context, c *call, in *verificationsInput) (*body[VerificationList], error) {
	return a.verifications(ctx, c, in.Identity, &in.VerificationFilter)
}

func (a *API) verifications(ctx context.Context, c *call, identity string, q *VerificationFilter) (*body[VerificationList], error) {
	t, err := a.trust()
	if err != nil {
		return nil, err
	}
	page, err := t.Verifications(ctx, c.member(trustRead), trust.VerificationQuery{
		Identity: identity, Type: q.Type, Status: q.Status, Limit: q.Limit, Cursor: q.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := VerificationList{make([]Verification, len(page.Verifications)), optional(page.Next)}
	for i := range page.Verifications {
		out.Verifications[i] = verificationOf(c, &page.Verifications[i])
	}
	return reply(out), nil
}

type newVerificationInput struct {
	Body struct {
		Type     string `json:"type" enum:"challenge,email,member,document,phone,social,blockchain"`
		Identity string `json:"identity_id,omitempty" maxLength:"64" doc:"The own one if not given; of a member, whom the caller vouches for" example:"idn_01JNB3C7Q9V5T2M8K4X6Z0R1WD"`
	}
}

func (a *API) beginVerification(ctx context.Context, c *call, in *newVerificationInput) (*answer[Verification], error) {
	t, err := a.trust()
	if err != nil {
		return nil, err
	}
	v, err := t.Begin(ctx, c.member(trustWrite), trust.NewVerification{Type: in.Body.Type, Identity: in.Body.Identity})
	if err != nil {
		return nil, err
	}
	return &answer[Verification]{Status: http.StatusCreated, Body: verificationOf(c, &v)}, nil
}

// VerificationPath names a verification.
type VerificationPath struct {
	ID string `path:"id" maxLength:"64" doc:"The verification's id" example:"vrf_01JNB3C7Q9V5T2M8K4X6Z0R1WD"`
}

func (a *API) getVerification(ctx context.Context, c *call, in *VerificationPath) (*body[Verification], error) {
	t, err := a.trust()
	if err != nil {
		return nil, err
	}
	v, err := t.Verification(ctx, c.member(trustRead), in.ID)
	if err != nil {
		return nil, err
	}
	return reply(verificationOf(c, &v)), nil
}

type confirmInput struct {
	VerificationPath
	Body struct {
		Signature string `json:"signature,omitempty" maxLength:"200" doc:"Of a challenge: the Ed25519 signature of its text, in base64 or hexadecimal"`
		Code      string `json:"code,omitempty" maxLength:"20" doc:"Of an e-mail address: the six digits of the letter" example:"042137"`
	}
}

func (a *API) confirmVerification(ctx context.Context, c *call, in *confirmInput) (*body[Verification], error) {
	t, err := a.trust()
	if err != nil {
		return nil, err
	}
	v, err := t.Confirm(ctx, c.member(trustWrite), in.ID, trust.Proof{Signature: in.Body.Signature, Code: in.Body.Code})
	if err != nil {
		return nil, err
	}
	return reply(verificationOf(c, &v)), nil
}

type decideInput struct {
	VerificationPath
	Body struct {
		Status     string   `json:"status" enum:"verified,failed"`
		Confidence *float64 `json:"confidence,omitempty" minimum:"0.0001" maximum:"1" doc:"Of what is verified; 1 if not given"`
	}
}

func (a *API) decideVerification(ctx context.Context, c *call, in *decideInput) (*body[Verification], error) {
	t, err := a.trust()
	if err != nil {
		return nil, err
	}
	v, err := t.Decide(ctx, c.member(trustWrite), in.ID, trust.Decision{Status: in.Body.Status, Confidence: in.Body.Confidence})
	if err != nil {
		return nil, err
	}
	return reply(verificationOf(c, &v)), a.recordOf(ctx, c, "trust.decide", "verification:"+v.ID, in.Body)
}
