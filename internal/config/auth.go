package config

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Auth says who the people of the chat are and how they log in.
type Auth struct {
	Mode                    string        `key:"mode" default:"builtin" oneof:"builtin|external|both" doc:"Whose sessions are taken: those of our own accounts, tokens of your application (auth.external), or both."`
	Registration            string        `key:"registration" default:"open" oneof:"open|invite|domain|closed" doc:"Who may register: everybody, who was invited, who has an e-mail address of registration_domains, or nobody."`
	RegistrationDomains     []string      `key:"registration_domains" doc:"Domains of e-mail addresses that may register, such as example.com; needed with registration domain, refused without."`
	AccessTokenTTL          time.Duration `key:"access_token_ttl" default:"15m" doc:"How long an access token is valid."`
	RefreshTokenTTL         time.Duration `key:"refresh_token_ttl" default:"720h" doc:"How long a session lives without being refreshed; not less than access_token_ttl."`
	Secret                  string        `key:"secret" secret:"yes" doc:"Key that signs access tokens, at least 32 bytes; empty is the one generated into the data folder."`
	PasswordHashConcurrency int           `key:"password_hash_concurrency" default:"4" doc:"Most passwords hashed at once; each takes password_hash_memory."`
	PasswordHashMemory      int           `key:"password_hash_memory" default:"64" doc:"Memory that hashing a password takes, in MiB, 19 to 1024: as much as it costs whoever has stolen the hashes to try one. Hashes made with less are made anew when people log in."`
	LoginFailures           int           `key:"login_failures" default:"5" doc:"Failed logins of an account in 15 minutes before each further one has to wait; 0 is the default. A device the account is known on is counted apart."`
	LoginFailuresPerAddress int           `key:"login_failures_per_address" default:"20" doc:"The same for failed logins from one address."`
	RegistrationsPerHour    int           `key:"registrations_per_hour" default:"10" doc:"Accounts that may be registered from one address in an hour; 0 is the default."`
	FirstAdmin              FirstAdmin    `key:"first_admin"`
	External                External      `key:"external"`
}

// FirstAdmin is the account of role admin that is made when there is none.
type FirstAdmin struct {
	Username string `key:"username" doc:"Name of the administrator made at the first start; empty makes none."`
	Email    string `key:"email" doc:"Their e-mail address."`
	Password string `key:"password" secret:"yes" doc:"Their first password, 8 to 256 characters; to be changed after the first login."`
}

// External says which tokens of the operator's own application are sessions here.
type External struct {
	HMACSecretKey      string `key:"hmac_secret_key" secret:"yes" doc:"Key of HS256, HS384 and HS512."`
	RSAPublicKey       string `key:"rsa_public_key" pem:"yes" doc:"Public key of RS256 to RS512 and PS256 to PS512: PEM text, base64 of it, or the path of a file."`
	ECDSAPublicKey     string `key:"ecdsa_public_key" pem:"yes" doc:"Public key of the one of ES256, ES384 and ES512 that fits its curve: PEM text, base64 of it, or the path of a file."`
	EdDSAPublicKey     string `key:"eddsa_public_key" pem:"yes" doc:"Public key of EdDSA (Ed25519), given like the others."`
	JWKSPublicEndpoint string `key:"jwks_public_endpoint" doc:"Address of a JSON Web Key Set; when set, the keys above are not used."`
	Issuer             string `key:"issuer" doc:"Issuer that a token must be of."`
	Audience           string `key:"audience" doc:"Audience that a token must be for."`
	UserClaim          string `key:"user_claim" default:"sub" doc:"Claim that names the user; letters and underscores, as in the other claims."`
	NameClaim          string `key:"name_claim" default:"name" doc:"Claim with the name shown to others."`
	EmailClaim         string `key:"email_claim" default:"email" doc:"Claim with the e-mail address."`
	PictureClaim       string `key:"picture_claim" default:"picture" doc:"Claim with the address of a picture."`
	NumericIDs         bool   `key:"numeric_ids" doc:"Take a number in user_claim as the user's id here too, so that ids in addresses and channels are those of your application; accounts made here get numbers above 2^52 then."`
	RequireExp         bool   `key:"require_exp" default:"true" doc:"Refuse tokens that never expire."`
}

// leastSecret is the least length of a key of HS256 (RFC 7518 §3.2), in bytes.
const leastSecret = 32

// domainName matches names as they stand behind the @ of an e-mail address.
var domainName = regexp.MustCompile(`^([\pL\pN]([-\pL\pN]*[\pL\pN])?\.)+[\pL\pN][-\pL\pN]*[\pL\pN]$`)

