package webhookapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/delivery"
)

// keyHeader makes repetitions of a request harmless (spec/webhooks.md §4.1).
const keyHeader = "Idempotency-Key"

// sealedAnswer is how an answer with a secret is kept.
type sealedAnswer struct {
	Sealed []byte `json:"sealed"`
}

// keep answers a request with a key: with the first answer if there was one. Secrets are
// sealed on their way to whoever keeps the answer, and opened on the way to the client.
func (a *API) keep(w http.ResponseWriter, r *request, serve func(*request) (answer, error)) error {
	context := []byte("answer to " + r.by.Actor + " " + r.Header.Get(keyHeader))
	last := &opener{ResponseWriter: w}
	err := a.o.Keep(last, r.Request, r.by.Actor, false, func(first http.ResponseWriter) {
		out, err := serve(r)
		if err == nil {
			err = a.sendKept(first, out, context)
		}
		if err != nil {
			a.refuse(first, r.Request, err)
		}
	})
	if err == nil {
		err = last.flush(a.o.Seal, context)
	}
	var said *apierror.Error
	if errors.As(err, &said) && said.Code == apierror.Validation {
		return &delivery.InvalidError{Fields: []delivery.FieldError{{
			Type: "value_error", Loc: []any{"header", keyHeader}, Msg: "Value error, must be 1 to 100 visible ASCII characters",
		}}}
	}
	return err
}

func (a *API) sendKept(w http.ResponseWriter, out answer, context []byte) error {
	if !out.secret {
		return send(w, out.status, out.body)
	}
	plain, err := encode(out.body)
	if err != nil {
		return err
	}
	return send(w, out.status, sealedAnswer{a.o.Seal.Seal(plain, context)})
}

// opener gathers an answer that may be sealed.
type opener struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
}

func (o *opener) WriteHeader(status int) { o.status = status }

func (o *opener) Write(b []byte) (int, error) { return o.body.Write(b) }

// flush writes the answer to the client.
func (o *opener) flush(s Sealer, context []byte) error {
	b := o.body.Bytes()
	var kept sealedAnswer
	if bytes.HasPrefix(b, []byte(`{"sealed":`)) && json.Unmarshal(b, &kept) == nil {
		plain, err := s.Open(kept.Sealed, context)
		if err != nil {
			return fmt.Errorf("open kept answer: %w", err)
		}
		b = plain
	}
	o.ResponseWriter.WriteHeader(o.status)
	_, _ = o.ResponseWriter.Write(b) // the peer may be gone
	return nil
}
