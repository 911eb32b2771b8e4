package config

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"
	"time"
)

var (
	namespaceName = regexp.MustCompile(`^[-a-zA-Z0-9_.]{2,}$`)
	claimName     = regexp.MustCompile(`^[a-zA-Z_]+$`)
)

// ReadPEM returns the PEM text that value is, encodes in base64, or names as a file.
func ReadPEM(value string) ([]byte, error) {
	data := []byte(value)
	if !strings.Contains(value, "-----BEGIN ") {
		if decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value)); err == nil && strings.Contains(string(decoded), "-----BEGIN ") {
			data = decoded
		} else if data, err = os.ReadFile(value); err != nil {
			var failed *os.PathError
			if errors.As(err, &failed) {
				err = failed.Err // the value may be a damaged key
			}
			return nil, fmt.Errorf("neither PEM text nor base64 of it, and as the path of a file: %w", err)
		}
	}
	if block, _ := pem.Decode(data); block == nil {
		return nil, errors.New("holds no PEM block")
	}
	return data, nil
}

// wrong adds a problem of the value at key.
func (l *loader) wrong(key, format string, args ...any) {
	l.problems = append(l.problems, Problem{Key: key, Origin: l.origins[key], Text: fmt.Sprintf(format, args...)})
}

// check judges the configuration as a whole: what may not stand alone, together, or on
// a listener that others can reach.
func (l *loader) check() {
	c := l.cfg
	l.checkListener(c)
	l.checkClient(&c.Client)
	l.checkToken("client.token.", &c.Client.Token)
	l.checkToken("client.subscription_token.", &c.Client.SubscriptionToken.Token)
	if t := &c.Client.SubscriptionToken; t.Enabled && !t.hasKey() {
		l.wrong("client.subscription_token.enabled", "needs a key in client.subscription_token")
	}
	l.checkChannels(c)
	l.checkStorage(c)
	l.checkAuth(c)
	l.checkChat(c)
	l.checkAlerts(&c.Alerts)
	l.checkAnalytics(&c.Analytics)
	l.checkGateway(&c.Gateway)
	l.checkEventTypes(c.Events.Types)
	l.checkWebhooks(c)
	l.checkMail(&c.Mail)
	if n := c.WebSocket.CompressionLevel; n > 9 {
		l.wrong("websocket.compression_level", "must be 1 to 9")
	}
	if c.Shutdown.Drain > c.Shutdown.Timeout {
		if l.origins["shutdown.drain"] == fromDefault {
			c.Shutdown.Drain = c.Shutdown.Timeout
		} else {
			l.wrong("shutdown.drain", "must not exceed shutdown.timeout")
		}
	}
}

func (t *Token) hasKey() bool {
	return t.HMACSecretKey != "" || t.RSAPublicKey != "" || t.ECDSAPublicKey != "" || t.EdDSAPublicKey != "" || t.JWKSPublicEndpoint != ""
}

func (l *loader) checkClient(c *Client) {
	if c.PingInterval > 0 && c.PongTimeout >= c.PingInterval {
		l.wrong("client.pong_timeout", "must be less than client.ping_interval (%s)", showDuration(c.PingInterval))
	}
	for _, o := range c.AllowedOrigins {
		key := "client.allowed_origins"
		at := place{layer: string(l.origins[key])}
		switch _, err := path.Match(o, ""); {
		case err != nil:
			l.wrong(key, "%q is not a pattern: %v", o, err)
		case strings.ToLower(o) != o:
			l.note(key, at, true, "%q never matches, origins are compared in lower case", o)
		case !strings.Contains(o, "://") && o != "*" && o != "null":
			l.note(key, at, true, "%q never matches, an origin has a scheme, as in https://example.com", o)
		}
	}
}

