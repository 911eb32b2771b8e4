package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The areas of checks; a targeted scan names one, or a check, a guarantee or a key of the
// configuration.
const (
	areaListeners = "listeners"
	areaTokens    = "tokens"
	areaAccounts  = "accounts"
	areaKeys      = "keys"
	areaStorage   = "storage"
	areaPrivacy   = "privacy"
)

// check is one question that scans ask.
type check struct {
	// id names it; guarantee is the line of guarantees.md that is weakened, key what to
	// change in the configuration, if that helps.
	id, area, guarantee, severity, title, key string
	// keys are those it looks at if key alone does not say it.
	keys []string
	// deep checks look further than the configuration and are left out of quick scans.
	deep bool
	// look returns a detail for each thing that is not as it should be.
	look func(f *Facts, now int64) []found
}

// found is one thing that is not as it should be. A key that is set stands in the place
// of the check's.
type found struct{ detail, key string }

// when makes one finding of a condition.
func when(bad bool, format string, args ...any) []found {
	if !bad {
		return nil
	}
	return []found{{detail: fmt.Sprintf(format, args...)}}
}

// each makes a finding of each key that is on.
func each(keys []string, format string) (list []found) {
	for _, k := range keys {
		list = append(list, found{fmt.Sprintf(format, k), k})
	}
	return list
}

const (
	day = int64(24 * time.Hour / time.Millisecond)
	// leastSecret is the least length of a key of HS256 (RFC 7518 §3.2), leastKey that of an
	// API key of 192 random bits (guarantees.md S35), in bytes of text.
	leastSecret = 32
	leastKey    = 24
	// unused is how long somebody with power has not been seen until that is worth a word.
	unused = 90 * day
	// expiring is how long before its end a certificate is worth a word.
	expiring = 14 * day
)

