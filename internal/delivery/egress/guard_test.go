package egress_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/delivery/egress"
)

// The first and last address of every range of spec/webhooks.md §4.12.
func TestS31_EveryRange(t *testing.T) {
	for tier, addresses := range map[egress.Tier]string{
		egress.Forbidden: `
			0.0.0.0 0.255.255.255 127.0.0.0 127.0.0.1 127.255.255.255 169.254.0.0 169.254.169.254 169.254.255.255
			192.0.0.0 192.0.0.255 192.0.2.0 192.0.2.255 192.88.99.0 192.88.99.255 198.18.0.0 198.19.255.255
			198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255
			:: ::1 ::7f00:1 ::8.8.8.8 ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::ffff:0:8.8.8.8 64:ff9b:1:: 64:ff9b:1::8.8.8.8
			64:ff9b::1:0:0 100:: 100::ffff:ffff:ffff:ffff 2001:: 2001:0:808:808:: 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff
			2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff 2002:: 2002:7f00:1:: 2002:808:808:: 2002:ffff:ffff::1
			3fff:: 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff 5f00:: 5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff
			fe80:: fe80::1%eth0 febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff fec0:: feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
			ff00:: ff02::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fd00:ec2::254 fd00:ec2::254%eth0
			::ffff:127.0.0.1 ::ffff:127.0.0.1%eth0 ::ffff:169.254.169.254 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::127.0.0.1%eth0`,
		egress.Private: `
			10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255
			fc00:: fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fd00:ec2::253 fd00:ec2::255 fc00::1%eth0
			::ffff:10.0.0.1 64:ff9b::192.168.1.1`,
		egress.Public: `
			1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
			169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0
			192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0
			223.255.255.255 100:0:0:1:: 2001:200:: 2001:db7:ffff:: 2001:db9:: 2003:: 2606:4700:4700::1111 3fff:1000::
			5eff:: 5f01:: fbff:: fe00:: fe7f:: ::ffff:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::8.8.8.8%eth0`,
	} {
		for _, text := range strings.Fields(addresses) {
			if got := egress.TierOf(netip.MustParseAddr(text)); got != tier {
				t.Errorf("TierOf(%s) = %d, want %d", text, got, tier)
			}
		}
	}
	if got := egress.TierOf(netip.Addr{}); got != egress.Forbidden {
		t.Errorf("TierOf of no address = %d, want Forbidden", got)
	}
}

func TestS31_OperatorAllowsAndDenies(t *testing.T) {
	nets := func(texts ...string) (ps []netip.Prefix) {
		for _, text := range texts {
			ps = append(ps, netip.MustParsePrefix(text))
		}
		return ps
	}
	for _, test := range []struct {
		name         string
		policy       egress.Policy
		pass, refuse string
	}{
		{"nothing said", egress.Policy{}, "8.8.8.8 64:ff9b::8.8.8.8", "10.0.0.1 127.0.0.1 fc00::1"},
		{
			"private",
			egress.Policy{AllowPrivate: true},
			"10.0.0.1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1 fc00::1%eth0", "127.0.0.1 fd00:ec2::254 169.254.169.254 fe80::1",
		},
		{"a private network", egress.Policy{AllowNetworks: nets("10.1.0.0/16")}, "10.1.2.3 64:ff9b::10.1.2.3", "10.2.0.1"},
		{"a host of a network", egress.Policy{AllowNetworks: nets("10.1.2.3/16")}, "10.1.9.9", "10.2.0.1"},
		{"everything opens no forbidden range", egress.Policy{AllowNetworks: nets("0.0.0.0/0", "::/0", "fc00::/7")}, "10.0.0.1 fd00::1", "127.0.0.1 169.254.169.254 ::1 fd00:ec2::254"},
		{"an exact entry does", egress.Policy{AllowNetworks: nets("127.0.0.1/32", "fd00:ec2::254/128", "::ffff:127.9.0.0/112")}, "127.0.0.1 ::ffff:127.0.0.1 fd00:ec2::254 127.9.0.7", "127.0.0.2 169.254.169.254"},
		{"the loopback of IPv6 is not all of ::/8", egress.Policy{AllowNetworks: nets("::1/128")}, "::1", ":: ::7f00:1 64:ff9b::127.0.0.1"},
		{"a host", egress.Policy{AllowHosts: []string{"Hook.Test."}}, "127.0.0.1 10.0.0.1 8.8.8.8", ""},
		{"another host", egress.Policy{AllowHosts: []string{"test", "a.hook.test"}}, "8.8.8.8", "127.0.0.1 10.0.0.1"},
		{
			"deny wins",
			egress.Policy{
				AllowPrivate: true, AllowNetworks: nets("127.0.0.1/32", "10.0.0.0/8"), AllowHosts: []string{"hook.test"},
				DenyNetworks: nets("127.0.0.0/8", "10.0.0.5/32", "8.8.0.0/16", "2606:4700::/32"),
			},
			"10.0.0.6 9.9.9.9", "127.0.0.1 10.0.0.5 ::ffff:10.0.0.5 64:ff9b::10.0.0.5 64:ff9b::8.8.8.8 8.8.8.8 2606:4700::1%eth0",
		},
		{"deny of translation", egress.Policy{DenyNetworks: nets("64:ff9b::/96")}, "8.8.8.8", "64:ff9b::8.8.8.8"},
		{"deny as mapped", egress.Policy{DenyNetworks: nets("::ffff:8.8.0.0/112")}, "8.9.8.8", "8.8.8.8"},
	} {
		g, err := egress.NewGuard(test.policy)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		for _, text := range strings.Fields(test.pass) {
			if err := g.Check("hook.test", netip.MustParseAddr(text)); err != nil {
				t.Errorf("%s: %s: %v", test.name, text, err)
			}
		}
		for _, text := range strings.Fields(test.refuse) {
			if err := g.Check("hook.test", netip.MustParseAddr(text)); !errors.Is(err, egress.ErrBlocked) {
				t.Errorf("%s: %s passed (%v)", test.name, text, err)
			}
		}
		if err := g.Check("hook.test", netip.Addr{}); !errors.Is(err, egress.ErrBlocked) {
			t.Errorf("%s: no address passed", test.name)
		}
	}
}

func TestMistakesInOptionsAreNamed(t *testing.T) {
	for want, opts := range map[string]egress.Options{
		"allow_networks[1]": {Policy: egress.Policy{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), {}}}},
		"carries IPv4":      {Policy: egress.Policy{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96")}}},
		"deny_networks[0]":  {Policy: egress.Policy{DenyNetworks: []netip.Prefix{netip.MustParsePrefix("::ffff:1.2.3.4/8")}}},
		"allow_hosts[0]":    {Policy: egress.Policy{AllowHosts: []string{"*.example.com"}}},
		"egress_bind[0]":    {Bind: []netip.Addr{netip.IPv4Unspecified()}},
		"egress_proxy":      {Proxy: mustURL(t, "ftp://proxy:21")},
	} {
		if _, err := egress.NewClient(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one with %q", err, want)
		}
	}
}
