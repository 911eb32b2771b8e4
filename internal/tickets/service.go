package tickets

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Store keeps tickets. Update runs f in one transaction, perhaps several times; View runs
// it for reading only.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) error
	View(ctx context.Context, f func(Tx) error) error
}

// Tx is what a transaction can do. A viewer of 0 sees every ticket, another only its own;
// what is not there, or not to be seen, is [ErrNotFound].
type Tx interface {
	erasureTx
	// Append appends e to the log; it is announced once the transaction is stored.
	Append(ctx context.Context, e event.Event) error
	// AddTicket stores t and returns its id.
	AddTicket(ctx context.Context, t *Ticket) (int64, error)
	// Ticket returns a ticket.
	Ticket(ctx context.Context, viewer, id int64) (Ticket, error)
	// Lock is Ticket, and lets nobody else change it until the end of the transaction.
	Lock(ctx context.Context, viewer, id int64) (Ticket, error)
	// Save stores what can change of a ticket.
	Save(ctx context.Context, t *Ticket) error
	// Tickets returns those with ids below one that q selects, the newest first.
	Tickets(ctx context.Context, viewer int64, q *Query, below int64) ([]Ticket, error)
	// AddMessage stores m and returns its id.
	AddMessage(ctx context.Context, m *Message) (int64, error)
	// Messages returns up to limit messages of a ticket with ids below one, the newest first,
	// with their files.
	Messages(ctx context.Context, ticket, below int64, limit int) ([]Message, error)
	// Attachable returns the file with that id if owner uploaded it; found tells whether.
	Attachable(ctx context.Context, owner int64, id string) (f File, found bool, err error)
	// Opened and Written count the tickets that user opened, and the messages that user
	// wrote, after a time, and return when the first of them was.
	Opened(ctx context.Context, user, after int64) (n int, first int64, err error)
	Written(ctx context.Context, user, after int64) (n int, first int64, err error)
	// Person tells whether there is an active account with that number, and whether it is
	// an administrator's.
	Person(ctx context.Context, user int64) (active, admin bool, err error)
}

// Options configure a [Service]. Store must be given; zero elsewhere means the default.
type Options struct {
	Store Store
	// Clock defaults to time.Now.
	Clock func() time.Time
	// Title (200) and Text (4,000) bound texts, in code points, Files (10) the files of a
	// message.
	Title, Text, Files int
	// TicketsPerHour (100) and RepliesPerMinute (60) are per person who is no operator;
	// negative is no limit.
	TicketsPerHour, RepliesPerMinute int
}

// Service is the rules.
type Service struct {
	o     Options
	store Store
}

// NewService returns a service with the options o.
func NewService(o Options) *Service {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	setDefault(&o.Title, 200)
	setDefault(&o.Text, 4000)
	setDefault(&o.Files, 10)
	setDefault(&o.TicketsPerHour, 100)
	setDefault(&o.RepliesPerMinute, 60)
	return &Service{o: o, store: o.Store}
}

func setDefault(v *int, value int) {
	if *v == 0 {
		*v = value
	}
}

// Open makes a ticket with its first message. The errors are [ErrForbidden],
// [*FieldError], [*LimitError] and [*RateError].
func (s *Service) Open(ctx context.Context, by Caller, in New) (th Thread, err error) {
	if in.User == 0 {
		in.User = by.User
	}
	switch {
	case in.User == 0:
		return Thread{}, &FieldError{"user_id", "is required from a service"}
	case in.User != by.User && !by.Operator:
		return Thread{}, ErrForbidden
	}
	if in, err = s.checkNew(in); err != nil {
		return Thread{}, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		th, err = s.open(ctx, tx, &by, &in)
		return err
	})
	if err != nil {
		return Thread{}, fmt.Errorf("open ticket: %w", err)
	}
	return th, nil
}

func (s *Service) open(ctx context.Context, tx Tx, by *Caller, in *New) (Thread, error) {
	now := s.now()
	switch active, _, err := tx.Person(ctx, in.User); {
	case err != nil:
		return Thread{}, err
	case !active:
		return Thread{}, &FieldError{"user_id", "is nobody here"}
	}
	if !by.Operator {
		if err := s.mayNow(ctx, tx.Opened, in.User, now, s.o.TicketsPerHour, time.Hour); err != nil {
			return Thread{}, err
		}
	}
	files, err := attachable(ctx, tx, in.User, in.Files)
	if err != nil {
		return Thread{}, err
	}
	t := Ticket{User: in.User, Title: in.Title, Status: Open, Priority: in.Priority, CreatedAt: now, UpdatedAt: now, Messages: 1}
	if t.ID, err = tx.AddTicket(ctx, &t); err != nil {
		return Thread{}, err
	}
	m := Message{Ticket: t.ID, Author: in.User, Text: in.Text, Files: files, CreatedAt: now}
	if m.ID, err = tx.AddMessage(ctx, &m); err != nil {
		return Thread{}, err
	}
	err = s.announce(ctx, tx, by, &t, event.TicketCreated, event.Ticket{
		TicketID: t.ID, UserID: t.User, Title: t.Title, Status: t.Status, Priority: t.Priority, HasMedia: len(files) > 0,
	})
	return Thread{Ticket: t, Messages: []Message{m}}, err
}

