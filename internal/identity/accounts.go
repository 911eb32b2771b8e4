package identity

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Mode says whose access tokens are taken (chat-api.md §0.4).
type Mode string

// The modes.
const (
	Builtin  Mode = "builtin"
	External Mode = "external"
	Both     Mode = "both"
)

// Registration says who may register.
type Registration string

// The ways of registration. An invite lets register by [ByDomain] too.
const (
	Open     Registration = "open"
	ByInvite Registration = "invite"
	ByDomain Registration = "domain"
	Closed   Registration = "closed"
)

// Options configure [Accounts]. The zero value is ready to use, with accounts of its
// own, open registration and tokens that end with the process.
type Options struct {
	// Mode is [Builtin] if empty.
	Mode Mode
	// Secret signs access tokens and derives refresh tokens; all nodes have the same.
	// Empty is a random one: access tokens then end with the process, sessions do not.
	Secret string
	// AccessTTL is how long an access token is valid, zero meaning 15 min; RefreshTTL how
	// long a session lives without use, zero meaning 30 days; SessionTTL how long it
	// lives at all, zero meaning 365 days.
	AccessTTL, RefreshTTL, SessionTTL time.Duration
	// ConnectionTTL is how long a connection token is valid that asks for no other
	// time; zero means an hour. Signer makes them; without it there are none.
	ConnectionTTL time.Duration
	Signer        *Signer
	// AvatarURL returns the address of a file that is an avatar, for connection tokens.
	// If nil, they name no avatar.
	AvatarURL func(file string) string
	// Registration is [Open] if empty. Domains are the addresses' domains that ByDomain
	// lets in, in any case.
	Registration Registration
	Domains      []string
	Passwords    PasswordOptions
	Limits       Limits
	// External says which tokens of the operator's application are taken; with
	// [External] and [Both].
	External ExternalOptions
	// ServiceKeys are the keys of the configuration; each may do everything.
	ServiceKeys []string
	// Mailer sends mail; it may block, its context says for how long. Without it nothing
	// is sent, which is logged.
	Mailer func(context.Context, Mail) error
	// Watch, if not nil, is told of what may be an attack.
	Watch Watcher
	// Now is the clock, Logger the log; nil means time.Now and slog.Default().
	Now    func() time.Time
	Logger *slog.Logger
}

// Limits bound what strangers may try (chat-api.md §0.11, guarantees.md S11).
type Limits struct {
	// LoginFailures are free per account, LoginFailuresAddress per address, in 15 min;
	// after them each waits, 30 s first, then twice as long each time up to 15 min. Zero
	// means 5 and 20.
	LoginFailures, LoginFailuresAddress int
	// Registrations is how many an address may make in an hour; zero means 10. Mails is
	// how many an account is sent in an hour on a stranger's wish; zero means 5.
	Registrations, Mails int
}

// Watcher is told of what may be an attack. Its methods must not block.
type Watcher interface {
	// SignInFailed tells of a password that was wrong or came too often. user is 0 if there
	// is no such account, address empty if it is not known.
	SignInFailed(user int64, address string)
	// TokenReused tells of a refresh token that was used after it had been replaced: its
	// session has been revoked.
	TokenReused(user int64, address string)
	// KeyRefused tells of an API key that was revoked or has expired: somebody goes on showing it.
	KeyRefused(key string)
}

// nobody watches.
type nobody struct{}

func (nobody) SignInFailed(int64, string) {}
func (nobody) TokenReused(int64, string)  {}
func (nobody) KeyRefused(string)          {}

// Mail is a message to a person. What it says is the mailer's.
type Mail struct {
	// Kind is [MailReset], [MailVerify] or [MailCode].
	Kind string
	// To is the address, Name and Lang who is addressed and in which language (may be empty).
	To, Name, Lang string
	// Token is the secret to be sent, valid until Expires; of [MailCode] it is six digits.
	Token   string
	Expires time.Time
}

// The kinds of [Mail].
const (
	MailReset  = "reset"
	MailVerify = "verify"
	// MailCode proves an address to package trust.
	MailCode = "code"
)

// Accounts keeps people's accounts, their sessions and the API keys of services, and
// tells who calls. It is safe for concurrent use.
type Accounts struct {
	store Store
	o     Options
	log   *slog.Logger
	hash  *hasher
	// accessKey and refreshKey are derived from the secret, so that a token made with
	// one, or with the secret itself, is nothing to the other.
	access     *Signer
	accessKey  []byte
	refreshKey []byte
	cache      *callers
	start      time.Time

	byAccount, byAddress, registrations, mails *limiter

	letters chan letter // wait for Run
	rotated rotations
	usedMu  sync.Mutex
	used    map[string]Use // of API keys, as far as Run has not written it yet
}

