package webhookapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// The bounds of pages (spec/webhooks.md §1.3).
const (
	defaultLimit = 50
	maxLimit     = 200
	maxOffset    = 1<<31 - 1
)

// id reads the part of the path that names something by a number.
func (r *request) id(name string) (*delivery.Input, int64) {
	in := delivery.Path(name, r.parts[name])
	return in, in.ID(name)
}

// hook reads the webhook of the path, where nothing else can be wrong.
func (r *request) hook() (int64, error) {
	in, id := r.id("webhook_id")
	return id, delivery.Invalid(in)
}

// body reads the body.
func (r *request) body() ([]byte, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return b, nil
}

// fields reads the body as an object.
func (r *request) fields() (*delivery.Input, error) {
	b, err := r.body()
	if err != nil {
		return nil, err
	}
	return delivery.Body(b)
}

// List is a page of webhooks.
type List struct {
	Items  []Webhook `json:"items" nullable:"false"`
	Total  int       `json:"total" doc:"All that match, not only those of the page"`
	Limit  int       `json:"limit"`
	Offset int       `json:"offset"`
}

func (a *API) create(r *request) (answer, error) {
	body, err := r.body()
	if err != nil {
		return answer{}, err
	}
	v, err := a.o.Service.Create(r.Context(), r.by, body)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusCreated, newWebhook(&v, a.o.Service.Now()), v.Made != ""}, nil
}

func (a *API) list(r *request) (answer, error) {
	in := delivery.Query(r.URL.Query())
	q := webhooks.Query{EventType: in.Text("event_type", 0, 0), IsActive: in.Bool("is_active")}
	q.Limit, q.Offset = in.Integer("limit", 1, maxLimit, defaultLimit), in.Integer("offset", 0, maxOffset, 0)
	matches := in.Text("matches", 0, 0)
	if err := delivery.Invalid(in); err != nil {
		return answer{}, err
	}
	page, total, err := a.o.Service.List(r.Context(), q, matches)
	if err != nil {
		return answer{}, err
	}
	out := List{Items: make([]Webhook, len(page)), Total: total, Limit: q.Limit, Offset: q.Offset}
	for i := range page {
		out.Items[i] = newWebhook(&page[i], a.o.Service.Now())
	}
	return answer{status: http.StatusOK, body: out}, nil
}

func (a *API) get(r *request) (answer, error) {
	id, err := r.hook()
	if err != nil {
		return answer{}, err
	}
	v, err := a.o.Service.Webhook(r.Context(), id)
	return answer{status: http.StatusOK, body: newWebhook(&v, a.o.Service.Now())}, err
}

func (a *API) patch(r *request) (answer, error) {
	body, err := r.body()
	if err != nil {
		return answer{}, err
	}
	id, wrong := r.hook()
	if wrong != nil { // what else is wrong is told with it
		_, err := delivery.ParsePatch(body, delivery.Rules{})
		return answer{}, together(wrong, err)
	}
	v, err := a.o.Service.Patch(r.Context(), r.by, id, body)
	return answer{http.StatusOK, newWebhook(&v, a.o.Service.Now()), v.Made != ""}, err
}

// together joins what is wrong in two places; the first must be an [*delivery.InvalidError].
func together(first, second error) error {
	var a, b *delivery.InvalidError
	if errors.As(first, &a) && errors.As(second, &b) {
		return &delivery.InvalidError{Fields: append(a.Fields, b.Fields...)}
	}
	return first
}

func (a *API) remove(r *request) (answer, error) {
	id, err := r.hook()
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, a.o.Service.Delete(r.Context(), r.by, id)
}

// Totals are the figures of all webhooks.
type Totals struct {
	Webhooks    int  `json:"total_webhooks"`
	Active      int  `json:"active_webhooks"`
	Deliveries  int  `json:"total_deliveries"`
	Successful  int  `json:"successful_deliveries"`
	Failed      int  `json:"failed_deliveries"`
	SuccessRate Rate `json:"success_rate" doc:"Percentage of all deliveries, those that are pending too"`
}

func (a *API) totals(r *request) (answer, error) {
	t, err := a.o.Service.Totals(r.Context())
	return answer{status: http.StatusOK, body: Totals{t.Webhooks, t.Active, t.Deliveries, t.Successful, t.Failed, rateOf(t.Successful, t.Deliveries)}}, err
}

// Match says whether an event is for a webhook.
type Match struct {
	Matches bool   `json:"matches"`
	Reason  string `json:"reason" doc:"The pattern that takes it, or what keeps it away"`
}

func (a *API) match(r *request) (answer, error) {
	at, id := r.id("webhook_id")
	in, err := r.fields()
	if err != nil {
		return answer{}, err
	}
	in.Require("type")
	typ, payload := in.Text("type", 1, 128), in.Object("payload")
	if err := delivery.Invalid(at, in); err != nil {
		return answer{}, err
	}
	if payload == nil {
		payload = []byte("{}")
	}
	reason, ok, err := a.o.Service.Match(r.Context(), id, typ, payload)
	return answer{status: http.StatusOK, body: Match{ok, reason}}, err
}
