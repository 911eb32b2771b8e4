// Package mailtest is a mail server for tests: it listens on a real socket of this machine,
// speaks SMTP with STARTTLS or TLS by a certificate of its own, and keeps what it was sent.
// What goes wrong at a real one can be planned.
//
// [Server.Close] ends its connections and waits for their goroutines.
package mailtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options configure a [Server]. The zero value offers no encryption and wants no credentials.
type Options struct {
	// Port is where to listen; zero is a free one.
	Port int
	// STARTTLS is offered, or TLS begins with the connection.
	STARTTLS, TLS bool
	// Username and Password are wanted before a letter is taken, if Username is not empty.
	Username, Password string
	// Mechanisms are what AUTH offers, PLAIN and LOGIN if empty.
	Mechanisms string
	// UTF8 offers SMTPUTF8.
	UTF8 bool
	// Plan has answers for commands, by verb; that of GREETING begins the conversation and
	// that of LETTER follows a letter. [Hang] answers nothing, [Close] closes the connection.
	Plan map[string]string
}

// Answers of a plan that are none.
const (
	Hang  = "hang"
	Close = "close"
)

// Letter is a letter that was taken.
type Letter struct {
	// From and To are those of the envelope.
	From string
	To   []string
	// Data is header and body as they came, with lines that end in CRLF.
	Data string
	// Encrypted tells how it came, User who had signed in.
	Encrypted bool
	User      string
}

// Server is a running mail server.
type Server struct {
	// Host and Port are where it listens.
	Host string
	Port int
	// Roots vouch for its certificate; CertPEM is that certificate.
	Roots   *x509.CertPool
	CertPEM []byte
	// Letters has what was taken; a server with a hundred letters that nobody reads waits.
	Letters chan Letter

	o    Options
	ln   net.Listener
	tls  *tls.Config
	wg   sync.WaitGroup
	done chan struct{}

	mu    sync.Mutex
	conns map[net.Conn]bool
	said  []string
}

// Start starts a server that ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Listen starts a server on 127.0.0.1.
func Listen(o Options) (*Server, error) {
	cert, certPEM, err := certificate()
	if err != nil {
		return nil, err
	}
	if o.Mechanisms == "" {
		o.Mechanisms = "PLAIN LOGIN"
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port)))
	if err != nil {
		return nil, fmt.Errorf("listen for mail: %w", err)
	}
	s := &Server{
		Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port, Roots: x509.NewCertPool(), CertPEM: certPEM, Letters: make(chan Letter, 100),
		o: o, ln: ln, tls: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		done: make(chan struct{}), conns: map[net.Conn]bool{},
	}
	s.Roots.AppendCertsFromPEM(certPEM)
	s.wg.Go(s.accept)
	return s, nil
}

// Close ends the server.
func (s *Server) Close() error {
	close(s.done)
	err := s.ln.Close()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

// Said are the lines that clients have said so far, before each " [tls]" if it was encrypted.
func (s *Server) Said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.said...)
}

