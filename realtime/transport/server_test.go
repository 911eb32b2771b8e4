package transport_test

import (
	"testing"

	"github.com/coder/websocket"

	"github.com/kuranty/kuranty/realtime/transport"
)

func TestEcho(t *testing.T) {
	s := serve(t, nil, transport.Options{})
	c := s.dial(t, "", nil)
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	kind, p, err := c.Read(t.Context())
	if err != nil || kind != websocket.MessageText || string(p) != "hello" {
		t.Fatalf("read %v %q, %v", kind, p, err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Fatal(err)
	}
}
