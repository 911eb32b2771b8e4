package servertest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/servertest"
)

// event-gateway.md §9: who reads a tenth of it holds up nobody and costs no memory, and has missed
// nothing when it reads the rest.
func TestR30_GatewaySlowReader(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes))
	slow, quick := enter(t, in, in.APIKey, ""), enter(t, in, in.APIKey, "")
	for _, s := range []*socket{slow, quick} {
		s.send(`{"type":"subscribe","channels":["events"]}`)
		s.answered("subscribe", "ok")
	}
	const batches, size = 60, 50
	text := strings.Repeat("x", 8<<10)
	batch := make([]map[string]any, size)
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	longest := time.Duration(0)
	heard := 0
	late := func() {
		t.Helper()
		if m := slow.hear(); m.Type != "event" || m.Data["n"] != float64(heard) {
			t.Fatalf("%d: %v %v", heard, m.Type, m.Data["n"])
		}
		heard++
	}
	for n := range batches { // 24 MB in all
		for i := range batch {
			batch[i] = map[string]any{"type": "order.paid", "data": map[string]any{"n": n*size + i, "text": text}}
		}
		began := time.Now()
		if status, got := ask(t, in, in.APIKey, http.MethodPost, "/v1/events", batch); status != 202 {
			t.Fatalf("%d %v", status, got)
		}
		for i := range size {
			if m := quick.hear(); m.Data["n"] != float64(n*size+i) {
				t.Fatalf("%d: %v", n*size+i, m.Data["n"])
			}
		}
		longest = max(longest, time.Since(began))
		for range size / 10 { // enough not to be taken for stalled
			late()
		}
		if n == batches/2 { // the log's window is full by then, and so is what the kernel takes
			before = memory()
		}
	}
	if after := memory(); after > before+8<<20 {
		t.Errorf("%d MiB more", (after-before)>>20)
	}
	if longest > 5*time.Second {
		t.Errorf("a batch took %v", longest)
	}
	for heard < batches*size {
		late()
	}
	last := publish(t, in, "order.created", map[string]any{"number": 1})
	if m := slow.hear(); m.ID != last {
		t.Errorf("%+v", m)
	}
}

// Who takes nothing for ten seconds is told so if it reads again, and nothing else ends in
// 4008 (event-gateway.md §8).
func TestR30_GatewayStalledReader(t *testing.T) {
	t.Parallel()
	in := servertest.Start(t, servertest.Config(ownTypes))
	stalled := enter(t, in, in.APIKey, "")
	stalled.send(`{"type":"subscribe","channels":["events"]}`)
	stalled.answered("subscribe", "ok")
	batch := make([]map[string]any, 100)
	for i := range batch {
		batch[i] = map[string]any{"type": "order.paid", "data": map[string]any{"text": strings.Repeat("x", 8<<10)}}
	}
	text, err := json.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() { // who is told must read within 10 s, however long all of this takes
		for range 20 { // more than the kernel takes
			if r := request(t, in.URL, person{token: in.APIKey}, http.MethodPost, "/v1/events", "application/json", text); r.status != 202 {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
	})
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(metricsOf(t, in), `kuranty_gateway_closes_total{code="4008"} 1`); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) { // the transport's clock is real
			t.Fatal("is not closed")
		}
	}
	events := 0
	for {
		text, err := stalled.read()
		if err != nil {
			if !strings.Contains(err.Error(), `StatusCode(4008) and reason = "4008 `) {
				t.Errorf("after %d events: %v", events, err)
			}
			return
		}
		if events++; events == 2000 {
			t.Fatalf("has got all: %.80s", text)
		}
	}
}

func metricsOf(t *testing.T, in *servertest.Instance) string {
	t.Helper()
	r := request(t, in.URL, person{token: in.APIKey}, http.MethodGet, "/metrics", "", nil)
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return r.body
}

