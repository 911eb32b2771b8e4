package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Why a request is refused. A receiver answers 401 or 400 to all of them.
var (
	ErrHeader    = errors.New("a header is missing or malformed")
	ErrTimestamp = errors.New("the request is too old or from the future")
	ErrSignature = errors.New("no signature matches")
)

// DefaultTolerance is how far a request's time may be from ours.
const DefaultTolerance = 5 * time.Minute

// A Verifier tells a receiver whether a request comes from who knows its secret. The
// body must be the bytes as they came, before anything decoded them.
//
//	secret, err := webhook.ParseSecret(os.Getenv("WEBHOOK_SECRET"))
//	v := webhook.Verifier{Secrets: []webhook.Secret{secret}}
//	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, webhook.MaxPayload))
//	if err := v.Verify(r.Header, body); err != nil { // 401
type Verifier struct {
	Secrets   []Secret            // one, or two while one takes the other's place
	Keys      []ed25519.PublicKey // for v1a signatures
	Tolerance time.Duration       // 0 is [DefaultTolerance]
	Now       func() time.Time    // nil is [time.Now]
}

// Verify checks webhook-id, webhook-timestamp and webhook-signature. It says nothing of
// whether the event came before: remember the webhook-id of what was done.
func (v *Verifier) Verify(header http.Header, body []byte) error {
	id, list := header.Get(HeaderID), header.Get(HeaderSignatureList)
	if id == "" || list == "" {
		return fmt.Errorf("%w: webhook-id and webhook-signature", ErrHeader)
	}
	seconds, err := strconv.ParseInt(header.Get(HeaderTimestamp), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: webhook-timestamp must be seconds since 1970", ErrHeader)
	}
	at, now, tolerance := time.Unix(seconds, 0), time.Now(), v.Tolerance
	if v.Now != nil {
		now = v.Now()
	}
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	if at.Before(now.Add(-tolerance)) || at.After(now.Add(tolerance)) {
		return ErrTimestamp
	}
	for signature := range strings.SplitSeq(list, " ") {
		if v.madeBySecret(signature, id, at, body) || v.madeByKey(signature, id, at, body) {
			return nil
		}
	}
	return ErrSignature
}

// VerifyBody checks X-Webhook-Signature, which knows nothing of time: who recorded a
// request can send it again for ever. Prefer [Verifier.Verify].
func (v *Verifier) VerifyBody(header http.Header, body []byte) error {
	signature := header.Get(HeaderSignature)
	if signature == "" {
		return fmt.Errorf("%w: X-Webhook-Signature", ErrHeader)
	}
	for _, s := range v.Secrets {
		if same(signature, s.Sign(body)) {
			return nil
		}
	}
	return ErrSignature
}

func (v *Verifier) madeBySecret(signature, id string, at time.Time, body []byte) bool {
	for _, s := range v.Secrets {
		if s.text != "" && same(signature, s.SignStandard(id, at, body)) {
			return true
		}
	}
	return false
}

func (v *Verifier) madeByKey(signature, id string, at time.Time, body []byte) bool {
	encoded, ok := strings.CutPrefix(signature, "v1a,")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return false
	}
	for _, key := range v.Keys {
		if len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed(id, at, body), raw) {
			return true
		}
	}
	return false
}

func same(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }
