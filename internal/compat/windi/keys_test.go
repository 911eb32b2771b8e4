package windi_test

import (
	"fmt"
	"net/http"
	"testing"
)

// The key of a request that sends a message is its client id (chat-api.md §0.12).
func TestIdempotencyKeysOfMessages(t *testing.T) {
	s := start(t)
	anna := s.newUser("Анна")
	id := anna.group()
	channel := fmt.Sprintf("chat:%d", id)
	for i, x := range []struct {
		query string
		body  object
	}{
		{fmt.Sprintf("?chat_id=%d", id), object{"content": "x"}},
		{"", object{"channel": channel, "data": object{"type": "message", "content": "x"}}},
		{"?channel=" + channel, object{"content": "x"}},
	} {
		path := "/centrifugo/publish" + x.query
		key := http.Header{"Idempotency-Key": {fmt.Sprintf("key-%d", i)}}
		first := anna.callWith("POST", path, key, x.body).want(200).is(fmt.Sprintf(`"key-%d"`, i), "client_id")
		again := anna.callWith("POST", path, key, x.body).want(200).is(fmt.Sprint(first.get("id")), "id")
		if first.header.Get("Idempotency-Replayed") != "" || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("form %d: replayed %q, then %q", i+1, first.header.Get("Idempotency-Replayed"), again.header.Get("Idempotency-Replayed"))
		}
	}
	path, key := fmt.Sprintf("/centrifugo/publish?chat_id=%d", id), http.Header{"Idempotency-Key": {"key-0"}}
	anna.callWith("POST", path, key, object{"content": "another"}).want(409)
	anna.callWith("POST", path, key, object{"content": "x", "client_id": "key-0"}).want(200)
	anna.callWith("POST", path, key, object{"content": "x", "client_message_id": "other"}).want(422).is(`["body","client_id"]`, "detail", 0, "loc")
	anna.call("GET", fmt.Sprintf("/history/%d", id)).want(200).is(`4`, "total")
}
