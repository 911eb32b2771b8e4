package alerts

import "context"

// Inspector tells scans what the running server is like.
type Inspector interface {
	// Inspect returns the facts. With deep it also looks into database, accounts and
	// folders; what could not be found out is named in Facts.Unknown.
	Inspect(ctx context.Context, deep bool) (*Facts, error)
}

// Facts are what checks look at. The names in comments are those of the configuration.
type Facts struct {
	// Public are listeners that other machines can reach; TLS says that they speak it, Proxies
	// that http_server.trusted_proxies names some in front. CertificateEnds is the end of
	// the certificate, in milliseconds since 1970.
	Public          []string
	TLS, Proxies    bool
	CertificateEnds int64
	// Insecure are options that are on and skip signatures, tokens or keys.
	Insecure []string
	// Origins are client.allowed_origins, UserHeader is client.user_id_http_header.
	Origins    []string
	UserHeader string
	// Unexpiring are keys of require_exp that are off where tokens are taken.
	Unexpiring []string
	// Secrets are those that the operator chose.
	Secrets []Secret
	// QuerySecrets are options that take credentials in addresses.
	QuerySecrets []string
	// Anonymous are options that let clients in, or publish, without saying who they are.
	Anonymous []string
	// Registration is auth.registration; Mail says that letters can be sent.
	Registration string
	Mail         bool
	// AdminPassword says that auth.first_admin.password is in the configuration.
	AdminPassword bool
	// PublicMetrics says that metrics are served to everybody.
	PublicMetrics bool
	// RetentionDays is chat.retention_days.
	RetentionDays int
	// UnsafeDurability is storage.unsafe_durability.
	UnsafeDurability bool

	// What follows is there with deep only.

	// Database has settings of PostgreSQL by their names; nil with SQLite.
	Database map[string]string
	// RefusedEvents are events that readers of the log set aside.
	RefusedEvents int64
	// Files are those of the data folder that others than its owner can read.
	Files  []File
	Keys   []Key
	Admins []Admin
	// Unknown says what could not be looked at.
	Unknown []string
}

// Secret is a secret of the configuration: its key, and how many bytes it has.
type Secret struct {
	Key   string
	Bytes int
}

// File is a file, or a folder, and its mode in octal.
type File struct{ Path, Mode string }

// Key is an API key that is valid. Times are milliseconds since 1970, 0 is never.
type Key struct {
	ID, Name                         string
	Scopes                           []string
	CreatedAt, ExpiresAt, LastUsedAt int64
}

// Admin is an administrator who may sign in.
type Admin struct {
	User                  int64
	CreatedAt, LastSeenAt int64
}