func (s *Server) accept() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		select {
		case <-s.done: // Close has closed the others already
			_ = conn.Close()
		default:
			s.conns[conn] = true
		}
		s.mu.Unlock()
		s.wg.Go(func() {
			(&session{s: s, conn: conn}).serve()
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

// session is one connection.
type session struct {
	s         *Server
	conn      net.Conn
	in        *bufio.Reader
	encrypted bool
	letter    Letter
}

func (c *session) serve() {
	if c.s.o.TLS {
		c.conn, c.encrypted = tls.Server(c.conn, c.s.tls), true
	}
	c.in = bufio.NewReader(c.conn)
	if !c.answer("GREETING", "220 mail.test ESMTP") {
		return
	}
	for {
		line, err := c.line()
		if err != nil || !c.command(line) {
			return
		}
	}
}

// command answers a command; it returns false when the conversation is over.
func (c *session) command(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	o := &c.s.o
	switch verb {
	case "EHLO":
		return c.answer(verb, c.extensions())
	case "STARTTLS":
		if !c.answer(verb, "220 go on") {
			return false
		}
		c.conn, c.encrypted = tls.Server(c.conn, c.s.tls), true
		c.in = bufio.NewReader(c.conn)
		return true
	case "AUTH":
		return c.auth(rest)
	case "MAIL":
		if o.Username != "" && c.letter.User == "" {
			return c.answer(verb, "530 5.7.0 Authentication required")
		}
		c.letter.From, c.letter.To = address(rest), nil
		return c.answer(verb, "250 2.1.0 ok")
	case "RCPT":
		c.letter.To = append(c.letter.To, address(rest))
		return c.answer(verb, "250 2.1.5 ok")
	case "DATA":
		return c.answer(verb, "354 go on") && c.data()
	case "QUIT":
		c.answer(verb, "221 2.0.0 bye")
		return false
	default:
		return c.answer(verb, "502 5.5.1 not known here")
	}
}

func (c *session) extensions() string {
	o, list := &c.s.o, []string{"mail.test", "8BITMIME"}
	if o.STARTTLS && !c.encrypted {
		list = append(list, "STARTTLS")
	}
	if o.Username != "" {
		list = append(list, "AUTH "+o.Mechanisms)
	}
	if o.UTF8 {
		list = append(list, "SMTPUTF8")
	}
	last := len(list) - 1
	for i := range list[:last] {
		list[i] = "250-" + list[i]
	}
	list[last] = "250 " + list[last]
	return strings.Join(list, "\r\n")
}

func (c *session) auth(rest string) bool {
	mechanism, first, _ := strings.Cut(rest, " ")
	if !slices.Contains(strings.Fields(c.s.o.Mechanisms), strings.ToUpper(mechanism)) {
		return c.answer("MECHANISM", "504 5.5.4 not offered")
	}
	var name, password string
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		parts := strings.Split(decoded(first), "\x00")
		if len(parts) == 3 {
			name, password = parts[1], parts[2]
		}
	case "LOGIN":
		for _, ask := range []struct {
			what string
			into *string
		}{{"Username:", &name}, {"Password:", &password}} {
			if !c.answer("ASK", "334 "+base64.StdEncoding.EncodeToString([]byte(ask.what))) {
				return false
			}
			line, err := c.line()
			if err != nil {
				return false
			}
			*ask.into = decoded(line)
		}
	}
	if name != c.s.o.Username || password != c.s.o.Password {
		return c.answer("REFUSAL", "535 5.7.8 not with "+name+" "+password+" "+first)
	}
	c.letter.User = name
	return c.answer("AUTH", "235 2.7.0 welcome")
}

// data reads a letter to the line with a single dot.
func (c *session) data() bool {
	var text strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(strings.TrimPrefix(line, "."))
	}
	letter := c.letter
	letter.Data, letter.Encrypted = text.String(), c.encrypted
	if _, planned := c.s.o.Plan["LETTER"]; !planned {
		select {
		case c.s.Letters <- letter:
		case <-c.s.done:
			return false
		}
	}
	return c.answer("LETTER", "250 2.0.0 taken")
}

// answer says what is planned for a verb, or what it would say without a plan.
func (c *session) answer(verb, usual string) bool {
	if planned, found := c.s.o.Plan[verb]; found {
		usual = planned
	}
	switch usual {
	case Hang:
		<-c.s.done
		return false
	case Close:
		return false
	}
	_, err := io.WriteString(c.conn, usual+"\r\n")
	return err == nil
}

func (c *session) line() (string, error) {
	line, err := c.in.ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if err == nil {
		how := line
		if c.encrypted {
			how += " [tls]"
		}
		c.s.mu.Lock()
		c.s.said = append(c.s.said, how)
		c.s.mu.Unlock()
	}
	return line, err
}

// address is what stands in angle brackets.
func address(text string) string {
	_, text, _ = strings.Cut(text, "<")
	text, _, _ = strings.Cut(text, ">")
	return text
}

func decoded(text string) string {
	b, _ := base64.StdEncoding.DecodeString(text) // what is none is a wrong password
	return string(b)
}

// certificate makes one for 127.0.0.1, and for no name, that vouches for itself.
func certificate() (cert tls.Certificate, text []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, fmt.Errorf("make key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:        true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return cert, nil, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
