package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/api"
	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// buildContracts builds the channels and the HTTP contracts of the backend.
func (s *Server) buildContracts(b *backend) (err error) {
	c := s.cfg
	k := &c.Chat
	b.json = chatjson.New(b.links).WithEmails(k.Compat.EmailVisibility)
	b.api, err = api.New(api.Options{
		Chats: b.chats, Accounts: b.accounts, Files: b.files, Presence: b.presence, Typing: b.typing, Replies: b.store,
		Privacy: b.privacy, Alerts: b.alerts, Analytics: b.analytics, Watch: watcher{b.alerts}, Status: b.status, Tickets: b.tickets, Payments: b.payments, Trust: b.trust, NoAdminReads: !k.AdminReads, ErasureGrace: k.ErasureGrace, Links: b.links, PublicURL: s.publicURL, Origins: c.Client.AllowedOrigins,
		RequestsPerMinute: k.Limits.RequestsPerMinute, AnonymousPerMinute: k.Limits.AnonymousPerMinute,
		UploadBytes: k.Files.MaxSize + 1<<20, Version: s.o.Version, Describe: s.describeOthers, Logger: s.log,
	})
	if err != nil {
		return err
	}
	o := channels.Options{
		Sink: s.sinkName("realtime"), Head: func() int64 { return b.log.Head() }, Chats: b.chats, Accounts: b.accounts, Log: b.store, Policy: s.policy, Render: b.publication,
		OwnToken: s.ownToken, Presence: b.presence, Typing: b.typing,
		HistorySize: k.HistorySize, HistoryTTL: k.HistoryTTL, LargeGroup: k.LargeGroup, ReceiptsMaxMembers: k.ReceiptsMaxMembers,
		AutoSubscribe: k.AutoSubscribe, Logger: s.log,
	}
	if k.Compat.Chequite.Enabled {
		if b.chequite, err = s.newChequite(b); err != nil {
			return err
		}
		o.Contract = b.chequite
	}
	// Its rules for what is published into chat:{id} hold with its HTTP endpoints off too.
	if b.windi, err = s.newWindi(b); err != nil {
		return err
	}
	if k.ClientPublish {
		o.Publish = b.windi.ClientPublish
	}
	b.channels = channels.New(o)
	return nil
}

// renderTimeout bounds the look at the database that a publication may need.
const renderTimeout = 2 * time.Second

// publication renders an event of a stream. The notice of a new chat shows the chat as
// its member sees it (chat-api.md §C.10), which no event can hold; who is no member any
// more is told the id only.
func (b *backend) publication(e event.Event) ([]byte, error) {
	var n chat.Notice
	if e.Type != event.UserNotice || json.Unmarshal(e.Payload, &n) != nil || n.Event != "chat_added" {
		return b.json.Publication(e)
	}
	var added struct {
		ID   int64          `json:"chat_id"`
		Chat *chatjson.Chat `json:"chat"`
	}
	if err := json.Unmarshal(n.Data, &added); err != nil {
		return nil, fmt.Errorf("data of %s: %w", e.ID, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), renderTimeout)
	defer cancel()
	_, user := event.StreamOf(e.Stream)
	if c, err := b.api.Chat(ctx, user, added.ID); err == nil {
		added.Chat = &c
	}
	var err error
	if n.Data, err = json.Marshal(added); err == nil {
		e.Payload, err = json.Marshal(n)
	}
	if err != nil {
		return nil, fmt.Errorf("notice of chat %d: %w", added.ID, err)
	}
	return b.json.Publication(e)
}

// publicURL is where the client of r reaches the server, without a slash at its end.
func (s *Server) publicURL(r *http.Request) string {
	if u := s.cfg.HTTPServer.PublicURL; u != "" {
		return strings.TrimRight(u, "/")
	}
	scheme := "http://"
	if r.TLS != nil || r.URL.Scheme == "https" { // to us, or to a trusted proxy
		scheme = "https://"
	}
	return scheme + r.Host
}

// ownToken is [channels.Options.OwnToken].
func (s *Server) ownToken(ctx context.Context, token, user, channel string) error {
	v, err := verifier("client.token", &s.cfg.Client.Token, false)
	if err != nil {
		return err
	}
	t, err := v.ConnectionToken(ctx, token)
	if err == nil && t.User != user {
		return identity.ErrInvalid
	}
	if err == nil || !errors.Is(err, identity.ErrInvalid) {
		return err
	}
	if v, err = verifier("client.subscription_token", s.subscriptionKeys(), false); err != nil {
		return err
	}
	sub, err := v.SubscriptionToken(ctx, token)
	if err == nil && (sub.User != user || sub.Channel != channel) {
		return identity.ErrInvalid
	}
	return err
}

// callRPC answers calls that clients make over their connection (chat-api.md §C.10).
func (s *Server) callRPC(ctx context.Context, c realtime.Client, method string, data []byte) ([]byte, error) {
	if !s.backend.api.Serves(method) {
		return nil, protocol.ErrNotAvailable
	}
	user := channels.UserID(c.User)
	if user == 0 {
		return nil, protocol.ErrPermissionDenied
	}
	answer, err := s.backend.api.RPC(ctx, user, method, data)
	var refusal *api.CallError
	if errors.As(err, &refusal) {
		return nil, &protocol.Error{Code: uint32(refusal.Status), Message: refusal.Code, Temporary: refusal.Temporary()}
	}
	return answer, err
}
