package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/alerts"
	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/api"
	"github.com/kuranty/kuranty/internal/channels"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/compat/chequite"
	"github.com/kuranty/kuranty/internal/compat/windi"
	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/files"
	"github.com/kuranty/kuranty/internal/gateway"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/outbox"
	"github.com/kuranty/kuranty/internal/payments"
	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/status"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/tickets"
	"github.com/kuranty/kuranty/internal/trust"
)

// backend is what stands on the database: accounts, chats, files, the event log, and
// the channels and contracts that show them.
type backend struct {
	logger    *slog.Logger
	store     *store.Store
	log       *outbox.Log
	catalogue *event.Catalogue
	hooks     *hooks // nil if webhooks are off
	gateway   *gateway.Gateway
	accounts  *identity.Accounts
	chats     *chat.Service
	files     *files.Service
	privacy   *privacy.Service
	payments  *payments.Service
	alerts    *alerts.Service
	analytics *analytics.Service
	tally     tally
	letters   *letters
	trust     *trust.Service
	tickets   *tickets.Service
	status    *status.Service
	presence  *chat.Presence
	typing    *chat.Typing
	channels  *channels.Channels
	links     *links
	json      *chatjson.Builder
	api       *api.API
	chequite  *chequite.Contract // nil if it is off
	windi     *windi.Contract
}

// openStartup bounds how long a start waits for the database.
const openTimeout = 30 * time.Second

// StoreOptions are those of the database of a configuration, whose data folder is dir.
func StoreOptions(c *config.Config, dir string) store.Options {
	return store.Options{
		Driver: c.Storage.Driver, Path: filepath.Join(dir, databaseFile), DSN: c.Storage.DSN,
		MaxConnections: c.Storage.MaxConnections, UnsafeDurability: c.Storage.UnsafeDurability,
	}
}

// FilesDir is the folder of what users uploaded in the data folder.
const (
	databaseFile = "kuranty.db"
	FilesDir     = "files"
	exportsDir   = "exports" // of people's data, until they have fetched them
)

// buildBackend opens the database and builds what stands on it. The policy exists, the
// node does not yet.
func (s *Server) buildBackend(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	c := s.cfg
	b := &backend{logger: s.log, letters: &s.letters}
	o := StoreOptions(c, s.dir.Path())
	o.Logger = s.log
	o.Committed = func(events []event.Event) {
		b.tally.count(events)
		b.log.Committed(events)
	}
	if b.store, err = store.Open(ctx, o); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.store.Close())
		}
	}()
	if b.alerts, err = s.newAlerts(b); err != nil {
		return err
	}
	if b.accounts, err = s.newAccounts(b); err != nil {
		return err
	}
	b.files, err = files.New(files.Options{
		Folder: filepath.Join(s.dir.Path(), FilesDir), Store: b.store.Files(), Access: b.store.FileAccess(),
		Secret: derived(c.Auth.Secret, "links of files"), MaxBytes: c.Chat.Files.MaxSize, Quota: c.Chat.Files.Quota, LinkTTL: c.Chat.Files.URLTTL,
	})
	if err != nil {
		return err
	}
	b.links = newLinks(b.files, c.HTTPServer.PublicURL)
	b.chats = chat.New(chatOptions(c, b.store))
	b.tickets = tickets.NewService(tickets.Options{Store: b.store.Tickets()})
	b.payments = payments.New(payments.Options{Store: b.store.Payments()})
	b.status = status.New(status.Options{Store: b.store.StatusPage(), Probes: s.probes(b), Logger: s.log})
	if b.trust, err = s.newTrust(b); err != nil {
		return err
	}
	b.analytics = s.newAnalytics(b)
	b.privacy, err = privacy.New(privacy.Options{
		Store: b.store.Privacy(), Chats: b.chats, Accounts: b.accounts, Files: b.files, Parts: []privacy.Part{b.status, b.tickets.Personal(), b.payments.Part(), b.trust.Personal(), b.alerts.Part(), b.analytics.Part()},
		Folder: filepath.Join(s.dir.Path(), exportsDir), RetentionDays: c.Chat.RetentionDays, Logger: s.log,
		Purged: func(chat int64) { b.channels.Purged(chat) },
	})
	if err != nil {
		return err
	}
	b.presence = chat.NewPresence(chat.PresenceOptions{
		Store: b.store.Chat(), Grace: c.Chat.PresenceGrace, Logger: s.log,
		Changed: func(user int64, online bool, at int64) { b.channels.StatusChanged(user, online, at) },
	})
	b.typing = chat.NewTyping(chat.TypingOptions{
		Allowed: b.chats.MayType, PerSecond: c.Chat.Limits.TypingPerSecond,
		Tell: func(t chat.Typist) { b.channels.Typing(t) },
	})
	if err := s.buildContracts(b); err != nil {
		return err
	}
	b.chats.Attach(b.channels.Live())
	if b.catalogue, err = s.newCatalogue(); err != nil {
		return err
	}
	if b.gateway, err = s.newGateway(b); err != nil {
		return err
	}
	b.log = outbox.New(b.store, outbox.Options{Retention: c.Events.Retention, Keep: int64(c.Events.Keep), Logger: s.log}, b.channels, b.gateway)
	if err := errors.Join(b.log.Load(ctx), b.gateway.Load(ctx)); err != nil {
		return err
	}
	if c.Webhooks.Enabled {
		if b.hooks, err = s.newHooks(b); err != nil {
			return err
		}
		if err := b.hooks.dispatcher.Load(ctx); err != nil {
			return err
		}
	}
	s.backend = b
	return nil
}