// NewAccounts returns the accounts kept in store. Its error names the keys of the
// configuration that are wrong.
func NewAccounts(store Store, o Options) (*Accounts, error) {
	a := &Accounts{store: store, letters: make(chan letter, 256), used: make(map[string]Use)}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	defaults(&o)
	var err error
	if a.hash, err = newHasher(o.Passwords); err != nil {
		errs = append(errs, err)
	}
	switch o.Mode {
	case Builtin, External, Both:
	default:
		wrong("auth.mode: %q is not builtin, external or both", o.Mode)
	}
	if o.Mode != Builtin && o.External.Verifier == nil {
		wrong("auth.external: auth.mode %s needs a key of your application's tokens", o.Mode)
	}
	switch o.Registration {
	case Open, ByInvite, Closed:
	case ByDomain:
		if len(o.Domains) == 0 {
			wrong("auth.registration_domains: auth.registration domain needs at least one")
		}
	default:
		wrong("auth.registration: %q is not open, invite, domain or closed", o.Registration)
	}
	if o.AccessTTL < time.Second || o.RefreshTTL < o.AccessTTL || o.SessionTTL < o.RefreshTTL {
		wrong("auth.access_token_ttl, auth.refresh_token_ttl: %v, %v must rise from at least 1s, to at most %v", o.AccessTTL, o.RefreshTTL, o.SessionTTL)
	}
	if o.Secret != "" && len(o.Secret) < 32 {
		wrong("auth.secret: %d bytes, at least 32 are needed", len(o.Secret))
	}
	for _, k := range o.ServiceKeys {
		if k == "" {
			wrong("http_api.key: a service key is empty")
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if o.Secret == "" {
		o.Secret = NewSecret()
	}
	domains := make([]string, len(o.Domains))
	for i, d := range o.Domains {
		domains[i] = strings.ToLower(d)
	}
	o.Domains = domains
	a.o, a.log = o, o.Logger
	a.accessKey, a.refreshKey = derive(o.Secret, "access token"), derive(o.Secret, "refresh token")
	if a.access, err = NewSigner(SignerOptions{HMACSecret: string(a.accessKey), Audience: accessAudience}); err != nil {
		return nil, err
	}
	a.start = o.Now()
	a.cache = newCallers(a.ticks, a.now)
	const quarter = 15 * time.Minute
	a.byAccount = newLimiter(o.Limits.LoginFailures, quarter, 30*time.Second)
	a.byAddress = newLimiter(o.Limits.LoginFailuresAddress, quarter, 30*time.Second)
	a.registrations = newLimiter(o.Limits.Registrations, time.Hour, 0)
	a.mails = newLimiter(o.Limits.Mails, time.Hour, 0)
	if o.Registration == ByDomain && o.Mailer == nil {
		a.log.Warn("registration is by domain, but addresses cannot be verified: there is no mailer (mail.host)", "key", "auth.registration")
	}
	return a, nil
}

func defaults(o *Options) {
	setDefault(&o.Mode, Builtin)
	setDefault(&o.Registration, Open)
	setDefault(&o.AccessTTL, 15*time.Minute)
	setDefault(&o.RefreshTTL, 30*24*time.Hour)
	setDefault(&o.SessionTTL, max(365*24*time.Hour, o.RefreshTTL))
	setDefault(&o.ConnectionTTL, time.Hour)
	setDefault(&o.Limits.LoginFailures, 5)
	setDefault(&o.Limits.LoginFailuresAddress, 20)
	setDefault(&o.Limits.Registrations, 10)
	setDefault(&o.Limits.Mails, 5)
	setDefault(&o.Logger, slog.Default())
	setDefault(&o.External.UserClaim, "sub")
	setDefault(&o.External.NameClaim, "name")
	setDefault(&o.External.EmailClaim, "email")
	setDefault(&o.External.PictureClaim, "picture")
	if o.Watch == nil {
		o.Watch = nobody{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// now is the time in milliseconds since 1970.
func (a *Accounts) now() int64 { return a.o.Now().UnixMilli() }

// ticks is the time since the accounts were opened, in milliseconds: what counts down in
// memory goes by it, because nobody sets it forth or back (guarantees.md R28).
func (a *Accounts) ticks() int64 { return a.o.Now().Sub(a.start).Milliseconds() }

// builtin is an error unless accounts log in here.
func (a *Accounts) builtin() error {
	if a.o.Mode == External {
		return fmt.Errorf("%w: accounts are those of the external application (auth.mode)", ErrDisabled)
	}
	return nil
}

func derive(secret, use string) []byte {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte("kuranty " + use))
	return m.Sum(nil)
}

// hashSecret is what is stored of a secret of ours. They are random, so one pass of
// SHA-256 is enough, and finding a row by it leaks nothing of the secret.
func hashSecret(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

var idAlphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newID returns prefix and 26 characters of base32, 128 random bits (chat-api.md §0.1).
func newID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return prefix + idAlphabet.EncodeToString(b[:])
}

// Account returns an account, also a deleted one.
func (a *Accounts) Account(ctx context.Context, id int64) (acc Account, err error) {
	err = a.store.View(ctx, func(tx Tx) error {
		acc, err = tx.Account(ctx, id)
		return err
	})
	return acc, err
}

const (
	writeUsedEvery = 10 * time.Second
	sweepEvery     = time.Hour
	// sessionMemory is how long an ended session is kept: its address stays known.
	sessionMemory = 90 * 24 * time.Hour
	mailTimeout   = 30 * time.Second
)

// Run sends mail, writes when API keys were used, and removes what has expired, until
// ctx ends. Mail waits while it does not run.
func (a *Accounts) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case l := <-a.letters:
				a.deliver(ctx, l)
			}
		}
	})
	used, sweep := time.NewTicker(writeUsedEvery), time.NewTicker(sweepEvery)
	defer used.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			a.writeUsed(last)
			return nil
		case <-used.C:
			a.writeUsed(ctx)
		case <-sweep.C:
			now := a.now()
			err := a.store.Update(ctx, func(tx Tx) error { return tx.Sweep(ctx, now, now-sessionMemory.Milliseconds()) })
			if err != nil && ctx.Err() == nil {
				a.log.Warn("expired sessions and tokens were not removed; they will be", "error", err)
			}
		}
	}
}