// Reply adds a message to a ticket, and returns the ticket as it is then. Of its owner it
// is a question, of an operator an answer; an administrator's own tickets are an owner's.
// The errors are [ErrNotFound], [*BlockedError], [*FieldError], [*LimitError] and
// [*RateError].
func (s *Service) Reply(ctx context.Context, by Caller, id int64, text string, files []File) (t Ticket, m Message, err error) {
	if text, files, err = s.checkMessage(text, files); err != nil {
		return Ticket{}, Message{}, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		t, m, err = s.reply(ctx, tx, &by, id, text, files)
		return err
	})
	if err != nil {
		return Ticket{}, Message{}, fmt.Errorf("reply to ticket %d: %w", id, err)
	}
	return t, m, nil
}

func (s *Service) reply(ctx context.Context, tx Tx, by *Caller, id int64, text string, files []File) (Ticket, Message, error) {
	t, err := s.lock(ctx, tx, by, id)
	if err != nil {
		return t, Message{}, err
	}
	m := Message{Ticket: id, Author: by.User, Text: text, FromOperator: by.User != t.User}
	now := s.now()
	if left := t.BlockedUntil - now; !m.FromOperator && left > 0 {
		return t, m, &BlockedError{Until: t.BlockedUntil, RetryAfter: time.Duration(left) * time.Millisecond}
	}
	if !by.Operator {
		if err := s.mayNow(ctx, tx.Written, by.User, now, s.o.RepliesPerMinute, time.Minute); err != nil {
			return t, m, err
		}
	}
	if m.Files, err = attachable(ctx, tx, by.User, files); err != nil {
		return t, m, err
	}
	was := t
	s.touch(&t)
	t.setStatus(Open)
	if m.FromOperator {
		t.setStatus(Answered)
	}
	t.Messages++
	m.CreatedAt = t.UpdatedAt
	if m.ID, err = tx.AddMessage(ctx, &m); err != nil {
		return t, m, err
	}
	if err := tx.Save(ctx, &t); err != nil {
		return t, m, err
	}
	err = s.announce(ctx, tx, by, &t, event.TicketMessageAdded, event.TicketMessage{
		TicketID: id, MessageID: m.ID, UserID: t.User, IsFromAdmin: m.FromOperator,
		MessageText: beginning(text), HasMedia: len(m.Files) > 0, Status: t.Status,
	})
	if err == nil {
		err = s.announceStatus(ctx, tx, by, &was, &t)
	}
	return t, m, err
}

// Change changes a ticket. What is as it should be already is no change, and none is
// announced. The errors are [ErrNotFound], [ErrForbidden] and [*FieldError].
func (s *Service) Change(ctx context.Context, by Caller, id int64, c Change) (t Ticket, err error) {
	if err := s.checkChange(&c); err != nil && by.Operator {
		return Ticket{}, err
	}
	err = s.store.Update(ctx, func(tx Tx) error {
		if t, err = s.lock(ctx, tx, &by, id); err != nil {
			return err
		}
		if !by.Operator {
			return ErrForbidden
		}
		if c.Assignee != nil && *c.Assignee != 0 && *c.Assignee != t.Assignee {
			_, admin, err := tx.Person(ctx, *c.Assignee)
			if err != nil {
				return err
			}
			if !admin {
				return &FieldError{"assignee_id", "is no administrator"}
			}
		}
		return s.change(ctx, tx, &by, &t, &c)
	})
	if err != nil {
		return Ticket{}, fmt.Errorf("change ticket %d: %w", id, err)
	}
	return t, nil
}

func (s *Service) change(ctx context.Context, tx Tx, by *Caller, t *Ticket, c *Change) error {
	was := *t
	if c.Status != nil {
		s.touch(t)
		t.setStatus(*c.Status)
	}
	var names []string
	if c.Priority != nil && *c.Priority != t.Priority {
		t.Priority, names = *c.Priority, append(names, "priority")
	}
	if c.Assignee != nil && *c.Assignee != t.Assignee {
		t.Assignee, names = *c.Assignee, append(names, "assignee_id")
	}
	if c.BlockedUntil != nil && *c.BlockedUntil != t.BlockedUntil {
		t.BlockedUntil, names = *c.BlockedUntil, append(names, "replies_blocked_until")
	}
	if t.Status == was.Status && len(names) == 0 {
		*t = was
		return nil
	}
	s.touch(t)
	if err := tx.Save(ctx, t); err != nil {
		return err
	}
	if err := s.announceStatus(ctx, tx, by, &was, t); err != nil || len(names) == 0 {
		return err
	}
	p := event.ChangedTicket{
		TicketID: t.ID, UserID: t.User, Changes: names, Title: t.Title, Status: t.Status, Priority: t.Priority,
		RepliesBlockedUntil: moment(t.BlockedUntil),
	}
	if t.Assignee != 0 {
		p.AssigneeID = &t.Assignee
	}
	return s.announce(ctx, tx, by, t, event.TicketUpdated, p)
}

