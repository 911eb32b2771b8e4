package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/config"
)

func TestChatIsOnWithItsDefaults(t *testing.T) {
	res, err := config.Load(config.Source{})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Chat{
		TitleLimit: 128, AboutLimit: 512, AttachmentsLimit: 10, MentionsLimit: 50, ReactionsLimit: 20, OwnReactionsLimit: 3,
		Enabled: true, TextLimit: 4000, MembersLimit: 1000, EditWindow: 48 * time.Hour, DeleteWindow: 48 * time.Hour,
		LargeGroup: 500, ReceiptsMaxMembers: 100, AutoSubscribe: 200, ClientPublish: true, GuardServerPublish: "store", Directory: "open",
		PresenceGrace: 15 * time.Second, ErasureGrace: 168 * time.Hour, AdminReads: true, HistorySize: 100, HistoryTTL: 48 * time.Hour,
		Limits: config.ChatLimits{
			SendPerSecond: 5, SendBurst: 20, ChatPerSecond: 50, TypingPerSecond: 2, SearchPerMinute: 30,
			ChatsPerMinute: 20, ChatsPerDay: 200, UploadsPerMinute: 60, RequestsPerMinute: 600, AnonymousPerMinute: 100,
		},
		Files: config.ChatFiles{MaxSize: 25 << 20, Quota: 5 << 30, URLTTL: 24 * time.Hour},
		Compat: config.ChatCompat{
			EmailVisibility: "everyone",
			Chequite:        config.ChequiteCompat{Enabled: true, IncludeGroups: true, ChatsPayload: "list"},
			Windi:           config.WindiCompat{Enabled: true, TokenTTL: 24 * time.Hour, ProxyEndpoints: true},
		},
	}
	if diff := cmp.Diff(want, res.Config.Chat); diff != "" {
		t.Error(diff)
	}
	auth := config.Auth{
		Mode: "builtin", Registration: "open", AccessTokenTTL: 15 * time.Minute, RefreshTokenTTL: 720 * time.Hour, PasswordHashConcurrency: 4, PasswordHashMemory: 64,
		LoginFailures: 5, LoginFailuresPerAddress: 20, RegistrationsPerHour: 10,
		External: config.External{UserClaim: "sub", NameClaim: "name", EmailClaim: "email", PictureClaim: "picture", RequireExp: true},
	}
	if diff := cmp.Diff(auth, res.Config.Auth); diff != "" {
		t.Error(diff)
	}
	storage := config.Storage{Driver: "sqlite", DataDir: "./kuranty-data", MaxConnections: 16}
	if diff := cmp.Diff(storage, res.Config.Storage); diff != "" {
		t.Error(diff)
	}
	if e := res.Config.Events; e.Retention != 72*time.Hour || e.Keep != 100_000 {
		t.Errorf("events = %+v", e)
	}
}

