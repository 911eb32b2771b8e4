package egress

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxURL is the length of the longest URL, in characters.
const MaxURL = 2048

// URLError reports a URL that cannot be a target. Reason is for whoever wrote
// the URL.
type URLError struct{ Reason string }

func (e *URLError) Error() string { return e.Reason }

// CheckURL says whether raw can be a target, as far as that can be said without
// resolving its host. The error is a [*URLError] for what is wrong with the URL,
// or [ErrBlocked] if its host is an address, in any spelling, that may not be
// called. A name that passes is still checked at every dial.
func (g *Guard) CheckURL(raw string) error {
	_, err := g.parse(raw)
	return err
}

// IsAddress tells whether the host of a URL is an address, in any spelling.
func IsAddress(host string) bool {
	_, literal, err := parseLiteral(host)
	return literal || err != nil
}

func (g *Guard) parse(raw string) (*url.URL, error) {
	if utf8.RuneCountInString(raw) > MaxURL {
		return nil, &URLError{"longer than 2048 characters"}
	}
	u, err := url.Parse(escaped(raw))
	if err != nil {
		return nil, &URLError{"not a valid URL"} // not err: it repeats the URL, which may hold a password
	}
	host := u.Hostname()
	switch {
	case u.Scheme == "":
		return nil, &URLError{"not absolute: it must start with https://"}
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, &URLError{"the scheme must be https or http"}
	case u.Scheme == "http" && !g.allowHTTP:
		return nil, &URLError{"http is not allowed here, use https"}
	case host == "" || u.Opaque != "":
		return nil, &URLError{"it has no host"}
	case !utf8.ValidString(host):
		return nil, &URLError{"the host is not valid UTF-8"}
	case u.User != nil:
		return nil, &URLError{"it must not contain a user name or password"}
	case strings.Contains(raw, "#"):
		return nil, &URLError{"it must not have a fragment (#…)"}
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, &URLError{"the port must be between 1 and 65535"}
		}
	}
	ip, literal, err := parseLiteral(host)
	if err != nil {
		return nil, err
	}
	if literal {
		if err := g.Check(host, ip); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// escaped is a URL with spaces and characters other than ASCII behind its host written as
// requests have them (RFC 3986, section 2.1).
func escaped(raw string) string {
	if !strings.ContainsFunc(raw, func(r rune) bool { return r == ' ' || r >= utf8.RuneSelf }) {
		return raw // as nearly all are, and each request asks
	}
	_, behind, _ := strings.Cut(raw, "://")
	at := strings.IndexAny(behind, "/?")
	if at < 0 {
		return raw
	}
	at += len(raw) - len(behind)
	var b strings.Builder
	b.WriteString(raw[:at])
	for _, c := range []byte(raw[at:]) {
		if c == ' ' || c >= utf8.RuneSelf {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// parseLiteral returns the address that host spells, if it is not a name. What
// browsers and C libraries take for an address is one here: 127.1, 0177.0.0.1,
// 0x7f000001, 2130706433, and each of them in full-width digits. ErrBlocked
// means a host that must be an address and is none.
func parseLiteral(host string) (ip netip.Addr, literal bool, err error) {
	host = strings.TrimSuffix(foldHost(host), ".")
	if strings.Contains(host, ":") {
		if ip, err = netip.ParseAddr(host); err != nil {
			return ip, false, ErrBlocked
		}
		return ip.Unmap(), true, nil
	}
	parts := strings.Split(host, ".")
	if !numeric(parts[len(parts)-1]) {
		return ip, false, nil
	}
	// No top-level domain is a number, so from here it is IPv4 or nothing
	// (WHATWG URL, "ends in a number checker" and "IPv4 parser").
	if len(parts) > 4 {
		return ip, false, ErrBlocked
	}
	var v uint64
	for i, part := range parts {
		n, ok := parsePart(part)
		last := i == len(parts)-1
		bits := 8 // the last part fills what the others left
		if last {
			bits = 8 * (4 - i)
		}
		if !ok || n >= 1<<bits {
			return ip, false, ErrBlocked
		}
		v = v<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true, nil
}

// foldHost does to a host with other than ASCII characters what IDNA would, as
// far as it can turn such characters into ASCII ones.
func foldHost(host string) string {
	if !strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return host
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\u3002': // ideographic full stop
			return '.'
		case unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
			return -1
		}
		return r
	}, norm.NFKC.String(host))
}

// numeric says whether a label is digits only, or a hexadecimal number, of any size.
func numeric(label string) bool {
	if len(label) > 1 && (label[:2] == "0x" || label[:2] == "0X") {
		return strings.Trim(label[2:], "0123456789abcdefABCDEF") == ""
	}
	return label != "" && strings.Trim(label, "0123456789") == ""
}

// parsePart reads a part of an IPv4 address: decimal, octal with 0 or
// hexadecimal with 0x, which alone is zero.
func parsePart(s string) (uint64, bool) {
	base := 10
	switch {
	case strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X"):
		if s, base = s[2:], 16; s == "" {
			return 0, true
		}
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	n, err := strconv.ParseUint(s, base, 32)
	return n, err == nil
}
