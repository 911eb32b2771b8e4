package webhookapi

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

// DeliveryList is a page of deliveries.
type DeliveryList struct {
	Items      []Delivery `json:"items" nullable:"false"`
	Total      *int       `json:"total" doc:"All that match; null on pages by cursor, which do not count"`
	Limit      int        `json:"limit"`
	Offset     int        `json:"offset"`
	NextCursor *string    `json:"next_cursor" doc:"The cursor of the next page, null on the last"`
}

func (a *API) deliveries(r *request) (answer, error) {
	at, id := r.id("webhook_id")
	in := delivery.Query(r.URL.Query())
	q := webhooks.DeliveryQuery{
		Status: delivery.Status(in.Text("status", 0, 0)), State: delivery.State(in.Text("state", 0, 0)), EventType: in.Text("event_type", 0, 0),
		EventID: in.Text("event_id", 0, 0), ErrorCode: in.Text("error_code", 0, 0), Since: in.Time("since"), Until: in.Time("until"),
	}
	q.Limit, q.Offset = in.Integer("limit", 1, maxLimit, defaultLimit), in.Integer("offset", 0, maxOffset, 0)
	if cursor := in.Text("cursor", 0, 0); cursor != "" {
		var ok bool
		if q.CursorCreatedAt, q.Cursor, ok = parseCursor(cursor); !ok {
			in.Refuse("cursor", "is not one that this server gave")
		}
	}
	if err := delivery.Invalid(at, in); err != nil {
		return answer{}, err
	}
	page, total, more, err := a.o.Service.Deliveries(r.Context(), id, q)
	if err != nil {
		return answer{}, err
	}
	out := DeliveryList{Items: make([]Delivery, len(page)), Limit: q.Limit, Offset: q.Offset}
	for i := range page {
		out.Items[i] = newDelivery(&page[i], a.o.Service.Now())
	}
	if q.Cursor == 0 {
		out.Total = &total
	}
	if more {
		last := &page[len(page)-1]
		out.NextCursor = optional(formatCursor(last.CreatedAt, last.ID))
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// formatCursor names a delivery by what pages are ordered by; parseCursor reads that.
func formatCursor(at time.Time, id int64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", at.UnixMicro(), id))
}

func parseCursor(text string) (at time.Time, id int64, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return time.Time{}, 0, false
	}
	var micros int64
	if n, err := fmt.Sscanf(string(b), "%d.%d", &micros, &id); err != nil || n != 2 || id < 1 || micros < 1 {
		return time.Time{}, 0, false
	}
	at = time.UnixMicro(micros).UTC()
	return at, id, formatCursor(at, id) == text
}

// one reads the webhook and the delivery of the path.
func (r *request) one() (in []*delivery.Input, hook, id int64) {
	at, hook := r.id("webhook_id")
	of, id := r.id("delivery_id")
	return []*delivery.Input{at, of}, hook, id
}

func (a *API) delivery(r *request) (answer, error) {
	in, hook, id := r.one()
	if err := delivery.Invalid(in...); err != nil {
		return answer{}, err
	}
	v, err := a.o.Service.Delivery(r.Context(), hook, id)
	if err != nil {
		return answer{}, err
	}
	out := DeliveryDetail{newDelivery(&v, a.o.Service.Now()), make([]Attempt, len(v.Attempts))}
	for i := range v.Attempts {
		out.Attempts[i] = newAttempt(&v.Attempts[i])
	}
	return answer{status: http.StatusOK, body: out}, nil
}

func (a *API) redeliver(r *request) (answer, error) {
	in, hook, id := r.one()
	fields, err := r.fields()
	if err != nil {
		return answer{}, err
	}
	fresh := fields.Bool("new_id")
	if err := delivery.Invalid(append(in, fields)...); err != nil {
		return answer{}, err
	}
	again := a.o.Service.Redeliver
	if fresh != nil && *fresh {
		again = a.o.Service.Copy
	}
	v, err := again(r.Context(), r.by, hook, id)
	return answer{status: http.StatusAccepted, body: newDelivery(&v, a.o.Service.Now())}, err
}

func (a *API) cancel(r *request) (answer, error) {
	in, hook, id := r.one()
	if err := delivery.Invalid(in...); err != nil {
		return answer{}, err
	}
	v, err := a.o.Service.Cancel(r.Context(), r.by, hook, id)
	return answer{status: http.StatusOK, body: newDelivery(&v, a.o.Service.Now())}, err
}

func (a *API) erase(r *request) (answer, error) {
	in, hook, id := r.one()
	if err := delivery.Invalid(in...); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, a.o.Service.ErasePayload(r.Context(), r.by, hook, id)
}

// Job queues deliveries again.
type Job struct {
	ID        string  `json:"id"`
	Kind      string  `json:"kind" enum:"recover,replay"`
	State     string  `json:"state" enum:"running,done,failed,canceled"`
	Matched   int     `json:"matched" doc:"Deliveries and events in the window, so far"`
	Queued    int     `json:"queued"`
	Succeeded int     `json:"succeeded" doc:"Of those that were queued"`
	Failed    int     `json:"failed"`
	CreatedAt string  `json:"created_at" format:"date-time"`
	UpdatedAt string  `json:"updated_at" format:"date-time"`
	WebhookID int64   `json:"webhook_id"`
	Since     string  `json:"since" format:"date-time"`
	Until     string  `json:"until" format:"date-time"`
	Error     *string `json:"error" doc:"Why the job failed"`
}

func newJob(j *dispatch.Job) Job {
	return Job{
		ID: j.ID, Kind: j.Kind, State: j.State, Matched: j.Matched, Queued: j.Queued, Succeeded: j.Succeeded, Failed: j.Failed,
		CreatedAt: webhook.FormatTime(j.CreatedAt), UpdatedAt: webhook.FormatTime(j.UpdatedAt), WebhookID: j.Webhook,
		Since: webhook.FormatTime(j.Since), Until: webhook.FormatTime(j.Until), Error: optional(j.Error),
	}
}

// The bounds of what narrows a job.
const (
	maxCodes = 50
	maxCode  = 50
)

func (a *API) recover(r *request) (answer, error) {
	return a.start(r, dispatch.JobRecover, func(in *delivery.Input, j *dispatch.Job) {
		j.ErrorCodes = in.Texts("error_codes", maxCodes, maxCode)
	})
}

func (a *API) replay(r *request) (answer, error) {
	return a.start(r, dispatch.JobReplay, func(in *delivery.Input, j *dispatch.Job) {
		j.EventTypes = in.Patterns("event_types")
		missing := in.Bool("only_missing")
		j.OnlyMissing = missing == nil || *missing
	})
}

// start begins a job of a kind; narrow reads what only that kind has.
func (a *API) start(r *request, kind string, narrow func(*delivery.Input, *dispatch.Job)) (answer, error) {
	at, id := r.id("webhook_id")
	in, err := r.fields()
	if err != nil {
		return answer{}, err
	}
	j := dispatch.Job{Webhook: id, Kind: kind, Since: in.Time("since"), Until: in.Time("until")}
	in.Require("since")
	if !j.Until.IsZero() && !j.Since.Before(j.Until) {
		in.Refuse("until", "must be after since")
	}
	if j.Since.After(a.o.Service.Now()) {
		in.Refuse("since", "is in the future")
	}
	narrow(in, &j)
	if err := delivery.Invalid(at, in); err != nil {
		return answer{}, err
	}
	if j, err = a.o.Service.Start(r.Context(), r.by, j); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted, body: newJob(&j)}, nil
}

