package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ErrBlocked means that the target is one we may not call. It says no more on
// purpose: why, and which address a name has, is nothing to tell a stranger.
var ErrBlocked = errors.New("target address is not allowed")

// Tier is the class of an address (spec/webhooks.md §4.12).
type Tier int

// The tiers. The zero value is the one that lets nothing pass.
const (
	Forbidden Tier = iota // allowed by an exact entry only
	Private               // allowed by AllowPrivate, too
	Public
)

// mappedBits is the length of the prefix of IPv4-mapped addresses, ::ffff:0:0/96.
const mappedBits = 96

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96")

	// forbidden and private are the table of §4.12; its ::/8 without nat64 is
	// what is left of it after carried has unwrapped NAT64 addresses.
	forbidden = prefixes(
		"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/8",      // ::, ::1, IPv4-compatible and -translated, 64:ff9b:1::/48
		"100::/64",  // discarded
		"2001::/23", // Teredo and others of the IETF
		"2001:db8::/32",
		"2002::/16", // 6to4
		"3fff::/20", "5f00::/16", "fe80::/10", "fec0::/10", "ff00::/8",
		"fd00:ec2::254/128", // metadata of a cloud
	)
	private = prefixes("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)

func prefixes(texts ...string) []netip.Prefix {
	ps := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		ps[i] = netip.MustParsePrefix(text)
	}
	return ps
}

// TierOf returns the class of ip. An IPv4-mapped or NAT64 address has the class
// of the IPv4 address it carries, a zone changes nothing, and the zero Addr is
// Forbidden.
func TierOf(ip netip.Addr) Tier {
	ip = carried(plain(ip))
	switch {
	case !ip.IsValid() || within(forbidden, ip):
		return Forbidden
	case within(private, ip):
		return Private
	}
	return Public
}

// plain drops the zone, because a Prefix contains no address with a zone, and
// unmaps. The order matters: netip unmaps into an address without zone anyway,
// but only the first of both makes "::ffff:127.0.0.1%x" one.
func plain(ip netip.Addr) netip.Addr { return ip.WithZone("").Unmap() }

// carried returns the IPv4 address in a NAT64 address, and others as they are.
func carried(ip netip.Addr) netip.Addr {
	if !nat64.Contains(ip) {
		return ip
	}
	b := ip.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

func within(ps []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// Policy says what a [Guard] lets pass. The zero value is the strictest: https
// to public addresses.
type Policy struct {
	// AllowHTTP accepts URLs without TLS.
	AllowHTTP bool
	// AllowPrivate accepts the private tier.
	AllowPrivate bool
	// AllowNetworks are accepted whatever their tier. Of the forbidden tier only
	// what an entry within one of its ranges names: 127.0.0.1/32 and 127.0.0.0/8
	// open loopback, 0.0.0.0/0 does not.
	AllowNetworks []netip.Prefix
	// AllowHosts are hosts of URLs whose addresses are accepted whatever their
	// tier, so who runs their DNS is trusted. Upper case and a final dot do not
	// count; there are no patterns.
	AllowHosts []string
	// DenyNetworks are refused, whatever the rest says.
	DenyNetworks []netip.Prefix
}

// Guard decides which targets may be called. It does not change and is safe for
// concurrent use.
type Guard struct {
	allowHTTP, allowPrivate bool
	allow                   []netip.Prefix // any tier but forbidden
	allowForbidden          []netip.Prefix // the part of allow that opens the forbidden tier
	allowHosts              map[string]bool
	deny                    []netip.Prefix
}

// NewGuard returns the guard for p; the error names the entry that is no network
// or no host.
func NewGuard(p Policy) (*Guard, error) {
	g := &Guard{allowHTTP: p.AllowHTTP, allowPrivate: p.AllowPrivate, allowHosts: map[string]bool{}}
	for i, entry := range p.AllowNetworks {
		n, err := network(entry)
		if err != nil {
			return nil, fmt.Errorf("allow_networks[%d]: %w", i, err)
		}
		if nat64.Contains(n.Addr()) && n.Bits() >= nat64.Bits() {
			return nil, fmt.Errorf("allow_networks[%d]: %s carries IPv4: write the IPv4 network", i, n)
		}
		g.allow = append(g.allow, n)
		if slices.ContainsFunc(forbidden, func(f netip.Prefix) bool { return f.Bits() <= n.Bits() && f.Contains(n.Addr()) }) {
			g.allowForbidden = append(g.allowForbidden, n)
		}
	}
	for i, entry := range p.DenyNetworks {
		n, err := network(entry)
		if err != nil {
			return nil, fmt.Errorf("deny_networks[%d]: %w", i, err)
		}
		g.deny = append(g.deny, n)
	}
	for i, host := range p.AllowHosts {
		if host == "" || strings.ContainsAny(host, "*/ ") {
			return nil, fmt.Errorf("allow_hosts[%d]: %q is not a host", i, host)
		}
		g.allowHosts[hostKey(host)] = true
	}
	return g, nil
}

// network returns n without host bits and, if it is written as IPv4-mapped, as IPv4.
func network(n netip.Prefix) (netip.Prefix, error) {
	if !n.IsValid() {
		return n, errors.New("not a network")
	}
	if n.Addr().Is4In6() {
		if n.Bits() < mappedBits {
			return n, fmt.Errorf("%s mixes IPv4 and IPv6: write the IPv4 network", n)
		}
		n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-mappedBits)
	}
	return n.Masked(), nil
}

// Check says whether a connection for host, as it stands in the URL, may go to
// ip. The error is ErrBlocked.
func (g *Guard) Check(host string, ip netip.Addr) error {
	if !g.accepts(host, ip) {
		return ErrBlocked
	}
	ip = plain(ip)
	if within(g.deny, ip) || within(g.deny, carried(ip)) { // last, so it always wins
		return ErrBlocked
	}
	return nil
}

func (g *Guard) accepts(host string, ip netip.Addr) bool {
	if !ip.IsValid() {
		return false
	}
	if g.allowHosts[hostKey(host)] {
		return true
	}
	v4 := carried(plain(ip))
	switch TierOf(ip) {
	case Public:
		return true
	case Private:
		return g.allowPrivate || within(g.allow, v4)
	default:
		return within(g.allowForbidden, v4)
	}
}

// checkDial is Check for what a dialer is about to connect to: an address with a port.
func (g *Guard) checkDial(host, address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrBlocked
	}
	return g.Check(host, ap.Addr())
}

func hostKey(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }
