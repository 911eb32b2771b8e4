package chat

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/internal/search"
)

// maxSwitch is how many of each kind [Service.SearchAll] finds.
const maxSwitch = 10

// Everything is what [Service.SearchAll] found, at most ten of each.
type Everything struct {
	People   []PersonView
	Chats    []View
	Messages []Found
}

// SearchAll finds people by their names, the user's chats by their titles, which for
// direct chats are the companions' names, and messages, for the quick switcher
// (chat-api.md §C.11). People and chats come as in [Service.SearchPeople], chats that
// match alike the latest active first; messages newest first. The errors are
// [*FieldError], [*LimitError] and [*RateError].
func (s *Service) SearchAll(ctx context.Context, user int64, q string) (e Everything, err error) {
	if err := checkLength("q", q, maxNeedle); err != nil {
		return e, err
	}
	needle := strings.TrimPrefix(search.Fold(q), "@")
	if needle == "" {
		return e, &FieldError{"q", "must not be empty"}
	}
	words, messages, noWords := s.checkSearch(SearchQuery{Q: q, Limit: maxSwitch})
	if err := s.rates.seek.take(user, s.o.Clock()); err != nil {
		return e, err
	}
	err = s.store.View(ctx, func(tx Tx) error {
		e = Everything{}
		people, err := tx.FindPeople(ctx, user, PeoplePage{Needle: needle, Near: s.o.DirectoryContacts, Limit: maxSwitch, After: PersonPlace{Rank: -1}})
		if err != nil {
			return err
		}
		for i := range people {
			s.present(&people[i].PersonView, user)
			e.People = append(e.People, people[i].PersonView)
		}
		if e.Chats, err = s.chatsTitled(ctx, tx, user, q); err != nil || noWords != nil {
			return err
		}
		some, err := resolve(ctx, tx, user, words, &messages)
		if err != nil || !some {
			return err
		}
		found, err := findPage(ctx, tx, user, messages, NewestFirst, firstPlace())
		e.Messages = found.Results
		return err
	})
	if err != nil {
		return Everything{}, err
	}
	return e, nil
}

// chatsTitled returns the user's chats whose titles have needle, the best first.
func (s *Service) chatsTitled(ctx context.Context, tx Tx, user int64, needle string) (views []View, err error) {
	names, err := tx.ChatNames(ctx, user)
	if err != nil {
		return nil, err
	}
	ranks := make(map[int64]int)
	names = slices.DeleteFunc(names, func(c ChatName) bool {
		rank, ok := search.MatchRank(c.Title, "", needle)
		ranks[c.ID] = rank
		return !ok
	})
	slices.SortStableFunc(names, func(a, b ChatName) int { return cmp.Compare(ranks[a.ID], ranks[b.ID]) })
	for _, c := range names[:min(len(names), maxSwitch)] {
		v, err := s.view(ctx, tx, user, c.ID)
		if isNotFound(err) {
			continue // left meanwhile
		}
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}
