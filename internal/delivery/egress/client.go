package egress

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// What one receiver can make us hold.
const (
	maxHeaderBytes = 64 << 10 // header block of a response that is read
	maxIdle        = 500      // connections kept for reuse, all hosts of one TLS identity
	maxIdentities  = 128      // TLS identities whose connections are kept
	streamWindow   = 64 << 10 // what an HTTP/2 receiver may send of a body before we have read it
	connWindow     = 1 << 20
)

// errBodyWait ends the reading of a body that comes too slowly; it is no failure.
var errBodyWait = errors.New("body not awaited any longer")

// Options configure a [Client]. The zero value is ready to use.
type Options struct {
	// Policy is which targets may be called.
	Policy Policy
	// Timeout bounds an attempt that brings no limit of its own, from resolving
	// the name to the last byte of the body. Zero means 15 s.
	Timeout time.Duration
	// ConnectTimeout bounds resolving and connecting together. Zero means 5 s.
	ConnectTimeout time.Duration
	// BodyWait is how long after the headers a body is awaited; what has come
	// until then is the body. Zero means 2 s.
	BodyWait time.Duration
	// CaptureBytes is how much of a body is read. Zero means 64 KiB, which is
	// also the most.
	CaptureBytes int
	// ConnsPerHost bounds the connections to one host and port with one TLS
	// identity; attempts above it wait within their limit. Zero means 50.
	ConnsPerHost int
	// IdleTimeout is how long an unused connection is kept. Zero means 90 s.
	IdleTimeout time.Duration
	// Bind are source addresses, used in turn; a family without one cannot be
	// reached. Empty leaves the choice to the system.
	Bind []netip.Addr
	// Proxy is the URL (http, https, socks5, socks5h) of a proxy that makes all
	// connections and takes over the duty to refuse addresses. Nil means none:
	// the environment is never asked.
	Proxy *url.URL
	// Resolver looks names up. Nil means the system's.
	Resolver *net.Resolver
}

// TLS is how one receiver is met, in PEM. A part that is empty is as usual.
type TLS struct {
	Cert, Key []byte // shown to the receiver
	CA        []byte // the only authorities trusted for it
}

// Request is one request to somebody else's server.
type Request struct {
	// Method is POST if it is empty.
	Method string
	// URL must be what [Guard.CheckURL] accepts.
	URL string
	// Header is sent as it is, with Accept-Encoding: identity. It is not changed.
	Header http.Header
	// Body is not copied, so it must never change.
	Body []byte
	// Timeout bounds the attempt. Zero means Options.Timeout.
	Timeout time.Duration
	// TLS is how this receiver is met; the zero value is the system's authorities
	// and no certificate of ours.
	TLS TLS
}

// Client makes requests. It is safe for concurrent use.
type Client struct {
	opts  Options
	guard *Guard
	dial  *dialer

	mu         sync.Mutex
	transports map[[sha256.Size]byte]*identity // by what TLS says, so that nobody rides on a connection of another's certificate
	uses       uint64                          // counts Do, to tell which identity was not used for longest
}

type identity struct {
	transport *http.Transport
	used      uint64
}

// NewClient returns a client; the error names the option that makes no sense.
func NewClient(opts Options) (*Client, error) {
	opts.Timeout = orDefault(opts.Timeout, 15*time.Second)
	opts.ConnectTimeout = orDefault(opts.ConnectTimeout, 5*time.Second)
	opts.BodyWait = orDefault(opts.BodyWait, 2*time.Second)
	opts.IdleTimeout = orDefault(opts.IdleTimeout, 90*time.Second)
	opts.ConnsPerHost = orDefault(opts.ConnsPerHost, 50)
	opts.CaptureBytes = min(orDefault(opts.CaptureBytes, MaxBody), MaxBody)
	if opts.Resolver == nil {
		opts.Resolver = net.DefaultResolver
	}
	guard, err := NewGuard(opts.Policy)
	if err != nil {
		return nil, err
	}
	for i, ip := range opts.Bind {
		if !ip.IsValid() || ip.IsUnspecified() || ip.Is4In6() {
			return nil, fmt.Errorf("egress_bind[%d]: %s is not an address of this machine", i, ip)
		}
	}
	d := &dialer{guard: guard, resolver: opts.Resolver, timeout: opts.ConnectTimeout, bind: slices.Clone(opts.Bind)}
	if opts.Proxy != nil {
		if !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, opts.Proxy.Scheme) || opts.Proxy.Host == "" {
			return nil, errors.New("egress_proxy: not a URL of http, https, socks5 or socks5h with a host")
		}
		d.guard = nil
	}
	return &Client{opts: opts, guard: guard, dial: d, transports: map[[sha256.Size]byte]*identity{}}, nil
}

func orDefault[T int | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// Guard returns the guard of Options.Policy.
func (c *Client) Guard() *Guard { return c.guard }

// Close closes the connections kept for reuse. Attempts in flight go on.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, id := range c.transports {
		id.transport.CloseIdleConnections()
		delete(c.transports, key)
	}
}

