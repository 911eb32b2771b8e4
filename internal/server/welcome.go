package server

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// Address is where a server listens.
type Address struct {
	// Host and Port are the listener's, with the real port.
	Host string
	Port int
	// TLS says that it serves TLS.
	TLS bool
}

// HostPort is the address as host:port.
func (a Address) HostPort() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// URL is the server's address for programs on this machine.
func (a Address) URL() string { return a.scheme("http") + a.reachable() }

// WebSocketURL is [Address.URL] with the scheme of WebSockets.
func (a Address) WebSocketURL() string { return a.scheme("ws") + a.reachable() }

func (a Address) scheme(name string) string {
	if a.TLS {
		name += "s"
	}
	return name + "://"
}

// reachable is HostPort, but with an address one can connect to: 0.0.0.0 is none.
func (a Address) reachable() string {
	if ip := net.ParseIP(a.Host); ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(a.Port))
	}
	return a.HostPort()
}

// welcome writes the first screen: what runs where, and what to do next.
func (s *Server) welcome(w io.Writer, a Address) {
	c := s.cfg
	var b strings.Builder
	row := func(name, value string) { fmt.Fprintf(&b, "  %-12s %s\n", name, value) }
	fmt.Fprintf(&b, "\nKuranty %s is running.\n\n", s.o.Version)
	switch {
	case s.o.Demo:
		row("Open", a.URL()+"/  in two windows, and write in one of them")
	default:
		row("Server", a.URL()+"/")
	}
	if !c.WebSocket.Disabled {
		row("Clients", a.WebSocketURL()+c.WebSocket.HandlerPrefix)
	}
	if s.front.api != nil {
		row("Server API", a.URL()+s.front.prefix)
	}
	if c.Prometheus.Enabled {
		row("Metrics", a.URL()+"/metrics")
	}
	row("Data folder", s.dir.Path())
	if len(s.made) > 0 {
		row("Secrets", "secrets.json in that folder, for your eyes only: "+strings.Join(s.made, ", "))
	}

	s.welcomeAdmin(&b, a)
	s.welcomeDemo(&b)
	b.WriteString("\nWhat to do next, in another terminal:\n\n")
	next := func(why, command string) { fmt.Fprintf(&b, "  # %s\n  %s\n\n", why, command) }
	program, flags := cmp.Or(s.o.Command, "kuranty"), s.o.CommandFlags
	channel := "news"
	if s.o.Demo {
		channel = "demo"
	}
	if !s.o.Demo && c.Client.Token.HMACSecretKey != "" {
		next("make a token, with which an application connects as user 42", program+" token create --user 42"+flags)
	}
	if len(s.logins) > 0 {
		next("log in to the chat, with the password above; "+a.URL()+"/docs/ lists what can be done then",
			fmt.Sprintf(`curl %s/api/v2/auth/login -H 'Content-Type: application/json' -d '{"login": "%s", "password": "PASSWORD"}'`, a.URL(), s.logins[0].Username))
	}
	if s.front.api != nil {
		next("publish into a channel", fmt.Sprintf(`%s publish %s '{"text": "hello"}'%s`, program, channel, flags))
		header := ""
		if !c.HTTPAPI.Insecure {
			header = ` -H "X-API-Key: $(` + program + ` api-key` + flags + `)"`
		}
		next("the same from your own backend", fmt.Sprintf(`curl %s%s/publish%s -d '{"channel": "%s", "data": {"text": "hello"}}'`,
			a.URL(), s.front.prefix, header, channel))
	}
	b.WriteString("Ctrl+C stops the server and keeps what its channels remember.\n\n")
	s.adminToken, s.logins = "", nil
	_, _ = io.WriteString(w, b.String()) // a closed terminal does not stop a server
}
