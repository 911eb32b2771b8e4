package api_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/api"
)

// ownKey is the key whose public half is aKey.
var ownKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

func sign(text string) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(ownKey, []byte(text)))
}

const (
	identities    = "/api/v2/trust/identities"
	verifications = "/api/v2/trust/verifications"
)

// published makes an identity of p.
func (p *person) published(username string) (path, id string) {
	p.s.t.Helper()
	id = p.do("POST", identities, obj{"username": username, "public_key": aKey}).want(201).str("id")
	return identities + "/" + id, id
}

// trusted are the types of trust events since the last call.
func (s *server) trusted() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var types []string
	for _, e := range s.events {
		if rest, ok := strings.CutPrefix(e.Type, "trust."); ok {
			types = append(types, rest)
		}
	}
	s.events = nil
	return strings.Join(types, " ")
}

func TestTrust(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		anna, boris, root := s.person("Anna"), s.person("Boris"), s.admin("Root")
		made := anna.do("POST", identities, obj{"username": "anna.s", "display_name": "Анна С.", "public_key": aKey}).want(201).is(
			"user_id", anna.id, "username", "anna.s", "display_name", "Анна С.", "public_key", "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=",
			"fingerprint", "SHA256:E545QOZLVJFyIIjZoNdBYo/IJuCUddNBp4Cs3jxLgHA", "key_verified", false, "verification_level", "basic",
			"reputation", 0, "reputation_level", "poor", "created_at", "2026-05-01T12:00:00.000Z")
		path := identities + "/" + made.str("id")
		anna.do("POST", identities, obj{"username": "again", "public_key": aKey}).refused(409, "already_exists")
		boris.do("POST", identities, obj{"username": "Anna.S", "public_key": aKey}).refused(422, "validation").is(
			"error.details.fields.0.field", "username", "error.details.fields.0.reason", "taken")
		boris.do("GET", path, nil).want(200).is("username", "anna.s", "user_id", anna.id)
		anna.do("PATCH", path, obj{"display_name": nil}).want(200).is("display_name", "")
		anna.do("PATCH", path, obj{"display_name": "Anna"}).want(200).is("display_name", "Anna")

		// The key is proved by a challenge, the address by a code.
		begun := anna.do("POST", verifications, obj{"type": "challenge"}).want(201).is(
			"identity_id", made.str("id"), "type", "challenge", "verification_type", "blockchain", "status", "pending", "confidence", 0,
			"verifier_id", nil, "expires_at", "2026-05-01T12:10:00.000Z")
		root.do("GET", verifications+"/"+begun.str("id"), nil).want(200).is("challenge", nil)
		anna.do("GET", verifications+"/"+begun.str("id"), nil).want(200).is("challenge", begun.str("challenge"))
		anna.do("POST", verifications+"/"+begun.str("id")+"/confirm", obj{"signature": sign(begun.str("challenge"))}).want(200).is(
			"status", "verified", "confidence", 1, "challenge", nil, "expires_at", "2027-05-01T12:00:00.000Z")
		anna.do("GET", path, nil).want(200).is("reputation", 0.35, "reputation_level", "low", "key_verified", true)
		s.advance(time.Second)
		letter := anna.do("POST", verifications, obj{"type": "email"}).want(201).is("challenge", nil)
		code := <-s.codes
		wrong := "000000"
		if code.Code == wrong {
			wrong = "000001"
		}
		confirm := verifications + "/" + letter.str("id") + "/confirm"
		anna.do("POST", confirm, obj{"code": wrong}).refused(422, "validation").is("error.details.fields.0.field", "code")
		anna.do("POST", confirm, obj{"code": code.Code}).want(200).is("status", "verified")
		anna.do("POST", confirm, obj{"code": code.Code}).refused(409, "already_decided")

		// Boris, of no reputation, vouches; an operator decides the rest.
		boris.do("POST", verifications, obj{"type": "member", "identity_id": made.str("id")}).refused(422, "validation")
		s.advance(time.Second)
		_, word := boris.published("boris")
		anna.do("POST", verifications, obj{"type": "member", "identity_id": made.str("id")}).refused(422, "validation").is("error.details.fields.0.field", "identity_id")
		vouched := boris.do("POST", verifications, obj{"type": "member", "identity_id": made.str("id")}).want(201).is(
			"status", "verified", "verification_type", "social", "verifier_id", word, "confidence", 0.25)
		boris.do("POST", verifications, obj{"type": "member", "identity_id": made.str("id")}).refused(409, "already_exists")
		s.advance(time.Second)
		document := anna.do("POST", verifications, obj{"type": "document"}).want(201)
		key := s.key("trust:write")
		key.do("PATCH", verifications+"/"+document.str("id"), obj{"status": "verified", "confidence": 0.8}).want(200).is("confidence", 0.8, "status", "verified")
		anna.do("GET", path, nil).want(200).is("reputation", 0.7185, "reputation_level", "high", "verification_level", "excellent")
		root.do("PATCH", verifications+"/"+vouched.str("id"), obj{"status": "failed"}).want(200).is("verifier_id", word, "confidence", 0, "expires_at", nil)
		anna.do("GET", path, nil).want(200).is("reputation", 0.7075, "verification_level", "high")
		if got, want := s.trusted(), "identity.created identity.updated identity.updated verification.created verification.updated reputation.updated "+
			"verification.created verification.updated identity.updated reputation.updated identity.created "+
			"verification.created identity.updated reputation.updated "+
			"verification.created verification.updated identity.updated reputation.updated "+
			"verification.updated identity.updated reputation.updated"; got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}

		// Lists.
		if n := anna.do("GET", path+"/verifications", nil).want(200).len("verifications"); n != 4 {
			t.Errorf("anna sees %d verifications", n)
		}
		if n := boris.do("GET", path+"/verifications", nil).want(200).len("verifications"); n != 1 {
			t.Errorf("boris sees %d verifications", n)
		}
		page := root.do("GET", verifications+"?limit=3&identity_id="+made.str("id"), nil).want(200)
		root.do("GET", verifications+"?limit=3&cursor="+page.str("next_cursor"), nil).want(200).is("next_cursor", nil, "verifications.0.id", begun.str("id"))
		anna.do("GET", verifications+"?status=failed", nil).want(200).is("verifications.0.type", "member")
		root.do("GET", identities+"?username=boris", nil).want(200).is("identities.0.id", word, "next_cursor", nil)
		root.do("GET", identities+"?fingerprint="+strings.ReplaceAll(made.str("fingerprint"), "+", "%2B"), nil).want(200).is("identities.1.username", "anna.s")
		root.do("GET", fmt.Sprintf("%s?user_id=%d", identities, anna.id), nil).want(200).is("identities.0.username", "anna.s")
		root.do("GET", identities+"/idn_01JNB3C7Q9V5T2M8K4X6Z0R1WD/verifications", nil).refused(404, "not_found")
		if audit := string(root.do("GET", "/api/v2/admin/audit?action=trust.decide", nil).want(200).body); strings.Count(audit, `"trust.decide"`) != 2 {
			t.Errorf("on record is %s", audit)
		}
	})
}

