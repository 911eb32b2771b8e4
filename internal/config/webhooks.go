package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"
)

// Webhooks is what the server sends to the servers of others, and how.
type Webhooks struct {
	Enabled              bool     `key:"enabled" default:"true" doc:"Send webhooks, and serve /webhooks."`
	AllowHTTP            bool     `key:"allow_http" doc:"Let webhooks have http:// addresses; what they carry can then be read on the way."`
	AllowPrivateNetworks bool     `key:"allow_private_networks" doc:"Let them reach private networks: 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16, fc00::/7."`
	AllowNetworks        []string `key:"allow_networks" doc:"Networks that they may reach although such are closed to them; of what is closed for good, as loopback is, only what an entry names itself, such as 127.0.0.0/8."`
	AllowHosts           []string `key:"allow_hosts" doc:"Hosts that they may reach whatever their addresses are, without a port; who runs their DNS is trusted."`
	DenyNetworks         []string `key:"deny_networks" doc:"Networks that they never reach, whatever the rest says."`

	TimeoutMS        int `key:"timeout_ms" default:"15000" doc:"Milliseconds that one attempt may take, 1000 to 30000, unless its webhook says otherwise."`
	ConnectTimeoutMS int `key:"connect_timeout_ms" default:"5000" doc:"Milliseconds that finding and reaching the receiver may take, 100 to 30000; at most timeout_ms."`

	SenderSlots         int     `key:"sender_slots" default:"500" doc:"Most attempts at once, 1 to 10000."`
	FirstAttemptReserve float64 `key:"first_attempt_reserve" default:"0.25" zero:"keep" doc:"Part of sender_slots that is left to first attempts, 0 to 0.9."`

	RetrySchedule  []int         `key:"retry_schedule" default:"5 300 1800 7200 18000 36000 50400 72000 86400" doc:"Seconds to wait after the first failed attempt, the second and so on; after the last of up to 20 comes one more attempt. Each is 1 to 86400. An empty list in a file is a single attempt."`
	RetryJitter    float64       `key:"retry_jitter" default:"0.1" zero:"keep" doc:"Part of a wait by which it is made shorter or longer at random, 0 to 1."`
	MaxDeliveryAge time.Duration `key:"max_delivery_age" default:"168h" doc:"Age above which a delivery is no longer tried by itself, at least 1m."`

	DisableAfter       time.Duration `key:"disable_after" default:"120h" doc:"Time without a success after which ten failures switch a webhook off, at least 1m."`
	DisableConsecutive int           `key:"disable_consecutive" default:"100" doc:"Failures in a row, over a day or longer, that switch a webhook off, 10 to 1000000."`

	RetentionDeliveries time.Duration `key:"retention_deliveries" default:"720h" doc:"Time that deliveries, their attempts and payloads are kept, at least 1h; those under way stay."`
	RetentionExhausted  time.Duration `key:"retention_exhausted" default:"2160h" doc:"Time that deliveries are kept that were given up, as long as retention_deliveries or longer."`
	CaptureBytes        int           `key:"capture_bytes" default:"65536" doc:"Most bytes that are read of an answer's body, 1 to 65536."`
	MaxPayloadBytes     int           `key:"max_payload_bytes" default:"262144" doc:"Most bytes of an event's payload that services may append, 1024 to 262144."`

	SecretEncryptionKey    string   `key:"secret_encryption_key" secret:"yes" doc:"Key that the secrets of webhooks are encrypted with in the database: 32 random bytes as base64 or hex. Empty: the server makes one and keeps it in the data folder."`
	PreviousEncryptionKeys []string `key:"previous_encryption_keys" secret:"yes" doc:"Keys that secrets may be encrypted with that were stored before secret_encryption_key was changed, given like it."`

	EgressBind  []string `key:"egress_bind" doc:"Addresses of this machine that webhooks are sent from, in turn; empty leaves it to the system."`
	EgressProxy string   `key:"egress_proxy" secret:"yes" doc:"Proxy that all webhooks go through, as in http://proxy.example.com:3128; http, https, socks5 or socks5h. It then has the duty to refuse private addresses."`

	ShutdownGrace time.Duration `key:"shutdown_grace" default:"20s" doc:"Time that attempts under way have when the server stops, at most shutdown.timeout."`
	MaxWebhooks   int           `key:"max_webhooks" default:"1000" doc:"Most webhooks, 1 to 100000."`
	Source        string        `key:"source" doc:"URI of this server in CloudEvents; empty is http_server.public_url, or /kuranty without one."`
}

