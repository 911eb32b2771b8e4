package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/tickets"
)

// ticketTx is what package tickets does in a transaction.
type ticketTx struct{ *Tx }

type ticketStore struct{ s *Store }

// Tickets returns the store of tickets.
func (s *Store) Tickets() tickets.Store { return ticketStore{s} }

func (t ticketStore) Update(ctx context.Context, f func(tickets.Tx) error) error {
	return t.s.Update(ctx, func(tx *Tx) error { return f(ticketTx{tx}) })
}

func (t ticketStore) View(ctx context.Context, f func(tickets.Tx) error) error {
	return t.s.View(ctx, func(tx *Tx) error { return f(ticketTx{tx}) })
}

const (
	ticketColumns = `id, user_id, title, status, priority, assignee_id, blocked_until, messages, created_at, updated_at, closed_at`

	addTicket = `INSERT INTO tickets (user_id, title, status, priority, messages, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`
	ticketByID = `SELECT ` + ticketColumns + ` FROM tickets WHERE id = $1 AND (CAST($2 AS BIGINT) = 0 OR user_id = $2)`
	lockTicket = ticketByID + ` FOR UPDATE`
	saveTicket = `UPDATE tickets SET status = $1, priority = $2, assignee_id = $3, blocked_until = $4, messages = $5, updated_at = $6, closed_at = $7
		WHERE id = $8`
)

func scanTicket(r row, t *tickets.Ticket) error {
	return r.Scan(&t.ID, &t.User, &t.Title, &t.Status, &t.Priority, &t.Assignee, &t.BlockedUntil, &t.Messages, &t.CreatedAt, &t.UpdatedAt, &t.ClosedAt)
}

// AddTicket implements tickets.Tx.
func (tx ticketTx) AddTicket(ctx context.Context, t *tickets.Ticket) (id int64, err error) {
	err = tx.queryRow(ctx, addTicket, args(t.User, t.Title, t.Status, t.Priority, t.Messages, t.CreatedAt, t.UpdatedAt), &id)
	if err != nil {
		return 0, fmt.Errorf("store ticket: %w", err)
	}
	return id, nil
}

// Ticket implements tickets.Tx.
func (tx ticketTx) Ticket(ctx context.Context, viewer, id int64) (tickets.Ticket, error) {
	return tx.ticket(ctx, ticketByID, id, viewer)
}

// Lock implements tickets.Tx.
func (tx ticketTx) Lock(ctx context.Context, viewer, id int64) (tickets.Ticket, error) {
	return tx.ticket(ctx, tx.text(ticketByID, lockTicket), id, viewer)
}

func (tx ticketTx) ticket(ctx context.Context, query string, a ...any) (t tickets.Ticket, err error) {
	err = classify(scanTicket(tx.row(ctx, query, a...), &t))
	return t, noRow(err, tickets.ErrNotFound)
}

// Save implements tickets.Tx.
func (tx ticketTx) Save(ctx context.Context, t *tickets.Ticket) error {
	_, err := tx.exec(ctx, saveTicket, t.Status, t.Priority, t.Assignee, t.BlockedUntil, t.Messages, t.UpdatedAt, t.ClosedAt, t.ID)
	if err != nil {
		return fmt.Errorf("store ticket: %w", err)
	}
	return nil
}

// Lists of tickets: each by the index that finds fewest.
const (
	ticketsWhere = `SELECT ` + ticketColumns + ` FROM tickets WHERE `
	ticketsRest  = ` AND id < $2 AND ($3 = '' OR status = $3) AND ($4 = '' OR priority = $4)
		AND (CAST($5 AS BIGINT) = 0 OR assignee_id = $5) ORDER BY id DESC LIMIT $6`

	ticketsOf       = ticketsWhere + `user_id = $1` + ticketsRest
	ticketsAssigned = ticketsWhere + `assignee_id <> 0 AND assignee_id = $1` + ticketsRest
	ticketsIn       = ticketsWhere + `status = $1` + ticketsRest
	allTickets      = ticketsWhere + `id > $1` + ticketsRest
)

// Tickets implements tickets.Tx.
func (tx ticketTx) Tickets(ctx context.Context, viewer int64, q *tickets.Query, below int64) (list []tickets.Ticket, err error) {
	query, first := allTickets, any(0)
	user := q.User
	if viewer != 0 {
		if user != 0 && user != viewer {
			return nil, nil
		}
		user = viewer
	}
	switch {
	case user != 0:
		query, first = ticketsOf, user
	case q.Assignee != 0:
		query, first = ticketsAssigned, q.Assignee
	case q.Status != "":
		query, first = ticketsIn, q.Status
	}
	err = tx.query(ctx, query, args(first, below, q.Status, q.Priority, q.Assignee, q.Limit), func(r row) error {
		var t tickets.Ticket
		err := scanTicket(r, &t)
		list = append(list, t)
		return err
	})
	return list, err
}

