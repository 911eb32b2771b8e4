package eventapi_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/eventapi"
	"github.com/kuranty/kuranty/internal/gateway"
)

// service is a key that may append everything there is to append, and is no administrator's.
type service struct{ anybody }

func (service) Authenticate(context.Context, string) (gateway.Caller, error) {
	return gateway.Caller{Subject: "key:shop", Permissions: []string{"events:publish"}}, nil
}

// The server's own types are said by others only as samples, by administrators, and where
// the server does not act upon them (guarantees.md S14).
func TestSamples(t *testing.T) {
	log := new(kept)
	admin := serve(t, log, emptyLog{}, io.Discard)
	catalogue, err := event.NewCatalogue(event.Custom{Type: "order.paid"})
	if err != nil {
		t.Fatal(err)
	}
	g := gateway.New(gateway.Options{Store: emptyLog{}, Accounts: service{}, Catalogue: catalogue, Logger: slog.New(slog.DiscardHandler)})
	plain, _ := eventapi.New(eventapi.Options{Gateway: g, Log: log, Allowed: func(*http.Request) bool { return true }}).Handlers()
	const ticket = `{"ticket_id":55,"user_id":8,"title":"Cannot pay","status":"open","priority":"high","has_media":false}`
	for _, c := range []struct {
		by           http.Handler
		body, stream string
		status       int
		says         string
	}{
		{admin, `{"type":"ticket.created","sample":true,"data":` + ticket + `}`, "sample", 202, "event_id"},
		{admin, `{"type":"ticket.created","sample":true,"ordering_key":"k","data":` + ticket + `}`, "key:k", 202, "event_id"},
		{admin, `{"type":"order.paid","sample":true,"data":{}}`, "sample", 202, "event_id"},
		{admin, `{"type":"order.paid","sample":null,"data":{}}`, "", 202, "event_id"},
		{admin, `{"type":"ticket.created","data":` + ticket + `}`, "", 422, "only it says that this happened"},
		{admin, `{"type":"ticket.created","sample":false,"data":` + ticket + `}`, "", 422, "only it says that this happened"},
		{admin, `{"type":"ticket.created","sample":1,"data":` + ticket + `}`, "", 422, "sample must be true or false"},
		{admin, `{"type":"ticket.created","sample":true,"data":{}}`, "", 422, "as the schema of the type wants it"},
		{admin, `{"type":"user.suspended","sample":true,"data":{"user_id":1}}`, "", 422, "the server acts upon"},
		{admin, `{"type":"message.created","sample":true,"data":{}}`, "", 422, "the server acts upon"},
		{admin, `{"type":"session.revoked","sample":true,"data":{}}`, "", 422, "is not registered"},
		{plain["/v1/events"], `{"type":"ticket.created","sample":true,"data":` + ticket + `}`, "", 403, "admin"},
		{plain["/v1/events"], `{"type":"order.paid","sample":true,"data":{}}`, "sample", 202, "event_id"},
	} {
		log.batch = nil
		w := do(t, c.by, http.MethodPost, "/v1/events", c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
		if stored := len(log.batch) == 1; stored != (c.status == 202) || stored && log.batch[0].Stream != c.stream {
			t.Errorf("%s: stored as %+v", c.body, log.batch)
		}
	}
}
