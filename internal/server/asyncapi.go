package server

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/kuranty/kuranty/internal/asyncapi"
)

// handleAsyncAPI serves the description of the gateway for programs. It never changes while
// the server runs.
func (s *Server) handleAsyncAPI(mux *http.ServeMux) {
	c := &s.cfg.Gateway
	o := asyncapi.Options{
		Version: cmp.Or(s.o.Version, "unknown"),
		Limits: asyncapi.Limits{
			Subscriptions: c.SubscriptionLimit, FrameBytes: c.MessageSizeLimit, MessagesPerMinute: c.MessagesPerMinute, ConnectionsPerSubject: c.ConnectionLimit,
			PingInterval: c.PingInterval, PongTimeout: c.PongTimeout, AuthTimeout: c.AuthTimeout,
		},
	}
	if u, err := url.Parse(s.cfg.HTTPServer.PublicURL); err == nil && u.Host != "" {
		o.Host, o.Insecure = u.Host, u.Scheme == "http"
	}
	if at := s.cfg.HTTPServer; at.Port != 0 {
		o.Local, o.LocalTLS = Address{Host: at.Address, Port: at.Port}.reachable(), at.TLS.Enabled
	}
	catalogue := s.backend.gateway.Catalogue()
	for _, f := range []struct {
		path, contentType string
		text              func() ([]byte, error)
	}{
		{"/v1/asyncapi.json", "application/json", func() ([]byte, error) { return asyncapi.JSON(catalogue, o) }},
		{"/v1/asyncapi.yaml", "application/yaml", func() ([]byte, error) { return asyncapi.YAML(catalogue, o) }},
	} {
		// Made when somebody asks: writing the YAML would be most of the time of a start.
		made := sync.OnceValue(func() []byte {
			text, err := f.text()
			if err != nil {
				panic(fmt.Sprintf("server: %s: %v", f.path, err)) // the catalogue has checked the schemas
			}
			return text
		})
		mux.HandleFunc(f.path, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				h.Set("Allow", "GET, HEAD")
				http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
				return
			}
			text := made()
			h.Set("Content-Type", f.contentType)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Access-Control-Allow-Origin", "*") // it is the same for everybody
			h.Set("Content-Length", strconv.Itoa(len(text)))
			_, _ = w.Write(text) // whoever asked may be gone
		})
	}
}