// Do makes one request and says how it went; it never follows a redirect. If ctx
// ends first, that is as if the limit of the attempt had passed.
func (c *Client) Do(ctx context.Context, r Request) Attempt {
	started := time.Now()
	u, err := c.guard.parse(r.URL)
	if err != nil { // it was accepted once, so what changed is what we allow
		return refusal(CodeBlocked)
	}
	transport, err := c.transport(r.TLS)
	if err != nil {
		return refusal(CodeInternal)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer time.AfterFunc(orDefault(r.Timeout, c.opts.Timeout), func() { cancel(context.DeadlineExceeded) }).Stop()
	rec := &recorder{started: started}
	req, err := http.NewRequestWithContext(rec.trace(ctx), cmp.Or(r.Method, http.MethodPost), "", bytes.NewReader(r.Body))
	if err != nil {
		return refusal(CodeInternal)
	}
	req.URL, req.Host = u, strings.TrimSuffix(u.Host, ":") // parsed already
	req.Header = make(http.Header, len(r.Header)+1)
	maps.Copy(req.Header, r.Header)
	req.Header["Accept-Encoding"] = []string{"identity"}

	// RoundTrip is the request and nothing else: redirects and cookies are a
	// matter of http.Client.
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return rec.attempt(c.opts.Proxy != nil, failure(ctx, rec, err))
	}
	body, truncated, broken := c.readBody(ctx, cancel, resp)
	return rec.attempt(c.opts.Proxy != nil, answer(resp, body, truncated, broken))
}

// readBody reads to the end of the body, CaptureBytes or BodyWait, whichever is
// first; broken is the code if it broke off before all three. It closes the body;
// a connection whose body has not ended is given up, not drained.
func (c *Client) readBody(ctx context.Context, cancel context.CancelCauseFunc, resp *http.Response) (body []byte, truncated bool, broken string) {
	if resp.StatusCode == http.StatusSwitchingProtocols { // no body but the connection, which no limit ends any more
		resp.Body.Close()
		return nil, false, ""
	}
	wait := time.AfterFunc(c.opts.BodyWait, func() { cancel(errBodyWait) })
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.opts.CaptureBytes)))
	wait.Stop()
	switch {
	case err == nil:
		truncated = len(body) == c.opts.CaptureBytes && resp.ContentLength != int64(len(body))
	case errors.Is(context.Cause(ctx), errBodyWait):
		truncated = true
	case ctx.Err() != nil:
		truncated, broken = true, CodeTimeout
	default:
		truncated, broken = true, CodeReset
	}
	if truncated {
		cancel(nil) // before Close, which might read on for the sake of the connection
	}
	resp.Body.Close()
	return body, truncated, broken
}

// transport returns the transport for a TLS identity, and lets go of the one not
// used for longest when there are too many.
func (c *Client) transport(t TLS) (*http.Transport, error) {
	key := t.key()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses++
	if id := c.transports[key]; id != nil {
		id.used = c.uses
		return id.transport, nil
	}
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	if len(c.transports) >= maxIdentities {
		var oldest [sha256.Size]byte
		least := c.uses
		for key, id := range c.transports {
			if id.used < least {
				oldest, least = key, id.used
			}
		}
		c.transports[oldest].transport.CloseIdleConnections()
		delete(c.transports, oldest)
	}
	id := &identity{transport: c.newTransport(config), used: c.uses}
	c.transports[key] = id
	return id.transport, nil
}

func (c *Client) newTransport(config *tls.Config) *http.Transport {
	t := &http.Transport{
		Proxy:                  nil, // not http.ProxyFromEnvironment
		DialContext:            c.dial.dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    c.opts.Timeout,
		ReadBufferSize:         2 << 10, // of each connection; answers are short
		DisableCompression:     true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    c.opts.ConnsPerHost,
		MaxConnsPerHost:        c.opts.ConnsPerHost,
		IdleConnTimeout:        c.opts.IdleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
		HTTP2: &http.HTTP2Config{
			// The defaults, 4 MiB a stream and 1 GiB a connection, are memory
			// that a receiver fills and we throw away.
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReceiveBufferPerConnection: connWindow,
			// A connection that died silently must not fail attempt after attempt.
			SendPingTimeout: 10 * time.Second,
			PingTimeout:     5 * time.Second,
		},
	}
	if c.opts.Proxy != nil {
		t.Proxy = http.ProxyURL(c.opts.Proxy)
	}
	return t
}

// key is the same for the same parts; without any it is zero.
func (t TLS) key() (key [sha256.Size]byte) {
	if len(t.Cert)+len(t.Key)+len(t.CA) == 0 {
		return key
	}
	h := sha256.New()
	for _, part := range [][]byte{t.Cert, t.Key, t.CA} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Check says whether the certificate, its key and the authorities can be used.
func (t TLS) Check() error {
	_, err := t.config()
	return err
}

func (t TLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(t.Cert) > 0 || len(t.Key) > 0 {
		pair, err := tls.X509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("client_cert, client_key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if len(t.CA) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, errors.New("ca: no certificate in PEM")
		}
	}
	return config, nil
}
