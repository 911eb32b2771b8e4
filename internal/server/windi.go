package server

import (
	"context"
	"net/http"

	"github.com/kuranty/kuranty/internal/compat/windi"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// newWindi builds contract B (chat-api.md, part B).
func (s *Server) newWindi(b *backend) (*windi.Contract, error) {
	k := &s.cfg.Chat
	w := &k.Compat.Windi
	o := windi.Options{
		Chats: b.chats, Typing: b.typing, Presence: b.presence, Accounts: b.accounts, Files: b.files, Build: b.json,
		Realtime: nodeLater{s}, Epoch: b.store.Epoch(), TokenTTL: w.TokenTTL,
		PublicURL: s.cfg.HTTPServer.PublicURL, WebSocketPath: s.cfg.WebSocket.HandlerPrefix,
		CustomEvents: k.CustomEvents, Guard: k.GuardServerPublish,
		NoProxyEndpoints: !w.ProxyEndpoints, ProxySecret: w.ProxySecret,
		Limits: b.api, Watch: watcher{b.alerts}, Keep: b.api.Keep, Version: s.o.Version, Ready: func() bool { return s.ready() == nil }, Logger: s.log,
	}
	var err error
	if o.ProxyAllow, err = networks("chat.compat.windi.proxy_allow", w.ProxyAllow); err != nil {
		return nil, err
	}
	if o.Verifier, err = verifier("client.token", &s.cfg.Client.Token, false); err != nil {
		return nil, err
	}
	if keys := s.subscriptionKeys(); keys.HMACSecretKey != "" {
		o.Signer, err = signer(keys)
	}
	return windi.New(o), err
}

// nodeLater is the node, which is built after the contracts that use it.
type nodeLater struct{ s *Server }

func (n nodeLater) Publish(ctx context.Context, channel string, data []byte, o realtime.PublishOptions) (protocol.StreamPosition, error) {
	return n.s.node.Publish(ctx, channel, data, o)
}

func (n nodeLater) Presence(ctx context.Context, channel string) (map[string]*protocol.ClientInfo, error) {
	return n.s.node.Presence(ctx, channel)
}

func (n nodeLater) PresenceStats(ctx context.Context, channel string) (clients, users int, err error) {
	return n.s.node.PresenceStats(ctx, channel)
}

func (n nodeLater) Info() realtime.Info { return n.s.node.Info() }

// guardedNode is the node as the server API drives it: messages published into a chat
// are stored, or refused, as chat.guard_server_publish says.
type guardedNode struct {
	*realtime.Node
	guard func(ctx context.Context, channel string, data []byte) (place protocol.StreamPosition, handled bool, err error)
}

// Publish implements serverapi.Node.
func (n guardedNode) Publish(ctx context.Context, channel string, data []byte, o realtime.PublishOptions) (protocol.StreamPosition, error) {
	if place, handled, err := n.guard(ctx, channel, data); handled || err != nil {
		return place, err
	}
	return n.Node.Publish(ctx, channel, data, o)
}

// watchers tells several.
type watchers []realtime.Watcher

func (w watchers) Connected(c realtime.Client) {
	for _, one := range w {
		one.Connected(c)
	}
}

func (w watchers) Disconnected(c realtime.Client) {
	for _, one := range w {
		one.Disconnected(c)
	}
}

// handleWindi serves contract B below /api/v1/.
func (s *Server) handleWindi(mux *http.ServeMux) {
	if b := s.backend; s.cfg.Chat.Compat.Windi.Enabled {
		mux.Handle("/api/v1/", b.api.Around(b.windi.Handler()))
	}
}
