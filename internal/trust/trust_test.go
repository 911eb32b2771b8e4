package trust_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/trust"
)

func TestIdentities(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		anna, boris := n.person(), n.person()
		i, err := n.Create(ctx, anna.Caller, trust.NewIdentity{Username: " Anna.S ", DisplayName: "  Анна\n С.\x00 ", PublicKey: anna.public()})
		n.must(err)
		if i.Username != "anna.s" || i.DisplayName != "Анна С." || i.Level != trust.Basic || i.Score != 0 || i.KeyVerified || !strings.HasPrefix(i.ID, "idn_") {
			t.Errorf("made %+v", i)
		}
		if got := n.seen(i.ID); fmt.Sprint(got) != fmt.Sprint(i) {
			t.Errorf("stored %+v\nmade   %+v", got, i)
		}
		n.told(fmt.Sprintf("identity.created user:%d verificationLevel=basic", anna.User))

		_, err = n.Create(ctx, anna.Caller, trust.NewIdentity{Username: "other", PublicKey: anna.public()})
		is(t, "a second identity", err, trust.ErrExists)
		_, err = n.Create(ctx, boris.Caller, trust.NewIdentity{Username: "ANNA.S", PublicKey: boris.public()})
		if e := wants[*trust.TakenError](t, "a name of another", err); e != nil && e.Field != "username" {
			t.Errorf("taken is %q", e.Field)
		}
		_, err = n.Create(ctx, operator, trust.NewIdentity{Username: "service", PublicKey: boris.public()})
		wants[*trust.FieldError](t, "an identity of a service", err)
		_, err = n.Create(ctx, operator, trust.NewIdentity{User: 1 << 40, Username: "nobody", PublicKey: boris.public()})
		wants[*trust.FieldError](t, "an identity of nobody", err)
		_, err = n.Create(ctx, boris.Caller, trust.NewIdentity{User: anna.User, Username: "other", PublicKey: boris.public()})
		is(t, "an identity of another", err, trust.ErrForbidden)
		n.told()
		vera := n.person()
		i2, err := n.Create(ctx, operator, trust.NewIdentity{User: vera.User, Username: "vera", PublicKey: vera.public()})
		if err != nil || i2.User != vera.User {
			t.Errorf("an identity made by an operator: %+v, %v", i2, err)
		}
		n.told("identity.created key:k_1 verificationLevel=basic")

		// Several mistakes are told at once.
		_, err = n.Create(ctx, boris.Caller, trust.NewIdentity{Username: "b", DisplayName: strings.Repeat("x", 101), PublicKey: "x"})
		for _, field := range []string{"username", "display_name", "public_key"} {
			if err == nil || !strings.Contains(err.Error(), field+": ") {
				t.Errorf("mistakes are %v, without %s", err, field)
			}
		}

		name := "Анна Соколова"
		changed, err := n.Change(ctx, anna.Caller, i.ID, trust.Change{DisplayName: &name})
		n.must(err)
		if changed.DisplayName != name || n.seen(i.ID).DisplayName != name {
			t.Errorf("changed to %+v", changed)
		}
		n.told(fmt.Sprintf("identity.updated user:%d verificationLevel=basic changes=[displayName]", anna.User))
		_, err = n.Change(ctx, anna.Caller, i.ID, trust.Change{DisplayName: &name})
		n.must(err)
		n.told()
		_, err = n.Change(ctx, boris.Caller, i.ID, trust.Change{DisplayName: &name})
		is(t, "a change by another", err, trust.ErrForbidden)
		_, err = n.Change(ctx, operator, i.ID, trust.Change{DisplayName: &name})
		is(t, "a change by an operator", err, trust.ErrForbidden)
		for _, id := range []string{"", "idn_", "idn_01JNB3C7Q9V5T2M8K4X6Z0R1WD", "idn_\x00", strings.Repeat("x", 1000)} {
			_, err = n.Change(ctx, anna.Caller, id, trust.Change{DisplayName: &name})
			is(t, "a change of none", err, trust.ErrNotFound)
			_, err = n.Identity(ctx, id)
			is(t, "none", err, trust.ErrNotFound)
		}
	})
}

