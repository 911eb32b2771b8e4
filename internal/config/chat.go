package config

import (
	"regexp"
	"time"
	_ "time/tzdata" // zones are the same wherever the server runs, also where the system has none
)

// Chat is the chat backend.
type Chat struct {
	Enabled             bool          `key:"enabled" default:"true" doc:"Serve accounts, chats, messages and files, and keep them in the database."`
	TextLimit           int           `key:"text_limit" default:"4000" doc:"Most characters of a message, 1 to 16000."`
	MembersLimit        int           `key:"members_limit" default:"1000" doc:"Most members of a group, 2 to 100000."`
	TitleLimit          int           `key:"title_limit" default:"128" doc:"Most characters of the title of a group, 1 to 1000."`
	AboutLimit          int           `key:"about_limit" default:"512" doc:"Most characters of what a group says about itself, 1 to 10000."`
	AttachmentsLimit    int           `key:"attachments_limit" default:"10" doc:"Most files of a message, 1 to 100."`
	MentionsLimit       int           `key:"mentions_limit" default:"50" doc:"Most people mentioned in a message, 1 to 1000."`
	ReactionsLimit      int           `key:"reactions_limit" default:"20" doc:"Most different reactions to a message, 1 to 100."`
	OwnReactionsLimit   int           `key:"own_reactions_limit" default:"3" doc:"Most reactions of one user to a message, 1 to 100."`
	EditWindow          time.Duration `key:"edit_window" default:"48h" zero:"keep" doc:"Time after sending in which authors may edit a message; 0 is no limit."`
	DeleteWindow        time.Duration `key:"delete_window" default:"48h" zero:"keep" doc:"Time after sending in which authors may delete a message for everybody; 0 is no limit."`
	LargeGroup          int           `key:"large_group" default:"500" doc:"Members above which coming, going and typing are no longer told."`
	ReceiptsMaxMembers  int           `key:"receipts_max_members" default:"100" doc:"Members above which it is no longer told who has read what."`
	AutoSubscribe       int           `key:"auto_subscribe" default:"200" doc:"Most chats, the latest active first, whose channels a connection is subscribed to."`
	ClientPublish       bool          `key:"client_publish" default:"true" doc:"Take what members publish into the channel of a chat as a message to it."`
	CustomEvents        []string      `key:"custom_events" doc:"Types of your own that members may publish into the channel of a chat unstored; each begins with custom. and a * at the end stands for any."`
	ExternalAttachments bool          `key:"external_attachments" doc:"Take addresses of files that are elsewhere as attachments."`
	GuardServerPublish  string        `key:"guard_server_publish" default:"store" oneof:"store|allow|deny" doc:"What becomes of a message that the server API publishes into the channel of a chat: stored if its sender is a member, passed on unstored, or refused."`
	Directory           string        `key:"directory" default:"open" oneof:"open|contacts" doc:"Whom people find by searching: everybody, or those they share a chat with."`
	PresenceGrace       time.Duration `key:"presence_grace" default:"15s" doc:"Time between a user's last connection and being shown as offline."`
	RetentionDays       int           `key:"retention_days" doc:"Days that messages are kept; 0 is for ever. A chat may have less."`
	ErasureGrace        time.Duration `key:"erasure_grace" default:"168h" zero:"keep" doc:"Time in which deleting an account can be taken back; 0 deletes at once."`
	AdminReads          bool          `key:"admin_reads" default:"true" doc:"Let administrators of the server, and services, read messages of any chat; each time goes into the audit log."`
	HistorySize         int           `key:"history_size" default:"100" doc:"Publications of a chat's channel that are recovered."`
	HistoryTTL          time.Duration `key:"history_ttl" default:"48h" doc:"Time they can be recovered, in whole seconds and at most events.retention."`
	Limits              ChatLimits    `key:"limits"`
	Files               ChatFiles     `key:"files"`
	Compat              ChatCompat    `key:"compat"`
}

// ChatLimits say how often one user may do what; service keys are not limited.
type ChatLimits struct {
	SendPerSecond      int `key:"send_per_second" default:"5" doc:"Messages a user may send per second in the long run. No limit of this section is one for service keys."`
	SendBurst          int `key:"send_burst" default:"20" doc:"Messages a user may send at once."`
	ChatPerSecond      int `key:"chat_per_second" default:"50" doc:"Messages all members of a chat together may send per second."`
	TypingPerSecond    int `key:"typing_per_second" default:"2" doc:"Typing notices of a user per second."`
	SearchPerMinute    int `key:"search_per_minute" default:"30" doc:"Searches of a user per minute."`
	ChatsPerMinute     int `key:"chats_per_minute" default:"20" doc:"Chats a user may begin per minute."`
	ChatsPerDay        int `key:"chats_per_day" default:"200" doc:"Chats a user may begin per day."`
	UploadsPerMinute   int `key:"uploads_per_minute" default:"60" doc:"Files a user may upload per minute."`
	RequestsPerMinute  int `key:"requests_per_minute" default:"600" doc:"Requests of a user per minute, whatever they ask."`
	AnonymousPerMinute int `key:"anonymous_per_minute" default:"100" doc:"Requests per minute from one address without a session."`
}

// ChatFiles bounds what is uploaded.
type ChatFiles struct {
	MaxSize int64         `key:"max_size" default:"26214400" doc:"Most bytes of one file; at most quota."`
	Quota   int64         `key:"quota" default:"5368709120" doc:"Most bytes of all files of one user."`
	URLTTL  time.Duration `key:"url_ttl" default:"24h" doc:"How long the address of a file works."`
}

// ChatCompat is what is served for clients written for other backends.
type ChatCompat struct {
	Timezone        string         `key:"timezone" doc:"Zone of times that have none, such as Europe/Moscow; empty is the zone of the server."`
	EmailVisibility string         `key:"email_visibility" default:"everyone" oneof:"everyone|contacts|self" doc:"Who sees e-mail addresses of people who have not chosen."`
	Chequite        ChequiteCompat `key:"chequite"`
	Windi           WindiCompat    `key:"windi"`
}

// ChequiteCompat is the contract of the Chequite package.
type ChequiteCompat struct {
	Enabled       bool   `key:"enabled" default:"true" doc:"Serve the chat API of the Chequite package."`
	IncludeGroups bool   `key:"include_groups" default:"true" doc:"Show groups to its clients, not only chats of two."`
	ChatsPayload  string `key:"chats_payload" default:"list" oneof:"list|item" doc:"What a change of a chat publishes to a user: all their chats, as the package expects, or the one that changed."`
}

// WindiCompat is the contract of the Windi guide.
type WindiCompat struct {
	Enabled        bool          `key:"enabled" default:"true" doc:"Serve the chat API of the Windi guide."`
	TokenTTL       time.Duration `key:"token_ttl" default:"24h" doc:"How long the connection tokens it makes are valid."`
	ProxyEndpoints bool          `key:"proxy_endpoints" default:"true" doc:"Answer the questions of a separate Centrifugo server about who may connect, subscribe and publish."`
	ProxySecret    string        `key:"proxy_secret" secret:"yes" doc:"Text in the header X-Proxy-Secret that lets callers from anywhere ask them."`
	ProxyAllow     []string      `key:"proxy_allow" doc:"Networks whose callers may ask without it; empty is this machine and private networks: 127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7."`
}

const (
	mostText    = 16_000
	mostMembers = 100_000
	// mostDays keeps days, as a duration, far from overflow.
	mostDays = 36_500
)

var customEvent = regexp.MustCompile(`^custom\.([-a-zA-Z0-9_.]+\*?|\*)$`)

func (l *loader) checkChat(c *Config) {
	chat := &c.Chat
	l.checkRange("chat.text_limit", chat.TextLimit, 1, mostText)
	l.checkRange("chat.members_limit", chat.MembersLimit, 2, mostMembers)
	for _, size := range []struct {
		key     string
		n, most int
	}{
		{"chat.title_limit", chat.TitleLimit, 1000},
		{"chat.about_limit", chat.AboutLimit, 10_000},
		{"chat.attachments_limit", chat.AttachmentsLimit, 100},
		{"chat.mentions_limit", chat.MentionsLimit, 1000},
		{"chat.reactions_limit", chat.ReactionsLimit, 100},
		{"chat.own_reactions_limit", chat.OwnReactionsLimit, 100},
	} {
		l.checkRange(size.key, size.n, 1, size.most)
	}
	l.checkRange("chat.retention_days", chat.RetentionDays, 0, mostDays)
	for _, e := range chat.CustomEvents {
		if !customEvent.MatchString(e) {
			l.wrong("chat.custom_events", "%q must begin with custom. as in custom.poll, and may end with *", e)
		}
	}
	l.checkChatHistory(c)
	l.checkFiles(&chat.Files)
	l.checkCompat(&chat.Compat)
}

func (l *loader) checkRange(key string, n, least, most int) {
	if n < least || n > most {
		l.wrong(key, "must be %d to %d", least, most)
	}
}

// checkChatHistory holds the past of chats within the event log, from which it is read.
func (l *loader) checkChatHistory(c *Config) {
	const key = "chat.history_ttl"
	switch ttl := &c.Chat.HistoryTTL; {
	case *ttl%time.Second != 0:
		l.wrong(key, "must be whole seconds")
	case *ttl <= c.Events.Retention:
	case l.origins[key] == fromDefault:
		*ttl = c.Events.Retention
	default:
		l.wrong(key, "must not exceed events.retention (%s)", showDuration(c.Events.Retention))
	}
}

func (l *loader) checkFiles(f *ChatFiles) {
	const key = "chat.files.max_size"
	switch {
	case f.MaxSize <= f.Quota:
	case l.origins[key] == fromDefault:
		f.MaxSize = f.Quota
	default:
		l.wrong(key, "must not exceed chat.files.quota (%d)", f.Quota)
	}
}

func (l *loader) checkCompat(o *ChatCompat) {
	if _, err := time.LoadLocation(o.Timezone); err != nil || o.Timezone == "Local" {
		l.wrong("chat.compat.timezone", "must be the name of a zone such as Europe/Moscow")
	}
	l.checkNetworks("chat.compat.windi.proxy_allow", o.Windi.ProxyAllow)
}
