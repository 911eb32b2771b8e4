package config

import "time"

// Auth says who the people of the chat are and how they log in.
type Auth struct {
	Mode                    string        `key:"mode" default:"builtin" oneof:"builtin|external|both" doc:"Whose sessions are taken: those of our own accounts, tokens of your application (auth.external), or both."`
	Registration            string        `key:"registration" default:"open" oneof:"open|invite|domain|closed" doc:"Who may register: everybody, who was invited, who has an e-mail address of registration_domains, or nobody."`
	RegistrationDomains     []string      `key:"registration_domains" doc:"Domains of e-mail addresses that may register, such as example.com; needed with registration domain, refused without."`
	AccessTokenTTL          time.Duration `key:"access_token_ttl" default:"15m" doc:"How long an access token is valid."`
	RefreshTokenTTL         time.Duration `key:"refresh_token_ttl" default:"720h" doc:"How long a session lives without being refreshed; not less than access_token_ttl."`
	Secret                  string        `key:"secret" secret:"yes" doc:"Key that signs access tokens, at least 32 bytes; empty is the one generated into the data folder."`
	PasswordHashConcurrency int           `key:"password_hash_concurrency" default:"4" doc:"Most passwords hashed at once; each takes 19 MiB of memory."`
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
	NumericIDs         bool   `key:"numeric_ids" doc:"Take a number in user_claim as the user's id here too, so that ids in addresses and channels are those of your application."`
	RequireExp         bool   `key:"require_exp" default:"true" doc:"Refuse tokens that never expire."`
}