// talk returns the next message that is no notice of the room itself.
func (s *socket) talk() said {
	s.t.Helper()
	for {
		if m := s.hear(); m.Event != "message.created" || m.Data["senderId"] != "" {
			return m
		}
	}
}

// What may be seen is asked when it is sent, of the past too (S16, S15; event-gateway.md §5).
func TestS16_GatewayShowsRoomsToMembers(t *testing.T) {
	onBoth(t, "", func(t *testing.T, in *servertest.Instance) {
		anna, annasToken := signUp(t, in, "anna")
		bert, bertsToken := signUp(t, in, "bert")
		_, clarasToken := signUp(t, in, "clara")
		r := call(t, in, annasToken, http.MethodPost, "/chats", map[string]any{"kind": "group", "title": "Garden", "user_ids": []int64{bert}})
		var chat struct{ ID int64 }
		if err := json.Unmarshal([]byte(r.body), &chat); err != nil || chat.ID == 0 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		write := func(text string) (id int64) {
			r := call(t, in, annasToken, http.MethodPost, fmt.Sprintf("/chats/%d/messages", chat.ID), map[string]any{"text": text, "client_id": text})
			var m struct{ ID int64 }
			if err := json.Unmarshal([]byte(r.body), &m); err != nil || m.ID == 0 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			return m.ID
		}
		sockets := map[string]*socket{}
		for name, token := range map[string]string{"anna": annasToken, "bert": bertsToken, "clara": clarasToken, "operator": in.APIKey} {
			s := enter(t, in, token, "")
			s.send(`{"type":"subscribe","channels":["messages"],"events":["message.*"]}`)
			s.answered("subscribe", "ok")
			sockets[name] = s
		}
		start := write("for the member")
		var first string
		for _, name := range []string{"anna", "bert", "operator"} {
			m := sockets[name].talk()
			if first = m.ID; m.Event != "message.created" || m.Data["content"] != "for the member" || m.Data["senderId"] != fmt.Sprint(anna) || m.Data["roomId"] != fmt.Sprint(chat.ID) {
				t.Errorf("%s: %+v", name, m)
			}
		}
		write("in between")
		for _, name := range []string{"anna", "bert", "operator"} {
			sockets[name].talk()
		}
		call(t, in, annasToken, http.MethodDelete, fmt.Sprintf("/chats/%d/members/%d", chat.ID, bert), nil)
		write("not for bert")
		call(t, in, annasToken, http.MethodDelete, fmt.Sprintf("/messages/%d?for=all", start), nil)
		for _, name := range []string{"anna", "operator"} {
			if m := sockets[name].talk(); m.Data["content"] != "not for bert" {
				t.Errorf("%s: %+v", name, m)
			}
			if m := sockets[name].talk(); m.Event != "message.deleted" || m.Data["id"] != fmt.Sprint(start) {
				t.Errorf("%s: %+v", name, m)
			}
		}
		for _, name := range []string{"bert", "clara"} { // nothing has come meanwhile
			sockets[name].send(`{"type":"ping"}`)
			if m := sockets[name].talk(); m.Type != "pong" {
				t.Errorf("%s: %+v", name, m)
			}
		}
		for name, token := range map[string]string{"anna": annasToken, "bert": bertsToken, "clara": clarasToken} {
			s := enter(t, in, token, "")
			s.send(`{"type":"subscribe","channels":["messages"],"lastEventId":"evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD","onLost":"earliest"}`)
			resume, _ := s.answered("subscribe", "ok").Data["resume"].(map[string]any)
			n, _ := resume["replayed"].(float64)
			if (n > 0) != (name == "anna") {
				t.Errorf("%s: %v", name, resume)
			}
			for range int(n) {
				if m := s.hear(); m.Data["content"] == "for the member" || m.ID == first && m.Data["content"] != "" {
					t.Errorf("%s sees a deleted text: %+v", name, m)
				}
			}
			s.send(`{"type":"ping"}`)
			if m := s.hear(); m.Type != "pong" {
				t.Errorf("%s: %+v", name, m)
			}
		}
	})
}