func TestIdentitiesAreListed(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		var all []*member
		for range 5 {
			n.pass(time.Second)
			all = append(all, n.member())
		}
		var got []string
		q := trust.IdentityQuery{Limit: 2}
		for pages := 1; ; pages++ {
			p, err := n.Identities(ctx, q)
			n.must(err)
			for _, i := range p.Identities {
				got = append(got, i.Username)
			}
			if q.Cursor = p.Next; q.Cursor == "" {
				if pages != 3 {
					t.Errorf("%d pages", pages)
				}
				break
			}
		}
		if want := "[anna5 anna4 anna3 anna2 anna1]"; fmt.Sprint(got) != want {
			t.Errorf("listed %v, want %v", got, want)
		}
		third := all[2]
		for _, q := range []trust.IdentityQuery{{User: third.User}, {Username: "ANNA3"}, {Fingerprint: third.fingerprint()}} {
			if p, err := n.Identities(ctx, q); err != nil || len(p.Identities) != 1 || p.Identities[0].ID != third.ID {
				t.Errorf("%+v: %+v, %v", q, p, err)
			}
		}
		for _, q := range []trust.IdentityQuery{{User: 1 << 50}, {Username: "a\x00b"}, {Username: "nobody"}, {Fingerprint: "SHA256:\xff"}} {
			if p, err := n.Identities(ctx, q); err != nil || len(p.Identities) != 0 {
				t.Errorf("%+v: %+v, %v", q, p, err)
			}
		}
		_, err := n.Identities(ctx, trust.IdentityQuery{Cursor: "' OR 1=1"})
		wants[*trust.FieldError](t, "a cursor", err)
	})
}