// newTrust returns identities and their verifications, which are sent codes by the mailer of
// the accounts.
func (s *Server) newTrust(b *backend) (*trust.Service, error) {
	o := trust.Options{Store: b.store.Trust(), Secret: derived(s.cfg.Auth.Secret, "codes of verifications"), Logger: s.log}
	if send := s.o.Mailer; send != nil {
		o.Mailer = func(ctx context.Context, m trust.Mail) error {
			return send(ctx, identity.Mail{Kind: identity.MailCode, To: m.To, Name: m.Name, Lang: m.Lang, Token: m.Code, Expires: m.Expires})
		}
	}
	return trust.New(o)
}

// derived is a key for one purpose, made of a secret.
func derived(secret, purpose string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("kuranty " + purpose))
	return h.Sum(nil)
}

// newAccounts returns the accounts as the configuration wants them.
func (s *Server) newAccounts(b *backend) (*identity.Accounts, error) {
	c := s.cfg
	o := AccountOptions(c)
	o.Watch = watcher{b.alerts}
	o.Logger, o.Mailer = s.log, s.o.Mailer
	o.AvatarURL = func(file string) string {
		url, _ := b.links.Avatar(file)
		return url
	}
	if t := &c.Client.Token; t.HMACSecretKey != "" {
		signer, err := signer(t)
		if err != nil {
			return nil, err
		}
		o.Signer = signer
	}
	if c.Auth.Mode != "builtin" {
		v, err := verifier("auth.external", externalKeys(&c.Auth.External), false)
		if err != nil {
			return nil, err
		}
		o.External.Verifier = v
	}
	return identity.NewAccounts(b.store.Accounts(), o)
}

// AccountOptions are those of the accounts of c, but for keys of tokens of others.
func AccountOptions(c *config.Config) identity.Options {
	e := &c.Auth.External
	o := identity.Options{
		Mode: identity.Mode(c.Auth.Mode), Secret: c.Auth.Secret,
		AccessTTL: c.Auth.AccessTokenTTL, RefreshTTL: c.Auth.RefreshTokenTTL,
		Registration: identity.Registration(c.Auth.Registration), Domains: c.Auth.RegistrationDomains,
		Passwords: identity.PasswordOptions{Memory: c.Auth.PasswordHashMemory << 10, Parallel: c.Auth.PasswordHashConcurrency},
		Limits: identity.Limits{
			LoginFailures: c.Auth.LoginFailures, LoginFailuresAddress: c.Auth.LoginFailuresPerAddress, Registrations: c.Auth.RegistrationsPerHour,
		},
		External: identity.ExternalOptions{
			UserClaim: e.UserClaim, NameClaim: e.NameClaim, EmailClaim: e.EmailClaim, PictureClaim: e.PictureClaim, NumericIDs: e.NumericIDs,
		},
	}
	if c.HTTPAPI.Key != "" {
		o.ServiceKeys = []string{c.HTTPAPI.Key}
	}
	return o
}

// externalKeys are the keys of the operator's application as those of a token.
func externalKeys(e *config.External) *config.Token {
	return &config.Token{
		HMACSecretKey: e.HMACSecretKey, RSAPublicKey: e.RSAPublicKey, ECDSAPublicKey: e.ECDSAPublicKey, EdDSAPublicKey: e.EdDSAPublicKey,
		JWKSPublicEndpoint: e.JWKSPublicEndpoint, Issuer: e.Issuer, Audience: e.Audience, RequireExp: e.RequireExp,
	}
}

