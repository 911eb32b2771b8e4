package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are the networks whose word counts on where a request came from. Nobody else's
// does (guarantees.md S26).
type proxies []netip.Prefix

// networks parses those that a key of the configuration names; it is nil if there are none.
func networks(key string, names []string) (list []netip.Prefix, err error) {
	for _, n := range names {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		list = append(list, p)
	}
	return list, nil
}

func (p proxies) have(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// behind returns r as it reached the proxy that passed it on: with the client's address
// as RemoteAddr, and the host and the scheme that the client used. What is no request of
// a trusted proxy is returned as it is.
//
// Each proxy adds at the right whom it got the request from, so the client is the first
// from the right that is none of ours; what stands left of it is the client's own word.
func (p proxies) behind(r *http.Request) *http.Request {
	if len(p) == 0 {
		return r
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !p.have(peer.Addr()) {
		return r
	}
	client := peer
	passed := list(r, "X-Forwarded-For")
	for i := len(passed) - 1; i >= 0 && p.have(client.Addr()); i-- {
		a, ok := address(passed[i])
		if !ok {
			break
		}
		client = netip.AddrPortFrom(a, 0)
	}
	as, where := *r, *r.URL
	as.RemoteAddr, as.URL = client.String(), &where
	if host := list(r, "X-Forwarded-Host"); len(host) > 0 && hostname(host[len(host)-1]) {
		as.Host = host[len(host)-1]
	}
	if scheme := list(r, "X-Forwarded-Proto"); len(scheme) > 0 && strings.EqualFold(scheme[len(scheme)-1], "https") {
		where.Scheme = "https"
	}
	return &as
}

// list returns the values of a header that is a list, over all its lines.
func list(r *http.Request, header string) []string {
	lines := r.Header.Values(header)
	if len(lines) == 0 {
		return nil
	}
	values := strings.Split(strings.Join(lines, ","), ",")
	for i, v := range values {
		values[i] = strings.TrimSpace(v)
	}
	return values
}

// address reads an address, as some proxies write it with a port or in brackets.
func address(s string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap(), err == nil
}

// hostname tells whether s can be the host of an address, with or without a port.
func hostname(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"
	return s != "" && len(s) <= 255 && strings.Trim(s, allowed) == ""
}