func TestKeys(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	n := open(t, "sqlite", trust.Options{})
	for name, text := range map[string]string{
		"base64": base64.StdEncoding.EncodeToString(key), "raw": base64.RawStdEncoding.EncodeToString(key), "url": base64.RawURLEncoding.EncodeToString(key),
		"padded url": base64.URLEncoding.EncodeToString(key), "hex": hex.EncodeToString(key), "HEX": strings.ToUpper(hex.EncodeToString(key)),
		"blanks": " " + base64.StdEncoding.EncodeToString(key) + "\n",
	} {
		m := n.person()
		i, err := n.Create(t.Context(), m.Caller, trust.NewIdentity{Username: m.name, PublicKey: text})
		if err != nil || !i.Key.Equal(key) {
			t.Errorf("%s: %v, %v", name, i.Key, err)
		}
	}
	// As: printf 3b6a27…da29 | xxd -r -p | openssl dgst -sha256 -binary | base64
	if got, want := trust.Fingerprint(key), "SHA256:E545QOZLVJFyIIjZoNdBYo/IJuCUddNBp4Cs3jxLgHA"; got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
	m := n.person()
	refused := map[string]string{
		"none": "", "short": base64.StdEncoding.EncodeToString(key[:31]), "long": base64.StdEncoding.EncodeToString(append(key[:32:32], 0)),
		"text": "not a key", "huge": strings.Repeat("A", 1<<16), "hex that is none": strings.Repeat("zz", 32),
		"off the curve": encoded(func(b []byte) { b[0] = 2 }),
		// y = p + 3 encodes the point of y = 3 another way.
		"not canonical": encoded(func(b []byte) {
			for i := range b {
				b[i] = 0xff
			}
			b[0], b[31] = 0xf0, 0x7f
		}),
	}
	for i, b := range smallOrder(t) {
		refused[fmt.Sprintf("small order %d", i)] = base64.StdEncoding.EncodeToString(b)
	}
	for name, text := range refused {
		_, err := n.Create(t.Context(), m.Caller, trust.NewIdentity{Username: m.name, PublicKey: text})
		if e := wants[*trust.FieldError](t, name, err); e != nil && e.Field != "public_key" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func encoded(set func([]byte)) string {
	b := make([]byte, 32)
	set(b)
	return base64.StdEncoding.EncodeToString(b)
}

// smallOrder are the keys under which everybody can sign, which is shown for each: with
// S = 0 and R the neutral point, a signature is good whenever the hash is a multiple of the
// order.
func smallOrder(t *testing.T) (keys [][]byte) {
	t.Helper()
	for _, text := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	} {
		key, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		forged := make([]byte, ed25519.SignatureSize)
		forged[0] = 1
		good := false
		for i := range 1000 {
			good = good || ed25519.Verify(key, fmt.Appendf(nil, "message %d", i), forged)
		}
		if !good {
			t.Errorf("%s is not of small order", text)
		}
		keys = append(keys, key)
	}
	return keys
}

func TestRandomKeysAreTaken(t *testing.T) {
	n := open(t, "sqlite", trust.Options{})
	m := n.member()
	for range 50 {
		key, _, err := ed25519.GenerateKey(rand.Reader)
		n.must(err)
		text := hex.EncodeToString(key)
		if _, err := n.Change(t.Context(), m.Caller, m.ID, trust.Change{PublicKey: &text}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestChallenge(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		m := n.member()
		n.happened()
		v := n.begin(m.Caller, trust.Challenge, m.ID)
		actor := m.Actor
		n.told("verification.created " + actor + " verificationType=blockchain status=pending confidence=0")
		lines := strings.Split(v.Challenge, "\n")
		if len(lines) != 6 || lines[0] != "kuranty trust challenge v1" || lines[1] != "identity: "+m.ID || lines[2] != "key: "+m.fingerprint() ||
			lines[3] != "verification: "+v.ID || len(lines[4]) != len("nonce: ")+43 || lines[5] != "expires: 2026-05-01T12:10:00Z" {
			t.Errorf("challenge %q", v.Challenge)
		}

		// What cannot be a signature ends nothing.
		for _, text := range []string{"", "x", strings.Repeat("A", 10_000), m.signature(v.Challenge)[4:]} {
			_, err := n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Signature: text})
			wants[*trust.FieldError](t, "a malformed signature", err)
		}
		n.told()
		got, err := n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Signature: m.signature(v.Challenge)})
		n.must(err)
		if got.Status != trust.Verified || got.Confidence != trust.Whole || got.Challenge != "" || got.ExpiresAt != n.now.Add(365*24*time.Hour).UnixMilli() {
			t.Errorf("confirmed %+v", got)
		}
		n.told(
			"verification.updated "+actor+" verificationType=blockchain status=verified confidence=1",
			"reputation.updated "+actor+" previousScore=0 score=0.35 level=low reason=challenge verified")
		if i := n.seen(m.ID); i.Score != 3500 || i.Level != trust.Basic || !i.KeyVerified {
			t.Errorf("the identity is %+v", i)
		}
		_, err = n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Signature: m.signature(v.Challenge)})
		is(t, "the same again", err, trust.ErrState)

		// A signature of another text, or by another key, ends the challenge.
		other := n.member()
		for _, sign := range []func(string) string{
			other.signature, func(s string) string { return m.signature(s + "\n") }, func(string) string { return m.signature(v.Challenge) },
		} {
			v := n.begin(m.Caller, trust.Challenge, "")
			_, err := n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Signature: sign(v.Challenge)})
			if e := wants[*trust.FieldError](t, "a wrong signature", err); e != nil && e.Field != "signature" {
				t.Errorf("a wrong signature: %v", err)
			}
			if got := n.status(v.ID); got != trust.Failed {
				t.Errorf("after a wrong signature the verification is %s", got)
			}
			_, err = n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Signature: m.signature(v.Challenge)})
			is(t, "a right one after it", err, trust.ErrState)
		}
		if i := n.seen(m.ID); i.Score != 3500 {
			t.Errorf("failures changed the score to %d", i.Score)
		}
	})
}

func TestChallengesAreBoundAndExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		m := n.member()
		first, second := n.begin(m.Caller, trust.Challenge, ""), n.begin(m.Caller, trust.Challenge, "")
		if first.Challenge == second.Challenge || n.status(first.ID) != trust.Failed {
			t.Error("a challenge does not end the one before")
		}
		n.pass(10 * time.Minute)
		_, err := n.Confirm(ctx, m.Caller, second.ID, trust.Proof{Signature: m.signature(second.Challenge)})
		is(t, "after ten minutes", err, trust.ErrExpired)
		if n.status(second.ID) != trust.Expired {
			t.Error("it did not expire")
		}
		n.sign(m)
		pending := n.begin(m.Caller, trust.Challenge, "")
		n.happened()

		// Another key ends what the old one proved or was about to.
		old := *m
		m.key = ed25519.NewKeyFromSeed([]byte("another key of thirty-two bytes."))
		text := m.public()
		i, err := n.Change(ctx, m.Caller, m.ID, trust.Change{PublicKey: &text})
		n.must(err)
		if i.KeyVerified || i.Score != 0 || fmt.Sprint(n.seen(m.ID)) != fmt.Sprint(i) {
			t.Errorf("with another key the identity is %+v", i)
		}
		actor := m.Actor
		n.told(
			"identity.updated "+actor+" verificationLevel=basic changes=[publicKey]",
			"verification.updated "+actor+" verificationType=blockchain status=failed confidence=0",
			"verification.updated "+actor+" verificationType=blockchain status=expired confidence=0",
			"reputation.updated "+actor+" previousScore=0.35 score=0 level=poor reason=challenge expired")
		for _, who := range []*member{&old, m} {
			_, err = n.Confirm(ctx, m.Caller, pending.ID, trust.Proof{Signature: who.signature(pending.Challenge)})
			is(t, "a challenge of the old key", err, trust.ErrState)
		}
		n.sign(m)
		if !n.seen(m.ID).KeyVerified {
			t.Error("the new key is not verified")
		}
	})
}

// A challenge that many answer at once is verified once.
func TestChallengesAreSingleUse(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		m := n.member()
		v := n.begin(m.Caller, trust.Challenge, "")
		n.happened()
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = n.Confirm(t.Context(), m.Caller, v.ID, trust.Proof{Signature: m.signature(v.Challenge)})
			})
		}
		wg.Wait()
		good := 0
		for _, err := range errs {
			if err == nil {
				good++
			} else {
				is(t, "a later one", err, trust.ErrState)
			}
		}
		if told := n.happened(); good != 1 || len(told) != 2 {
			t.Errorf("%d were good, %d events", good, len(told))
		}
	})
}

func TestCodes(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		m := n.member()
		n.happened()
		v := n.begin(m.Caller, trust.Email, "")
		letter := n.mail[0]
		if letter.To != m.name+"@example.org" || letter.Name != "Анна" || len(letter.Code) != 6 || !letter.Expires.Equal(n.now.Add(10*time.Minute)) {
			t.Errorf("letter %+v", letter)
		}
		for _, e := range n.happened() {
			if strings.Contains(string(e.Payload), letter.Code) {
				t.Errorf("the code is in %s", e.Payload)
			}
		}
		if stored, err := n.Verification(ctx, operator, v.ID); err != nil || strings.Contains(fmt.Sprint(stored), letter.Code) {
			t.Errorf("stored %+v, %v", stored, err)
		}
		wrong := "000000"
		if letter.Code == wrong {
			wrong = "000001"
		}
		for _, code := range []string{"", "12345", "1234567", "12345x", "１２３４５６"} { // full-width digits
			_, err := n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Code: code})
			wants[*trust.FieldError](t, "a malformed code", err)
		}
		for range 4 {
			_, err := n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Code: wrong})
			wants[*trust.FieldError](t, "a wrong code", err)
		}
		n.told()
		got, err := n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Code: " " + letter.Code + "\n"})
		n.must(err)
		if got.Status != trust.Verified || got.Secret != "" {
			t.Errorf("confirmed %+v", got)
		}
		n.told(
			"verification.updated "+m.Actor+" verificationType=email status=verified confidence=1",
			"reputation.updated "+m.Actor+" previousScore=0 score=0.25 level=low reason=email verified")

		// Five wrong tries end it.
		v = n.begin(m.Caller, trust.Email, "")
		right := n.mail[1].Code
		if right == wrong {
			wrong = "000002"
		}
		for range 5 {
			_, err := n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Code: wrong})
			wants[*trust.FieldError](t, "a wrong code", err)
		}
		_, err = n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Code: right})
		is(t, "the right code after five wrong ones", err, trust.ErrState)
		n.told(
			"verification.created "+m.Actor+" verificationType=email status=pending confidence=0",
			"verification.updated "+m.Actor+" verificationType=email status=failed confidence=0")

		// A code is of one verification, and of the address it was sent to.
		n.begin(m.Caller, trust.Email, "")
		v = n.begin(m.Caller, trust.Email, "")
		if earlier, now := n.mail[2].Code, n.mail[3].Code; earlier != now {
			_, err = n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Code: earlier})
			wants[*trust.FieldError](t, "the code of another letter", err)
		}
		n.exec(`UPDATE users SET email = 'new@example.org' WHERE id = $1`, m.User)
		_, err = n.Confirm(ctx, m.Caller, v.ID, trust.Proof{Code: n.mail[3].Code})
		wants[*trust.FieldError](t, "with another address", err)

		n.begin(m.Caller, trust.Email, "")
		_, err = n.Begin(ctx, m.Caller, trust.NewVerification{Type: trust.Email})
		if e := wants[*trust.RateError](t, "a sixth letter", err); e != nil && (e.Limit != 5 || e.RetryAfter != time.Hour) {
			t.Errorf("the limit is %+v", e)
		}
		n.pass(10 * time.Minute)
		list, err := n.Verifications(ctx, m.Caller, trust.VerificationQuery{Status: trust.Pending})
		n.must(err)
		_, err = n.Confirm(ctx, m.Caller, list.Verifications[0].ID, trust.Proof{Code: n.mail[4].Code})
		is(t, "after ten minutes", err, trust.ErrExpired)
	})
}

