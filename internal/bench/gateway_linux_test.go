package bench_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/coder/websocket"
)

// fakeGateway is the smallest event gateway that the measure accepts: everybody may
// connect, and hears the metrics that are pushed if subscribed to them.
type fakeGateway struct {
	mu        sync.Mutex
	log       []string
	listeners []chan string
}

func (f *fakeGateway) add(mux *http.ServeMux) {
	mux.HandleFunc("/v1/ws", f.connect)
	mux.HandleFunc("POST /api/v2/admin/keys", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":"1","key":"k"}`)
	})
	mux.HandleFunc("POST /api/v2/metrics", func(w http.ResponseWriter, r *http.Request) {
		var values []json.RawMessage
		if json.NewDecoder(r.Body).Decode(&values) != nil {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		f.mu.Lock()
		for _, v := range values {
			text := `{"type":"event","id":"evt_1","event":"analytics.metric.updated","data":` + string(v) + `}`
			f.log = append(f.log, text)
			for _, out := range f.listeners {
				out <- text
			}
		}
		f.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"accepted":1}`)
	})
}

func (f *fakeGateway) connect(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	out, done := make(chan string, 1<<16), make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-out:
				_ = c.Write(r.Context(), websocket.MessageText, []byte(s))
			case <-done:
				return
			}
		}
	}()
	out <- `{"type":"response","id":"1","data":{"action":"auth","status":"ok","cursor":"evt_0"}}`
	out <- `{"type":"ping","id":"2","data":{}}`
	for {
		var m struct {
			Type, LastEventID string
			Events            []string
		}
		_, b, err := c.Read(r.Context())
		if err != nil || json.Unmarshal(b, &m) != nil {
			return
		}
		if m.Type == "pong" {
			continue
		}
		f.mu.Lock()
		out <- `{"type":"response","id":"3","data":{"action":"` + m.Type + `","status":"ok"}}`
		f.listeners = slices.DeleteFunc(f.listeners, func(l chan string) bool { return l == out })
		if m.Type == "subscribe" && slices.Contains(m.Events, "analytics.metric.updated") {
			f.listeners = append(f.listeners, out)
			if m.LastEventID != "" {
				for _, text := range f.log {
					out <- text
				}
			}
		}
		f.mu.Unlock()
	}
}
