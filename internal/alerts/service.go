package alerts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kuranty/kuranty/event"
)

// Options configure a [Service]. Store must be given; zero elsewhere means the default.
type Options struct {
	Store Store
	// Inspect tells scans what there is to look at; nil makes every scan fail.
	Inspect Inspector
	// SignIns, Tokens and Requests are how many failed sign-ins, refused tokens and refused
	// requests of one subject within Window raise an alert. Zero means 10, 50 and 200,
	// within 5 min.
	SignIns, Tokens, Requests int
	Window                    time.Duration
	// Retention is how long an alert is kept after it was resolved or last seen, and a
	// scan after it began. Zero means 90 days.
	Retention time.Duration
	// Clock defaults to time.Now, Logger to slog.Default().
	Clock  func() time.Time
	Logger *slog.Logger
}

// Service keeps alerts and runs scans.
type Service struct {
	o     Options
	store Store
	log   *slog.Logger
	rules map[string]rule
	start time.Time

	queue chan Observation

	noted, dropped, raised, folded atomic.Uint64

	watched // belongs to Run
}

// New returns a service. It does nothing by itself before [Service.Run].
func New(o Options) (*Service, error) {
	if o.Store == nil {
		return nil, errors.New("alerts: the store must be given")
	}
	o.SignIns, o.Tokens, o.Requests = cmp.Or(o.SignIns, 10), cmp.Or(o.Tokens, 50), cmp.Or(o.Requests, 200)
	o.Window, o.Retention = cmp.Or(o.Window, 5*time.Minute), cmp.Or(o.Retention, 90*24*time.Hour)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Service{o: o, store: o.Store, log: o.Logger, rules: rules(&o), start: o.Clock(), queue: make(chan Observation, queued)}
	s.watched = watched{tallies: make(map[key]*tally), pending: make(map[key]*waiting), loud: make(map[string]map[string]int64), failing: make(map[string]bool)}
	return s, nil
}

// now is the time in milliseconds since 1970; ticks the time since the start, by a clock
// that nobody sets (guarantees.md R28).
func (s *Service) now() int64   { return s.o.Clock().UnixMilli() }
func (s *Service) ticks() int64 { return s.o.Clock().Sub(s.start).Milliseconds() }

// Stats are counters since the start, for metrics.
type Stats struct {
	// Noted were put into the queue, Dropped did not fit.
	Noted, Dropped uint64
	// Raised are new alerts, Folded what became part of one that stood.
	Raised, Folded uint64
}

// Stats returns the counters.
func (s *Service) Stats() Stats {
	return Stats{s.noted.Load(), s.dropped.Load(), s.raised.Load(), s.folded.Load()}
}

// Draft is an alert to be raised by a service or an administrator.
type Draft struct {
	// Kind is a word of a-z, 0-9, _, - and dots that is none of the server's own; empty
	// means "custom". Subject is what it is about; empty means the title.
	Kind, Subject string
	// Title is required, with Severity. Category and Source are words for people.
	Title, Description, Severity, Category, Source string
	// Metadata is free. If its userId is the number of a person, the alert is about them.
	Metadata map[string]any
}

// The bounds of what a service says, in characters; of metadata in bytes of JSON.
const (
	maxTitle       = 200
	maxDescription = 4000
	maxWord        = 64
	maxSubject     = 200
	maxMetadata    = 16 << 10
)

// Custom is the kind of alerts whose service names none.
const Custom = "custom"

