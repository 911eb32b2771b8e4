package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/policy"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/webui"
	"github.com/kuranty/kuranty/realtime"
	"github.com/kuranty/kuranty/realtime/transport"
)

// New builds the server of a configuration. It takes the data folder, which the
// server gives back at the end of [Server.Run].
func New(res *config.Result, o Options) (*Server, error) {
	c := res.Config
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Demo && !c.HTTPServer.Loopback() {
		return nil, fmt.Errorf("http_server.address: the demo lets everybody in, so it listens on this machine only, not on %s", c.HTTPServer.Address)
	}
	dir, err := OpenDataDir(c.Storage.DataDir)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, cfg: c, out: o.Out, dir: dir}
	settled := settleChat(c, res.Origins["chat.enabled"] != "default")
	s.publicMetrics = loopbackHost(c.HTTPServer.Address) || res.Origins["prometheus.enabled"] != "default"
	if err := s.build(); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	if settled != "" {
		s.log.Warn(settled)
	}
	for _, note := range res.Notes {
		if note.Warning {
			s.log.Warn(note.String())
		} else {
			s.log.Info(note.String())
		}
	}
	if !loopbackHost(c.HTTPServer.Address) && !c.HTTPServer.TLS.Enabled {
		s.log.Warn("http_server.address: others can reach this listener and it has no TLS (http_server.tls); let clients come through a proxy that has", "address", c.HTTPServer.Address)
	}
	return s, nil
}

func (s *Server) build() (err error) {
	c := s.cfg
	s.made = needed(c)
	if s.secrets, err = s.dir.Secrets(identity.NewSecret, s.made...); err != nil {
		return err
	}
	Adopt(c, s.secrets)
	s.mask = newMask(s.out, secretsOf(c))
	s.log = newLogger(s.mask, c.Log.Format, c.Log.Level)

	if err := s.settleMailer(); err != nil {
		return err
	}
	po, err := s.policyOptions(c)
	if err != nil {
		return err
	}
	if s.policy, err = policy.New(po); err != nil {
		return err
	}
	if c.Chat.Enabled {
		ctx := context.Background()
		if s.o.Demo {
			if err := s.prepareDemo(ctx); err != nil {
				return err
			}
		}
		if err := s.buildBackend(ctx); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, s.backend.close())
			}
		}()
	}
	if s.backend != nil && !s.o.Demo {
		s.warnOfDemo(context.Background())
	}
	s.broker = realtime.NewMemoryBroker(realtime.MemoryOptions{})
	if s.node, err = realtime.New(s.nodeOptions()); err != nil {
		return err
	}
	if s.backend != nil {
		s.backend.channels.Attach(s.node, s.backend.log.Position(s.sinkName("realtime")))
	}
	s.front = &front{chat: s.backend != nil, log: s.log, access: c.Log.Level == "debug" || c.Log.Level == "trace"}
	if s.front.proxies, err = networks("http_server.trusted_proxies", c.HTTPServer.TrustedProxies); err != nil {
		return err
	}
	if !c.HTTPAPI.Disabled {
		s.front.prefix = strings.TrimRight(c.HTTPAPI.HandlerPrefix, "/")
		if s.api, err = s.newAPI(); err != nil {
			return err
		}
		s.front.api = s.api
	}
	s.front.rest = s.routes()
	to, err := s.transportOptions()
	if err != nil {
		return err
	}
	s.transport, err = transport.New(s.node, to)
	return err
}

// needed names the secrets that the configuration leaves to the data folder.
func needed(c *config.Config) []string {
	var names []string
	t := &c.Client.Token
	if t.HMACSecretKey == "" && t.RSAPublicKey == "" && t.ECDSAPublicKey == "" && t.EdDSAPublicKey == "" && t.JWKSPublicEndpoint == "" {
		names = append(names, TokenSecret)
	}
	if c.HTTPAPI.Key == "" && !c.HTTPAPI.Disabled && !c.HTTPAPI.Insecure {
		names = append(names, APIKey)
	}
	if c.Auth.Secret == "" && c.Chat.Enabled {
		names = append(names, AuthSecret)
	}
	if c.Webhooks.SecretEncryptionKey == "" && c.Webhooks.Enabled && c.Chat.Enabled {
		names = append(names, WebhookKey)
	}
	return names
}

// Adopt puts secrets of a data folder where c leaves them to it.
func Adopt(c *config.Config, secrets map[string]string) {
	for _, name := range needed(c) {
		switch name {
		case TokenSecret:
			c.Client.Token.HMACSecretKey = secrets[name]
		case APIKey:
			c.HTTPAPI.Key = secrets[name]
		case AuthSecret:
			c.Auth.Secret = secrets[name]
		case WebhookKey:
			c.Webhooks.SecretEncryptionKey = secrets[name]
		}
	}
}

// secretsOf are the values of c that no log may show.
func secretsOf(c *config.Config) []string {
	t, s := &c.Client.Token, &c.Client.SubscriptionToken.Token
	return append([]string{
		t.HMACSecretKey, t.HMACPreviousSecretKey, s.HMACSecretKey, s.HMACPreviousSecretKey,
		c.HTTPAPI.Key, c.HTTPServer.TLS.KeyPEM,
		c.Storage.DSN, c.Auth.Secret, c.Auth.FirstAdmin.Password, c.Auth.External.HMACSecretKey, c.Chat.Compat.Windi.ProxySecret,
		c.Webhooks.SecretEncryptionKey, c.Webhooks.EgressProxy, c.Mail.Password,
	}, c.Webhooks.PreviousEncryptionKeys...)
}

// replace takes over what may change while running. If c is wrong, nothing changes.
func (s *Server) replace(c *config.Config) error {
	Adopt(c, s.secrets)
	s.mask.add(secretsOf(c))
	po, err := s.policyOptions(c)
	if err != nil {
		return err
	}
	if err := s.policy.Replace(po); err != nil {
		return err
	}
	s.inForce.Store(c)
	return nil
}

