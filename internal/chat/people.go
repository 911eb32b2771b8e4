package chat

import (
	"context"
	"errors"
	"strings"

	"github.com/kuranty/kuranty/internal/search"
)

// personActive is the state of accounts that take part.
const personActive = "active"

const (
	maxPeople = 200
	maxNeedle = 100 // code points; names are no longer
)

// PersonView is a person as one viewer sees them.
type PersonView struct {
	Person
	// Contact says that both have agreed to be contacts.
	Contact     bool
	BlockedByMe bool
	// EmailShown says that the person shows the viewer the e-mail address; if not, Email
	// is empty.
	EmailShown bool
	// Near says that the two share a direct chat or are contacts, who see more of each
	// other (chat-api.md §0.9).
	Near bool
}

// personTx reads people.
type personTx interface {
	// PeopleOf returns those of the users who exist, in no order, as viewer sees them.
	PeopleOf(ctx context.Context, viewer int64, users []int64) ([]PersonView, error)
	// FindPeople returns a page of people other than viewer whose name or user name has
	// a needle, or whose e-mail address is it, the best first.
	FindPeople(ctx context.Context, viewer int64, q PeoplePage) ([]FoundPerson, error)
	// SharesChat tells whether two users are active members of the same chat, or contacts.
	SharesChat(ctx context.Context, a, b int64) (bool, error)
}

// PeoplePage selects people for [personTx.FindPeople].
type PeoplePage struct {
	// Needle is folded ([search.Fold]); Email is empty if the needle is no address.
	Needle, Email string
	// Near restricts the search to contacts and members of common chats.
	Near bool
	// After is where the page before ended; Rank -1 begins.
	After PersonPlace
	Limit int
}

// PersonPlace is a place in the order of a search: how well a person is found, then the id.
type PersonPlace struct{ Rank, ID int64 }

// FoundPerson is a person found, with the place in the order.
type FoundPerson struct {
	PersonView
	Rank int64
}

// People returns those of up to 200 users who exist, in the order of ids, as viewer sees
// them. The error may be a [*LimitError].
func (s *Service) People(ctx context.Context, viewer int64, ids []int64) (people []PersonView, err error) {
	if len(ids) > maxPeople {
		return nil, &LimitError{Field: "ids", Got: len(ids), Limit: maxPeople, Unit: "users"}
	}
	var found []PersonView
	err = s.store.View(ctx, func(tx Tx) error {
		found, err = tx.PeopleOf(ctx, viewer, ids)
		return err
	})
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]*PersonView, len(found))
	for i := range found {
		s.present(&found[i], viewer)
		byID[found[i].ID] = &found[i]
	}
	for _, id := range ids {
		if p := byID[id]; p != nil {
			people = append(people, *p)
			delete(byID, id)
		}
	}
	return people, nil
}

// SearchPeople finds people other than viewer by a part of the name or user name, or by
// the whole e-mail address: exact user names first, then beginnings of names, beginnings
// of words, anything (chat-api.md A.7). Who blocks the viewer is not found. It returns up
// to limit people (1 to 100, zero means 50) and the cursor of the next page. The errors
// are [*FieldError], [*LimitError] and [*RateError].
func (s *Service) SearchPeople(ctx context.Context, viewer int64, needle string, limit int, from string) (people []PersonView, next string, err error) {
	if err := checkLength("q", needle, maxNeedle); err != nil {
		return nil, "", err
	}
	p := PeoplePage{Near: s.o.DirectoryContacts, Limit: clamp(limit, maxPeople) + 1, After: PersonPlace{Rank: -1}}
	p.Needle = strings.TrimPrefix(search.Fold(Normalize(needle)), "@")
	if p.Needle == "" {
		return nil, "", &FieldError{"q", "must not be empty"}
	}
	if address := strings.ToLower(Normalize(strings.TrimSpace(needle))); strings.Contains(address, "@") {
		p.Email = address
	}
	if from != "" && !openCursor(from, &p.After.Rank, &p.After.ID) {
		return nil, "", errCursor
	}
	if err := s.rates.seek.take(viewer, s.o.Clock()); err != nil {
		return nil, "", err
	}
	var found []FoundPerson
	err = s.store.View(ctx, func(tx Tx) error {
		found, err = tx.FindPeople(ctx, viewer, p)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	if len(found) == p.Limit {
		found = found[:p.Limit-1]
		last := &found[p.Limit-2]
		next = cursor(last.Rank, last.ID)
	}
	people = make([]PersonView, len(found))
	for i := range found {
		people[i] = found[i].PersonView
		s.present(&people[i], viewer)
	}
	return people, next, nil
}

// SeesStatusOf tells whether viewer may know when other comes and goes: both share a
// chat or are contacts, neither blocks the other, and the other shows it (chat-api.md
// §0.5, §0.9).
func (s *Service) SeesStatusOf(ctx context.Context, viewer, other int64) (sees bool, err error) {
	if viewer == other {
		return true, nil
	}
	err = s.store.View(ctx, func(tx Tx) error {
		shown, err := tx.LastSeen(ctx, viewer, []int64{other})
		if err != nil {
			return err
		}
		if _, ok := shown[other]; !ok {
			return nil
		}
		sees, err = tx.SharesChat(ctx, viewer, other)
		return err
	})
	return sees, err
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