func TestTrustScopes(t *testing.T) {
	s := start(t, options{accounts: longTokens})
	anna, root := s.person("Anna"), s.admin("Root")
	path, id := anna.published("anna")
	reader, writer := s.key("trust:read"), s.key("trust:write")
	for _, get := range []string{identities, path, path + "/verifications", verifications} {
		reader.do("GET", get, nil).want(200)
		writer.do("GET", get, nil).refused(403, "forbidden")
		s.key("tickets:read", "admin_of:none").do("GET", get, nil).refused(403, "forbidden")
		s.key("admin").do("GET", get, nil).want(200)
	}
	reader.do("POST", verifications, obj{"type": "phone", "identity_id": id}).refused(403, "forbidden")
	proof := writer.do("POST", verifications, obj{"type": "phone", "identity_id": id}).want(201).str("id")
	reader.do("PATCH", verifications+"/"+proof, obj{"status": "verified"}).refused(403, "forbidden")
	anna.do("PATCH", verifications+"/"+proof, obj{"status": "verified"}).refused(403, "forbidden")
	s.advance(freshLogin + time.Second) // S20
	root.do("PATCH", verifications+"/"+proof, obj{"status": "verified"}).refused(403, "login_too_old")
	root.do("GET", verifications+"/"+proof, nil).want(200).is("status", "pending")
	writer.do("POST", verifications, obj{"type": "phone"}).refused(422, "validation").is("error.details.fields.0.reason", "required")
}