const (
	addTicketMessage = `INSERT INTO ticket_messages (ticket_id, author_id, from_operator, text, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id`
	attachToTicket   = `INSERT INTO ticket_files (message_id, file_id, position, caption) VALUES ($1, $2, $3, $4)`
)

// AddMessage implements tickets.Tx.
func (tx ticketTx) AddMessage(ctx context.Context, m *tickets.Message) (id int64, err error) {
	if err := tx.queryRow(ctx, addTicketMessage, args(m.Ticket, m.Author, m.FromOperator, m.Text, m.CreatedAt), &id); err != nil {
		return 0, fmt.Errorf("store message of ticket: %w", err)
	}
	for i, f := range m.Files {
		if _, err := tx.exec(ctx, attachToTicket, id, f.ID, i, f.Caption); err != nil {
			return 0, fmt.Errorf("attach file to ticket: %w", err)
		}
	}
	return id, nil
}

const (
	ticketMessageColumns = `m.id, m.ticket_id, m.author_id, m.from_operator, m.text, m.created_at`
	ticketMessages       = `SELECT ` + ticketMessageColumns + ` FROM ticket_messages AS m WHERE m.ticket_id = $1 AND m.id < $2 ORDER BY m.id DESC LIMIT $3`
	ticketFiles          = `SELECT r.message_id, r.caption, f.id, f.kind, f.name, f.mime, f.size, f.sha256, f.width, f.height, f.duration_ms, f.blurhash, f.thumb_key <> ''
		FROM ticket_messages AS m JOIN ticket_files AS r ON r.message_id = m.id JOIN files AS f ON f.id = r.file_id
		WHERE m.ticket_id = $1 AND m.id >= $2 AND m.id < $3 ORDER BY r.message_id, r.position`
)

func (tx ticketTx) messages(ctx context.Context, query string, a ...any) (list []tickets.Message, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var m tickets.Message
		err := r.Scan(&m.ID, &m.Ticket, &m.Author, &m.FromOperator, &m.Text, &m.CreatedAt)
		list = append(list, m)
		return err
	})
	return list, err
}

// Messages implements tickets.Tx.
func (tx ticketTx) Messages(ctx context.Context, ticket, below int64, limit int) ([]tickets.Message, error) {
	list, err := tx.messages(ctx, ticketMessages, ticket, below, limit)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	files := make(map[int64][]tickets.File)
	err = tx.query(ctx, ticketFiles, args(ticket, list[len(list)-1].ID, below), func(r row) error {
		var message int64
		var f tickets.File
		err := r.Scan(append([]any{&message, &f.Caption}, ticketFileDest(&f)...)...)
		files[message] = append(files[message], f)
		return err
	})
	for i := range list {
		list[i].Files = files[list[i].ID]
	}
	return list, err
}

// ticketFileDest is where the columns of [attachable] are scanned to.
func ticketFileDest(f *tickets.File) []any {
	return []any{&f.ID, &f.Kind, &f.Name, &f.MIME, &f.Size, &f.SHA256, &f.Width, &f.Height, &f.DurationMS, &f.Blurhash, &f.Thumb}
}

// Attachable implements tickets.Tx.
func (tx ticketTx) Attachable(ctx context.Context, owner int64, id string) (f tickets.File, found bool, err error) {
	if strings.ContainsRune(id, 0) { // an error would end the transaction, see [ErrText]
		return f, false, nil
	}
	err = tx.queryRow(ctx, attachable, args(id, owner), ticketFileDest(&f)...)
	if errors.Is(err, sql.ErrNoRows) {
		return f, false, nil
	}
	return f, err == nil, err
}

const (
	ticketsOpened  = `SELECT count(*), coalesce(min(created_at), 0) FROM tickets WHERE user_id = $1 AND created_at > $2`
	ticketsWritten = `SELECT count(*), coalesce(min(created_at), 0) FROM ticket_messages WHERE author_id = $1 AND created_at > $2`
	ticketPerson   = `SELECT state = 'active', state = 'active' AND role = 'admin' FROM users WHERE id = $1`
)

