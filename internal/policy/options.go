package policy

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/realtime"
)

// Options say who may do what. With the zero value nobody may connect.
type Options struct {
	// Tokens verifies connection tokens; nil finds none valid. SubscriptionTokens
	// verifies subscription tokens; nil means Tokens.
	Tokens, SubscriptionTokens *identity.Verifier

	// AllowAnonymous lets connections without a token in, as user "".
	AllowAnonymous bool
	// DisallowAnonymousTokens refuses connection tokens without a user.
	DisallowAnonymousTokens bool
	// UserIDHeader names the request header that tells the user of a connection without
	// a token; only for listeners behind a gateway that sets it. The transport has to
	// keep that header.
	UserIDHeader string
	// Insecure lets everybody in and permits everything that is not private; for
	// development on one's own machine.
	Insecure bool

	// PersonalChannel subscribes each user to a channel of their own.
	PersonalChannel PersonalChannel

	// WithoutNamespace is for channels that have none; its Name is not used.
	WithoutNamespace Namespace
	Namespaces       []Namespace

	// PrivatePrefix ("$"), NamespaceBoundary (":"), UserBoundary ("#") and
	// UserSeparator (",") are what structures a channel's name; empty means the default.
	PrivatePrefix, NamespaceBoundary, UserBoundary, UserSeparator string
	// MaxLength bounds the names a client asks for in its connect command, in bytes;
	// zero means 255.
	MaxLength int
	// ChannelLimit bounds the subscriptions that a connection begins with; zero means 128.
	ChannelLimit int
	// HistoryMetaTTL and PublicationDataFormat are for namespaces that do not set them.
	HistoryMetaTTL        time.Duration
	PublicationDataFormat string

	// Sources, if not nil, returns where a channel's past is kept if not in the broker,
	// or nil. It is called often and must be fast.
	Sources func(channel string) realtime.Source
	// Logger is told why tokens are refused; nil means slog.Default().
	Logger *slog.Logger
}

// PersonalChannel subscribes each user to "#user", or "namespace:#user".
type PersonalChannel struct {
	Enabled bool
	// Namespace is the namespace of these channels; empty is none.
	Namespace string
	// SingleConnection closes a user's older connections. It needs Presence in the
	// namespace, by which servers of a cluster find them.
	SingleConnection bool
}

// Namespace are the options of the channels that begin with Name and the namespace
// boundary. Their names and meaning are those of auth-and-channels.md §5; everything
// is off by default.
type Namespace struct {
	Name string

	Presence, JoinLeave, ForcePushJoinLeave bool
	HistorySize                             int
	HistoryTTL, HistoryMetaTTL              time.Duration
	ForcePositioning, AllowPositioning      bool
	ForceRecovery, AllowRecovery            bool
	// ForceRecoveryMode is "stream", which is the default, or "cache".
	ForceRecoveryMode string
	AutoCacheRecover  bool

	AllowSubscribeForClient, AllowSubscribeForAnonymous                           bool
	AllowPublishForClient, AllowPublishForSubscriber, AllowPublishForAnonymous    bool
	AllowPresenceForClient, AllowPresenceForSubscriber, AllowPresenceForAnonymous bool
	AllowHistoryForClient, AllowHistoryForSubscriber, AllowHistoryForAnonymous    bool
	AllowUserLimitedChannels                                                      bool

	// ChannelRegex, if not empty, is what the name after the namespace must match; it
	// is not anchored.
	ChannelRegex string
	// PublicationDataFormat is "json", "json_object", "binary", or empty for the
	// general setting.
	PublicationDataFormat string
}

// rules are options made ready for use; they never change.
type rules struct {
	o          Options
	namespaces map[string]*namespace
	without    *namespace
	// personal is what the names of personal channels begin with; empty if there are none.
	personal string
}

// namespace is a [Namespace] made ready for use.
type namespace struct {
	channel                    realtime.ChannelOptions
	subscribe                  permission // of clients and anonymous; subscriber is not used
	publish, presence, history permission
	allowPositioning           bool
	allowRecovery, userLimited bool
	regex                      *regexp.Regexp
}

// permission is who may do something; anonymous only lifts the condition of the other
// two that there be a user.
type permission struct{ client, subscriber, anonymous bool }

func (p permission) allows(user string, subscribed bool) bool {
	return (p.client || p.subscriber && subscribed) && (user != "" || p.anonymous)
}

var namespaceName = regexp.MustCompile(`^[-a-zA-Z0-9_.]{2,}$`)

// compile checks o, naming each mistake by its key in the configuration.
func compile(o Options) (*rules, error) {
	defaultTo(&o.PrivatePrefix, "$")
	defaultTo(&o.NamespaceBoundary, ":")
	defaultTo(&o.UserBoundary, "#")
	defaultTo(&o.UserSeparator, ",")
	defaultTo(&o.MaxLength, 255)
	defaultTo(&o.ChannelLimit, 128)
	defaultTo(&o.HistoryMetaTTL, 30*24*time.Hour)
	defaultTo(&o.SubscriptionTokens, o.Tokens)
	defaultTo(&o.Logger, slog.Default())

	r := &rules{o: o, namespaces: make(map[string]*namespace, len(o.Namespaces))}
	var errs []error
	if err := boundaries(&o); err != nil {
		errs = append(errs, err)
	}
	n, err := compileNamespace(&o, &o.WithoutNamespace)
	if err != nil {
		errs = append(errs, fmt.Errorf("channel.without_namespace.%w", err))
	}
	r.without = n
	for i := range o.Namespaces {
		name := o.Namespaces[i].Name
		n, err := compileNamespace(&o, &o.Namespaces[i])
		switch {
		case !namespaceName.MatchString(name):
			err = errors.New("name must be two or more letters, digits, dashes, underscores and dots")
		case r.namespaces[name] != nil:
			err = errors.New("name stands there twice")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("channel.namespaces[%q].%w", name, err))
			continue
		}
		r.namespaces[name] = n
	}
	if err := r.compilePersonal(); err != nil {
		errs = append(errs, fmt.Errorf("client.subscribe_to_user_personal_channel.%w", err))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return r, nil
}

