package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// recorder notes what an attempt's connection did and when. A dial outlives the
// request that asked for it, so its hooks are called late and from elsewhere:
// once the request has its connection, nothing more is noted of dials.
type recorder struct {
	started time.Time

	mu                            sync.Mutex
	looking                       bool // while it is, connections are those of the resolver
	begun, connected, tlsFailed   bool
	dnsFrom, connectFrom, tlsFrom time.Time
	remote                        net.Addr
	timings                       Timings
}

func (r *recorder) trace(ctx context.Context) context.Context {
	during := func(f func(now time.Time)) { // while there is no connection yet
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.connected {
			f(time.Now())
		}
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:  func(string) { during(func(time.Time) { r.begun = true }) },
		DNSStart: func(httptrace.DNSStartInfo) { during(func(now time.Time) { r.dnsFrom, r.looking = now, true }) },
		DNSDone: func(httptrace.DNSDoneInfo) {
			during(func(now time.Time) { r.timings.DNS, r.looking = now.Sub(r.dnsFrom), false })
		},
		ConnectStart: func(string, string) {
			during(func(now time.Time) {
				if !r.looking && r.connectFrom.IsZero() { // of several addresses the first
					r.connectFrom = now
				}
			})
		},
		ConnectDone: func(string, string, error) {
			during(func(now time.Time) {
				if !r.looking {
					r.timings.Connect = now.Sub(r.connectFrom)
				}
			})
		},
		TLSHandshakeStart: func() { during(func(now time.Time) { r.tlsFrom = now }) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			during(func(now time.Time) { r.timings.TLS, r.tlsFailed = now.Sub(r.tlsFrom), err != nil })
		},
		GotConn: func(info httptrace.GotConnInfo) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.connected, r.tlsFailed, r.remote = true, false, info.Conn.RemoteAddr()
			if info.Reused {
				r.timings = Timings{}
			}
		},
		GotFirstResponseByte: func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.timings.FirstByte = time.Since(r.started)
		},
	})
}

func (r *recorder) began() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun
}

func (r *recorder) handshakeFailed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tlsFailed
}

func (r *recorder) hasConn() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connected
}

// attempt completes a with what was noted. Of a refused target that is nothing:
// how long its name took to resolve would be something to know.
func (r *recorder) attempt(proxied bool, a Attempt) Attempt {
	if a.Code == CodeBlocked {
		return a
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a.Timings = r.timings
	a.Timings.Total = time.Since(r.started)
	if tcp, ok := r.remote.(*net.TCPAddr); ok && !proxied {
		a.RemoteIP = tcp.AddrPort().Addr().Unmap().WithZone("").String()
	}
	return a
}