var kindPattern = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,63}$`)

// check makes an alert of what was given.
func (s *Service) check(n *Draft) (Alert, error) {
	kind := cmp.Or(n.Kind, Custom)
	var errs []error
	wrong := func(field, reason string) { errs = append(errs, &FieldError{field, reason}) }
	switch _, own := s.rules[kind]; {
	case !kindPattern.MatchString(kind):
		wrong("kind", "must be 1 to 64 of a-z, 0-9, _, - and dot, and begin with a letter")
	case own:
		wrong("kind", "is one of the server's own")
	}
	if n.Title == "" {
		wrong("title", "is required")
	}
	if _, known := ranks[n.Severity]; !known {
		wrong("severity", "must be info, low, medium, high, critical or warning")
	}
	for _, f := range []struct {
		name, text string
		most       int
		lines      bool
	}{
		{"title", n.Title, maxTitle, false},
		{"description", n.Description, maxDescription, true},
		{"category", n.Category, maxWord, false},
		{"source", n.Source, maxWord, false},
		{"subject", n.Subject, maxSubject, false},
	} {
		switch {
		case utf8.RuneCountInString(f.text) > f.most:
			wrong(f.name, fmt.Sprintf("is too long (at most %d characters)", f.most))
		case !printable(f.text, f.lines):
			wrong(f.name, "has characters that cannot be printed")
		}
	}
	metadata := []byte("{}")
	if n.Metadata != nil {
		var err error
		if metadata, err = json.Marshal(n.Metadata); err != nil {
			wrong("metadata", "must be a JSON object")
		}
	}
	if len(metadata) > maxMetadata {
		wrong("metadata", fmt.Sprintf("is too long (at most %d bytes)", maxMetadata))
	}
	return Alert{
		Kind: kind, Subject: cmp.Or(n.Subject, n.Title), User: userIn(n.Metadata), Title: n.Title, Description: n.Description,
		Severity: n.Severity, Category: n.Category, Source: n.Source, Metadata: metadata, Count: 1,
	}, errors.Join(errs...)
}

func printable(s string, lines bool) bool {
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) && !(lines && (r == '\n' || r == '\t' || r == '\r')) {
			return false
		}
	}
	return true
}

// maxUser is the greatest number of a person.
const maxUser = 1<<53 - 1

// userIn is the person that metadata names.
func userIn(m map[string]any) int64 {
	switch v := m["userId"].(type) {
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n > 0 && n <= maxUser {
			return n
		}
	case float64:
		if v > 0 && v <= maxUser && v == math.Trunc(v) {
			return int64(v)
		}
	case int64:
		return v
	}
	return 0
}

// Raise raises an alert of its caller by, or folds it into the one that stands; raised
// tells which. The error has a [*FieldError] for each value that is wrong.
func (s *Service) Raise(ctx context.Context, by string, n Draft) (a Alert, raised bool, err error) {
	if a, err = s.check(&n); err != nil {
		return Alert{}, false, err
	}
	return s.raise(ctx, by, a)
}

// announceEvery is how often security.alert.updated tells that an alert happened again.
const announceEvery = time.Minute

// raise stores what of an alert is new.
func (s *Service) raise(ctx context.Context, by string, n Alert) (a Alert, raised bool, err error) {
	now := s.now()
	err = s.store.Update(ctx, func(tx Tx) error {
		for range 3 { // somebody may raise or resolve the same in between
			a, err = tx.OpenAlert(ctx, n.Kind, n.Subject)
			if err == nil {
				raised = false
				return s.fold(ctx, tx, &a, &n, by, now)
			}
			if !errors.Is(err, ErrNotFound) {
				return err
			}
			a = n
			a.Status, a.CreatedAt, a.LastSeenAt, a.UpdatedAt, a.UpdatedBy, a.Announced = Active, now, now, now, by, n.Count
			if raised, err = tx.AddAlert(ctx, &a); err != nil {
				return err
			}
			if raised {
				return appended(ctx, tx, a.created)
			}
		}
		return fmt.Errorf("raise alert %s of %s: it is raised and resolved all the time", n.Kind, n.Subject)
	})
	if err != nil {
		return Alert{}, false, err
	}
	if raised {
		s.raised.Add(1)
	} else {
		s.folded.Add(1)
	}
	return a, raised, nil
}

func appended(ctx context.Context, tx Tx, make func() (event.Event, error)) error {
	e, err := make()
	if err != nil {
		return err
	}
	return tx.Append(ctx, e)
}

// fold makes n part of the alert a that stands.
func (s *Service) fold(ctx context.Context, tx Tx, a, n *Alert, by string, now int64) error {
	a.Count += n.Count
	a.LastSeenAt, a.UpdatedAt = max(a.LastSeenAt, now), max(a.UpdatedAt, now)
	a.UpdatedBy = by
	if ranks[n.Severity] > ranks[a.Severity] {
		a.Severity = n.Severity
	}
	if _, own := s.rules[a.Kind]; own {
		if err := a.countIn(); err != nil {
			return err
		}
	} else { // what a service said last is what is so now
		a.Title = n.Title
		if string(n.Metadata) != "{}" {
			if n.User != a.User { // what was said of one person is not said of another
				a.Description, a.Category, a.Source = "", "", ""
			}
			a.User, a.Metadata = n.User, n.Metadata
		}
		a.Description, a.Category, a.Source = cmp.Or(n.Description, a.Description), cmp.Or(n.Category, a.Category), cmp.Or(n.Source, a.Source)
	}
	if a.toldLately(now) {
		return tx.SaveAlert(ctx, a) // Run tells of it when the minute is over
	}
	return s.tell(ctx, tx, a, now)
}

// toldLately says that security.alert.updated was sent in the last minute. A time to come is
// that of a clock that was set back meanwhile.
func (a *Alert) toldLately(now int64) bool {
	return a.AnnouncedAt != 0 && now >= a.AnnouncedAt && now-a.AnnouncedAt < announceEvery.Milliseconds()
}

// tell stores an alert and announces how it is now.
func (s *Service) tell(ctx context.Context, tx Tx, a *Alert, now int64) error {
	a.Announced, a.AnnouncedAt = a.Count, now
	if err := tx.SaveAlert(ctx, a); err != nil {
		return err
	}
	return appended(ctx, tx, func() (event.Event, error) { return a.updated(now) })
}

// Acknowledge says that by has seen an alert. One that is acknowledged already stays as
// it is; one that is resolved is [ErrResolved].
func (s *Service) Acknowledge(ctx context.Context, by string, id int64) (Alert, error) {
	return s.change(ctx, id, func(a *Alert, now int64) (bool, error) {
		switch a.Status {
		case Resolved:
			return false, ErrResolved
		case Acknowledged:
			return false, nil
		}
		a.Status, a.AcknowledgedAt, a.AcknowledgedBy = Acknowledged, now, by
		a.UpdatedBy = by
		return true, nil
	})
}

// Resolve says that what an alert told of is over. One that is resolved already stays as
// it is.
func (s *Service) Resolve(ctx context.Context, by string, id int64) (Alert, error) {
	return s.change(ctx, id, func(a *Alert, now int64) (bool, error) {
		if a.Status == Resolved {
			return false, nil
		}
		a.Status, a.ResolvedAt, a.ResolvedBy = Resolved, now, by
		a.UpdatedBy = by
		return true, nil
	})
}

// change lets f change a locked alert, and announces that it did.
func (s *Service) change(ctx context.Context, id int64, f func(a *Alert, now int64) (changed bool, err error)) (a Alert, err error) {
	now := s.now()
	err = s.store.Update(ctx, func(tx Tx) error {
		if a, err = tx.LockAlert(ctx, id); err != nil {
			return err
		}
		changed, err := f(&a, now)
		if err != nil || !changed {
			return err
		}
		a.UpdatedAt = now
		return s.tell(ctx, tx, &a, now)
	})
	if err != nil {
		return Alert{}, err
	}
	return a, nil
}

// Alert returns an alert, or [ErrNotFound].
func (s *Service) Alert(ctx context.Context, id int64) (a Alert, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		a, err = tx.Alert(ctx, id)
		return err
	})
	return a, err
}

// Query says which alerts are wanted; what is empty is not asked for.
type Query struct {
	// Status is one of the states, or "open": whatever is not resolved.
	Status, Severity, Kind string
	// User is a person the alerts are about.
	User int64
	// Cursor is that of the page before; Limit zero means 50, 200 is the most.
	Cursor string
	Limit  int
}

const maxPage = 200

// below reads a cursor: the lowest id of the page before.
func below(cursor string) (int64, error) {
	if cursor == "" {
		return math.MaxInt64, nil
	}
	n, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || n <= 0 {
		return 0, ErrCursor
	}
	return n, nil
}

// page cuts a list that has one more than a page, and returns the cursor of the next.
func page[T any](list []T, limit int, id func(*T) int64) (cut []T, next string) {
	if len(list) <= limit {
		return list, ""
	}
	return list[:limit], strconv.FormatInt(id(&list[limit-1]), 10)
}

func pageSize(limit int) int { return min(cmp.Or(max(limit, 0), 50), maxPage) }

// List returns a page of alerts, the newest first, and the cursor of the next one, which
// is empty at the end.
func (s *Service) List(ctx context.Context, q Query) (list []Alert, next string, err error) {
	from, err := below(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := pageSize(q.Limit)
	err = s.store.View(ctx, func(tx Tx) error {
		list, err = tx.Alerts(ctx, q, from, limit+1)
		return err
	})
	list, next = page(list, limit, func(a *Alert) int64 { return a.ID })
	return list, next, err
}
