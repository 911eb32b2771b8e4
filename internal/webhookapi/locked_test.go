package webhookapi_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/seal"
)

// A webhook whose key the server does not have is shown and can be removed; the others are
// not touched by it.
func TestLockedWebhooks(t *testing.T) {
	r := start(t, options{})
	id := r.make("http://127.0.0.1:1/")
	stranger, err := seal.New(bytes.Repeat([]byte{8}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	c, err := delivery.ParseCreate([]byte(`{"name":"lost","url":"http://127.0.0.1:1/","event_type":"ticket.*","secret":"optional-secret-for-signing"}`), delivery.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	lost := c.Webhook(time.Now())
	if err := r.store.Webhooks(stranger).Create(t.Context(), &lost, 10); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprint("/webhooks/", lost.ID)
	const warning = "the server has no key for its secrets"
	r.call("GET", "/webhooks", "").is(200, `"total":2`, `"lost"`, warning)
	r.call("GET", path, "").is(200, `"lost"`, warning)
	r.call("GET", path+"/deliveries", "").is(200)
	for _, refused := range []struct{ method, path, body string }{
		{"PATCH", path, `{"name":"found"}`},
		{"GET", path + "/secret", ""},
		{"POST", path + "/secret/rotate", `{}`},
		{"POST", path + "/deliveries/1/redeliver", ""},
		{"DELETE", path + "/secret/previous", ""},
		{"POST", path + "/test", `{}`},
		{"POST", "/webhooks/verify-signature", fmt.Sprintf(`{"webhook_id":%d,"body":"{}","headers":{}}`, lost.ID)},
	} {
		r.call(refused.method, refused.path, refused.body).is(409, "webhooks.secret_encryption_key")
	}
	r.call("DELETE", path, "").is(204)
	r.call("GET", "/webhooks", "").is(200, `"total":1`)
	r.call("PATCH", fmt.Sprint("/webhooks/", id), `{"name":"other"}`).is(200)
}