func (l *loader) checkToken(prefix string, t *Token) {
	l.checkPEM(prefix+"rsa_public_key", t.RSAPublicKey)
	l.checkPEM(prefix+"ecdsa_public_key", t.ECDSAPublicKey)
	l.checkPEM(prefix+"eddsa_public_key", t.EdDSAPublicKey)
	if t.HMACPreviousSecretKey != "" && t.HMACSecretKey == "" {
		l.wrong(prefix+"hmac_previous_secret_key", "needs %shmac_secret_key, the key that follows it", prefix)
	}
	l.checkKeySet(prefix+"jwks_public_endpoint", t.JWKSPublicEndpoint)
	if t.UserIDClaim != "" && !claimName.MatchString(t.UserIDClaim) {
		l.wrong(prefix+"user_id_claim", "must consist of letters and underscores")
	}
	for _, c := range []struct{ name, plain, pattern string }{
		{"audience", t.Audience, t.AudienceRegex},
		{"issuer", t.Issuer, t.IssuerRegex},
	} {
		if c.plain != "" && c.pattern != "" {
			l.wrong(prefix+c.name+"_regex", "excludes %s%s", prefix, c.name)
		}
		l.checkPattern(prefix+c.name+"_regex", c.pattern)
	}
}

func (l *loader) checkKeySet(key, address string) {
	if address != "" && !strings.HasPrefix(address, "http://") && !strings.HasPrefix(address, "https://") {
		l.wrong(key, "must be an http:// or https:// address")
	}
}

func (l *loader) checkPattern(key, pattern string) {
	if _, err := regexp.Compile(pattern); err != nil {
		l.wrong(key, "%v", err)
	}
}

func (l *loader) checkPEM(key, value string) {
	if value == "" {
		return
	}
	if _, err := ReadPEM(value); err != nil {
		l.wrong(key, "%v", err)
	}
}

func (l *loader) checkChannels(c *Config) {
	l.checkOptions("channel.without_namespace", &c.Channel.WithoutNamespace)
	for i := range c.Channel.Namespaces {
		ns := &c.Channel.Namespaces[i]
		key := "channel.namespaces." + ns.Name
		if !namespaceName.MatchString(ns.Name) {
			l.wrong(key+".name", "must be at least two letters, digits, hyphens, underscores or dots")
		}
		l.checkOptions(key, &ns.ChannelOptions)
	}

	const personal = "client.subscribe_to_user_personal_channel."
	p := &c.Client.SubscribeToUserPersonalChannel
	opts := &c.Channel.WithoutNamespace
	if p.PersonalChannelNamespace != "" {
		if opts = c.Channel.namespace(p.PersonalChannelNamespace); opts == nil {
			l.wrong(personal+"personal_channel_namespace", "there is no namespace %s", p.PersonalChannelNamespace)
		}
	}
	if p.Enabled && p.SingleConnection && opts != nil && !opts.Presence {
		l.wrong(personal+"single_connection", "needs presence in the namespace of personal channels")
	}
}

func (c *Channel) namespace(name string) *ChannelOptions {
	for i := range c.Namespaces {
		if c.Namespaces[i].Name == name {
			return &c.Namespaces[i].ChannelOptions
		}
	}
	return nil
}

func (l *loader) checkOptions(prefix string, o *ChannelOptions) {
	history := o.HistorySize > 0 && o.HistoryTTL > 0
	switch {
	case o.HistorySize > 0 && !history:
		l.wrong(prefix+".history_size", "needs history_ttl")
	case o.HistoryTTL > 0 && !history:
		l.wrong(prefix+".history_ttl", "needs history_size")
	}
	if o.HistoryTTL%time.Second != 0 {
		l.wrong(prefix+".history_ttl", "must be whole seconds")
	}
	metaKey, meta := prefix+".history_meta_ttl", o.HistoryMetaTTL
	if meta == 0 {
		metaKey, meta = "channel.history_meta_ttl", l.cfg.Channel.HistoryMetaTTL
	}
	if meta < o.HistoryTTL {
		l.wrong(metaKey, "must not be less than %s.history_ttl (%s)", prefix, showDuration(o.HistoryTTL))
	}
	if o.ForceRecovery && !history {
		l.wrong(prefix+".force_recovery", "needs history_size and history_ttl")
	}
	if o.AutoCacheRecover && (!o.ForceRecovery || o.ForceRecoveryMode != "cache") {
		l.wrong(prefix+".auto_cache_recover", "needs force_recovery and force_recovery_mode cache")
	}
	l.checkPattern(prefix+".channel_regex", o.ChannelRegex)
}
