package chat

import (
	"context"
	"slices"
)

// rosterTx reads who is in several chats.
type rosterTx interface {
	// RostersOf returns up to each active members of those of the chats that viewer is one
	// of, in the order of [MembersQuery].
	RostersOf(ctx context.Context, viewer int64, chats []int64, each int) (map[int64][]int64, error)
}

// Rosters returns the first members of several chats, at most each of every chat, as
// viewer sees them. A chat that viewer is not an active member of is not there. However
// many chats there are, it asks the database twice.
func (s *Service) Rosters(ctx context.Context, viewer int64, chats []int64, each int) (map[int64][]PersonView, error) {
	if len(chats) == 0 {
		return nil, nil
	}
	var rosters map[int64][]int64
	var people []PersonView
	err := s.store.View(ctx, func(tx Tx) (err error) {
		if rosters, err = tx.RostersOf(ctx, viewer, chats, each); err != nil {
			return err
		}
		var all []int64
		for _, members := range rosters {
			all = append(all, members...)
		}
		slices.Sort(all)
		people, err = tx.PeopleOf(ctx, viewer, slices.Compact(all))
		return err
	})
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]PersonView, len(people))
	for i := range people {
		s.present(&people[i], viewer)
		byID[people[i].ID] = people[i]
	}
	out := make(map[int64][]PersonView, len(rosters))
	for chat, members := range rosters {
		for _, id := range members {
			if p, ok := byID[id]; ok {
				out[chat] = append(out[chat], p)
			}
		}
	}
	return out, nil
}
