package identity

// The values of [Account.Role], Kind and State.
const (
	RoleUser  = "user"
	RoleAdmin = "admin"

	KindHuman = "human"
	KindBot   = "bot"

	StateActive    = "active"
	StateSuspended = "suspended"
	StateDeleted   = "deleted"
)

// The values of the settings in [Privacy].
const (
	Everyone = "everyone"
	Contacts = "contacts"
	Nobody   = "nobody"
	Self     = "self"
)

// Account is a person or a bot. Times are milliseconds since 1970, 0 is never.
type Account struct {
	// ID is from 1 to 2^53-1 and never given again.
	ID int64
	// ExternalID is who this is in the operator's own application; ExternalID, Username
	// and Email are empty or belong to this account only. Username and Email are in
	// lower case.
	ExternalID, Username, Email string
	EmailVerifiedAt             int64
	// Name has 1 to 100 characters, About up to 512.
	Name, About string
	// AvatarFile is the id of a file, Picture the https address of a picture that came
	// with an external account; empty is none.
	AvatarFile, Picture string
	// PasswordHash is argon2id in PHC form, empty if nobody can log in by password.
	PasswordHash      string `json:"-"`
	Role, Kind, State string
	// Lang is a language tag such as ru or en-GB, TZ an IANA time zone; empty is not said.
	Lang, TZ   string
	Privacy    Privacy
	LastSeenAt int64
	// Seq is the number of the newest event of the stream user:{id}.
	Seq                  int64
	CreatedAt, UpdatedAt int64
}

// Privacy is what an account shows of itself, and to whom (chat-api.md §0.9, §C.2).
type Privacy struct {
	// LastSeen is [Everyone], [Contacts] or [Nobody].
	LastSeen string `json:"last_seen"`
	// ReadReceipts tells others what has been read, and shows theirs.
	ReadReceipts bool `json:"read_receipts"`
	// Email is [Everyone], [Contacts] or [Self]; empty is as the server is configured
	// (chat.compat.email_visibility).
	Email string `json:"email"`
	// WhoCanMessage and WhoCanAdd are [Everyone] or [Contacts].
	WhoCanMessage string `json:"who_can_message"`
	WhoCanAdd     string `json:"who_can_add"`
}

// DefaultPrivacy is that of a new account.
func DefaultPrivacy() Privacy {
	return Privacy{LastSeen: Contacts, ReadReceipts: true, WhoCanMessage: Everyone, WhoCanAdd: Everyone}
}

// Session is a login: what a device holds until it logs out. Times are milliseconds
// since 1970, 0 is never.
type Session struct {
	// ID is "s_" and 26 characters of base32.
	ID   string
	User int64
	// Family and Refresh are SHA-256, in hex, of the two parts of the refresh token;
	// Replaced are the values that Refresh had in the last moments.
	Family, Refresh string     `json:"-"`
	Replaced        []Replaced `json:"-"`
	// Device, Platform, Address and UserAgent are what the client said at login.
	Device, Platform, Address, UserAgent        string
	CreatedAt, LastUsedAt, ExpiresAt, RevokedAt int64
	RevokeReason                                string
}

// Replaced is a refresh token that was current until At, as SHA-256 in hex.
type Replaced struct {
	Hash string `json:"hash"`
	At   int64  `json:"at"`
}

// live tells whether the session can be used at now.
func (s *Session) live(now int64) bool { return s.RevokedAt == 0 && now < s.ExpiresAt }

// The reasons in [Session.RevokeReason] and in the event session.revoked.
const (
	ReasonLogout    = "logout"
	ReasonTerminate = "terminated"
	ReasonPassword  = "password_changed"
	ReasonReused    = "token_reused"
	ReasonSuspended = "suspended"
	ReasonDeleted   = "deleted"
	ReasonRole      = "role_changed"
)

// Device is what is known of where a login comes from; every field may be empty.
type Device struct {
	// Name and Platform are the client's own words, UserAgent its header; they are cut
	// to 100 and 300 characters.
	Name, Platform, UserAgent string
	// Address is the IP address of the client.
	Address string
	// Earlier is a refresh token that the client still has of an earlier login, valid or
	// not. It proves that the device is known to the account.
	Earlier string
}
