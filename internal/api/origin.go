package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// origins are patterns of web origins that may call (chat-api.md §0.12).
type origins []string

func newOrigins(patterns []string) (origins, error) {
	out := make(origins, 0, len(patterns))
	for _, p := range patterns {
		p = strings.ToLower(p)
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("allowed origin %q: %w", p, err)
		}
		out = append(out, p)
	}
	return out, nil
}

// allow tells whether the origin of r may read the replies: that of the server itself, or
// one that a pattern matches as a whole.
func (o origins) allow(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if strings.EqualFold(u.Host, r.Host) {
		return true
	}
	origin = strings.ToLower(origin)
	for _, p := range o {
		if ok, _ := path.Match(p, origin); ok || p == "*" { // patterns were checked
			return true
		}
	}
	return false
}

// The headers that other origins may send and read (chat-api.md §0.12).
const (
	requestHeaders = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-API-Key, X-Client, X-Request-Id, X-Requested-With, X-Timezone"
	exposedHeaders = "Idempotency-Replayed, Retry-After, X-Error-Code, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id"
)

// cors sets the headers for other origins; answered says that it was a preflight request,
// which is answered here.
func (o origins) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	h := w.Header()
	h.Add("Vary", "Origin")
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if origin := r.Header.Get("Origin"); origin != "" && o.allow(r, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", exposedHeaders)
		if preflight {
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
			h.Set("Access-Control-Allow-Headers", requestHeaders)
			h.Set("Access-Control-Max-Age", "7200")
		}
	}
	if preflight {
		w.WriteHeader(http.StatusNoContent)
	}
	return preflight
}

// ownURL is the address by which r reached us. What a proxy says does not count here: who
// has one gives Options.PublicURL (guarantees.md S26).
func ownURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// peer is the address of the connection of r.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// network is what an address counts as: itself, or with IPv6 the 64 bits that one
// customer has all of.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}