func (a *API) job(r *request) (answer, error) {
	j, err := a.o.Service.Job(r.Context(), r.parts["job_id"])
	return answer{status: http.StatusOK, body: newJob(&j)}, err
}

func (a *API) cancelJob(r *request) (answer, error) {
	j, err := a.o.Service.CancelJob(r.Context(), r.by, r.parts["job_id"])
	return answer{status: http.StatusOK, body: newJob(&j)}, err
}

// Stats is how the attempts of a webhook went.
type Stats struct {
	Since       string         `json:"since" format:"date-time"`
	Attempts    int            `json:"attempts"`
	Succeeded   int            `json:"succeeded"`
	Failed      int            `json:"failed"`
	SuccessRate Rate           `json:"success_rate"`
	Outcomes    map[string]int `json:"outcomes" doc:"Attempts by error code; success is those without"`
	DurationMS  Durations      `json:"duration_ms"`
	Hours       []Hour         `json:"hours" nullable:"false" doc:"Hours in which there were attempts, oldest first"`
}

// Durations are percentiles.
type Durations struct {
	P50 *int64 `json:"p50"`
	P95 *int64 `json:"p95"`
	P99 *int64 `json:"p99"`
}

// Hour is how the attempts of one hour went.
type Hour struct {
	Start       string `json:"start" format:"date-time"`
	Attempts    int    `json:"attempts"`
	Succeeded   int    `json:"succeeded"`
	SuccessRate Rate   `json:"success_rate"`
}

// statsOf is the time that statistics cover if nothing else is asked for.
const statsOf = 24 * time.Hour

func (a *API) stats(r *request) (answer, error) {
	at, id := r.id("webhook_id")
	in := delivery.Query(r.URL.Query())
	since := in.Time("since")
	if err := delivery.Invalid(at, in); err != nil {
		return answer{}, err
	}
	if since.IsZero() {
		since = a.o.Service.Now().Add(-statsOf)
	}
	st, err := a.o.Service.Stats(r.Context(), id, since)
	if err != nil {
		return answer{}, err
	}
	out := Stats{
		Since: webhook.FormatTime(since), Outcomes: st.Outcomes, Hours: make([]Hour, len(st.Hours)),
		DurationMS: Durations{milliseconds(st.P50), milliseconds(st.P95), milliseconds(st.P99)},
	}
	for _, n := range st.Outcomes {
		out.Attempts += n
	}
	out.Succeeded = st.Outcomes["success"]
	out.Failed, out.SuccessRate = out.Attempts-out.Succeeded, rateOf(out.Succeeded, out.Attempts)
	for i, h := range st.Hours {
		out.Hours[i] = Hour{webhook.FormatTime(h.Start), h.Attempts, h.Succeeded, rateOf(h.Succeeded, h.Attempts)}
	}
	return answer{status: http.StatusOK, body: out}, nil
}