// checks are all there are, in the order of findings of the same severity.
var checks = []check{
	{
		id: "insecure-options", area: areaTokens, guarantee: "S5", severity: Critical, title: "Signatures or keys are not checked",
		keys: []string{"client.insecure", "client.insecure_skip_token_signature_verify", "http_api.insecure"},
		look: func(f *Facts, _ int64) []found {
			return each(f.Insecure, "%s is on, so whoever reaches the listener is let in")
		},
	},
	{
		id: "unsafe-durability", area: areaStorage, guarantee: "R2", severity: High, title: "Acknowledged writes may be lost", key: "storage.unsafe_durability",
		look: func(f *Facts, _ int64) []found {
			return when(f.UnsafeDurability, "a database that does not sync what it commits is let pass")
		},
	},
	{
		id: "database-settings", area: areaStorage, guarantee: "R2", severity: High, title: "PostgreSQL may lose what it acknowledged", deep: true, look: databaseSettings,
	},
	{
		id: "database-plain", area: areaStorage, guarantee: "S1", severity: Medium, title: "The database is reached over the network without TLS", key: "storage.dsn", deep: true,
		look: func(f *Facts, _ int64) []found {
			return when(f.Database["ssl"] == "off" && f.Database["local"] == "off", "what is written and the password of the database can be read on the way")
		},
	},
	{
		id: "plain-listener", area: areaListeners, guarantee: "S1", severity: High, title: "Others can reach a listener without TLS", key: "http_server.tls.enabled",
		look: func(f *Facts, _ int64) []found {
			return when(len(f.Public) > 0 && !f.TLS && !f.Proxies,
				"%s is not of this machine, speaks no TLS and http_server.trusted_proxies names no proxy in front that does; passwords, tokens and everything administrators do cross the network readable", strings.Join(f.Public, ", "))
		},
	},
	{
		id: "certificate-ends", area: areaListeners, guarantee: "S1", severity: High, title: "The certificate ends", key: "http_server.tls.cert_pem",
		look: func(f *Facts, now int64) []found {
			return when(f.TLS && f.CertificateEnds != 0 && f.CertificateEnds-now < expiring, "the certificate is good until %s", date(f.CertificateEnds))
		},
	},
	{
		id: "wildcard-origins", area: areaListeners, guarantee: "S21", severity: High, title: "Pages of other sites may connect", key: "client.allowed_origins", look: wildcardOrigins,
	},
	{
		id: "user-header", area: areaTokens, guarantee: "S2", severity: High, title: "A header that anybody can send names the user", key: "client.user_id_http_header",
		look: func(f *Facts, _ int64) []found {
			return when(f.UserHeader != "" && len(f.Public) > 0, "whoever reaches %s says in the header %s who they are; only a gateway in front may reach it", strings.Join(f.Public, ", "), f.UserHeader)
		},
	},
	{
		id: "public-metrics", area: areaListeners, guarantee: "S20", severity: Low, title: "Metrics are served to everybody", key: "prometheus.enabled",
		look: func(f *Facts, _ int64) []found {
			return when(f.PublicMetrics && len(f.Public) > 0, "/metrics answers on %s", strings.Join(f.Public, ", "))
		},
	},
	{
		id: "tokens-without-end", area: areaTokens, guarantee: "S2", severity: Medium, title: "Tokens that never expire are taken",
		keys: []string{"client.token.require_exp", "client.subscription_token.require_exp", "auth.external.require_exp"},
		look: func(f *Facts, _ int64) []found {
			return each(f.Unexpiring, "%s is off: a token without exp that was copied opens connections for ever")
		},
	},
	{
		id: "short-secrets", area: areaTokens, guarantee: "S35", severity: Medium, title: "A secret is short", look: shortSecrets,
		keys: []string{
			"http_api.key", "client.token.hmac_secret_key", "client.token.hmac_previous_secret_key",
			"client.subscription_token.hmac_secret_key", "client.subscription_token.hmac_previous_secret_key", "auth.external.hmac_secret_key",
		},
	},
	{
		id: "secrets-in-addresses", area: areaTokens, guarantee: "S6", severity: Low, title: "Credentials are taken in addresses",
		keys: []string{"http_api.query_key", "gateway.query_token"},
		look: func(f *Facts, _ int64) []found {
			return each(f.QuerySecrets, "%s is on: proxies and browsers in between may log addresses; switch it off if no client needs it")
		},
	},
	{
		id: "anonymous-clients", area: areaTokens, guarantee: "S18", severity: Low, title: "Clients need not say who they are",
		keys: []string{"client.allow_anonymous_connect_without_token", "channel.without_namespace", "channel.namespaces"},
		look: func(f *Facts, _ int64) []found { return each(f.Anonymous, "%s is on") },
	},
	{
		id: "open-registration", area: areaAccounts, guarantee: "S12", severity: Low, title: "Anybody registers, and addresses are not verified", key: "auth.registration",
		look: func(f *Facts, _ int64) []found {
			return when(f.Registration == "open" && !f.Mail, "registration is open and this server sends no mail, so anybody can register with an e-mail address of somebody else")
		},
	},
	{
		id: "admin-password", area: areaAccounts, guarantee: "S13", severity: Low, title: "The first administrator's password is in the configuration", key: "auth.first_admin.password",
		look: func(f *Facts, _ int64) []found {
			return when(f.AdminPassword, "it is read at the first start only; change the password and take it out")
		},
	},
	{id: "idle-admins", area: areaAccounts, guarantee: "S20", severity: Medium, title: "An administrator has not been seen for long", deep: true, look: idleAdmins},
	{id: "mighty-keys", area: areaKeys, guarantee: "S35", severity: Medium, title: "An API key may do everything", deep: true, look: mightyKeys},
	{id: "endless-keys", area: areaKeys, guarantee: "S35", severity: Medium, title: "An API key never expires", deep: true, look: endlessKeys},
	{id: "idle-keys", area: areaKeys, guarantee: "S35", severity: Low, title: "An API key is not used", deep: true, look: idleKeys},
	{
		id: "file-modes", area: areaStorage, guarantee: "S40", severity: High, title: "Others can read the data folder", key: "storage.data_dir", deep: true,
		look: func(f *Facts, _ int64) (list []found) {
			for _, one := range f.Files {
				list = append(list, found{detail: fmt.Sprintf("%s has mode %s; its owner alone should reach it", one.Path, one.Mode)})
			}
			return list
		},
	},
	{
		id: "refused-events", area: areaStorage, guarantee: "R18", severity: Medium, title: "Events were not announced", deep: true,
		look: func(f *Facts, _ int64) []found {
			return when(f.RefusedEvents > 0, "%d events are set aside in refused_events, because a reader of the log could not take them", f.RefusedEvents)
		},
	},
	{
		id: "endless-retention", area: areaPrivacy, guarantee: "S37", severity: Low, title: "Messages are kept for ever", key: "chat.retention_days",
		look: func(f *Facts, _ int64) []found {
			return when(f.RetentionDays == 0, "no chat forgets anything unless it has a retention of its own")
		},
	},
}