// Who tries many codes at once has no more tries.
func TestCodesTriedAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		m := n.member()
		v := n.begin(m.Caller, trust.Email, "")
		wrong := "000000"
		if n.mail[0].Code == wrong {
			wrong = "000001"
		}
		var wg sync.WaitGroup
		errs := make([]error, 20)
		for i := range errs {
			wg.Go(func() { _, errs[i] = n.Confirm(t.Context(), m.Caller, v.ID, trust.Proof{Code: wrong}) })
		}
		wg.Wait()
		tries := 0
		for _, err := range errs {
			if !errors.Is(err, trust.ErrState) {
				wants[*trust.FieldError](t, "a wrong code", err)
				tries++
			}
		}
		if tries != 5 || n.status(v.ID) != trust.Failed {
			t.Errorf("%d tries, and the verification is %s", tries, n.status(v.ID))
		}
	})
}

func TestCodesThatCannotBeSent(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		m := n.member()
		n.happened()
		n.mailing = errors.New("550 no such mailbox")
		_, err := n.Begin(ctx, m.Caller, trust.NewVerification{Type: trust.Email})
		is(t, "a letter that is refused", err, trust.ErrMail)
		n.told(
			"verification.created "+m.Actor+" verificationType=email status=pending confidence=0",
			"verification.updated  verificationType=email status=failed confidence=0")
		n.exec(`UPDATE users SET email = NULL WHERE id = $1`, m.User)
		_, err = n.Begin(ctx, m.Caller, trust.NewVerification{Type: trust.Email})
		wants[*trust.FieldError](t, "without an address", err)
		n.told()
		silent, err := trust.New(trust.Options{Store: n.store.Trust(), Secret: make([]byte, 32)})
		n.must(err)
		_, err = silent.Begin(ctx, m.Caller, trust.NewVerification{Type: trust.Email})
		is(t, "without a mailer", err, trust.ErrNoMailer)
	})
}