// R43: what contradicts itself in the sections of chat stops the start and is named.
func TestR43_ContradictionsOfChatAreNamed(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	for _, tt := range []struct{ bad, want, good string }{
		{"storage: {driver: postgres}", "storage.driver (file c.yaml:1): postgres needs storage.dsn", "storage: {driver: postgres, dsn: 'host=a'}"},
		{"storage: {dsn: 'host=a'}", "storage.dsn (file c.yaml:1): needs storage.driver postgres, not sqlite", "storage: {dsn: ''}"},

		{"auth: {registration: domain}", "auth.registration (file c.yaml:1): domain needs auth.registration_domains", "auth: {registration: domain, registration_domains: [Пример.рф]}"},
		{"auth: {registration_domains: [a.com]}", "auth.registration_domains (file c.yaml:1): needs auth.registration domain, open does not look at them", "auth: {registration_domains: []}"},
		{"auth: {registration: domain, registration_domains: ['@a.com']}", `"@a.com" must be a domain such as example.com`, "auth: {registration: domain, registration_domains: a.com b-c.org}"},
		{"auth: {access_token_ttl: 721h}", "auth.refresh_token_ttl (default): must not be less than auth.access_token_ttl (721h)", "auth: {access_token_ttl: 720h}"},
		{"auth: {secret: " + secret[1:] + "}", "auth.secret (file c.yaml:1): must be at least 32 bytes", "auth: {secret: " + secret + "}"},
		{"auth: {secret: " + secret + "}\nclient: {token: {hmac_secret_key: " + secret + "}}", "auth.secret (file c.yaml:1): must differ from client.token.hmac_secret_key", "auth: {secret: " + secret + "}\nclient: {token: {hmac_secret_key: x}}"},
		{"auth: {mode: both, secret: " + secret + ", external: {hmac_secret_key: " + secret + "}}", "auth.secret (file c.yaml:1): must differ from auth.external.hmac_secret_key", "auth: {mode: both, secret: " + secret + ", external: {hmac_secret_key: x}}"},
		{"auth: {secret: " + secret + "}\napi_key: " + secret, "must differ from http_api.key", "api_key: " + secret},
		{"auth: {mode: external}", "auth.mode (file c.yaml:1): external needs a key in auth.external", "auth: {mode: external, external: {jwks_public_endpoint: 'https://a/keys'}}"},
		{"auth: {mode: both}", "auth.mode (file c.yaml:1): both needs a key in auth.external", "auth: {mode: both, external: {rsa_public_key: testdata/key.pem}}"},
		{"auth: {external: {eddsa_public_key: testdata/key.pem}}", "auth.external.eddsa_public_key (file c.yaml:1): needs auth.mode external or both", "auth: {external: {issuer: i}}"},
		{"auth: {mode: both, external: {ecdsa_public_key: testdata/none.pem}}", "auth.external.ecdsa_public_key (file c.yaml:1): neither PEM text", "auth: {mode: both, external: {ecdsa_public_key: testdata/key.pem}}"},
		{"auth: {mode: both, external: {jwks_public_endpoint: 'file:///a'}}", "auth.external.jwks_public_endpoint (file c.yaml:1): must be an http:// or https://", "auth: {mode: both, external: {jwks_public_endpoint: 'http://a'}}"},
		{"auth: {first_admin: {username: admin}}", "auth.first_admin.password (default): must have 8 to 256 characters", "auth: {first_admin: {username: admin, password: пароль12}}"},
		{"auth: {first_admin: {password: 12345678}}", "auth.first_admin.username (default): is needed with the other keys", "auth: {first_admin: {username: a, password: '12345678'}}"},
		{"auth: {first_admin: {username: a@b, password: 12345678}}", "auth.first_admin.username (file c.yaml:1): must not have spaces or @", "auth: {first_admin: {username: a.b, password: 12345678, email: a@b.org}}"},
		{"auth: {first_admin: {username: a, password: " + strings.Repeat("я", 257) + "}}", "must have 8 to 256", "auth: {first_admin: {username: a, password: " + strings.Repeat("я", 256) + "}}"},
		{"auth: {mode: external, external: {hmac_secret_key: x}, first_admin: {username: a, password: 12345678}}", "auth.first_admin.username (file c.yaml:1): cannot log in with auth.mode external", "auth: {mode: both, external: {hmac_secret_key: x}, first_admin: {username: a, password: 12345678}}"},

		{"chat: {members_limit: 100001}", "chat.members_limit (file c.yaml:1): must be 2 to 100000", "chat: {members_limit: 100000}"},
		{"chat: {attachments_limit: 101}", "chat.attachments_limit (file c.yaml:1): must be 1 to 100", "chat: {attachments_limit: 100, mentions_limit: 1000, reactions_limit: 100, own_reactions_limit: 1, title_limit: 1000, about_limit: 1}"},
		{"chat: {text_limit: 16001}", "chat.text_limit (file c.yaml:1): must be 1 to 16000", "chat: {text_limit: 1}"},
		{"chat: {custom_events: [message, custom.]}", `"custom." must begin with custom. as in custom.poll`, "chat: {custom_events: [custom.a, 'custom.*', custom.a-b_c.d]}"},
		{"chat: {custom_events: ['custom.*x']}", `"custom.*x" must begin`, "chat: {custom_events: []}"},
		{"chat: {history_ttl: 1500ms}", "chat.history_ttl (file c.yaml:1): must be whole seconds", "chat: {history_ttl: 72h}"},
		{"chat: {history_ttl: 2h}\nevents: {retention: 1h}", "chat.history_ttl (file c.yaml:1): must not exceed events.retention (1h)", "events: {retention: 1h}"},
		{"chat: {files: {max_size: 2, quota: 1}}", "chat.files.max_size (file c.yaml:1): must not exceed chat.files.quota (1)", "chat: {files: {quota: 1}}"},
		{"chat: {compat: {timezone: Local}}", "chat.compat.timezone (file c.yaml:1): must be the name of a zone", "chat: {compat: {timezone: UTC}}"},
		{"chat: {compat: {timezone: ../../etc/passwd}}", "must be the name of a zone", "chat: {compat: {timezone: Asia/Kamchatka}}"},
		{"chat: {compat: {windi: {proxy_allow: [10.0.0.0/33]}}}", `"10.0.0.0/33" must be a network`, "chat: {compat: {windi: {proxy_allow: [10.0.0.0/8, '::1/128']}}}"},

		{"http_server: {extra_addresses: ['127.0.0.1:8000']}", "http_server.extra_addresses (file c.yaml:1): 127.0.0.1:8000 is listened on already", "http_server: {extra_addresses: ['127.0.0.1:8001', ':8002', '[::1]:8000']}"},
		{"http_server: {extra_addresses: [':8001', ':8001']}", ":8001 is listened on already", "http_server: {extra_addresses: [':0', ':0']}"},
		{"http_server: {extra_addresses: [':65536']}", `":65536" must be host:port`, "http_server: {extra_addresses: [':65535']}"},
		{"http_server: {extra_addresses: [':http']}", `":http" must be host:port`, "http_server: {extra_addresses: ['chat.internal:80']}"},
		{"http_server: {extra_addresses: ['http://a:80']}", `"http://a:80" must be host:port`, "http_server: {extra_addresses: []}"},
		{"http_server: {trusted_proxies: [10.0.0.1]}", `http_server.trusted_proxies (file c.yaml:1): "10.0.0.1" must be a network such as 10.0.0.0/8`, "http_server: {trusted_proxies: [10.0.0.1/32, 'fc00::/7']}"},
		{"http_server: {public_url: chat.example.com}", "http_server.public_url (file c.yaml:1): must be http:// or https://", "http_server: {public_url: 'http://chat.example.com'}"},
		{"http_server: {public_url: 'https://a/chat'}", "must be http:// or https:// with a host and nothing after it", "http_server: {public_url: 'https://[::1]:8443'}"},
		{"http_server: {public_url: 'https://user@a'}", "with a host and nothing after it", "http_server: {public_url: ''}"},
		{"http_server: {public_url: 'https://a?'}", "with a host and nothing after it", "http_server: {public_url: 'https://пример.рф'}"},
		{"http_server: {public_url: 'https://:443'}", "with a host and nothing after it", "http_server: {public_url: 'https://a:443'}"},
	} {
		if got := problems(t, yaml(tt.bad)); !strings.Contains(got, tt.want) {
			t.Errorf("%s\n%s\nwant %s", tt.bad, got, tt.want)
		}
		if got := problems(t, yaml(tt.good)); got != "" {
			t.Errorf("%s\n%s\nwant no problem", tt.good, got)
		}
	}
}

