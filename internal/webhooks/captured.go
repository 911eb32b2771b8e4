package webhooks

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/webhook"
)

// Captured is a request that somebody recorded at a receiver.
type Captured struct {
	Header http.Header
	Body   []byte
	// At is when it came.
	At time.Time
}

// Finding is whether a receiver that checks one scheme would take a captured request.
type Finding struct {
	// Scheme is what is checked: the header, for webhook-signature with the kind of the
	// signature behind it.
	Scheme   string
	Accepted bool
	// Reason says why not, or with which key.
	Reason string
}

// The schemes of [Finding].
const (
	schemeDocumented = "X-Webhook-Signature"
	schemeNext       = "X-Webhook-Signature-Next"
	schemeStandard   = "webhook-signature v1"
	schemeEd25519    = "webhook-signature v1a"
)

// CheckSignature tells which schemes would accept a captured request as one of a webhook's
// (spec/webhooks.md §4.11).
func (s *Service) CheckSignature(ctx context.Context, id int64, c Captured) ([]Finding, error) {
	w, err := s.unlocked(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.At.IsZero() {
		c.At = s.Now()
	}
	keys := keysOf(&w, c.At)
	return []Finding{
		c.documented(schemeDocumented, webhook.HeaderSignature, keys),
		c.documented(schemeNext, webhook.HeaderSignatureNext, keys[:min(1, len(keys))]),
		c.standard(schemeStandard, "v1,", keys),
		c.standard(schemeEd25519, "v1a,", []named{{name: "the server's public key", public: s.o.PublicKey}}),
	}, nil
}

// named is a key, and how owners call it.
type named struct {
	name   string
	secret webhook.Secret
	public ed25519.PublicKey
}

func (n *named) verifier() webhook.Verifier {
	v := webhook.Verifier{Tolerance: math.MaxInt64} // how old it is, is told apart
	if n.public != nil {
		v.Keys = []ed25519.PublicKey{n.public}
	} else {
		v.Secrets = []webhook.Secret{n.secret}
	}
	return v
}

// keysOf are the secrets that are good at a time, the current one first.
func keysOf(w *delivery.Webhook, at time.Time) (keys []named) {
	if w.HasSecret() {
		keys = append(keys, named{name: "the secret", secret: w.Secret})
	}
	if Rotating(w, at) {
		keys = append(keys, named{name: "the previous secret", secret: w.PreviousSecret})
	}
	return keys
}

// documented checks a header of the documented scheme, which signs the body alone.
func (c *Captured) documented(scheme, header string, keys []named) Finding {
	f := Finding{Scheme: scheme}
	value := c.Header.Get(header)
	switch {
	case value == "":
		f.Reason = "the header is missing"
		return f
	case len(keys) == 0:
		f.Reason = "the webhook has no secret"
		return f
	case !strings.HasPrefix(value, "sha256="):
		f.Reason = "the header must begin with sha256="
		return f
	}
	signed := http.Header{webhook.HeaderSignature: {value}}
	for _, k := range keys {
		v := k.verifier()
		if v.VerifyBody(signed, c.Body) == nil {
			f.Accepted, f.Reason = true, "signed with "+k.name
			return f
		}
		if again, err := webhook.Canonical(c.Body); err == nil && v.VerifyBody(signed, again) == nil {
			f.Reason = "the body is not as it was sent: in canonical form it is signed with " + k.name
			return f
		}
	}
	f.Reason = "no secret makes this signature of this body"
	return f
}

// standard checks the signatures of a kind in webhook-signature, which sign the id and the
// time too.
func (c *Captured) standard(scheme, kind string, keys []named) Finding {
	f := Finding{Scheme: scheme}
	var list []string
	for _, signature := range strings.Fields(c.Header.Get(webhook.HeaderSignatureList)) {
		if strings.HasPrefix(signature, kind) {
			list = append(list, signature)
		}
	}
	switch {
	case c.Header.Get(webhook.HeaderSignatureList) == "":
		f.Reason = "the header is missing"
		return f
	case len(list) == 0:
		f.Reason = "the header has no signature that begins with " + kind
		return f
	case len(keys) == 0:
		f.Reason = "the webhook has no secret"
		return f
	}
	only := c.Header.Clone()
	only.Set(webhook.HeaderSignatureList, strings.Join(list, " "))
	for _, k := range keys {
		v := k.verifier()
		err := v.Verify(only, c.Body)
		if errors.Is(err, webhook.ErrHeader) {
			f.Reason = err.Error()
			return f
		}
		if err == nil {
			f.Accepted, f.Reason = true, "signed with "+k.name
			c.age(&f)
			return f
		}
	}
	f.Reason = "no key makes this signature of this body with this webhook-id and webhook-timestamp"
	return f
}

// age refuses a request that came long after it was signed, or before.
func (c *Captured) age(f *Finding) {
	seconds, _ := strconv.ParseInt(c.Header.Get(webhook.HeaderTimestamp), 10, 64) // Verify has read it
	apart := c.At.Sub(time.Unix(seconds, 0)).Abs()
	if apart > webhook.DefaultTolerance {
		f.Accepted = false
		f.Reason += fmt.Sprintf(", but webhook-timestamp is %s away from when it came; receivers allow %s",
			apart.Truncate(time.Second), webhook.DefaultTolerance)
	}
}
