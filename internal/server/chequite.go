package server

import (
	"context"
	"fmt"
	"time"

	"github.com/kuranty/kuranty/internal/compat/chequite"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/realtime"
)

// chequiteTokenTTL is how long connection tokens of contract A are valid (chat-api.md §0.4).
const chequiteTokenTTL = time.Hour

// newChequite builds contract A (chat-api.md, part A).
func (s *Server) newChequite(b *backend) (*chequite.Contract, error) {
	k := &s.cfg.Chat
	zone := time.Local
	if name := k.Compat.Timezone; name != "" {
		var err error
		if zone, err = time.LoadLocation(name); err != nil {
			return nil, fmt.Errorf("chat.compat.timezone: %w", err)
		}
	}
	return chequite.New(chequite.Options{
		Chats: b.chats, Authenticate: b.accounts.Authenticate, Presence: b.presence, Typing: b.typing, Links: b.links,
		ConnectionToken: func(ctx context.Context, by identity.Caller) (string, time.Time, error) {
			return b.accounts.ConnectionToken(ctx, by, chequiteTokenTTL)
		},
		Publisher: lists{s}, Limits: b.api, Watch: watcher{b.alerts}, PublicURL: s.publicURL, Location: zone,
		WithoutGroups: !k.Compat.Chequite.IncludeGroups, Items: k.Compat.Chequite.ChatsPayload == "item",
		LargeGroup: k.LargeGroup, ReceiptsMaxMembers: k.ReceiptsMaxMembers, Logger: s.log,
	}), nil
}

// chequitePaths are where contract A is served; see [chequite.Routes].
var chequitePaths = []string{
	"/api/get-user-info", "/api/chats", "/api/chats/", "/api/typing", "/api/search-users", "/api/update-centrifugo-token",
}

// lists publishes lists of chats through the node, which is built after the contract.
type lists struct{ s *Server }

// Publish implements [chequite.Publisher].
func (l lists) Publish(ctx context.Context, channel string, data []byte) error {
	_, err := l.s.node.Publish(ctx, channel, data, realtime.PublishOptions{JSON: true, SkipHistory: true})
	return err
}

// Subscribers implements [chequite.Publisher].
func (l lists) Subscribers(channel string) int { return l.s.node.Subscribers(channel) }