// A default gives way to what was written; only what was written can contradict.
func TestDefaultsOfChatGiveWay(t *testing.T) {
	c := load(t, "c.yaml", "events: {retention: 1h}\nchat: {files: {quota: 1000}}").Config
	if c.Chat.HistoryTTL != time.Hour || c.Chat.Files.MaxSize != 1000 {
		t.Errorf("history_ttl = %v, max_size = %d; want no more than events.retention and the quota", c.Chat.HistoryTTL, c.Chat.Files.MaxSize)
	}
	c = load(t, "c.yaml", "auth: {registration: domain, registration_domains: [Example.COM]}").Config
	if diff := cmp.Diff([]string{"example.com"}, c.Auth.RegistrationDomains); diff != "" {
		t.Errorf("domains are compared in lower case:\n%s", diff)
	}
}

// Zeros that mean something are kept, the others mean the default.
func TestZerosOfChat(t *testing.T) {
	c := load(t, "c.yaml", "chat: {edit_window: 0s, delete_window: 0s, erasure_grace: 0s, retention_days: 0, text_limit: 0, presence_grace: 0s, limits: {send_per_second: 0, anonymous_per_minute: 0}}").Config.Chat
	if c.EditWindow != 0 || c.DeleteWindow != 0 || c.ErasureGrace != 0 || c.RetentionDays != 0 {
		t.Errorf("zeros that mean something became defaults: %+v", c)
	}
	if c.TextLimit != 4000 || c.PresenceGrace != 15*time.Second || c.Limits.SendPerSecond != 5 || c.Limits.AnonymousPerMinute != 100 {
		t.Errorf("zeros are not defaults: %+v", c)
	}
}

