package policy

import (
	"slices"
	"strings"

	"github.com/kuranty/kuranty/protocol"
)

// find returns the namespace of channel and the part of the name that follows it,
// which is the whole name if there is none. The namespace is nil if it does not exist.
func (r *rules) find(channel string) (n *namespace, rest string) {
	name, rest, found := strings.Cut(strings.TrimPrefix(channel, r.o.PrivatePrefix), r.o.NamespaceBoundary)
	switch {
	case !found || name == "":
		return r.without, channel
	case r.personal == r.o.UserBoundary && strings.HasPrefix(channel, r.personal):
		// The personal channel, without namespace, of a user with a boundary in the id.
		return r.without, channel
	}
	return r.namespaces[name], rest
}

// check returns the namespace of a channel that a client names.
func (r *rules) check(channel string) (*namespace, error) {
	n, rest := r.find(channel)
	if n == nil {
		return nil, protocol.ErrUnknownChannel
	}
	if n.regex != nil && !n.regex.MatchString(rest) || n.regex == nil && !ascii(channel) {
		return nil, protocol.ErrBadRequest
	}
	return n, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// private tells whether channel can be subscribed to with a token only.
func (r *rules) private(channel string) bool { return strings.HasPrefix(channel, r.o.PrivatePrefix) }

// mayOpen tells whether user may subscribe to channel, which is neither private nor
// comes with a token (auth-and-channels.md §6.1, rules 4 and 7 to 9).
func (r *rules) mayOpen(n *namespace, channel, user string) bool {
	if r.o.Insecure {
		return true
	}
	// The name of a personal channel belongs to its user, whatever the namespace allows:
	// otherwise allow_subscribe_for_client alone would open everybody's.
	if r.personal != "" {
		if owner, ok := strings.CutPrefix(channel, r.personal); ok && (user == "" || owner != user) {
			return false
		}
	}
	if n.userLimited {
		if i := strings.LastIndex(channel, r.o.UserBoundary); i >= 0 {
			users := strings.Split(channel[i+len(r.o.UserBoundary):], r.o.UserSeparator)
			return user != "" && slices.Contains(users, user)
		}
	}
	return n.subscribe.allows(user, false)
}