func (l *loader) checkAuth(c *Config) {
	a := &c.Auth
	for i, d := range a.RegistrationDomains {
		a.RegistrationDomains[i] = strings.ToLower(d)
		if !domainName.MatchString(d) {
			l.wrong("auth.registration_domains", "%q must be a domain such as example.com", d)
		}
	}
	switch byDomain := a.Registration == "domain"; {
	case byDomain && len(a.RegistrationDomains) == 0:
		l.wrong("auth.registration", "domain needs auth.registration_domains")
	case !byDomain && len(a.RegistrationDomains) > 0:
		l.wrong("auth.registration_domains", "needs auth.registration domain, %s does not look at them", a.Registration)
	}
	if a.RefreshTokenTTL < a.AccessTokenTTL {
		l.wrong("auth.refresh_token_ttl", "must not be less than auth.access_token_ttl (%s)", showDuration(a.AccessTokenTTL))
	}
	if m := a.PasswordHashMemory; m < 19 || m > 1024 {
		l.wrong("auth.password_hash_memory", "must be 19 to 1024")
	}
	if a.Secret != "" {
		l.checkSecret(c)
	}
	l.checkFirstAdmin(a)
	l.checkExternal(a)
}

// checkSecret keeps the key of our sessions apart from those that others hold, who could
// sign sessions of anybody with it.
func (l *loader) checkSecret(c *Config) {
	const key = "auth.secret"
	if len(c.Auth.Secret) < leastSecret {
		l.wrong(key, "must be at least %d bytes", leastSecret)
	}
	for _, other := range []struct{ key, value string }{
		{"auth.external.hmac_secret_key", c.Auth.External.HMACSecretKey},
		{"client.token.hmac_secret_key", c.Client.Token.HMACSecretKey},
		{"client.token.hmac_previous_secret_key", c.Client.Token.HMACPreviousSecretKey},
		{"client.subscription_token.hmac_secret_key", c.Client.SubscriptionToken.HMACSecretKey},
		{"client.subscription_token.hmac_previous_secret_key", c.Client.SubscriptionToken.HMACPreviousSecretKey},
		{"http_api.key", c.HTTPAPI.Key},
		{"chat.compat.windi.proxy_secret", c.Chat.Compat.Windi.ProxySecret},
	} {
		if c.Auth.Secret == other.value {
			l.wrong(key, "must differ from %s", other.key)
		}
	}
}

func (l *loader) checkFirstAdmin(a *Auth) {
	const prefix = "auth.first_admin."
	f := &a.FirstAdmin
	if *f == (FirstAdmin{}) {
		return
	}
	switch {
	case a.Mode == "external":
		l.wrong(prefix+"username", "cannot log in with auth.mode external")
	case f.Username == "":
		l.wrong(prefix+"username", "is needed with the other keys of auth.first_admin")
	case strings.ContainsFunc(f.Username, unicode.IsSpace) || strings.Contains(f.Username, "@"):
		l.wrong(prefix+"username", "must not have spaces or @ in it")
	}
	if before, domain, ok := strings.Cut(f.Email, "@"); f.Email != "" && (!ok || before == "" || !domainName.MatchString(domain)) {
		l.wrong(prefix+"email", "must be an e-mail address")
	}
	if n := utf8.RuneCountInString(f.Password); n < 8 || n > 256 {
		l.wrong(prefix+"password", "must have 8 to 256 characters")
	}
}

func (l *loader) checkExternal(a *Auth) {
	const prefix = "auth.external."
	e := &a.External
	l.checkPEM(prefix+"rsa_public_key", e.RSAPublicKey)
	l.checkPEM(prefix+"ecdsa_public_key", e.ECDSAPublicKey)
	l.checkPEM(prefix+"eddsa_public_key", e.EdDSAPublicKey)
	l.checkKeySet(prefix+"jwks_public_endpoint", e.JWKSPublicEndpoint)
	for _, c := range []struct{ name, claim string }{
		{"user_claim", e.UserClaim},
		{"name_claim", e.NameClaim},
		{"email_claim", e.EmailClaim},
		{"picture_claim", e.PictureClaim},
	} {
		if !claimName.MatchString(c.claim) {
			l.wrong(prefix+c.name, "must consist of letters and underscores")
		}
	}
	keys := []struct{ name, value string }{
		{"hmac_secret_key", e.HMACSecretKey},
		{"rsa_public_key", e.RSAPublicKey},
		{"ecdsa_public_key", e.ECDSAPublicKey},
		{"eddsa_public_key", e.EdDSAPublicKey},
		{"jwks_public_endpoint", e.JWKSPublicEndpoint},
	}
	given := 0
	for _, k := range keys {
		if k.value == "" {
			continue
		}
		given++
		if a.Mode == "builtin" {
			l.wrong(prefix+k.name, "needs auth.mode external or both, builtin takes no tokens of others")
		}
	}
	if a.Mode != "builtin" && given == 0 {
		l.wrong("auth.mode", "%s needs a key in auth.external", a.Mode)
	}
}