// Bounds of webhooks; those of a webhook's own settings are the same (spec/webhooks.md §4.1).
const (
	maxAttemptMS  = 30_000
	maxRetries    = 20
	maxRetryWait  = 86_400 // seconds
	maxCapture    = 64 << 10
	maxEventBytes = 256 << 10
)

// encryptionKeySize is the length of a key that encrypts secrets, in bytes.
const encryptionKeySize = 32

// hostName is the form of a host without a port, patterns and brackets.
var hostName = regexp.MustCompile(`^[^\s/:@*\[\]]+$`)

var errEncryptionKey = errors.New("must be 32 bytes as base64 or hex")

// ReadEncryptionKey returns the 32 bytes that text is as base64, with or without padding, of
// the usual or the URL alphabet, or as hex. The error does not repeat the text.
func ReadEncryptionKey(text string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString,
		base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(text); err == nil && len(key) == encryptionKeySize {
			return key, nil
		}
	}
	return nil, errEncryptionKey
}

func (l *loader) checkWebhooks(c *Config) {
	const prefix = "webhooks."
	w := &c.Webhooks
	if w.Enabled && w.AllowHTTP {
		const key = prefix + "allow_http"
		l.note(key, place{layer: string(l.origins[key])}, true, "webhooks may be sent to http:// addresses, and read on the way")
	}
	l.checkTargets(w)
	l.checkRange(prefix+"timeout_ms", w.TimeoutMS, 1000, maxAttemptMS)
	l.checkConnectTimeout(w)
	l.checkRange(prefix+"sender_slots", w.SenderSlots, 1, 10_000)
	l.checkPart(prefix+"first_attempt_reserve", w.FirstAttemptReserve, 0.9)
	l.checkRetries(w)
	if w.DisableAfter < time.Minute {
		l.wrong(prefix+"disable_after", "must be at least 1m")
	}
	l.checkRange(prefix+"disable_consecutive", w.DisableConsecutive, 10, 1_000_000)
	l.checkDeliveryLog(w)
	l.checkEncryptionKeys(w)
	l.checkEgress(w)
	l.checkGrace(c)
	l.checkRange(prefix+"max_webhooks", w.MaxWebhooks, 1, 100_000)
	l.checkSource(c)
}

// checkTargets judges whom webhooks may reach.
func (l *loader) checkTargets(w *Webhooks) {
	l.checkNetworks("webhooks.allow_networks", w.AllowNetworks)
	l.checkNetworks("webhooks.deny_networks", w.DenyNetworks)
	for _, host := range w.AllowHosts {
		if _, err := netip.ParseAddr(host); err != nil && !hostName.MatchString(host) {
			l.wrong("webhooks.allow_hosts", "%q must be a host such as hooks.example.com, without scheme, port and *", host)
		}
	}
}

func (l *loader) checkConnectTimeout(w *Webhooks) {
	const key = "webhooks.connect_timeout_ms"
	l.checkRange(key, w.ConnectTimeoutMS, 100, maxAttemptMS)
	switch {
	case w.ConnectTimeoutMS <= w.TimeoutMS:
	case l.origins[key] == fromDefault:
		w.ConnectTimeoutMS = w.TimeoutMS
	case w.ConnectTimeoutMS <= maxAttemptMS:
		l.wrong(key, "must not exceed webhooks.timeout_ms (%d)", w.TimeoutMS)
	}
}