// S23: 0 or absent never means unlimited for sizes.
func TestS23_SizesOfChatAreNeverUnlimited(t *testing.T) {
	c := load(t, "c.yaml", "chat: {members_limit: 0, auto_subscribe: 0, history_size: 0, files: {max_size: 0, quota: 0}}\nauth: {password_hash_concurrency: 0}").Config
	got := []int64{int64(c.Chat.MembersLimit), int64(c.Chat.AutoSubscribe), int64(c.Chat.HistorySize), c.Chat.Files.MaxSize, c.Chat.Files.Quota, int64(c.Auth.PasswordHashConcurrency)}
	if diff := cmp.Diff([]int64{1000, 200, 100, 25 << 20, 5 << 30, 4}, got); diff != "" {
		t.Error(diff)
	}
}

// R2: a database that does not sync is let pass only by a switch, and never in silence.
func TestR2_UnsafeDurabilityIsSaid(t *testing.T) {
	res := load(t, "c.yaml", "storage: {unsafe_durability: true}")
	want := []config.Note{{
		Key: "storage.unsafe_durability", Origin: "file c.yaml:1", Warning: true,
		Text: "a database that does not sync is let pass, so acknowledged writes may be lost",
	}}
	if diff := cmp.Diff(want, res.Notes); diff != "" {
		t.Error(diff)
	}
}

// S5: an address beside the main one opens the server as well.
func TestS5_InsecureOptionsNeedLoopbackEverywhere(t *testing.T) {
	for _, key := range []string{"client.insecure", "client.insecure_skip_token_signature_verify", "http_api.insecure"} {
		for addresses, open := range map[string]string{
			"127.0.0.1:8001 [::1]:8001 localhost:8001": "", ":8001": ":8001", "127.0.0.1:8001 0.0.0.0:8002": "0.0.0.0:8002",
			"[::]:8001": "[::]:8001", "chat.internal:80": "chat.internal:80",
		} {
			got := problems(t, config.Source{Flags: [][2]string{{key, "true"}, {"http_server.extra_addresses", addresses}}})
			want := ""
			if open != "" {
				want = fmt.Sprintf("%s (flag --%[1]s): lets anyone in, so http_server.extra_addresses must be a loopback address such as 127.0.0.1, not %s", key, open)
			}
			if got != want {
				t.Errorf("%s on %s: %q, want %q", key, addresses, got, want)
			}
		}
	}
}