func date(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }

func databaseSettings(f *Facts, _ int64) (list []found) {
	for _, s := range []struct{ name, why string }{
		{"fsync", "a crash of the machine can damage the database"},
		{"synchronous_commit", "the last acknowledged writes are lost with the machine"},
		{"full_page_writes", "a crash of the machine can damage the database"},
	} {
		switch v := f.Database[s.name]; v {
		case "", "on", "remote_write", "remote_apply":
		default:
			list = append(list, found{detail: fmt.Sprintf("%s is %s: %s", s.name, v, s.why)})
		}
	}
	return list
}

func wildcardOrigins(f *Facts, _ int64) (list []found) {
	for _, o := range f.Origins {
		_, host, ok := strings.Cut(o, "://")
		host = strings.TrimPrefix(host, "*.")
		if o == "*" || ok && (strings.HasPrefix(host, "*") || !strings.Contains(host, ".") && strings.Contains(o, "*.")) {
			list = append(list, found{detail: fmt.Sprintf("%q lets in pages of sites that are not yours", o)})
		}
	}
	return list
}

func shortSecrets(f *Facts, _ int64) (list []found) {
	for _, s := range f.Secrets {
		least := leastSecret
		if s.Key == "http_api.key" {
			least = leastKey
		}
		if s.Bytes > 0 && s.Bytes < least {
			list = append(list, found{fmt.Sprintf("%s has %d bytes; %d random ones cannot be guessed (kuranty config init makes some)", s.Key, s.Bytes, least), s.Key})
		}
	}
	return list
}

func idleAdmins(f *Facts, now int64) (list []found) {
	for _, a := range f.Admins {
		if last := max(a.LastSeenAt, a.CreatedAt); now-last > unused {
			list = append(list, found{detail: fmt.Sprintf("user:%d was last here on %s; take the role from who does not need it", a.User, date(last))})
		}
	}
	return list
}

func mightyKeys(f *Facts, _ int64) (list []found) {
	for _, k := range f.Keys {
		if slices.Contains(k.Scopes, "*") {
			list = append(list, found{detail: fmt.Sprintf("key %s (%s) has every scope", k.ID, k.Name)})
		}
	}
	return list
}

func endlessKeys(f *Facts, _ int64) (list []found) {
	for _, k := range f.Keys {
		if k.ExpiresAt == 0 {
			list = append(list, found{detail: fmt.Sprintf("key %s (%s) is good until it is revoked", k.ID, k.Name)})
		}
	}
	return list
}

func idleKeys(f *Facts, now int64) (list []found) {
	for _, k := range f.Keys {
		if last := max(k.LastUsedAt, k.CreatedAt); now-last > unused {
			list = append(list, found{detail: fmt.Sprintf("key %s (%s) was not used since %s; revoke it if nobody needs it", k.ID, k.Name, date(last))})
		}
	}
	return list
}
