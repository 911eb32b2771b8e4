package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// maxAddresses is how many addresses of a name are tried; a name may have
// thousands, and who serves it is not our friend.
const maxAddresses = 8

// errNoSource means that none of Options.Bind can reach the address's family.
var errNoSource = errors.New("no source address of the family")

// lookupError marks that a dial ended before there was an address.
type lookupError struct{ err error }

func (e *lookupError) Error() string { return "look up host: " + e.err.Error() }
func (e *lookupError) Unwrap() error { return e.err }

// dialer resolves a name once and connects to the first of its addresses that
// the guard lets pass and that answers.
type dialer struct {
	guard    *Guard // nil dials anything: the operator's proxy
	resolver *net.Resolver
	timeout  time.Duration
	bind     []netip.Addr
	turn     atomic.Uint64 // whose turn it is of bind
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips, err := d.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	// An address that did not answer says more than one we do not call: a name
	// with both is broken rather than forbidden.
	var failed, blocked error
	for i, ip := range ips {
		conn, err := d.connect(ctx, network, host, ip, port, len(ips)-i)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, ErrBlocked):
			blocked = ErrBlocked
		case failed == nil:
			failed = err
		}
	}
	if failed == nil {
		return nil, blocked
	}
	return nil, failed
}

func (d *dialer) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	ip, literal, err := parseLiteral(host)
	switch {
	case err != nil:
		return nil, err
	case literal:
		return []netip.Addr{ip}, nil
	}
	ips, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(ips) == 0 {
		err = errors.New("no addresses")
	}
	if err != nil {
		return nil, &lookupError{err}
	}
	return ips[:min(len(ips), maxAddresses)], nil
}

// connect takes at most its share of the time left, of which left addresses want some.
func (d *dialer) connect(ctx context.Context, network, host string, ip netip.Addr, port string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	ip = ip.Unmap()
	var out net.Dialer
	if d.guard != nil {
		out.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			return d.guard.checkDial(host, address)
		}
	}
	if len(d.bind) > 0 {
		source, ok := d.source(ip)
		if !ok {
			return nil, errNoSource
		}
		out.LocalAddr = &net.TCPAddr{IP: source.AsSlice(), Zone: source.Zone()}
	}
	return out.DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
}

// source returns the next of bind that is of ip's family.
func (d *dialer) source(ip netip.Addr) (netip.Addr, bool) {
	first := d.turn.Add(1)
	for i := range uint64(len(d.bind)) {
		if s := d.bind[(first+i)%uint64(len(d.bind))]; s.Is4() == ip.Is4() {
			return s, true
		}
	}
	return netip.Addr{}, false
}