// defaultTo gives v a value if it has none.
func defaultTo[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// boundaries checks that the parts of a name can be told apart.
func boundaries(o *Options) error {
	all := []string{o.PrivatePrefix, o.NamespaceBoundary, o.UserBoundary, o.UserSeparator}
	keys := []string{"private_prefix", "namespace_boundary", "user_boundary", "user_separator"}
	for i, a := range all {
		for j, b := range all[:i] {
			if a == b {
				return fmt.Errorf("channel.%s and channel.%s are both %q", keys[j], keys[i], a)
			}
		}
	}
	return nil
}

func compileNamespace(o *Options, n *Namespace) (*namespace, error) {
	out := &namespace{
		channel: realtime.ChannelOptions{
			Presence: n.Presence, JoinLeave: n.JoinLeave,
			HistorySize: n.HistorySize, HistoryTTL: n.HistoryTTL, HistoryMetaTTL: n.HistoryMetaTTL,
			AutoCacheRecover: n.AutoCacheRecover, ForcePositioning: n.ForcePositioning,
			ForceRecovery: n.ForceRecovery, ForcePushJoinLeave: n.ForcePushJoinLeave,
		},
		subscribe:        permission{client: n.AllowSubscribeForClient, anonymous: n.AllowSubscribeForAnonymous},
		publish:          permission{n.AllowPublishForClient, n.AllowPublishForSubscriber, n.AllowPublishForAnonymous},
		presence:         permission{n.AllowPresenceForClient, n.AllowPresenceForSubscriber, n.AllowPresenceForAnonymous},
		history:          permission{n.AllowHistoryForClient, n.AllowHistoryForSubscriber, n.AllowHistoryForAnonymous},
		allowPositioning: n.AllowPositioning, allowRecovery: n.AllowRecovery, userLimited: n.AllowUserLimitedChannels,
	}
	c := &out.channel
	defaultTo(&c.HistoryMetaTTL, o.HistoryMetaTTL)
	switch {
	case n.HistorySize < 0 || n.HistoryTTL < 0 || n.HistoryMetaTTL < 0:
		return nil, errors.New("history_size, history_ttl, history_meta_ttl: must not be negative")
	case (n.HistorySize > 0) != (n.HistoryTTL > 0):
		return nil, errors.New("history_size and history_ttl: both must be set, or none")
	case n.HistoryTTL > c.HistoryMetaTTL:
		return nil, errors.New("history_meta_ttl: must be at least history_ttl")
	case n.ForceRecovery && !c.History() && o.Sources == nil:
		return nil, errors.New("force_recovery: needs history_size and history_ttl")
	}
	switch n.ForceRecoveryMode {
	case "", "stream":
	case "cache":
		c.RecoveryMode = realtime.RecoverCache
	default:
		return nil, fmt.Errorf("force_recovery_mode: %q is neither stream nor cache", n.ForceRecoveryMode)
	}
	if n.AutoCacheRecover && (!n.ForceRecovery || c.RecoveryMode != realtime.RecoverCache) {
		return nil, errors.New("auto_cache_recover: needs force_recovery and force_recovery_mode cache")
	}
	format := n.PublicationDataFormat
	defaultTo(&format, o.PublicationDataFormat)
	switch format {
	case "":
	case "json":
		c.DataFormat = realtime.DataJSON
	case "json_object":
		c.DataFormat = realtime.DataJSONObject
	case "binary":
		c.DataFormat = realtime.DataBinary
	default:
		return nil, fmt.Errorf("publication_data_format: %q is none of json, json_object, binary", format)
	}
	if n.ChannelRegex != "" {
		regex, err := regexp.Compile(n.ChannelRegex)
		if err != nil {
			return nil, fmt.Errorf("channel_regex: %w", err)
		}
		out.regex = regex
	}
	return out, nil
}

func (r *rules) compilePersonal() error {
	p := r.o.PersonalChannel
	if !p.Enabled {
		return nil
	}
	n := r.without
	if p.Namespace != "" {
		if n = r.namespaces[p.Namespace]; n == nil {
			return fmt.Errorf("personal_channel_namespace: there is no namespace %q", p.Namespace)
		}
		r.personal = p.Namespace + r.o.NamespaceBoundary
	}
	r.personal += r.o.UserBoundary
	if strings.HasPrefix(r.personal, r.o.PrivatePrefix) {
		return fmt.Errorf("enabled: personal channels begin with channel.private_prefix %q", r.o.PrivatePrefix)
	}
	if p.SingleConnection && n != nil && !n.channel.Presence {
		return errors.New("single_connection: needs presence in the namespace")
	}
	return nil
}
