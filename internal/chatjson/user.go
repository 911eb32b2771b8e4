package chatjson

import "github.com/kuranty/kuranty/internal/chat"

// Person is what of a person is the same for everybody who sees them.
type Person struct {
	ID       int64   `json:"id"`
	Name     string  `json:"name"`
	Username *string `json:"username"`
	Avatar   *Avatar `json:"avatar"`
	About    *string `json:"about"`
	Kind     string  `json:"kind" enum:"human,bot"`
	State    string  `json:"state" enum:"active,suspended,deleted"`
}

// Avatar is a picture in two sizes.
type Avatar struct {
	URL      string `json:"url"`
	ThumbURL string `json:"thumb_url"`
}

// User is a person as one viewer sees them (chat-api.md §C.2).
type User struct {
	Person
	Presence    string  `json:"presence" enum:"online,offline,hidden"`
	LastSeenAt  *string `json:"last_seen_at" format:"date-time"`
	IsContact   bool    `json:"is_contact"`
	BlockedByMe bool    `json:"blocked_by_me"`
	// Email is left out unless the person shows it to the viewer.
	Email string `json:"email,omitempty"`
}

// Relation is how a viewer stands to a person.
type Relation struct {
	Contact, BlockedByMe bool
	// ShowsEmail lets the viewer see the e-mail address.
	ShowsEmail bool
	Status     chat.Status
}

// Person makes p as everybody sees it. Of a deleted account only the name it has been
// given is shown.
func (b *Builder) Person(p *chat.Person) Person {
	out := Person{ID: p.ID, Name: p.Name, Kind: p.Kind, State: p.State}
	if out.Kind == "" {
		out.Kind = "human"
	}
	if out.State == "" {
		out.State = "active" // events do not carry it: who does something is
	}
	if out.State == "deleted" {
		return out
	}
	out.Username, out.About, out.Avatar = opt(p.Username), opt(p.About), b.Avatar(p.Avatar)
	return out
}

// Avatar makes the avatar that a file id or an absolute URL names; nil without one.
func (b *Builder) Avatar(ref string) *Avatar {
	url, thumb := b.links.Avatar(ref)
	if url == "" {
		return nil
	}
	return &Avatar{url, thumb}
}

// User makes p as a viewer sees it who stands to p as r says.
func (b *Builder) User(p *chat.Person, r Relation) User {
	out := User{Person: b.Person(p), IsContact: r.Contact, BlockedByMe: r.BlockedByMe}
	out.Presence, out.LastSeenAt = Presence(r.Status)
	if r.ShowsEmail && out.State != "deleted" {
		out.Email = p.Email
	}
	return out
}

// Presence names a status: online, offline or hidden, and when the person was last seen.
func Presence(s chat.Status) (presence string, lastSeen *string) {
	switch {
	case s.Hidden:
		return "hidden", nil
	case s.Online:
		return "online", nil
	}
	return "offline", OptStamp(s.LastSeen)
}

// Me is one's own account (chat-api.md §C.2). Like [User] it says whether one is there and
// how one stands to oneself; a change of the profile says no presence.
type Me struct {
	Person
	Presence    string  `json:"presence,omitempty" enum:"online,offline"`
	LastSeenAt  *string `json:"last_seen_at" format:"date-time"`
	IsContact   bool    `json:"is_contact"`
	BlockedByMe bool    `json:"blocked_by_me"`

	Email   *string  `json:"email"`
	Role    string   `json:"role" enum:"user,admin"`
	Lang    *string  `json:"lang"`
	TZ      *string  `json:"tz"`
	Privacy Privacy  `json:"privacy"`
	Storage *Storage `json:"storage,omitempty"`
}

// Privacy is what one shows to others.
type Privacy struct {
	LastSeen      string `json:"last_seen" enum:"everyone,contacts,nobody"`
	ReadReceipts  bool   `json:"read_receipts"`
	Email         string `json:"email" enum:"everyone,contacts,self"`
	WhoCanMessage string `json:"who_can_message" enum:"everyone,contacts"`
	WhoCanAdd     string `json:"who_can_add" enum:"everyone,contacts"`
}

// Storage is what one's files take and may take, in bytes.
type Storage struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// Own is what [Builder.Me] shows beside the person.
type Own struct {
	Email, Role, Lang, TZ string
	Privacy               Privacy
}

// Me makes one's own account. Storage is for who knows it to add.
func (b *Builder) Me(p *chat.Person, o Own) Me {
	if o.Privacy.Email == "" {
		o.Privacy.Email = b.emails
	}
	return Me{
		Person: b.Person(p), Email: opt(o.Email), Role: o.Role, Lang: opt(o.Lang), TZ: opt(o.TZ), Privacy: o.Privacy,
	}
}
