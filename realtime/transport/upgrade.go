package transport

import (
	"bytes"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/kuranty/kuranty/protocol"
)

// refusal is why a request gets no session.
type refusal struct {
	why    int // one of the refused constants
	status int
	reason string
}

// The gates of auth-and-channels.md §1.
var (
	refuseOrigin = &refusal{refusedOrigin, http.StatusForbidden, "origin not allowed"}
	refuseLimit  = &refusal{refusedLimit, http.StatusServiceUnavailable, "too many connections"}
	refuseRate   = &refusal{refusedRate, http.StatusServiceUnavailable, "too many new connections"}
	refuseStop   = &refusal{refusedStopping, http.StatusServiceUnavailable, "shutting down"}
)

// retryAfter is what 503 advises, in seconds.
const retryAfter = 1

// admit passes a request through the gates. One that passed counts as open until
// leave is called.
func (s *Server) admit(origin []string) *refusal {
	switch {
	case s.stopping.Load():
		return refuseStop
	case !s.origins.allow(origin):
		return refuseOrigin
	case s.rate != nil && !s.rate.Allow():
		return refuseRate
	}
	if n := s.count.open.Add(1); s.o.ConnectionLimit > 0 && n > int64(s.o.ConnectionLimit) {
		s.count.open.Add(-1)
		return refuseLimit
	}
	return nil
}

// leave is the end of a connection that admit let in.
func (s *Server) leave() { s.count.open.Add(-1) }

// refused counts a refusal.
func (s *Server) refused(why int) { s.count.refused[why].Add(1) }

// negotiation gathers what a request asks for.
type negotiation struct {
	protobuf, native bool
	deflate          wsflate.Extension
}

// newNegotiation reads the address's query (client-protocol.md §1.1).
func newNegotiation(query string) negotiation {
	n := negotiation{deflate: wsflate.Extension{Parameters: wsflate.Parameters{
		ServerNoContextTakeover: true,
		ClientNoContextTakeover: true,
	}}}
	if query == "" {
		return n
	}
	q, _ := url.ParseQuery(query) // what is readable counts
	n.protobuf = q.Get("format") == "protobuf" || q.Get("cf_protocol") == "protobuf"
	n.native = q.Get("cf_ws_frame_ping_pong") == "true"
	return n
}

// subprotocol tells whether name is one of ours.
func (n *negotiation) subprotocol(name string) bool {
	if name == "centrifuge-protobuf" {
		n.protobuf = true
		return true
	}
	return name == "centrifuge-json"
}

// extension accepts an offer of permessage-deflate; one that makes no sense is
// declined (RFC 7692 §7).
func (n *negotiation) extension(offer httphead.Option) (httphead.Option, error) {
	accepted, _ := n.deflate.Negotiate(offer) // an error comes with the zero value, which declines
	return accepted, nil
}

// extensions returns how offers of extensions are answered; nil declines all.
func (n *negotiation) extensions(c Compression) func(httphead.Option) (httphead.Option, error) {
	if !c.Enabled {
		return nil
	}
	return n.extension
}

// hello returns the outcome.
func (s *Server) hello(n *negotiation, headers map[string][]string) hello {
	format := protocol.JSON
	if n.protobuf {
		format = protocol.Protobuf
	}
	_, deflate := n.deflate.Accepted()
	return hello{framing: s.framings.get(format, deflate), native: n.native, headers: headers}
}

// isUpgrade tells whether the request is for a WebSocket connection here. Unusual
// spellings of the path are left to net/http.
func (s *Server) isUpgrade(head []byte) bool {
	rest, ok := bytes.CutPrefix(head, s.requestStart)
	return ok && (rest[0] == ' ' || rest[0] == '?')
}

// handshake is the two ends of an upgrade in memory.
type handshake struct {
	in  bytes.Reader
	out bytes.Buffer
}

func (h *handshake) Read(p []byte) (int, error)  { return h.in.Read(p) }
func (h *handshake) Write(p []byte) (int, error) { return h.out.Write(p) }

var errBadRequest = ws.RejectConnectionError(
	ws.RejectionStatus(http.StatusBadRequest), ws.RejectionReason("bad request"))

// strayCharacter is why a head is refused that is ambiguous.
const strayCharacter = "stray control character"

// ambiguous tells whether head has from an index on control characters other than tabs
// and whole line ends, which others may read otherwise (guarantees.md S26). The end of a
// line may be cut in two by the end of head.
func ambiguous(head []byte, from int) bool {
	for i := from; i < len(head); i++ {
		switch c := head[i]; {
		case c == '\r':
			if i+1 < len(head) && head[i+1] != '\n' {
				return true
			}
		case c == '\n':
			if i == 0 || head[i-1] != '\r' {
				return true
			}
		case c < ' ' && c != '\t', c == 0x7f:
			return true
		}
	}
	return false
}

