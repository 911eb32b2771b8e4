package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// HTTPServer is where the server listens.
type HTTPServer struct {
	Address string `key:"address" default:"127.0.0.1" doc:"Address to listen on; 0.0.0.0 is every IPv4 address of the machine."`
	Port    int    `key:"port" default:"8000" zero:"keep" doc:"Port to listen on, 0 to 65535; 0 takes any free one."`
	TLS     TLS    `key:"tls"`

	PublicURL      string   `key:"public_url" doc:"Address at which clients reach the server, such as https://chat.example.com: http or https, without a path; links to files begin with it. Empty: answers of contract A have the address of the request, other links have no host and are relative to the server."`
	ExtraAddresses []string `key:"extra_addresses" doc:"More host:port pairs to listen on, such as :8001; they serve the same as http_server.port, with the same certificate."`
	TrustedProxies []string `key:"trusted_proxies" doc:"Networks of the proxies in front, such as 127.0.0.1/32 or 10.0.0.0/8: from them, and from nobody else, X-Forwarded-For tells the address of the client, X-Forwarded-Proto and X-Forwarded-Host the address it used. Limits per address and lists of sessions need it behind a proxy."`
}

// TLS is the certificate of the listener.
type TLS struct {
	Enabled bool   `key:"enabled" doc:"Serve TLS instead of plain TCP."`
	CertPEM string `key:"cert_pem" pem:"yes" doc:"Certificate chain: PEM text, base64 of it, or the path of a file."`
	KeyPEM  string `key:"key_pem" pem:"yes" secret:"yes" doc:"Private key: PEM text, base64 of it, or the path of a file."`
}

// Loopback tells whether only this machine can reach the listeners.
func (h *HTTPServer) Loopback() bool {
	key, _ := h.open()
	return key == ""
}

// open is the first address that other machines can reach, and its key.
func (h *HTTPServer) open() (key, address string) {
	if !loopback(h.Address) {
		return "http_server.address", h.Address
	}
	for _, a := range h.ExtraAddresses {
		if host, _, _ := net.SplitHostPort(a); !loopback(host) {
			return "http_server.extra_addresses", a
		}
	}
	return "", ""
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (l *loader) checkListener(c *Config) {
	h := &c.HTTPServer
	if net.ParseIP(h.Address) == nil && strings.ContainsAny(h.Address, ":/ ") {
		l.wrong("http_server.address", "must be an address without scheme and port")
	}
	if h.Port > 65535 {
		l.wrong("http_server.port", "must be 0 to 65535")
	}
	if h.TLS.Enabled && (h.TLS.CertPEM == "" || h.TLS.KeyPEM == "") {
		l.wrong("http_server.tls.enabled", "needs http_server.tls.cert_pem and http_server.tls.key_pem")
	}
	l.checkPEM("http_server.tls.cert_pem", h.TLS.CertPEM)
	l.checkPEM("http_server.tls.key_pem", h.TLS.KeyPEM)

	l.checkExtraAddresses(h)
	l.checkNetworks("http_server.trusted_proxies", h.TrustedProxies)
	l.checkPublicURL(h.PublicURL)

	prefixes := []struct{ key, path string }{
		{"http_api.handler_prefix", c.HTTPAPI.HandlerPrefix},
		{"websocket.handler_prefix", c.WebSocket.HandlerPrefix},
	}
	for i, p := range prefixes {
		if !strings.HasPrefix(p.path, "/") || strings.ContainsAny(p.path, " ?#{}") || len(p.path) > 1 && strings.HasSuffix(p.path, "/") || p.path == "/" {
			l.wrong(p.key, "must be a path such as /live, not / and without a slash at the end")
		}
		for _, taken := range []string{"/health", "/livez", "/readyz", "/metrics", prefixes[1-i].path} {
			if p.path == taken {
				l.wrong(p.key, "%s is another handler's path", taken)
				break
			}
		}
	}

	key, open := h.open()
	if key == "" {
		return
	}
	for _, s := range []struct {
		key string
		on  bool
	}{
		{"client.insecure", c.Client.Insecure},
		{"client.insecure_skip_token_signature_verify", c.Client.InsecureSkipTokenSignatureVerify},
		{"http_api.insecure", c.HTTPAPI.Insecure},
	} {
		if s.on {
			l.wrong(s.key, "lets anyone in, so %s must be a loopback address such as 127.0.0.1, not %s", key, open)
		}
	}
}

func (l *loader) checkExtraAddresses(h *HTTPServer) {
	const key = "http_server.extra_addresses"
	main := net.JoinHostPort(h.Address, strconv.Itoa(h.Port))
	for i, a := range h.ExtraAddresses {
		host, port, err := net.SplitHostPort(a)
		_, number := strconv.ParseUint(port, 10, 16)
		switch {
		case err != nil || number != nil || net.ParseIP(host) == nil && strings.ContainsAny(host, ":/ @"):
			l.wrong(key, "%q must be host:port, as in :8001 or 127.0.0.1:8001", a)
		case port != "0" && (a == main || slices.Contains(h.ExtraAddresses[:i], a)):
			l.wrong(key, "%s is listened on already", a)
		}
	}
}

func (l *loader) checkNetworks(key string, networks []string) {
	for _, n := range networks {
		if _, err := netip.ParsePrefix(n); err != nil {
			l.wrong(key, "%q must be a network such as 10.0.0.0/8 or fc00::/7", n)
		}
	}
}

func (l *loader) checkPublicURL(address string) {
	if address == "" {
		return
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		*u != (url.URL{Scheme: u.Scheme, Host: u.Host}) {
		l.wrong("http_server.public_url", "must be http:// or https:// with a host and nothing after it, as in https://chat.example.com")
	}
}