// chatOptions are those of the rules of chat. A limit of 0 in the configuration means
// the default; time without an end is negative in the rules.
func chatOptions(c *config.Config, st *store.Store) chat.Options {
	k, l := &c.Chat, &c.Chat.Limits
	return chat.Options{
		Store: st.Chat(), TextLimit: k.TextLimit, MembersLimit: k.MembersLimit,
		EditWindow: orEndless(k.EditWindow), DeleteWindow: orEndless(k.DeleteWindow),
		LargeGroup: k.LargeGroup, ReceiptsMaxMembers: k.ReceiptsMaxMembers,
		ExternalAttachments: k.ExternalAttachments, DirectoryContacts: k.Directory == "contacts",
		EmailVisibility: k.Compat.EmailVisibility,
		Sizes: chat.Sizes{
			Attachments: k.AttachmentsLimit, Mentions: k.MentionsLimit, Reactions: k.ReactionsLimit, OwnReactions: k.OwnReactionsLimit,
			Title: k.TitleLimit, About: k.AboutLimit,
		},
		Limits: chat.Limits{
			SendPerSecond: l.SendPerSecond, SendBurst: l.SendBurst, ChatPerSecond: l.ChatPerSecond, TypingPerSecond: l.TypingPerSecond,
			SearchPerMinute: l.SearchPerMinute, ChatsPerMinute: l.ChatsPerMinute, ChatsPerDay: l.ChatsPerDay, UploadsPerMinute: l.UploadsPerMinute,
		},
	}
}

func orEndless(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// run carries the log and does the background work of the parts until ctx ends. A nil
// backend has nothing to do.
func (b *backend) run(ctx context.Context) error {
	if b == nil {
		<-ctx.Done()
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	parts := []func(context.Context) error{
		b.log.Run, b.accounts.Run, b.presence.Run, b.typing.Run, b.channels.Run, b.gateway.Run, b.privacy.Run, b.alerts.Run, b.analytics.Run, b.trust.Run, b.status.Run, b.sweepFiles, b.index,
	}
	if b.chequite != nil {
		parts = append(parts, b.chequite.Run)
	}
	if b.hooks != nil {
		parts = append(parts, func(ctx context.Context) error { return b.hooks.run(ctx, b) })
	}
	for _, part := range parts {
		g.Go(func() error { return part(ctx) })
	}
	g.Go(func() error {
		select {
		case <-b.store.Broken():
			return b.store.Err()
		case <-ctx.Done():
			return nil
		}
	})
	return g.Wait()
}

// index builds the search index anew if another version of the analyzer made it.
func (b *backend) index(ctx context.Context) error {
	n, err := b.store.Reindex(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil: // what is not indexed is not found, which is no reason to stop
		b.logger.Error("the search index was not built anew; the next start goes on", "error", err)
	case n > 0:
		b.logger.Info("search index built anew", "messages", n)
	}
	return nil //nolint:nilerr // see above
}

// sweepEvery is how often files that nobody refers to are looked for.
const sweepEvery = time.Hour

// sweepFiles removes files that are in no message, until ctx ends.
func (b *backend) sweepFiles(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := b.files.Sweep(ctx); err != nil && ctx.Err() == nil {
				b.logger.Warn("sweep files", "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// close gives the database up, after what was accepted has been written.
func (b *backend) close() error {
	if b == nil {
		return nil
	}
	return errors.Join(b.store.Close(), b.files.Close(), b.privacy.Close())
}

// collides returns the name of a namespace of the configuration that is one of chat's
// own.
func collides(c *config.Config) string {
	for _, n := range c.Channel.Namespaces {
		switch n.Name {
		case "chat", "user", "system", "presence":
			return n.Name
		}
	}
	return ""
}

// settleChat switches chat off where its channels would take over those of a
// configuration that does not ask for it, such as one written for Centrifugo.
func settleChat(c *config.Config, asked bool) (note string) {
	name := collides(c)
	switch {
	case name == "" || !c.Chat.Enabled:
		return ""
	case asked:
		return fmt.Sprintf("chat.enabled: channels of chats (%s:{id} …) are those of chat, not of channel.namespaces %q", name, name)
	}
	c.Chat.Enabled = false
	return fmt.Sprintf("chat.enabled: chat is off, because channel.namespaces has %q, which is also the name of its channels; set it to true to have chat", name)
}