// lock returns a ticket that nobody else changes meanwhile. A block that is over is none.
func (s *Service) lock(ctx context.Context, tx Tx, by *Caller, id int64) (Ticket, error) {
	t, err := tx.Lock(ctx, by.sees(), id)
	if t.BlockedUntil <= s.now() {
		t.BlockedUntil = 0
	}
	return t, err
}

// touch moves the time of the last change, which does not go back.
func (s *Service) touch(t *Ticket) { t.UpdatedAt = max(s.now(), t.UpdatedAt) }

// setStatus sets the status, at the time of the last change.
func (t *Ticket) setStatus(status string) {
	switch {
	case status != Closed:
		t.ClosedAt = 0
	case t.Status != Closed:
		t.ClosedAt = t.UpdatedAt
	}
	t.Status = status
}

// announce appends an event about t.
func (s *Service) announce(ctx context.Context, tx Tx, by *Caller, t *Ticket, typ string, payload any) error {
	e, err := event.New(typ, time.UnixMilli(t.UpdatedAt), payload)
	if err != nil {
		return err
	}
	e.Stream, e.Actor = event.TicketStream(t.ID), by.Actor
	return tx.Append(ctx, e)
}

func (s *Service) announceStatus(ctx context.Context, tx Tx, by *Caller, was, t *Ticket) error {
	if was.Status == t.Status {
		return nil
	}
	return s.announce(ctx, tx, by, t, event.TicketStatusChanged, event.TicketStatus{
		TicketID: t.ID, UserID: t.User, OldStatus: was.Status, NewStatus: t.Status, ClosedAt: moment(t.ClosedAt),
	})
}

// moment is a time of a payload.
func moment(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	at := time.UnixMilli(ms).UTC()
	return &at
}

// maxID is above every id.
const maxID = 1 << 62

// List returns a page of the tickets that the caller sees. The error is a [*FieldError] if
// the cursor is none of ours.
func (s *Service) List(ctx context.Context, by Caller, q Query) (p Page, err error) {
	below := int64(maxID)
	if q.Cursor != "" {
		if below, err = strconv.ParseInt(q.Cursor, 10, 64); err != nil || below < 1 {
			return Page{}, &FieldError{"cursor", "is none of ours"}
		}
	}
	setDefault(&q.Limit, 50)
	limit := q.Limit
	q.Limit++ // whether there are more
	err = s.store.View(ctx, func(tx Tx) error {
		p.Tickets, err = tx.Tickets(ctx, by.sees(), &q, below)
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("list tickets: %w", err)
	}
	if len(p.Tickets) > limit {
		p.Tickets = p.Tickets[:limit]
		p.Next = strconv.FormatInt(p.Tickets[limit-1].ID, 10)
	}
	return p, nil
}

// Thread returns a ticket with its newest messages before one, of all if that is 0; up to
// limit, 100 if it is 0. The error is [ErrNotFound].
func (s *Service) Thread(ctx context.Context, by Caller, id, before int64, limit int) (th Thread, err error) {
	if before == 0 {
		before = maxID
	}
	setDefault(&limit, 100)
	err = s.store.View(ctx, func(tx Tx) error {
		if th.Ticket, err = tx.Ticket(ctx, by.sees(), id); err != nil {
			return err
		}
		th, err = thread(ctx, tx, th.Ticket, before, limit)
		return err
	})
	if err != nil {
		return Thread{}, fmt.Errorf("read ticket %d: %w", id, err)
	}
	return th, nil
}

func thread(ctx context.Context, tx Tx, t Ticket, before int64, limit int) (Thread, error) {
	list, err := tx.Messages(ctx, t.ID, before, limit+1)
	if err != nil {
		return Thread{}, err
	}
	th := Thread{Ticket: t, Before: len(list) > limit}
	list = list[:min(len(list), limit)]
	th.Messages = make([]Message, 0, len(list))
	for i := range list {
		th.Messages = append(th.Messages, list[len(list)-1-i])
	}
	return th, nil
}

// now is the time in milliseconds since 1970.
func (s *Service) now() int64 { return s.o.Clock().UnixMilli() }