// upgrade answers a request whose head is given, which it changes. If it is ok the
// connection has been admitted.
func (s *Server) upgrade(head []byte) (response []byte, h hello, ok bool) {
	if ambiguous(head, 0) {
		s.refused(refusedBad)
		return reply(http.StatusBadRequest, strayCharacter), h, false
	}
	var (
		n        negotiation
		hosts    int
		origin   []string
		headers  map[string][]string
		admitted bool
		why      = refusedBad
		rw       handshake
	)
	rw.in.Reset(head)
	u := ws.Upgrader{
		OnRequest: func(uri []byte) error {
			_, query, _ := strings.Cut(string(uri), "?")
			n = newNegotiation(query)
			return nil
		},
		OnHost: func([]byte) error {
			if hosts++; hosts > 1 {
				return errBadRequest
			}
			return nil
		},
		OnHeader: func(key, value []byte) error {
			switch name := string(key); {
			case name == "Origin":
				origin = append(origin, string(value))
			case name == "Transfer-Encoding", name == "Content-Length" && string(value) != "0":
				return errBadRequest // an upgrade has no body
			}
			if s.keeps(string(key)) {
				headers = keep(headers, string(key), string(value))
			}
			return nil
		},
		Protocol: func(name []byte) bool { return n.subprotocol(string(name)) },
		OnBeforeUpgrade: func() (ws.HandshakeHeader, error) {
			if r := s.admit(origin); r != nil {
				why = r.why
				return nil, r.rejection()
			}
			admitted = true
			return nil, nil
		},
	}
	if s.o.Compression.Enabled {
		u.Negotiate = func(o httphead.Option) (httphead.Option, error) { return n.extension(o) }
	}
	if _, err := u.Upgrade(&rw); err != nil {
		if admitted {
			s.leave()
		}
		s.refused(why)
		if rw.out.Len() == 0 {
			return reply(http.StatusBadRequest, "malformed request"), h, false
		}
		return rw.out.Bytes(), h, false
	}
	return rw.out.Bytes(), s.hello(&n, headers), true
}

// keeps tells whether sessions are to see the header.
func (s *Server) keeps(name string) bool { return slices.Contains(s.o.KeepHeaders, name) }

func keep(headers map[string][]string, name, value string) map[string][]string {
	if headers == nil {
		headers = make(map[string][]string)
	}
	headers[name] = append(headers[name], value)
	return headers
}

// rejection is r as the upgrader's error.
func (r *refusal) rejection() error {
	o := []ws.RejectOption{ws.RejectionStatus(r.status), ws.RejectionReason(r.reason)}
	if r.status == http.StatusServiceUnavailable {
		o = append(o, ws.RejectionHeader(ws.HandshakeHeaderString("Retry-After: "+strconv.Itoa(retryAfter)+"\r\n")))
	}
	return ws.RejectConnectionError(o...)
}

// reply is a whole response after which the connection is closed.
func reply(status int, text string) []byte {
	text += "\n"
	b := append([]byte("HTTP/1.1 "), strconv.Itoa(status)...)
	b = append(append(b, ' '), http.StatusText(status)...)
	b = append(b, "\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(text)), 10), "\r\n\r\n"...)
	return append(b, text...)
}

// WebSocketHandler upgrades requests that come through net/http: later ones of a kept
// connection, those over TLS, and those of other servers it is mounted in. The
// connection then leaves net/http.
func (s *Server) WebSocketHandler() http.Handler { return http.HandlerFunc(s.serveUpgrade) }

func (s *Server) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	if s.o.Disabled {
		http.NotFound(w, r)
		return
	}
	n := newNegotiation(r.URL.RawQuery)
	conn, early, ok := s.takeOver(w, r, n.subprotocol, n.extensions(s.o.Compression))
	if !ok {
		return
	}
	var headers map[string][]string
	for _, name := range s.o.KeepHeaders {
		for _, value := range r.Header[name] {
			headers = keep(headers, name, value)
		}
	}
	s.adopt(conn, early, s.hello(&n, headers), s.newSession)
}

// takeOver upgrades a request and takes its connection from net/http, with what the client
// has sent after the request. If it is not ok, the refusal has been answered and counted;
// otherwise the connection has been admitted.
func (s *Server) takeOver(
	w http.ResponseWriter, r *http.Request, subprotocol func(string) bool, extension func(httphead.Option) (httphead.Option, error),
) (conn net.Conn, early []byte, ok bool) {
	switch {
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return nil, nil, false
	case r.ProtoMajor != 1 || r.ContentLength != 0:
		s.refused(refusedBad)
		http.Error(w, "bad request", http.StatusBadRequest)
		return nil, nil, false
	case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		s.refused(refusedBad)
		http.Error(w, "a WebSocket upgrade is expected here", http.StatusUpgradeRequired)
		return nil, nil, false
	}
	if f := s.admit(r.Header["Origin"]); f != nil {
		s.refused(f.why)
		if f.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		}
		http.Error(w, f.reason, f.status)
		return nil, nil, false
	}
	u := ws.HTTPUpgrader{Timeout: s.o.WriteTimeout, Protocol: subprotocol, Negotiate: extension}
	conn, rw, _, err := u.Upgrade(r, w)
	if err != nil {
		s.leave()
		s.refused(refusedBad)
		if conn != nil {
			_ = conn.Close() // the refusal has been written
		}
		return nil, nil, false
	}
	early, _ = rw.Reader.Peek(rw.Reader.Buffered())
	early = slices.Clone(early)
	if c, ok := conn.(interface{ unfiltered() (net.Conn, []byte) }); ok {
		var rest []byte
		conn, rest = c.unfiltered()
		early = append(early, rest...)
	}
	return conn, early, true
}
