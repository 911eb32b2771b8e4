package chat

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/search"
)

// Sorts of [SearchQuery].
const (
	NewestFirst = ""
	ByRelevance = "relevance"
)

// Bounds of a search.
const (
	defaultFound = 20
	maxFound     = 100
	// MaxEstimate is what found messages are counted up to.
	MaxEstimate = 1000
	// rankedAtOnce is how many of the newest messages found are put in the order of
	// relevance; then come the next so many. Ranking reads texts, and is bounded by this.
	rankedAtOnce  = 500
	snippetLength = 160 // code points
	// searchTime is how long a search may take: what is asked for most rarely must not
	// keep the database from the others.
	searchTime = 2 * time.Second
)

// SearchQuery selects messages. What Q says in operators (search.Parse) and what the
// other fields say holds together.
type SearchQuery struct {
	Q string
	// Chat and From are ids; zero is any.
	Chat, From int64
	// Has is any of "file", "image" and "link".
	Has []string
	// Before and After bound when a message was sent: before Before, at or after After.
	Before, After time.Time
	MentionsMe    bool
	// Limit is 1 to 100; zero means 20.
	Limit int
	// Cursor is [SearchResult.Next] of the page before, of the same query.
	Cursor string
	// Sort is [NewestFirst] or [ByRelevance].
	Sort string
	// Zone is whose days before: and after: in Q are; nil is UTC.
	Zone *time.Location
}

// SearchResult is a page of what was found. A page may be shorter than asked for and not
// the last.
type SearchResult struct {
	Results []Found
	// Next is the cursor of the next page, empty on the last.
	Next string
	// TotalEstimate is how many messages the first page knew of, at most [MaxEstimate].
	TotalEstimate int
	Took          time.Duration
}

// Found is a message found.
type Found struct {
	Message Message
	Chat    ChatName
	// Highlights are in the text, SnippetHighlights in the snippet, which is a piece of it.
	Highlights        []search.Highlight
	Snippet           string
	SnippetHighlights []search.Highlight
}

// ChatName is how a chat appears to one member. Title is the companion's name in a direct
// chat, and empty for saved messages.
type ChatName struct {
	ID    int64
	Kind  string
	Title string
}

// SearchPage is a [SearchQuery] as the store reads it. Everything in it holds together;
// zero values ask for nothing.
type SearchPage struct {
	Words search.Query // only its words count
	// Chats are the only ones to search, unless nil.
	Chats                                 []int64
	From                                  int64
	After, Before                         int64 // milliseconds; at or after, before
	File, Image, Link, Pinned, MentionsMe bool
	Below                                 int64 // ids
	Limit                                 int   // of messages returned
	Count                                 int   // of messages counted, not less than Limit
}

// searchTx searches for messages, and keeps what searches read.
type searchTx interface {
	// Index makes a message findable, by what [Store] made of its text, Reindex after it has
	// changed. Unindex forgets messages, whatever is left of them; those not there are
	// passed over.
	Index(ctx context.Context, m *Message, words string) error
	Reindex(ctx context.Context, m *Message) error
	Unindex(ctx context.Context, messages []int64) error
	// FindMessages returns the newest messages that q selects among those user sees,
	// and how many there are. System messages are not found.
	FindMessages(ctx context.Context, user int64, q SearchPage) (found []Found, count int, err error)
	// ChatNames returns the chats of user's list, the latest active first.
	ChatNames(ctx context.Context, user int64) ([]ChatName, error)
	// UserNamed returns the user with a user name, 0 if there is none.
	UserNamed(ctx context.Context, username string) (int64, error)
}

