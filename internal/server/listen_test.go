package server_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/coder/websocket"

	"github.com/kuranty/kuranty/internal/servertest"
)

// A further address serves the same as the first, WebSocket included.
func TestExtraAddressesServeTheSame(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	in := servertest.Start(t, servertest.Config(`{"http_server": {"extra_addresses": ["`+address+`"]}}`))
	res, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
	ctx := t.Context()
	conn, _, err := websocket.Dial(ctx, "ws://"+address+"/connection/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"id":1,"connect":{"token":"`+in.Token("42")+`"}}`)); err != nil {
		t.Fatal(err)
	}
	if _, reply, err := conn.Read(ctx); err != nil || string(reply[:8]) != `{"id":1,` {
		t.Errorf("connect over the further address: %s (%v)", reply, err)
	}
}
