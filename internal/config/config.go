// Package config reads the configuration of the server from a file, the environment
// and flags, checks it as a whole and reports it.
//
// Every value has one name, and for everything Centrifugo has it is the name in its
// version 6; flat files of versions 3 to 5 are translated. A key that is unknown or has
// no effect here stops the loading, so what was written is what happens. All mistakes
// are reported at once, each with its key and where it was set, and never with the
// value of a secret.
//
// The package starts no goroutines and keeps no state.
package config

import "time"

// Config is the configuration of a server in plain types, after defaults. The path
// of tags from the root is a value's one name in files, flags and, upper-cased with
// underscores, the environment.
//
// A field's tags are its key, its default, its meaning (doc), whether it is a secret,
// whether a zero that was written is kept instead of meaning the default (zero:"keep"),
// and the values it is limited to (one of, separated by |).
type Config struct {
	Node       Node       `key:"node"`
	HTTPServer HTTPServer `key:"http_server"`
	Storage    Storage    `key:"storage"`
	Auth       Auth       `key:"auth"`
	Chat       Chat       `key:"chat"`
	Events     Events     `key:"events"`
	Gateway    Gateway    `key:"gateway"`
	Webhooks   Webhooks   `key:"webhooks"`
	Mail       Mail       `key:"mail"`
	Alerts     Alerts     `key:"alerts"`
	Analytics  Analytics  `key:"analytics"`
	Backup     Backup     `key:"backup"`
	Log        Log        `key:"log"`
	Client     Client     `key:"client"`
	Channel    Channel    `key:"channel"`
	HTTPAPI    HTTPAPI    `key:"http_api"`
	WebSocket  WebSocket  `key:"websocket"`
	Health     Health     `key:"health"`
	Prometheus Prometheus `key:"prometheus"`
	Shutdown   Shutdown   `key:"shutdown"`
}

// Node names the process.
type Node struct {
	Name string `key:"name" doc:"Name shown in node lists; empty is the host name."`
}

// Log says what is logged and how.
type Log struct {
	Level  string `key:"level" default:"info" oneof:"trace|debug|info|warn|error|fatal|none" doc:"Least severe level that is logged."`
	Format string `key:"format" default:"text" oneof:"text|json" doc:"Form of log lines."`
}

// Client says who may connect and how connections are treated.
type Client struct {
	Token             Token             `key:"token"`
	SubscriptionToken SubscriptionToken `key:"subscription_token"`
	AllowedOrigins    []string          `key:"allowed_origins" doc:"Web origins that may connect: patterns with *, in lower case; empty lets in only requests without an Origin header, * lets in all."`

	AllowAnonymousConnectWithoutToken bool   `key:"allow_anonymous_connect_without_token" doc:"Let clients without a token connect as the anonymous user."`
	DisallowAnonymousConnectionTokens bool   `key:"disallow_anonymous_connection_tokens" doc:"Refuse connection tokens without a user."`
	UserIDHTTPHeader                  string `key:"user_id_http_header" doc:"Request header that names the user, for a listener only a trusted gateway can reach."`
	Insecure                          bool   `key:"insecure" doc:"Skip tokens and permissions; loopback listeners only."`
	InsecureSkipTokenSignatureVerify  bool   `key:"insecure_skip_token_signature_verify" doc:"Believe tokens without checking signatures; loopback listeners only."`

	SubscribeToUserPersonalChannel PersonalChannel `key:"subscribe_to_user_personal_channel"`

	PingInterval               time.Duration `key:"ping_interval" default:"25s" off:"yes" doc:"Time between pings to a client; negative sends none."`
	PongTimeout                time.Duration `key:"pong_timeout" default:"8s" off:"yes" doc:"Time a client has to answer a ping, below ping_interval; negative waits for no answer."`
	StaleCloseDelay            time.Duration `key:"stale_close_delay" default:"10s" doc:"Time a connection has to authenticate."`
	ExpiredCloseDelay          time.Duration `key:"expired_close_delay" default:"25s" doc:"Time a client has to refresh an expired connection."`
	ExpiredSubCloseDelay       time.Duration `key:"expired_sub_close_delay" default:"25s" doc:"Time a client has to refresh an expired subscription."`
	PresenceUpdateInterval     time.Duration `key:"presence_update_interval" default:"27s" doc:"Time between a connection's periodic duties: presence, positions, expiry."`
	ChannelPositionCheckDelay  time.Duration `key:"channel_position_check_delay" default:"2s" doc:"Time between looks at whether positioned subscriptions have got all of their streams; what one misses is told at the second look after. Centrifugo has 40s."`
	ConnectIncludeServerTime   bool          `key:"connect_include_server_time" doc:"Tell clients the server's time when they connect."`
	ChannelLimit               int           `key:"channel_limit" default:"128" doc:"Most subscriptions of one connection."`
	QueueMaxSize               int           `key:"queue_max_size" default:"1048576" doc:"Most bytes that wait for one connection; beyond it is closed with code 3008."`
	UserConnectionLimit        int           `key:"user_connection_limit" doc:"Most connections of one user; 0 is no limit."`
	ConnectionLimit            int           `key:"connection_limit" doc:"Most connections of the server; 0 is no limit."`
	ConnectionRateLimit        int           `key:"connection_rate_limit" doc:"Most new connections per second; 0 is no limit."`
	HistoryMaxPublicationLimit int           `key:"history_max_publication_limit" default:"300" doc:"Most publications of one history reply."`
	RecoveryMaxPublications    int           `key:"recovery_max_publication_limit" default:"300" doc:"Most publications of one recovery; who missed more is told to reload."`
}