func TestMembersVouch(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		anna, boris, guest := n.member(), n.member(), n.person()
		n.sign(boris)
		n.happened()
		v := n.begin(boris.Caller, trust.Member, anna.ID)
		if v.Status != trust.Verified || v.Verifier != boris.ID || v.Confidence != 2500+7500*35/100 {
			t.Errorf("vouched %+v", v)
		}
		n.told(
			"verification.created "+boris.Actor+" verificationType=social status=verified confidence=0.5125",
			"reputation.updated "+boris.Actor+" previousScore=0 score=0.0769 level=poor reason=member verified")
		for what, c := range map[string]struct {
			by   *member
			of   string
			want error
		}{
			"again":                   {boris, anna.ID, trust.ErrExists},
			"for nobody":              {boris, "idn_01JNB3C7Q9V5T2M8K4X6Z0R1WD", trust.ErrNotFound},
			"for no id":               {boris, "anna", trust.ErrNotFound},
			"of a service":            {&member{Caller: operator}, anna.ID, trust.ErrForbidden},
			"for themselves":          {anna, anna.ID, nil},
			"for who is not said":     {anna, "", nil},
			"without an own identity": {guest, anna.ID, nil},
		} {
			_, err := n.Begin(ctx, c.by.Caller, trust.NewVerification{Type: trust.Member, Identity: c.of})
			if c.want != nil {
				is(t, what, err, c.want)
			} else {
				wants[*trust.FieldError](t, what, err)
			}
		}
		n.told()
		// Each vouches for the other, but for nobody twice, also when it was taken back.
		n.begin(anna.Caller, trust.Member, boris.ID)
		back, err := n.Decide(ctx, operator, v.ID, trust.Decision{Status: trust.Failed})
		n.must(err)
		if back.Verifier != boris.ID || n.seen(anna.ID).Score != 0 {
			t.Errorf("taken back %+v", back)
		}
		_, err = n.Begin(ctx, boris.Caller, trust.NewVerification{Type: trust.Member, Identity: anna.ID})
		is(t, "again after it was taken back", err, trust.ErrExists)
		// What has expired may be said again.
		n.pass(365 * 24 * time.Hour)
		_, err = n.Sweep(ctx)
		n.must(err)
		n.begin(anna.Caller, trust.Member, boris.ID)
	})
}

// Two who vouch at once do not lose each other's word.
func TestMembersVouchAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		anna := n.member()
		var all []*member
		for range 6 {
			all = append(all, n.member())
		}
		var wg sync.WaitGroup
		errs := make([]error, 2*len(all))
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = n.Begin(t.Context(), all[i%len(all)].Caller, trust.NewVerification{Type: trust.Member, Identity: anna.ID})
			})
		}
		wg.Wait()
		twice := 0
		for _, err := range errs {
			if errors.Is(err, trust.ErrExists) {
				twice++
			} else if err != nil {
				t.Error(err)
			}
		}
		if got := n.seen(anna.ID).Score; twice != len(all) || got != 2250 { // 0.15 · 6 · 0.25
			t.Errorf("score %d, %d of %d were refused", got, twice, len(errs))
		}
	})
}

func TestOperatorsDecide(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		anna, boris := n.member(), n.member()
		admin := trust.Caller{User: boris.User, Operator: true, Actor: boris.Actor}
		n.happened()
		half := 0.5
		want := []trust.Share{2500, 4750, 5800, 6430} // document at ½, phone, social, blockchain at ½
		for k, typ := range []string{trust.Document, trust.Phone, trust.Social, trust.Blockchain} {
			v := n.begin([]trust.Caller{anna.Caller, operator, admin, anna.Caller}[k], typ, anna.ID)
			d := trust.Decision{Status: trust.Verified}
			if k == 0 || k == 3 {
				d.Confidence = &half
			}
			if _, err := n.Confirm(ctx, anna.Caller, v.ID, trust.Proof{Code: "123456", Signature: "x"}); !errors.Is(err, trust.ErrForbidden) {
				t.Errorf("confirmed by the owner: %v", err)
			}
			if _, err := n.Decide(ctx, anna.Caller, v.ID, d); !errors.Is(err, trust.ErrForbidden) {
				t.Errorf("decided by the owner: %v", err)
			}
			got, err := n.Decide(ctx, admin, v.ID, d)
			n.must(err)
			if got.Status != trust.Verified || got.Verifier != admin.Actor {
				t.Errorf("decided %+v", got)
			}
			if _, err := n.Decide(ctx, admin, v.ID, d); !errors.Is(err, trust.ErrState) {
				t.Errorf("decided twice: %v", err)
			}
			if i := n.seen(anna.ID); i.Score != want[k] {
				t.Errorf("after %s the score is %d", typ, i.Score)
			}
		}
		if i := n.seen(anna.ID); i.Level != trust.Excellent || trust.ReputationLevel(i.Score) != trust.High {
			t.Errorf("in the end the identity is %+v", i)
		}
		var levels []string
		for _, e := range n.happened() {
			var p struct{ VerificationLevel string }
			if e.Type == event.TrustIdentityUpdated {
				n.must(json.Unmarshal(e.Payload, &p))
				levels = append(levels, p.VerificationLevel)
			}
		}
		if fmt.Sprint(levels) != "[medium high excellent]" {
			t.Errorf("levels %q", levels)
		}

		v := n.begin(anna.Caller, trust.Document, "")
		nan, small := 0.0, 0.00001
		nan /= nan
		for what, d := range map[string]trust.Decision{
			"pending": {Status: trust.Pending}, "": {}, "NaN": {Status: trust.Verified, Confidence: &nan}, "tiny": {Status: trust.Verified, Confidence: &small},
			"failed but confident": {Status: trust.Failed, Confidence: &half},
		} {
			_, err := n.Decide(ctx, operator, v.ID, d)
			wants[*trust.FieldError](t, what, err)
		}
		_, err := n.Decide(ctx, operator, v.ID, trust.Decision{Status: trust.Failed})
		n.must(err)
		challenge := n.begin(anna.Caller, trust.Challenge, "")
		_, err = n.Decide(ctx, operator, challenge.ID, trust.Decision{Status: trust.Verified})
		is(t, "a challenge decided by an operator", err, trust.ErrForbidden)
		v = n.begin(anna.Caller, trust.Phone, "")
		n.pass(30 * 24 * time.Hour)
		_, err = n.Decide(ctx, operator, v.ID, trust.Decision{Status: trust.Verified})
		is(t, "after thirty days", err, trust.ErrState)

		for _, typ := range []string{trust.Challenge, trust.Email} {
			for _, by := range []trust.Caller{boris.Caller, operator, admin} {
				_, err := n.Begin(ctx, by, trust.NewVerification{Type: typ, Identity: anna.ID})
				is(t, typ+" for another", err, trust.ErrForbidden)
			}
		}
		_, err = n.Begin(ctx, boris.Caller, trust.NewVerification{Type: trust.Document, Identity: anna.ID})
		is(t, "a document for another", err, trust.ErrForbidden)
		_, err = n.Begin(ctx, anna.Caller, trust.NewVerification{Type: "dna"})
		wants[*trust.FieldError](t, "an unknown type", err)
	})
}

func TestVerificationsExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		m := n.member()
		n.sign(m)
		n.pass(time.Hour)
		n.begin(m.Caller, trust.Email, "")
		_, err := n.Confirm(ctx, m.Caller, n.only(m, trust.Email), trust.Proof{Code: n.mail[0].Code})
		n.must(err)
		n.begin(m.Caller, trust.Phone, "")
		n.happened()

		expire := func(want int) {
			t.Helper()
			if got, err := n.Sweep(ctx); err != nil || got != want {
				t.Errorf("%d expired, want %d: %v", got, want, err)
			}
		}
		expire(0)
		n.pass(30 * 24 * time.Hour)
		expire(1)
		n.told("verification.updated  verificationType=phone status=expired confidence=0")
		n.pass(335*24*time.Hour - time.Hour)
		expire(1)
		expire(0)
		n.told(
			"verification.updated  verificationType=blockchain status=expired confidence=0",
			"identity.updated  verificationLevel=basic changes=[verificationLevel]",
			"reputation.updated  previousScore=0.5125 score=0.25 level=low reason=challenge expired")
		n.pass(time.Hour)
		expire(1)
		if i := n.seen(m.ID); i.Score != 0 || i.KeyVerified {
			t.Errorf("in the end the identity is %+v", i)
		}
		list, err := n.Verifications(ctx, m.Caller, trust.VerificationQuery{})
		if err != nil || len(list.Verifications) != 2 { // phone has been forgotten
			t.Errorf("listed %+v, %v", list, err)
		}
		n.pass(91 * 24 * time.Hour)
		expire(0)
		if list, err = n.Verifications(ctx, m.Caller, trust.VerificationQuery{}); err != nil || len(list.Verifications) != 0 {
			t.Errorf("after that %+v, %v", list, err)
		}
	})
}

// only is the one verification of a type that m sees.
func (n *network) only(m *member, typ string) string {
	n.t.Helper()
	list, err := n.Verifications(n.t.Context(), m.Caller, trust.VerificationQuery{Type: typ})
	n.must(err)
	if len(list.Verifications) != 1 {
		n.t.Fatalf("%+v", list)
	}
	return list.Verifications[0].ID
}

