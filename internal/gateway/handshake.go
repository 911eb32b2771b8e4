package gateway

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

// Subprotocols (event-gateway.md §1, way E, and §11).
const (
	subprotocolEvents = "events.v1"
	subprotocolCloud  = "cloudevents.json"
	bearerProtocol    = "bearer."
)

// Sockets makes WebSocket connections of requests ([transport.Server.Accept]).
type Sockets interface {
	Accept(w http.ResponseWriter, r *http.Request, subprotocol string, newSession func(realtime.Conn) transport.Session)
}

// credential is what a request shows of its caller, by the first of the ways there are
// that it uses (event-gateway.md §1, rule 1).
type credential struct {
	text   string
	ticket bool
}

// credentialOf reads a request. That of an address counts last, and not where it is off.
func (g *Gateway) credentialOf(r *http.Request) credential {
	if c := headerCredential(r); c.text != "" {
		return c
	}
	for _, p := range subprotocols(r) {
		if token, ok := strings.CutPrefix(p, bearerProtocol); ok && token != "" {
			return credential{text: token}
		}
	}
	q := r.URL.Query()
	if ticket := q.Get("ticket"); ticket != "" {
		return credential{text: ticket, ticket: true}
	}
	if g.o.NoQueryToken {
		return credential{}
	}
	if token := q.Get("token"); token != "" {
		return credential{text: token}
	}
	return credential{text: q.Get("api_key")}
}

func subprotocols(r *http.Request) (offered []string) {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			offered = append(offered, strings.TrimSpace(p))
		}
	}
	return offered
}

// ServeEvents answers a request for /v1/ws.
func (g *Gateway) ServeEvents(sockets Sockets) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := g.credentialOf(r)
		who := peerOf(r, c)
		if !g.enter(w, who) {
			return
		}
		subprotocol, as := "", formEvent
		for _, p := range subprotocols(r) {
			switch {
			case p == subprotocolCloud:
				subprotocol, as = p, formCloud
			case p == subprotocolEvents && subprotocol == "":
				subprotocol = p
			}
		}
		if r.URL.Query().Get("format") == "cloudevents" {
			as = formCloud
		}
		last := r.URL.Query().Get("lastEventId")
		if header := r.Header.Get("Last-Event-ID"); header != "" {
			last = header
		}
		accepted := false
		sockets.Accept(w, r, subprotocol, func(conn realtime.Conn) transport.Session {
			accepted = true
			s := &session{g: g, conn: conn, framing: conn.Framing(), id: newID("con_"), peer: who, form: as, lastEventID: last}
			s.credential = c
			return s
		})
		if !accepted {
			g.guard.identified(who)
		}
	})
}

// enter passes a request by the guard, or answers it.
func (g *Gateway) enter(w http.ResponseWriter, who peer) bool {
	status, retry := g.guard.connect(who.addr, who.hash, g.now())
	switch status {
	case 0:
		return true
	case http.StatusUnauthorized: // it has been refused before, and would be again
		g.o.Watch.TokenRefused(who.addr)
	default:
		g.o.Watch.RateLimited(0, who.addr)
	}
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retry))
	}
	http.Error(w, http.StatusText(status), status)
	return false
}

// peerOf tells who sends a request. Its address is the client's: what proxies say of it
// has been looked at before.
func peerOf(r *http.Request, c credential) peer {
	addr, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		addr = r.RemoteAddr
	}
	p := peer{addr: addr}
	if c.text != "" {
		p.hash = hashOf(c.text)
	}
	return p
}

// Start implements transport.Session: the credential of the request is looked at.
func (s *session) Start() {
	s.g.begin(s)
	c := s.credential
	s.credential = credential{}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.g.draining.Load() {
		s.mu.Unlock()
		s.restart(0)
		s.mu.Lock()
		return
	}
	switch {
	case c.text == "" && s.form == formAdmin:
		s.end(closePolicy, adminNoToken)
		return
	case c.text == "":
		return
	}
	s.revoked = s.g.revoked.Load()
	s.state = stateAsking
	if c.ticket {
		caller, ok := s.g.tickets.take(c.text, s.g.now())
		if !ok {
			s.refuse("", c.text, ErrInvalid)
			return
		}
		s.later(func(ctx context.Context) { // the caller may have changed since
			now, err := s.g.o.Accounts.Refresh(ctx, caller)
			s.entered(c.text, now, err)
		})
		return
	}
	s.later(func(ctx context.Context) {
		caller, err := s.g.o.Accounts.Authenticate(ctx, c.text)
		s.entered(c.text, caller, err)
	})
}

// entered opens the session for who showed a credential in the request, or ends it.
func (s *session) entered(text string, c Caller, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.out.closing:
	case err != nil:
		s.refuse("", text, err)
	default:
		s.admit("", c)
	}
}