// Token holds the keys and claims that make a JWT valid.
type Token struct {
	HMACSecretKey         string `key:"hmac_secret_key" secret:"yes" doc:"Key of HS256, HS384 and HS512."`
	HMACPreviousSecretKey string `key:"hmac_previous_secret_key" secret:"yes" doc:"Key tried second while keys are rotated."`
	HMACPreviousUntil     int64  `key:"hmac_previous_secret_key_valid_until" doc:"End of the previous key, in seconds since 1970; 0 is never."`
	RSAPublicKey          string `key:"rsa_public_key" pem:"yes" doc:"Public key of RS256 to RS512 and PS256 to PS512: PEM text, base64 of it, or the path of a file."`
	ECDSAPublicKey        string `key:"ecdsa_public_key" pem:"yes" doc:"Public key of the one of ES256, ES384 and ES512 that fits its curve: PEM text, base64 of it, or the path of a file."`
	EdDSAPublicKey        string `key:"eddsa_public_key" pem:"yes" doc:"Public key of EdDSA (Ed25519), given like the others; not known to Centrifugo, which takes it from key sets only."`
	JWKSPublicEndpoint    string `key:"jwks_public_endpoint" doc:"Address of a JSON Web Key Set; when set, the keys above are not used."`
	Audience              string `key:"audience" doc:"Audience that a token must be for."`
	AudienceRegex         string `key:"audience_regex" doc:"Pattern for the audience, instead of audience."`
	Issuer                string `key:"issuer" doc:"Issuer that a token must be of."`
	IssuerRegex           string `key:"issuer_regex" doc:"Pattern for the issuer, instead of issuer."`
	UserIDClaim           string `key:"user_id_claim" doc:"Claim that names the user, instead of sub; letters and underscores."`
	RequireExp            bool   `key:"require_exp" doc:"Refuse tokens that never expire."`
}

// SubscriptionToken holds keys for subscription tokens, if they are others.
type SubscriptionToken struct {
	Enabled bool `key:"enabled" doc:"Check subscription tokens with the keys of this section instead of client.token."`
	Token
}

// PersonalChannel subscribes each user to a channel of their own.
type PersonalChannel struct {
	Enabled                  bool   `key:"enabled" doc:"Subscribe each user to a personal channel when they connect."`
	PersonalChannelNamespace string `key:"personal_channel_namespace" doc:"Namespace of personal channels; empty is none."`
	SingleConnection         bool   `key:"single_connection" doc:"Keep only a user's newest connection; needs presence in that namespace."`
}

// Channel says what channels exist and what they are like.
type Channel struct {
	MaxLength             int            `key:"max_length" default:"255" doc:"Most bytes of a channel's name."`
	PrivatePrefix         string         `key:"private_prefix" default:"$" doc:"Channels that begin with it need a subscription token."`
	NamespaceBoundary     string         `key:"namespace_boundary" default:":" doc:"Ends the namespace in a channel's name."`
	UserBoundary          string         `key:"user_boundary" default:"#" doc:"Begins the list of users in a channel's name."`
	UserSeparator         string         `key:"user_separator" default:"," doc:"Separates users in that list."`
	HistoryMetaTTL        time.Duration  `key:"history_meta_ttl" default:"720h" doc:"How long a stream's offset and epoch outlive its publications."`
	PublicationDataFormat string         `key:"publication_data_format" oneof:"|json|json_object|binary" doc:"What the data of publications must be; empty is any that is not empty."`
	WithoutNamespace      ChannelOptions `key:"without_namespace"`
	Namespaces            []Namespace    `key:"namespaces" doc:"Groups of channels with options of their own; each has a unique name of at least two letters, digits, -, _ or dots."`
}

// Namespace is a group of channels with a name and options.
type Namespace struct {
	Name string `key:"name" doc:"Name of the namespace."`
	ChannelOptions
}