// SearchMessages finds messages in the chats user is in, among those user sees. The
// newest come first, or by relevance: of each 500 of the newest found those with more
// hits ([search.Query.Rank]), then the newest; so the order is the same on either
// database and what a page costs is bounded. Walking the pages meets each message that
// was there at the first once, whatever is sent meanwhile.
//
// The errors are [*FieldError], also for a query without a word or filter, [*RateError],
// and [ErrNotFound] for a chat user is not in.
func (s *Service) SearchMessages(ctx context.Context, user int64, q SearchQuery) (SearchResult, error) {
	start := s.o.Clock()
	words, p, err := s.checkSearch(q)
	if err != nil {
		return SearchResult{}, err
	}
	at := firstPlace()
	if q.Cursor != "" && !at.open(q.Cursor, q.Sort) {
		return SearchResult{}, errCursor
	}
	if err := s.rates.seek.take(user, start); err != nil {
		return SearchResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	var r SearchResult
	err = s.store.View(ctx, func(tx Tx) error {
		r = SearchResult{}
		if q.Chat != 0 {
			if _, _, err := tx.MemberOf(ctx, user, q.Chat); err != nil {
				return err
			}
		}
		some, err := resolve(ctx, tx, user, words, &p)
		if err != nil || !some {
			return err
		}
		r, err = findPage(ctx, tx, user, p, q.Sort, at)
		return err
	})
	if err != nil {
		return SearchResult{}, err
	}
	r.Took = s.o.Clock().Sub(start)
	return r, nil
}

// checkSearch reads a query, as far as that goes without the database.
func (s *Service) checkSearch(q SearchQuery) (words search.Query, p SearchPage, err error) {
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	words = search.Parse(q.Q, s.o.Clock(), zone)
	p = SearchPage{
		Words: words, From: q.From, Limit: defaultFound, Before: math.MaxInt64,
		File: words.File, Image: words.Image, Link: words.Link, Pinned: words.Pinned, MentionsMe: words.MentionsMe || q.MentionsMe,
	}
	if q.Limit > 0 {
		p.Limit = min(q.Limit, maxFound)
	}
	for _, has := range q.Has {
		switch has {
		case "file":
			p.File = true
		case "image":
			p.Image = true
		case "link":
			p.Link = true
		default:
			return words, p, &FieldError{"has", "must be file, image or link"}
		}
	}
	for _, after := range []time.Time{q.After, words.After} {
		if !after.IsZero() {
			p.After = max(p.After, after.UnixMilli())
		}
	}
	for _, before := range []time.Time{q.Before, words.Before} {
		if !before.IsZero() {
			p.Before = min(p.Before, before.UnixMilli())
		}
	}
	if q.Chat != 0 {
		p.Chats = []int64{q.Chat}
	}
	if q.Sort != NewestFirst && q.Sort != ByRelevance {
		return words, p, &FieldError{"sort", "must be relevance, or empty for the newest first"}
	}
	filtered := q.Chat != 0 || q.From != 0 || len(q.Has) > 0 || q.MentionsMe || !q.Before.IsZero() || !q.After.IsZero()
	if words.Nothing() && (strings.TrimSpace(q.Q) != "" || !filtered) {
		return words, p, &FieldError{"q", "needs a word to look for"}
	}
	return words, p, nil
}

// resolve looks up the names of a query. It is false if nothing can be found.
func resolve(ctx context.Context, tx searchTx, user int64, words search.Query, p *SearchPage) (some bool, err error) {
	if words.From != "" {
		id, err := tx.UserNamed(ctx, words.From)
		if err != nil || id == 0 || p.From != 0 && p.From != id {
			return false, err
		}
		p.From = id
	}
	if words.In == "" {
		return true, nil
	}
	names, err := tx.ChatNames(ctx, user)
	if err != nil {
		return false, err
	}
	title := search.Fold(words.In)
	only := p.Chats
	p.Chats = nil
	for _, c := range names {
		if search.Fold(c.Title) == title && (only == nil || slices.Contains(only, c.ID)) {
			p.Chats = append(p.Chats, c.ID)
		}
	}
	return len(p.Chats) > 0, nil
}

// findPage finds the page that begins at a place.
func findPage(ctx context.Context, tx Tx, user int64, p SearchPage, sort string, at searchPlace) (r SearchResult, err error) {
	limit := p.Limit
	p.Below = at.below
	p.Limit = limit + 1 // one more tells whether there is a next page
	if sort == ByRelevance {
		p.Limit = rankedAtOnce + 1
	}
	p.Count = p.Limit
	if !at.later {
		p.Count = MaxEstimate
	}
	found, count, err := tx.FindMessages(ctx, user, p)
	if err != nil || len(found) == 0 {
		return r, err
	}
	if !at.later {
		at.total = int64(count)
	}
	r.TotalEstimate = int(at.total)
	if sort == ByRelevance {
		r.Results, r.Next = at.ranked(found, p.Words, limit)
	} else {
		if len(found) > limit {
			found = found[:limit]
			r.Next = cursor(found[limit-1].Message.ID, at.total)
		}
		r.Results = found
	}
	for i := range r.Results {
		f := &r.Results[i]
		f.Highlights = search.Highlights(f.Message.Text, p.Words)
		f.Snippet, f.SnippetHighlights = search.Snippet(f.Message.Text, p.Words, snippetLength)
	}
	return r, foundReactions(ctx, tx, r.Results)
}

// foundReactions fills in the reactions to messages found.
func foundReactions(ctx context.Context, tx messageTx, found []Found) error {
	messages := make([]Message, len(found))
	for i := range found {
		messages[i] = found[i].Message
	}
	if err := allWithReactions(ctx, tx, messages); err != nil {
		return err
	}
	for i := range found {
		found[i].Message = messages[i]
	}
	return nil
}
