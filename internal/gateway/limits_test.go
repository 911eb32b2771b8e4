package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/gateway"
)

// nobody knows no credential.
type nobody struct{}

func (nobody) Authenticate(context.Context, string) (gateway.Caller, error) {
	return gateway.Caller{}, gateway.ErrInvalid
}

func (nobody) Refresh(context.Context, gateway.Caller) (gateway.Caller, error) {
	return gateway.Caller{}, gateway.ErrRevoked
}

// A client that tries a bad token every 5 s gives up after its limit, however high, because
// it is refused until it has been quiet for a minute.
func TestABadTokenStaysRefusedWhileItIsTried(t *testing.T) {
	catalogue, err := event.NewCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	g := gateway.New(gateway.Options{Accounts: nobody{}, Catalogue: catalogue, Clock: func() time.Time { return now }})
	try := func() error {
		now = now.Add(5 * time.Second)
		r := httptest.NewRequest(http.MethodGet, "/v1/ws?token=bad", nil)
		_, err := g.Identify(r, true)
		return err
	}
	for i := range 5 {
		if err := try(); !errors.Is(err, gateway.ErrInvalid) {
			t.Fatalf("try %d: %v", i+1, err)
		}
	}
	refused := func() bool {
		now = now.Add(5 * time.Second)
		s, w := &sockets{conn: &line{}}, httptest.NewRecorder()
		g.ServeEvents(s).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/ws?token=bad", nil))
		return w.Code == http.StatusUnauthorized && s.session == nil
	}
	for i := range 30 {
		if !refused() {
			t.Fatalf("try %d", i+6)
		}
	}
	if now = now.Add(time.Minute); refused() {
		t.Error("after a minute")
	}
}