// ChannelOptions are the features and permissions of channels.
type ChannelOptions struct {
	Presence           bool          `key:"presence" doc:"Keep who is subscribed."`
	JoinLeave          bool          `key:"join_leave" doc:"Publish coming and going."`
	ForcePushJoinLeave bool          `key:"force_push_join_leave" doc:"Deliver coming and going to every subscriber."`
	HistorySize        int           `key:"history_size" doc:"Publications kept; needs history_ttl."`
	HistoryTTL         time.Duration `key:"history_ttl" doc:"Time publications are kept, in whole seconds; needs history_size."`
	HistoryMetaTTL     time.Duration `key:"history_meta_ttl" doc:"As channel.history_meta_ttl, for these channels; 0 is that value."`
	ForcePositioning   bool          `key:"force_positioning" doc:"Detect gaps in every subscription."`
	AllowPositioning   bool          `key:"allow_positioning" doc:"Detect gaps for clients that ask."`
	ForceRecovery      bool          `key:"force_recovery" doc:"Restore what was missed in every subscription; needs history."`
	AllowRecovery      bool          `key:"allow_recovery" doc:"Restore what was missed for clients that ask."`
	ForceRecoveryMode  string        `key:"force_recovery_mode" default:"stream" oneof:"stream|cache" doc:"What recovery restores: every missed publication, or the latest."`
	AutoCacheRecover   bool          `key:"auto_cache_recover" doc:"Deliver the latest publication on every subscribe; needs force_recovery and mode cache."`

	AllowSubscribeForClient    bool   `key:"allow_subscribe_for_client" doc:"Users may subscribe."`
	AllowSubscribeForAnonymous bool   `key:"allow_subscribe_for_anonymous" doc:"The anonymous user may too."`
	AllowPublishForClient      bool   `key:"allow_publish_for_client" doc:"Users may publish."`
	AllowPublishForSubscriber  bool   `key:"allow_publish_for_subscriber" doc:"Subscribed users may publish."`
	AllowPublishForAnonymous   bool   `key:"allow_publish_for_anonymous" doc:"The anonymous user may too."`
	AllowPresenceForClient     bool   `key:"allow_presence_for_client" doc:"Users may ask for presence."`
	AllowPresenceForSubscriber bool   `key:"allow_presence_for_subscriber" doc:"Subscribed users may ask for presence."`
	AllowPresenceForAnonymous  bool   `key:"allow_presence_for_anonymous" doc:"The anonymous user may too."`
	AllowHistoryForClient      bool   `key:"allow_history_for_client" doc:"Users may ask for history."`
	AllowHistoryForSubscriber  bool   `key:"allow_history_for_subscriber" doc:"Subscribed users may ask for history."`
	AllowHistoryForAnonymous   bool   `key:"allow_history_for_anonymous" doc:"The anonymous user may too."`
	AllowUserLimitedChannels   bool   `key:"allow_user_limited_channels" doc:"Users named after the user boundary, and only they, may subscribe."`
	ChannelRegex               string `key:"channel_regex" doc:"Pattern that the part after the namespace must match; empty is any ASCII."`
	PublicationDataFormat      string `key:"publication_data_format" oneof:"|json|json_object|binary" doc:"As channel.publication_data_format, for these channels; empty is that value."`
}

// HTTPAPI is the API for the application's own servers.
type HTTPAPI struct {
	Disabled      bool   `key:"disabled" doc:"Serve no API."`
	Key           string `key:"key" secret:"yes" doc:"Key that opens the API; empty is the one generated into the data folder."`
	Insecure      bool   `key:"insecure" doc:"Ask for no key; loopback listeners only."`
	ErrorMode     string `key:"error_mode" oneof:"|transport" doc:"transport answers errors with HTTP statuses instead of 200."`
	HandlerPrefix string `key:"handler_prefix" default:"/api" doc:"Path of the API."`
	QueryKey      bool   `key:"query_key" default:"true" doc:"Take the key in ?api_key= too; addresses are often logged by others."`
	BodySizeLimit int    `key:"body_size_limit" default:"1048576" doc:"Most bytes of a request's body."`
}

// WebSocket is how clients are carried over WebSocket.
type WebSocket struct {
	Disabled           bool          `key:"disabled" doc:"Serve no WebSocket."`
	HandlerPrefix      string        `key:"handler_prefix" default:"/connection/websocket" doc:"Path of the WebSocket."`
	MessageSizeLimit   int           `key:"message_size_limit" default:"65536" doc:"Most bytes of one message from a client; ten times as much after inflation."`
	WriteTimeout       time.Duration `key:"write_timeout" default:"1s" doc:"Time the network may take nothing of what waits for a client before it is closed."`
	Compression        bool          `key:"compression" doc:"Offer permessage-deflate."`
	CompressionLevel   int           `key:"compression_level" default:"1" doc:"Effort of compression, 1 to 9."`
	CompressionMinSize int           `key:"compression_min_size" doc:"Least bytes of a message that is compressed."`
}

// Health is GET /health, /livez and /readyz.
type Health struct {
	Enabled bool `key:"enabled" default:"true" doc:"Serve /health, /livez and /readyz."`
}

// Prometheus is GET /metrics.
type Prometheus struct {
	Enabled bool `key:"enabled" default:"true" doc:"Serve /metrics."`
}

// Shutdown bounds a graceful stop.
type Shutdown struct {
	Timeout time.Duration `key:"timeout" default:"30s" doc:"Longest graceful stop; what has not ended by then is cut."`
	Drain   time.Duration `key:"drain" default:"20s" doc:"Time over which many connections are closed evenly, at most timeout."`
}