func (l *loader) checkRetries(w *Webhooks) {
	const key = "webhooks.retry_schedule"
	if len(w.RetrySchedule) > maxRetries {
		l.wrong(key, "must not have more than %d elements", maxRetries)
	}
	if slices.ContainsFunc(w.RetrySchedule, func(s int) bool { return s < 1 || s > maxRetryWait }) {
		l.wrong(key, "each element must be 1 to %d", maxRetryWait)
	}
	l.checkPart("webhooks.retry_jitter", w.RetryJitter, 1)
	if w.MaxDeliveryAge < time.Minute {
		l.wrong("webhooks.max_delivery_age", "must be at least 1m")
	}
}

// checkPart holds a part of a whole between 0 and most.
func (l *loader) checkPart(key string, part, most float64) {
	if part > most {
		l.wrong(key, "must be 0 to %v", most)
	}
}

func (l *loader) checkDeliveryLog(w *Webhooks) {
	if w.RetentionDeliveries < time.Hour {
		l.wrong("webhooks.retention_deliveries", "must be at least 1h")
	}
	const key = "webhooks.retention_exhausted"
	switch {
	case w.RetentionExhausted >= w.RetentionDeliveries:
	case l.origins[key] == fromDefault:
		w.RetentionExhausted = w.RetentionDeliveries
	default:
		l.wrong(key, "must be at least webhooks.retention_deliveries (%s)", showDuration(w.RetentionDeliveries))
	}
	l.checkRange("webhooks.capture_bytes", w.CaptureBytes, 1, maxCapture)
	l.checkRange("webhooks.max_payload_bytes", w.MaxPayloadBytes, 1024, maxEventBytes)
}

func (l *loader) checkEncryptionKeys(w *Webhooks) {
	if w.SecretEncryptionKey != "" {
		if _, err := ReadEncryptionKey(w.SecretEncryptionKey); err != nil {
			l.wrong("webhooks.secret_encryption_key", "%v", err)
		}
	}
	for i, text := range w.PreviousEncryptionKeys {
		if _, err := ReadEncryptionKey(text); err != nil {
			l.wrong("webhooks.previous_encryption_keys", "element %d %v", i+1, err)
		}
	}
}

// checkEgress judges the way out. A proxy is not repeated, its password may be in it.
func (l *loader) checkEgress(w *Webhooks) {
	for _, text := range w.EgressBind {
		if _, err := netip.ParseAddr(text); err != nil {
			l.wrong("webhooks.egress_bind", "%q must be an address such as 192.0.2.7", text)
		}
	}
	if w.EgressProxy == "" {
		return
	}
	u, err := url.Parse(w.EgressProxy)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) ||
		*u != (url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host}) {
		l.wrong("webhooks.egress_proxy", "must be http://, https://, socks5:// or socks5h:// with a host and nothing after it")
	}
}

// checkGrace keeps attempts within the stop of the server, which cuts what lasts longer.
func (l *loader) checkGrace(c *Config) {
	const key = "webhooks.shutdown_grace"
	switch grace := &c.Webhooks.ShutdownGrace; {
	case *grace <= c.Shutdown.Timeout:
	case l.origins[key] == fromDefault:
		*grace = c.Shutdown.Timeout
	default:
		l.wrong(key, "must not exceed shutdown.timeout (%s)", showDuration(c.Shutdown.Timeout))
	}
}

func (l *loader) checkSource(c *Config) {
	switch source := &c.Webhooks.Source; {
	case *source != "":
		if u, err := url.Parse(*source); err != nil || u.String() != *source {
			l.wrong("webhooks.source", "must be a URI such as https://chat.example.com or urn:example:chat")
		}
	case c.HTTPServer.PublicURL != "":
		*source = c.HTTPServer.PublicURL
	default:
		*source = "/kuranty"
	}
}
