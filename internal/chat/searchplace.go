package chat

import (
	"cmp"
	"math"
	"slices"

	"github.com/kuranty/kuranty/internal/search"
)

// searchPlace is where a page of a search begins, as its cursor says.
type searchPlace struct {
	later bool // not the first page
	// below bounds the ids of the messages to look at, total is what the first page counted.
	below, total int64
	// Of those ranked at once, from is the oldest, and rank and id are the last shown.
	from, rank, id int64
}

// firstPlace is where the first page begins.
func firstPlace() searchPlace { return searchPlace{below: math.MaxInt64} }

// open reads a cursor. Each sort has its own.
func (p *searchPlace) open(text, sort string) bool {
	p.later = true
	p.rank = math.MaxInt64
	if sort == ByRelevance {
		return openCursor(text, &p.below, &p.total, &p.from, &p.rank, &p.id) && p.valid()
	}
	return openCursor(text, &p.below, &p.total) && p.valid()
}

func (p *searchPlace) valid() bool {
	return p.below > 0 && p.total >= 0 && p.total <= MaxEstimate && p.from >= 0 && p.from < p.below && p.rank >= 0 && p.id >= 0
}

// ranked puts messages found, newest first, in the order of relevance and returns those
// at the place with the cursor that goes on.
func (p *searchPlace) ranked(found []Found, q search.Query, limit int) (page []Found, next string) {
	below := found[0].Message.ID + 1 // what is sent from now on is not in this order
	if p.id != 0 {
		below = p.below
		// Something was deleted meanwhile, so that older messages came up.
		found = slices.DeleteFunc(found, func(f Found) bool { return f.Message.ID < p.from })
	}
	from := p.from
	switch {
	case p.id != 0:
	case len(found) > rankedAtOnce:
		found = found[:rankedAtOnce]
		from = found[rankedAtOnce-1].Message.ID
	default:
		from = 0
	}
	ranks := make(map[int64]int64, len(found))
	for i := range found {
		ranks[found[i].Message.ID] = int64(q.Rank(found[i].Message.Text))
	}
	order := func(rank, id int64, f Found) int {
		return cmp.Or(cmp.Compare(ranks[f.Message.ID], rank), cmp.Compare(f.Message.ID, id))
	}
	slices.SortFunc(found, func(a, b Found) int { return order(ranks[a.Message.ID], a.Message.ID, b) })
	if p.id != 0 {
		found = slices.DeleteFunc(found, func(f Found) bool { return order(p.rank, p.id, f) >= 0 })
	}
	switch {
	case len(found) > limit:
		page = found[:limit]
		last := page[limit-1].Message.ID
		return page, cursor(below, p.total, from, ranks[last], last)
	case from > 0:
		return found, cursor(from, p.total, 0, 0, 0)
	}
	return found, ""
}