// Opened implements tickets.Tx.
func (tx ticketTx) Opened(ctx context.Context, user, after int64) (n int, first int64, err error) {
	err = tx.queryRow(ctx, ticketsOpened, args(user, after), &n, &first)
	return n, first, err
}

// Written implements tickets.Tx.
func (tx ticketTx) Written(ctx context.Context, user, after int64) (n int, first int64, err error) {
	err = tx.queryRow(ctx, ticketsWritten, args(user, after), &n, &first)
	return n, first, err
}

// Person implements tickets.Tx.
func (tx ticketTx) Person(ctx context.Context, user int64) (active, admin bool, err error) {
	err = tx.queryRow(ctx, ticketPerson, args(user), &active, &admin)
	return active, admin, noRow(err, nil)
}

const (
	oldestOfTicket       = ` IN (SELECT id FROM ticket_messages WHERE ticket_id = $1 ORDER BY id LIMIT $2)`
	removeTicketFiles    = `DELETE FROM ticket_files WHERE message_id` + oldestOfTicket
	removeTicketMessages = `DELETE FROM ticket_messages WHERE id` + oldestOfTicket
	countTicketMessages  = `UPDATE tickets SET messages = messages - $1 WHERE id = $2`
	removeTicket         = `DELETE FROM tickets WHERE id = $1`
	eventsOfStream       = `SELECT ` + eventColumns + ` FROM events WHERE stream = $1 ORDER BY id`
	writtenElsewhere     = `SELECT ` + ticketMessageColumns + ` FROM ticket_messages AS m WHERE m.author_id = $1 AND m.from_operator AND m.id > $2 ORDER BY m.id LIMIT $3`
	filesForTicketsOf    = `SELECT DISTINCT f.id FROM tickets AS t JOIN ticket_messages AS m ON m.ticket_id = t.id JOIN ticket_files AS r ON r.message_id = m.id
		JOIN files AS f ON f.id = r.file_id WHERE t.user_id = $1 AND f.owner_id <> $1 ORDER BY f.id`
)

// RemoveTicket implements tickets' erasing.
func (tx ticketTx) RemoveTicket(ctx context.Context, id int64, limit int) (more bool, err error) {
	if _, err := tx.exec(ctx, removeTicketFiles, id, limit); err != nil {
		return false, fmt.Errorf("detach files of ticket: %w", err)
	}
	n, err := tx.exec(ctx, removeTicketMessages, id, limit)
	if err != nil {
		return false, fmt.Errorf("remove messages of ticket: %w", err)
	}
	if n == int64(limit) {
		_, err := tx.exec(ctx, countTicketMessages, n, id)
		return true, err
	}
	_, err = tx.exec(ctx, removeTicket, id)
	return false, err
}

const ticketReplies = `SELECT principal, key, response FROM idempotency WHERE response LIKE '%"ticket_id":%'`

// ticketOfReply finds the ticket in a kept reply, which is JSON that only we write.
var ticketOfReply = regexp.MustCompile(`"ticket_id":([0-9]+)`)

// ForgetReplies implements tickets' erasing.
func (tx ticketTx) ForgetReplies(ctx context.Context, ids []int64) error {
	var about [][2]string
	err := tx.query(ctx, ticketReplies, nil, func(r row) error {
		var principal, key, response string
		if err := r.Scan(&principal, &key, &response); err != nil {
			return err
		}
		if found := ticketOfReply.FindStringSubmatch(response); found != nil {
			if id, err := strconv.ParseInt(found[1], 10, 64); err == nil && slices.Contains(ids, id) {
				about = append(about, [2]string{principal, key})
			}
		}
		return nil
	})
	for _, one := range about {
		if err == nil {
			_, err = tx.exec(ctx, removeReply, one[0], one[1])
		}
	}
	return err
}

// Shown implements tickets' erasing.
func (tx ticketTx) Shown(ctx context.Context, id int64) ([]event.Event, error) {
	return tx.readEvents(ctx, eventsOfStream, event.TicketStream(id))
}

// WrittenElsewhere implements tickets' erasing.
func (tx ticketTx) WrittenElsewhere(ctx context.Context, user, after int64, limit int) ([]tickets.Message, error) {
	return tx.messages(ctx, writtenElsewhere, user, after, limit)
}

// FilesFor implements tickets' erasing.
func (tx ticketTx) FilesFor(ctx context.Context, user int64) ([]string, error) {
	return column[string](ctx, tx.Tx, filesForTicketsOf, user)
}