// verifier returns the verifier of the keys under path in the configuration.
func verifier(path string, t *config.Token, skipSignature bool) (*identity.Verifier, error) {
	v, err := identity.NewVerifier(VerifierOptions(t, skipSignature))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// VerifierOptions are those of the keys t.
func VerifierOptions(t *config.Token, skipSignature bool) identity.VerifierOptions {
	return identity.VerifierOptions{
		HMACSecret: t.HMACSecretKey, HMACPrevious: t.HMACPreviousSecretKey, HMACPreviousUntil: t.HMACPreviousUntil,
		RSAPublicKey: t.RSAPublicKey, ECDSAPublicKey: t.ECDSAPublicKey, EdDSAPublicKey: t.EdDSAPublicKey, JWKSEndpoint: t.JWKSPublicEndpoint,
		Audience: t.Audience, AudienceRegex: t.AudienceRegex, Issuer: t.Issuer, IssuerRegex: t.IssuerRegex,
		UserIDClaim: t.UserIDClaim, RequireExp: t.RequireExp, SkipSignature: skipSignature,
	}
}

// Token makes a connection token for user, valid for an hour. Info is JSON or nil.
func (s *Server) Token(user string, info []byte) (string, error) {
	t, err := signer(&s.cfg.Client.Token)
	if err != nil {
		return "", err
	}
	return t.CreateConnectionToken(identity.ConnectionTokenOptions{User: user, TTL: time.Hour, Info: info})
}

// ChannelToken makes a token that lets user subscribe to channel, valid for an hour.
func (s *Server) ChannelToken(user, channel string) (string, error) {
	t, err := signer(s.subscriptionKeys())
	if err != nil {
		return "", err
	}
	return t.CreateSubscriptionToken(identity.SubscriptionTokenOptions{User: user, Channel: channel, TTL: time.Hour})
}

// subscriptionKeys are the keys of subscription tokens.
func (s *Server) subscriptionKeys() *config.Token {
	if c := &s.cfg.Client; c.SubscriptionToken.Enabled {
		return &c.SubscriptionToken.Token
	}
	return &s.cfg.Client.Token
}

func signer(t *config.Token) (*identity.Signer, error) {
	return identity.NewSigner(identity.SignerOptions{
		HMACSecret: t.HMACSecretKey, Audience: t.Audience, Issuer: t.Issuer, UserIDClaim: t.UserIDClaim,
	})
}

// demoPage is the page of the demo, which gives out tokens for any name.
func (s *Server) demoPage() http.Handler {
	return webui.Demo(func(name string) (string, error) {
		info, err := json.Marshal(map[string]string{"name": name})
		if err != nil {
			return "", fmt.Errorf("encode name: %w", err)
		}
		// A visitor is nobody of the chat, whose people are numbers.
		if strings.Trim(name, "0123456789") == "" {
			name = "visitor " + name
		}
		return s.Token(name, info)
	})
}

// nodeOptions are those of the realtime core.
func (s *Server) nodeOptions() realtime.Options {
	c := &s.cfg.Client
	o := realtime.Options{
		Name: s.nodeName(), Version: s.o.Version,
		Channels: s.policy, Authorizer: s.policy, RPC: s.o.RPC,
		Broker: s.broker, Presence: realtime.NewMemoryPresence(), Logger: s.log,
		PingInterval: c.PingInterval, PongTimeout: c.PongTimeout,
		StaleCloseDelay: c.StaleCloseDelay, ExpiredCloseDelay: c.ExpiredCloseDelay, ExpiredSubCloseDelay: c.ExpiredSubCloseDelay,
		PresenceUpdateInterval: c.PresenceUpdateInterval, PositionCheckDelay: c.ChannelPositionCheckDelay,
		QueueBytes: c.QueueMaxSize, MessageBytes: s.cfg.WebSocket.MessageSizeLimit, ChannelLimit: c.ChannelLimit,
		ChannelMaxLength: s.cfg.Channel.MaxLength, HistoryLimit: c.HistoryMaxPublicationLimit,
		RecoveryLimit: c.RecoveryMaxPublications, UserConnectionLimit: c.UserConnectionLimit,
		IncludeServerTime: c.ConnectIncludeServerTime,
	}
	if b := s.backend; b != nil {
		o.Channels, o.Authorizer, o.Watcher = b.channels, b.channels, watchers{b.channels, b.windi}
		if o.RPC == nil {
			o.RPC = s.callRPC
		}
		// What the server subscribes a client to is its own and system:notifications beside the chats.
		o.ServerChannelLimit = max(c.ChannelLimit, s.cfg.Chat.AutoSubscribe+2)
	}
	return o
}

// sinkName names the cursor that a reader of this node has in the event log. Nodes that
// share a database have one each.
func (s *Server) sinkName(reader string) string {
	if s.cfg.Storage.Driver == store.Postgres {
		return reader + "@" + s.nodeName()
	}
	return reader
}

// nodeName is the configured name, or the host's with the port (server-api.md §3.10).
func (s *Server) nodeName() string {
	if s.cfg.Node.Name != "" {
		return s.cfg.Node.Name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return host + "_" + strconv.Itoa(s.cfg.HTTPServer.Port)
}

// transportOptions are those of the listener.
func (s *Server) transportOptions() (transport.Options, error) {
	c, w := &s.cfg.Client, &s.cfg.WebSocket
	o := transport.Options{
		Handler: s.front, Path: w.HandlerPrefix, Disabled: w.Disabled, AllowedOrigins: c.AllowedOrigins,
		ConnectionLimit: c.ConnectionLimit, ConnectionRateLimit: c.ConnectionRateLimit,
		Compression:  transport.Compression{Enabled: w.Compression, MinSize: w.CompressionMinSize, Level: w.CompressionLevel},
		WriteTimeout: w.WriteTimeout, PingInterval: c.PingInterval, PongTimeout: c.PongTimeout,
		Foreign:     transport.ForeignOptions{Compression: transport.Compression{Enabled: true, MinSize: 512}},
		StopTimeout: s.stopTimeout(), Logger: s.log,
	}
	if c.UserIDHTTPHeader != "" {
		o.KeepHeaders = []string{c.UserIDHTTPHeader}
	}
	if !s.cfg.HTTPServer.TLS.Enabled {
		return o, nil
	}
	cert, err := certificate(&s.cfg.HTTPServer.TLS)
	if err != nil {
		return o, err
	}
	o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	return o, nil
}

func certificate(t *config.TLS) (tls.Certificate, error) {
	chain, err := identity.LoadPEM(t.CertPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("http_server.tls.cert_pem: %w", err)
	}
	key, err := identity.LoadPEM(t.KeyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("http_server.tls.key_pem: %w", err)
	}
	cert, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("http_server.tls: %w", err)
	}
	return cert, nil
}