// S6: the secrets of chat appear in no error, note and report.
func TestS6_SecretsOfChatAreNotRepeated(t *testing.T) {
	const canary = "c4n4ry"
	text := strings.ReplaceAll(`
storage: {driver: postgres, dsn: 'postgres://u:CANARY@h/d'}
auth:
  mode: both
  secret: CANARY-0123456789abcdef0123456789abcdef
  first_admin: {username: a, password: CANARY-long}
  external: {hmac_secret_key: CANARY}
chat: {compat: {windi: {proxy_secret: CANARY}}}
`, "CANARY", canary)
	res := load(t, "c.yaml", text)
	var b strings.Builder
	if err := res.Show(&b, true); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String()+notes(res), canary) {
		t.Errorf("a secret is repeated:\n%s%s", b.String(), notes(res))
	}
	if n := strings.Count(b.String(), `"***"`); n != 5 {
		t.Errorf("%d masked secrets, want 5:\n%s", n, b.String())
	}
	for _, bad := range []string{
		"storage: {dsn: 'postgres://u:" + canary + "@h/d'}",
		"auth: {secret: " + canary + "}",
		"auth: {first_admin: {password: " + canary + "}}",
		"auth: {external: {hmac_secret_key: " + canary + "}}",
		"auth: {mode: both, external: {rsa_public_key: " + canary + "}}",
		"http_server: {public_url: 'https://" + canary + "@a'}",
	} {
		if got := problems(t, yaml(bad)); got == "" || strings.Contains(got, canary) {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

// What only we have stands beside the keys of either generation in the same file
// (design.md §3.12), and in the environment.
func TestChatStandsBesideEitherGeneration(t *testing.T) {
	const ours = `
storage: {driver: postgres, dsn: host=db}
auth: {registration: closed}
chat: {text_limit: 100, compat: {windi: {proxy_allow: 10.0.0.0/8}}}
events: {keep: 5}
backup: {dir: /b}
`
	env := []string{
		"KURANTY_STORAGE_DRIVER=postgres", "KURANTY_STORAGE_DSN=host=db", "KURANTY_AUTH_REGISTRATION=closed", "KURANTY_CHAT_TEXT_LIMIT=100",
		"KURANTY_CHAT_COMPAT_WINDI_PROXY_ALLOW=10.0.0.0/8", "KURANTY_EVENTS_KEEP=5", "KURANTY_BACKUP_DIR=/b",
	}
	generations := map[string]string{
		"version 6": "http_api: {key: k}\nclient: {token: {hmac_secret_key: s}}\nchannel: {namespaces: [{name: chat, presence: true}]}",
		"flat":      "api_key: k\ntoken_hmac_secret_key: s\nnamespaces: [{name: chat, presence: true}]",
		"version 3": "api_key: k\nsecret: s\nnamespaces: [{name: chat, presence: true, protected: true}]",
	}
	for name, text := range generations {
		theirs := load(t, "c.yaml", text).Config
		for form, src := range map[string]config.Source{
			"file":        yaml(text + ours),
			"environment": {File: "c.yaml", Text: []byte(text), Env: env},
		} {
			res, err := config.Load(src)
			if err != nil {
				t.Errorf("%s, %s: %v", name, form, err)
				continue
			}
			c := *res.Config
			if c.Storage.Driver != "postgres" || c.Storage.DSN != "host=db" || c.Auth.Registration != "closed" || c.Chat.TextLimit != 100 ||
				c.Events.Keep != 5 || c.Backup.Dir != "/b" || len(c.Chat.Compat.Windi.ProxyAllow) != 1 {
				t.Errorf("%s, %s: %+v", name, form, c)
			}
			c.Storage, c.Auth, c.Chat, c.Events, c.Backup = theirs.Storage, theirs.Auth, theirs.Chat, theirs.Events, theirs.Backup
			if diff := cmp.Diff(*theirs, c); diff != "" {
				t.Errorf("%s, %s: our sections change theirs:\n%s", name, form, diff)
			}
		}
	}
}
