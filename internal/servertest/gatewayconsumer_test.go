package servertest_test

import (
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

// event-gateway.md §10: whoever takes a durable consumer on one node ends, within 2 s, who
// read for it on another, without a word or an event from either.
func TestConsumersTakenOnAnotherNode(t *testing.T) {
	dsn := pgtest.Start(t)
	const key = "the key of both nodes, long enough"
	nodes := make([]*servertest.Instance, 2)
	for i := range nodes {
		nodes[i] = servertest.Start(t, servertest.Config(ownTypes), servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", dsn),
			servertest.Flag("http_api.key", key), servertest.Flag("auth.secret", "a-secret-of-both-nodes-that-is-long-enough"),
			servertest.Flag("client.token.hmac_secret_key", "a-secret-of-both-nodes-for-their-clients"))
	}
	read := func(in *servertest.Instance, token, consumer string) *socket {
		t.Helper()
		s := enter(t, in, token, "")
		s.send(`{"type":"subscribe","events":["order.*"],"consumer":"` + consumer + `"}`)
		s.answered("subscribe", "ok")
		return s
	}
	const name = `crm<1>&ü'\"`
	ofAnother, _ := newKey(t, nodes[0])
	bystander := read(nodes[0], key, "crm-2")
	stranger := read(nodes[0], ofAnother, name) // another's of the same name
	s := read(nodes[0], key, name)
	for i := range 3 { // there, back, and there again
		taken := time.Now()
		next := read(nodes[(i+1)%2], key, name)
		s.answered("consumer", "replaced")
		s.closed(1000, "1000")
		took := time.Since(taken)
		t.Logf("it was noticed after %v", took.Round(time.Millisecond))
		if took > 5*time.Second { // 2 s, and what a machine under load needs
			t.Errorf("it was noticed after %v", took)
		}
		s = next
	}
	id := publish(t, nodes[0], "order.paid", map[string]any{"n": 1})
	for who, s := range map[string]*socket{"who took it": s, "who reads for another": bystander, "another's": stranger} {
		if m := s.hear(); m.ID != id {
			t.Errorf("%s: %+v", who, m)
		}
	}
}
