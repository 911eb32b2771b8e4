package egress_test

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kuranty/kuranty/internal/delivery/egress"
)

// spellings are hosts that some program takes for an address we refuse.
var spellings = strings.Fields(`
	127.0.0.1 127.0.0.1. 127.1 127.0.1 127.000.000.001 0177.0.0.1 0177.1 017700000001 0x7f.0.0.1 0x7F.1 0x7f000001
	0X7F000001 2130706433 0x7f.0x0.0x0.0x1 0 0x 0.0.0.0 00 127.0.1.0x1 0251.0376.0251.0376 2852039166 0xa9fea9fe
	169.254.43518 3232235777 10.1 0300.0250.1 255.255.255.255 0xffffffff
	１２７.０.０.１ 127。0。0。1 127｡0｡0｡1 ①②⑦.0.0.1 127.0.0.¹ １６９.２５４.１６９.２５４ 12%C2%AD7.0.0.1 127.0.0.%E2%80%8B1
	[::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [::127.0.0.1]
	[::ffff:10.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::a00:1] [64:ff9b:1::1] [2002:7f00:1::] [2001:0:7f00:1::]
	[fe80::1%25eth0] [::ffff:127.0.0.1%25lo] [64:ff9b::7f00:1%251] [fc00::1] [fd00:ec2::254] [ff02::1]
	1.2.3.4.5 256.256.256.256 0x100000000 4294967296 127.0.0.08 1.2.3.0x1ff example.123 example.0x7f`)

func TestS31_EverySpellingIsRefused(t *testing.T) {
	trap := raw(t, func(net.Conn) {})
	// The guard's own parser is one wall; that Do asks it, and dials nothing, the other.
	client := newClient(t, egress.Options{Policy: egress.Policy{AllowHTTP: true}})
	for _, host := range spellings {
		target := "http://" + host + ":" + trap.port() + "/"
		if err := client.Guard().CheckURL(target); !errors.Is(err, egress.ErrBlocked) {
			t.Errorf("CheckURL(%s) = %v, want ErrBlocked", target, err)
		}
		a := client.Do(t.Context(), egress.Request{URL: target})
		failed(t, a, egress.CodeBlocked)
		if a.Timings != (egress.Timings{}) || a.RemoteIP != "" {
			t.Errorf("%s: more than the refusal was reported: %+v", target, a)
		}
	}
	if n := trap.conns.Load(); n != 0 {
		t.Errorf("%d connections were made to a refused address", n)
	}
}

func TestCheckURLNamesTheReason(t *testing.T) {
	g, err := egress.NewGuard(egress.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"":                              "not absolute",
		"//example.com/in":              "not absolute",
		"example.com/in":                "not absolute",
		"ftp://example.com/":            "scheme",
		"javascript:alert(1)":           "scheme",
		"http://example.com/":           "http is not allowed",
		"https:///in":                   "no host",
		"https:example.com":             "no host",
		"https://:443/":                 "no host",
		"https://u@example.com/":        "user name",
		"https://u:p@example.com/":      "user name",
		"https://example.com/#top":      "fragment",
		"https://example.com/#":         "fragment",
		"https://example.com:0/":        "port",
		"https://example.com:000/":      "port",
		"https://example.com:65536/":    "port",
		"https://example.com:x/":        "not a valid URL",
		"https://exa mple.com/":         "not a valid URL",
		"https://127.0.0.%31/":          "not a valid URL",
		"https://::1/":                  "not a valid URL",
		"https://a\x00.com/":            "not a valid URL",
		"https://%ff%fe.com/":           "UTF-8",
		long("https://example.com/", 0): "", long("https://пример.рф/", 0): "", // exactly 2048 characters
		long("https://example.com/", 1): "2048", long("https://пример.рф/", 1): "2048",

		"https://example.com": "", "HTTPS://EXAMPLE.com:8443/a?b=c%23": "", "https://8.8.8.8/": "", "https://134744072/": "",
		"https://[2606:4700::1]:443/": "", "https://xn--e1afmkfd.xn--p1ai/": "", "https://пример.рф/хук": "", "https://1.2.3.4.example/": "",
	} {
		err := g.CheckURL(target)
		var bad *egress.URLError
		switch {
		case want == "" && err != nil:
			t.Errorf("CheckURL(%.60s) = %v, want nil", target, err)
		case want != "" && (!errors.As(err, &bad) || !strings.Contains(bad.Reason, want)):
			t.Errorf("CheckURL(%.60s) = %v, want a reason with %q", target, err, want)
		}
	}
}

// long fills a URL up to over characters above the limit.
func long(base string, over int) string {
	return base + strings.Repeat("ж", egress.MaxURL+over-utf8.RuneCountInString(base))
}

func FuzzCheckURL(f *testing.F) {
	for _, host := range spellings {
		f.Add("https://" + host + "/")
	}
	for _, seed := range []string{"https://u:p@example.com:1/a?b#c", "http://example.com", "https://пример.рф", "https:///", "https://127.0.0.1\\@example.com/"} {
		f.Add(seed)
	}
	g, err := egress.NewGuard(egress.Policy{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if g.CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		switch {
		case err != nil:
			t.Fatalf("%q passed and cannot be parsed: %v", raw, err)
		case u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Port() == "0" || utf8.RuneCountInString(raw) > egress.MaxURL:
			t.Fatalf("%q passed", raw)
		}
		// What net would dial without asking DNS must be public.
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && egress.TierOf(ip) != egress.Public {
			t.Fatalf("%q passed, and is %s", raw, ip)
		}
	})
}
