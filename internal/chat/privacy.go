package chat

// Values of [Privacy].
const (
	toEveryone = "everyone"
	toContacts = "contacts"
)

// present leaves of a person what viewer may see. What is shown of a deleted account is
// its name.
func (s *Service) present(p *PersonView, viewer int64) {
	who := p.Privacy.Email
	if who == "" {
		who = s.o.EmailVisibility
	}
	if who == "" {
		who = toEveryone
	}
	p.EmailShown = p.ID == viewer || who == toEveryone || who == toContacts && p.Near
	if p.State == personDeleted {
		p.EmailShown, p.About, p.Username, p.Avatar = false, "", "", ""
	}
	if !p.EmailShown {
		p.Email = ""
	}
	p.Role, p.Lang, p.LastSeenAt = "", "", 0 // these are not for others (guarantees.md S17)
}

// personDeleted is the state of accounts of which nothing but the row is left.
const personDeleted = "deleted"