// A mistake is told with the field; nothing is changed and nothing crashes (guarantees.md R35).
func TestR35_TrustOfStrangeInput(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	path, id := anna.published("anna")
	proof := anna.do("POST", verifications, obj{"type": "challenge"}).want(201).str("id")
	s.trusted()
	huge := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		method, path, body string
		statuses           []int
	}{
		{"POST", identities, `null`, []int{400, 422}},
		{"POST", identities, `[]`, []int{400, 422}},
		{"POST", identities, `{`, []int{400}},
		{"POST", identities, `{"username": 5, "public_key": []}`, []int{400, 422}},
		{"POST", identities, `{"username": null, "public_key": null}`, []int{400, 422}},
		{"POST", identities, `{"username": "` + huge + `", "public_key": "` + huge + `", "display_name": "` + huge + `"}`, []int{422}},
		{"POST", identities, `{"username": "a\u0000b", "public_key": "` + aKey + `"}`, []int{422}},
		{"POST", identities, `{"username": "other", "public_key": "` + strings.Repeat("00", 32) + `"}`, []int{422}},
		{"PATCH", path, `null`, []int{400, 422}},
		{"PATCH", path, `{"public_key": null}`, []int{422}},
		{"PATCH", path, `{"display_name": {"a": 1}}`, []int{400, 422}},
		{"PATCH", path, `{"reputation": 1, "verification_level": "excellent"}`, []int{200, 422}},
		{"POST", verifications, `{}`, []int{422}},
		{"POST", verifications, `{"type": "dna"}`, []int{422}},
		{"POST", verifications, `{"type": "member", "identity_id": "` + huge + `"}`, []int{422}},
		{"POST", verifications, `{"type": "member", "identity_id": "idn_\u0000"}`, []int{404}},
		{"POST", verifications, `{"type": "member", "identity_id": ""}`, []int{422}},
		{"POST", verifications + "/" + proof + "/confirm", `{}`, []int{422}},
		{"POST", verifications + "/" + proof + "/confirm", `{"signature": ["x"]}`, []int{400, 422}},
		{"POST", verifications + "/" + proof + "/confirm", `{"signature": "` + huge + `"}`, []int{422}},
		{"POST", verifications + "/%00/confirm", `{"code": "123456"}`, []int{404}},
		{"GET", verifications + "/..%2f..%2fme", ``, []int{404}},
		{"GET", identities + "/%ff", ``, []int{404}},
		{"GET", identities + "?cursor=%00", ``, []int{422}},
		{"GET", identities + "?username=%00&fingerprint=%ff", ``, []int{200, 400, 422}},
		{"GET", identities + "?user_id=-1", ``, []int{400, 422}},
		{"GET", identities + "?limit=100000000000000000000", ``, []int{400, 422}},
		{"GET", identities + "/" + id + "/verifications?status=%27", ``, []int{422}},
	} {
		q := request{method: c.method, path: c.path}
		if c.body != "" {
			q.body, q.header = []byte(c.body), http.Header{"Content-Type": {"application/json"}}
		}
		if got := anna.send(q); !slices.Contains(c.statuses, got.status) {
			t.Errorf("%s %s %.80s: %d, want %v: %s", c.method, c.path, c.body, got.status, c.statuses, got.body)
		}
	}
	anna.do("GET", path, nil).want(200).is("reputation", 0, "verification_level", "basic", "public_key", "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=")
	if told := s.trusted(); told != "" || s.log.Len() > 0 {
		t.Errorf("told %q, logged %s", told, s.log)
	}
}

// An administrator who deletes an account, and whoever erases one, takes its identity too.
func TestTrustOfDeletedAccounts(t *testing.T) {
	s := start(t, options{})
	anna, boris, root := s.person("Anna"), s.person("Boris"), s.admin("Root")
	path, _ := anna.published("anna")
	boris.do("GET", path, nil).want(200)
	root.do("DELETE", fmt.Sprintf("/api/v2/admin/users/%d", anna.id), nil).want(204)
	boris.do("GET", path, nil).refused(404, "not_found")
	root.do("POST", identities, obj{"user_id": anna.id, "username": "again", "public_key": aKey}).refused(422, "validation").is("error.details.fields.0.field", "user_id")
	boris.published("anna")
}

// Beginning is done once for a key of idempotency.
func TestTrustIsIdempotent(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	again := func(path string, body obj) {
		t.Helper()
		q := request{method: "POST", path: path, body: body, header: http.Header{"Idempotency-Key": {path}}}
		first := anna.send(q).want(201)
		if second := anna.send(q).want(201); string(first.body) != string(second.body) {
			t.Errorf("%s: %s, then %s", path, first.body, second.body)
		}
	}
	again(identities, obj{"username": "anna", "public_key": hex.EncodeToString(ownKey.Public().(ed25519.PublicKey))})
	again(verifications, obj{"type": "email"})
	if len(s.codes) != 1 {
		t.Errorf("%d letters", len(s.codes))
	}
}

func TestWithoutTrust(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.Trust = nil }})
	anna := s.person("Anna")
	anna.do("GET", identities, nil).refused(403, "disabled")
	anna.do("POST", verifications, obj{"type": "challenge"}).refused(403, "disabled")
}