// Others do not learn whether a verification exists (guarantees.md S14, S15).
func TestS15_VerificationsOfOthersDoNotExist(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		anna, boris, vera := n.member(), n.member(), n.member()
		own := n.begin(anna.Caller, trust.Challenge, "")
		word := n.begin(boris.Caller, trust.Member, anna.ID)
		for _, c := range []struct {
			by   trust.Caller
			id   string
			sees bool
		}{
			{anna.Caller, own.ID, true},
			{anna.Caller, word.ID, true},
			{boris.Caller, own.ID, false},
			{boris.Caller, word.ID, true},
			{vera.Caller, own.ID, false},
			{vera.Caller, word.ID, false},
			{operator, own.ID, true},
			{operator, word.ID, true},
			{trust.Caller{Actor: event.Service("k_2")}, own.ID, false},
			{operator, "vrf_01JNB3C7Q9V5T2M8K4X6Z0R1WD", false},
			{operator, "vrf_\x00", false},
		} {
			_, err := n.Verification(ctx, c.by, c.id)
			if c.sees != (err == nil) || err != nil && !errors.Is(err, trust.ErrNotFound) {
				t.Errorf("%s reads %s: %v", c.by.Actor, c.id, err)
			}
			_, err = n.Confirm(ctx, c.by, c.id, trust.Proof{Code: "1", Signature: "x"})
			if c.sees == errors.Is(err, trust.ErrNotFound) || err == nil {
				t.Errorf("%s confirms %s: %v", c.by.Actor, c.id, err)
			}
		}
		for _, c := range []struct {
			by   trust.Caller
			q    trust.VerificationQuery
			want int
		}{
			{anna.Caller, trust.VerificationQuery{}, 2},
			{anna.Caller, trust.VerificationQuery{Identity: anna.ID, Status: trust.Pending}, 1},
			{anna.Caller, trust.VerificationQuery{Identity: boris.ID}, 0},
			{boris.Caller, trust.VerificationQuery{}, 1},
			{boris.Caller, trust.VerificationQuery{Identity: anna.ID}, 1},
			{vera.Caller, trust.VerificationQuery{Identity: anna.ID}, 0},
			{operator, trust.VerificationQuery{}, 2},
			{operator, trust.VerificationQuery{Identity: anna.ID, Type: trust.Member}, 1},
			{operator, trust.VerificationQuery{Identity: vera.ID}, 0},
		} {
			if p, err := n.Verifications(ctx, c.by, c.q); err != nil || len(p.Verifications) != c.want {
				t.Errorf("%s lists %+v: %+v, %v", c.by.Actor, c.q, p, err)
			}
		}
		p, err := n.Verifications(ctx, operator, trust.VerificationQuery{Limit: 1})
		n.must(err)
		if p, err = n.Verifications(ctx, operator, trust.VerificationQuery{Limit: 1, Cursor: p.Next}); err != nil || len(p.Verifications) != 1 || p.Next != "" {
			t.Errorf("the second page is %+v, %v", p, err)
		}
		_, err = n.Verifications(ctx, operator, trust.VerificationQuery{Cursor: "x"})
		wants[*trust.FieldError](t, "a cursor", err)
		_, err = n.Verifications(ctx, operator, trust.VerificationQuery{Identity: "idn_01JNB3C7Q9V5T2M8K4X6Z0R1WD"})
		is(t, "of no identity", err, trust.ErrNotFound)
	})
}

func TestPeopleBeginOnlySoMany(t *testing.T) {
	n := open(t, "sqlite", trust.Options{})
	m := n.member()
	for range 60 {
		n.begin(m.Caller, trust.Challenge, "")
	}
	n.pass(20 * time.Minute)
	_, err := n.Begin(t.Context(), m.Caller, trust.NewVerification{Type: trust.Challenge})
	if e := wants[*trust.RateError](t, "the 61st", err); e != nil && (e.Limit != 60 || e.RetryAfter != 40*time.Minute) {
		t.Errorf("the limit is %+v", e)
	}
	n.begin(operator, trust.Phone, m.ID)
	n.pass(40 * time.Minute)
	n.begin(m.Caller, trust.Challenge, "")
}

func TestNewWantsWhatItNeeds(t *testing.T) {
	if _, err := trust.New(trust.Options{Secret: make([]byte, 32)}); err == nil {
		t.Error("a service without a store")
	}
}
