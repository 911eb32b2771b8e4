package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	// The time of a message is never before that of the one before it (chat-api.md §0.3, I2).
	// Who sends has read all before.
	takeNumbers = `UPDATE chats SET last_seq = last_seq + 1, last_event_seq = last_event_seq + 1,
		last_message_at = CASE WHEN last_message_at > $1 THEN last_message_at ELSE $1 END,
		last_activity_at = CASE WHEN last_message_at > $1 THEN last_message_at ELSE $1 END,
		top_read = CASE WHEN CAST($3 AS BIGINT) = 0 THEN top_read ELSE last_seq + 1 END,
		top_reader = CASE WHEN $3 = 0 THEN top_reader ELSE $3 END,
		next_read = CASE WHEN $3 = 0 OR $3 = top_reader THEN next_read ELSE top_read END
		WHERE id = $2 AND state = 'active'`
	// What sending needs: each column costs, for every message.
	takenColumns = `chats.kind, coalesce(chats.direct_key, ''), chats.last_seq, chats.last_event_seq, chats.last_message_at, chats.member_count, chats.settings`
	takenNumbers = takeNumbers + ` RETURNING ` + takenColumns

	moveSender = `UPDATE members SET read_seq = $1, delivered_seq = $1, read_at = $2, manual_unread_seq = 0, last_sent_at = $2
		WHERE chat_id = $3 AND user_id = $4 AND state = 'active'`
	movedSender = moveSender + ` RETURNING role`

	// maySend are the rows m and u of who may send.
	maySend = ` WHERE m.chat_id = $1 AND m.user_id = $2 AND m.state = 'active' AND u.state = 'active'`
	// For PostgreSQL.
	sender = `SELECT ` + faceColumns + `, m.last_sent_at FROM members AS m JOIN users AS u ON u.id = m.user_id` + maySend
	// For SQLite.
	senderAndChat = `SELECT ` + faceColumns + `, m.last_sent_at, m.role, ` + takenColumns + `
		FROM members AS m JOIN users AS u ON u.id = m.user_id JOIN chats ON chats.id = m.chat_id` + maySend + ` AND chats.state = 'active'`
)

// Post implements chat's sending.
func (tx chatTx) Post(ctx context.Context, id, user, now int64) (p chat.Posted, err error) {
	p.Chat.ID = id
	p.Member = chat.Member{Chat: id, User: user, State: chat.Active}
	p.Sender = chat.Person{ID: user, State: chat.Active} // only such may send
	if tx.dialect == Postgres {
		err = tx.postPostgres(ctx, &p, now)
	} else {
		err = tx.postSQLite(ctx, &p, now)
	}
	if err != nil {
		return p, noRow(err, chat.ErrNotFound)
	}
	m := &p.Member
	m.ReadSeq, m.DeliveredSeq, m.ReadAt = p.Chat.LastSeq, p.Chat.LastSeq, now
	return p, nil
}

// postPostgres asks for membership first: who is no member must not even wait for the
// chat's row. And again when that row is ours: a removal that came first has been stored.
func (tx chatTx) postPostgres(ctx context.Context, p *chat.Posted, now int64) error {
	m := &p.Member
	if err := tx.queryRow(ctx, sender, args(m.Chat, m.User), append(faceDest(&p.Sender), &m.LastSentAt)...); err != nil {
		return err
	}
	var err error
	if p.Chat, err = tx.takeNumbers(ctx, m.Chat, m.User, now); err != nil {
		return err
	}
	return tx.queryRow(ctx, movedSender, args(p.Chat.LastSeq, now, m.Chat, m.User), &m.Role)
}

// postSQLite has the whole database to itself: what it has read is so until it changes it,
// so it does itself what takeNumbers does, and asks for nothing twice. RETURNING would cost
// more than the rest of a statement: a table of its own, and a journal in case the statement
// is undone.
func (tx chatTx) postSQLite(ctx context.Context, p *chat.Posted, now int64) error {
	m, c, f := &p.Member, &p.Chat, chatFields{c: &p.Chat}
	dest := append(faceDest(&p.Sender), &m.LastSentAt, &m.Role)
	if err := tx.queryRow(ctx, senderAndChat, args(m.Chat, m.User), append(dest, f.taken()...)...); err != nil {
		return err
	}
	if _, err := tx.exec(ctx, takeNumbers, now, m.Chat, m.User); err != nil {
		return err
	}
	c.LastSeq, c.LastEventSeq, c.LastMessageAt = c.LastSeq+1, c.LastEventSeq+1, max(c.LastMessageAt, now)
	if _, err := tx.exec(ctx, moveSender, c.LastSeq, now, m.Chat, m.User); err != nil {
		return err
	}
	return f.finish()
}

// PostSystem implements chat's sending.
func (tx chatTx) PostSystem(ctx context.Context, id, now int64) (chat.Chat, error) {
	return tx.takeNumbers(ctx, id, 0, now)
}

func (tx chatTx) takeNumbers(ctx context.Context, id, user, now int64) (c chat.Chat, err error) {
	c.ID = id
	f := chatFields{c: &c}
	if err := tx.queryRow(ctx, takenNumbers, args(now, id, user), f.taken()...); err != nil {
		return c, noRow(err, chat.ErrNotFound)
	}
	return c, f.finish()
}

// taken is where takenColumns are scanned to.
func (f *chatFields) taken() []any {
	c := f.c
	return []any{&c.Kind, &f.directKey, &c.LastSeq, &c.LastEventSeq, &c.LastMessageAt, &c.MemberCount, &f.settings}
}

const (
	addMessage = `INSERT INTO messages (chat_id, seq, sender_id, message_type, text, entities, client_id, client_hash,
		reply_to_id, forward, system, metadata, attachments, mentions, silent, created_at, event_seq, first_event_seq)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)
	ON CONFLICT (chat_id, sender_id, client_id) DO NOTHING`
	addMessagePostgres = addMessage + ` RETURNING id`
)

// AddMessage implements chat's sending.
func (tx chatTx) AddMessage(ctx context.Context, m *chat.Message, hash string) (id int64, stored bool, err error) {
	entities, err1 := toJSON(m.Entities)
	files, err2 := toJSON(m.Files)
	forward, err3 := toJSONObject(m.Forward)
	system, err4 := toJSONObject(m.System)
	mentions, err5 := mentionsColumn(m)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return 0, false, fmt.Errorf("encode message: %w", err)
	}
	var reply int64
	if m.ReplyTo != nil {
		reply = m.ReplyTo.ID
	}
	id, stored, err = tx.insert(ctx, mistakenlyInserted(tx.text(addMessage, addMessagePostgres)), m.Chat, m.Seq, m.Sender.ID, m.Type, m.Text,
		entities, nullText(m.ClientID), hash, reply, forward, system, string(m.Metadata), files, mentions, m.Silent, m.CreatedAt, m.EventSeq)
	if err != nil {
		return 0, false, fmt.Errorf("store message: %w", err)
	}
	return id, stored, nil
}

// Who a message mentions is kept with it; "all" stands for everybody.
type mentionsJSON struct {
	Users []int64 `json:"users,omitempty"`
	All   bool    `json:"all,omitempty"`
}

func mentionsColumn(m *chat.Message) (string, error) {
	if len(m.Mentions) == 0 && !m.MentionAll {
		return "", nil
	}
	return toJSONObject(&mentionsJSON{m.Mentions, m.MentionAll})
}

// messageColumns are those of a message, of tables called m, u (its sender) and q, v
// (the message it answers, and whose that is); see messageJoins.
const (
	messageColumns = `m.id, m.chat_id, m.seq, m.message_type, m.text, m.entities, coalesce(m.client_id, ''), m.forward, m.system, m.metadata,
	m.attachments, m.mentions, m.silent, m.created_at, m.edited_at, m.version, m.pinned_at, m.deleted_at, m.deleted_by, m.event_seq, ` + personColumns + `,
	coalesce(q.id, 0), coalesce(q.seq, 0), coalesce(q.sender_id, 0), coalesce(v.name, ''), coalesce(q.text, ''), coalesce(q.deleted_at, 0), coalesce(q.attachments, '')`
	messageJoins = ` LEFT JOIN users AS u ON u.id = m.sender_id
	LEFT JOIN messages AS q ON m.reply_to_id > 0 AND q.id = m.reply_to_id LEFT JOIN users AS v ON v.id = q.sender_id`
)

// messageFields are where messageColumns are scanned to; finish then fills in the rest.
type messageFields struct {
	m                                                    *chat.Message
	entities, forward, system, metadata, files, mentions []byte
	quote                                                chat.Quote
	quotedText, quotedFiles                              string
	quotedDeleted                                        int64
}

func (f *messageFields) dest() []any {
	m, q := f.m, &f.quote
	d := []any{
		&m.ID, &m.Chat, &m.Seq, &m.Type, &m.Text, &f.entities, &m.ClientID, &f.forward, &f.system, &f.metadata,
		&f.files, &f.mentions, &m.Silent, &m.CreatedAt, &m.EditedAt, &m.Version, &m.PinnedAt, &m.DeletedAt, &m.DeletedBy, &m.EventSeq,
	}
	d = append(d, personDest(&m.Sender)...)
	return append(d, &q.ID, &q.Seq, &q.Sender, &q.Name, &f.quotedText, &f.quotedDeleted, &f.quotedFiles)
}

func (f *messageFields) finish() error {
	m := f.m
	var who mentionsJSON
	err := errors.Join(fromJSON(f.entities, &m.Entities), fromJSON(f.files, &m.Files), fromJSON(f.mentions, &who))
	if len(f.forward) > 0 {
		err = errors.Join(err, fromJSON(f.forward, &m.Forward))
	}
	if len(f.system) > 0 {
		err = errors.Join(err, fromJSON(f.system, &m.System))
	}
	if err != nil {
		return fmt.Errorf("columns of message %d: %w", m.ID, err)
	}
	m.Mentions, m.MentionAll = who.Users, who.All
	if len(f.metadata) > 0 {
		m.Metadata = f.metadata
	}
	if f.quote.ID != 0 {
		q := f.quote
		q.Deleted, q.HasFiles = f.quotedDeleted != 0, f.quotedFiles != ""
		if !q.Deleted {
			q.Text = chat.Excerpt(f.quotedText, 120)
		}
		m.ReplyTo = &q
	}
	return nil
}

// readMessages scans rows of messageColumns.
func (tx chatTx) readMessages(ctx context.Context, query string, a ...any) ([]chat.Message, error) {
	var found []chat.Message
	err := tx.query(ctx, query, a, func(r row) error {
		var m chat.Message
		f := messageFields{m: &m}
		if err := r.Scan(f.dest()...); err != nil {
			return fmt.Errorf("scan message: %w", err)
		}
		if err := f.finish(); err != nil {
			return err
		}
		found = append(found, m)
		return nil
	})
	return found, err
}

const sent = `SELECT ` + messageColumns + `, m.client_hash FROM messages AS m` + messageJoins + `
	WHERE m.chat_id = $1 AND m.sender_id = $2 AND m.client_id = $3
	AND EXISTS (SELECT 1 FROM members AS i WHERE i.chat_id = m.chat_id AND i.user_id = m.sender_id AND i.state = 'active')`

// Sent implements chat's sending.
func (tx chatTx) Sent(ctx context.Context, id, user int64, clientID string) (m chat.Message, hash string, err error) {
	f := messageFields{m: &m}
	err = tx.queryRow(ctx, sent, args(id, user, clientID), append(f.dest(), &hash)...)
	if err != nil {
		return m, "", noRow(err, chat.ErrNotFound)
	}
	return m, hash, f.finish()
}

// What a person lets others do is decided by blocks either way, the other's state, and
// the other's wish to hear of contacts only: people who accepted each other, or to whom
// the other has written before.
const writable = `SELECT u.state = 'active'
	AND NOT EXISTS (SELECT 1 FROM blocks AS b WHERE (b.user_id = $1 AND b.blocked_id = $2) OR (b.user_id = $2 AND b.blocked_id = $1)),
	u.privacy FROM users AS u WHERE u.id = $2`

const isContact = `SELECT EXISTS (SELECT 1 FROM contacts WHERE user_id = $1 AND contact_id = $2 AND state = 'accepted')
	OR EXISTS (SELECT 1 FROM chats AS c JOIN messages AS m ON m.chat_id = c.id WHERE c.direct_key = $3 AND m.sender_id = $1)`

// Writable implements chat's sending.
func (tx chatTx) Writable(ctx context.Context, user, other int64) (bool, error) {
	var open bool
	var privacy []byte
	if err := tx.queryRow(ctx, writable, args(user, other), &open, &privacy); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		return false, err
	}
	var p chat.Privacy
	if err := fromJSON(privacy, &p); err != nil {
		return false, fmt.Errorf("privacy of user %d: %w", other, err)
	}
	if !open || p.WhoCanMessage != "contacts" {
		return open, nil
	}
	var contact bool
	err := tx.queryRow(ctx, isContact, args(other, user, directKey(user, other)), &contact)
	return contact, err
}

// directKey names the direct chat of two users.
func directKey(a, b int64) string { return fmt.Sprintf("%d:%d", min(a, b), max(a, b)) }

const reveal = `UPDATE members SET hidden = FALSE WHERE chat_id = $1 AND hidden RETURNING user_id`

// Reveal implements chat's sending.
func (tx chatTx) Reveal(ctx context.Context, id int64) (from []int64, err error) {
	err = tx.query(ctx, reveal, args(id), func(r row) error {
		var user int64
		if err := r.Scan(&user); err != nil {
			return fmt.Errorf("scan member: %w", err)
		}
		from = append(from, user)
		return nil
	})
	slices.Sort(from)
	return from, err
}

const quoted = `SELECT m.id, m.seq, m.sender_id, coalesce(u.name, ''), m.text, m.deleted_at > 0, m.attachments <> ''
	FROM messages AS m JOIN members AS i ON i.chat_id = m.chat_id AND i.user_id = $1 LEFT JOIN users AS u ON u.id = m.sender_id
	WHERE m.id = $2 AND m.chat_id = $3 AND m.seq > i.visible_from_seq AND i.state = 'active'`

// Quoted implements chat's sending.
func (tx chatTx) Quoted(ctx context.Context, id, user, message int64) (q chat.Quote, err error) {
	var text string
	err = tx.queryRow(ctx, quoted, args(user, message, id), &q.ID, &q.Seq, &q.Sender, &q.Name, &text, &q.Deleted, &q.HasFiles)
	if err != nil {
		return q, noRow(err, chat.ErrNotFound)
	}
	if !q.Deleted {
		q.Text = chat.Excerpt(text, 120)
	}
	return q, nil
}

const attach = `INSERT INTO message_files (message_id, file_id, position) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`

// Attach implements chat's sending.
func (tx chatTx) Attach(ctx context.Context, message int64, ids []string) error {
	for i, id := range ids {
		if _, err := tx.exec(ctx, attach, message, id, i); err != nil {
			return fmt.Errorf("attach file: %w", err)
		}
	}
	return nil
}

const (
	mentionableUser = `SELECT u.id, coalesce(u.username, '') FROM members AS m JOIN users AS u ON u.id = m.user_id
		WHERE m.chat_id = $1 AND m.user_id = $2 AND m.user_id <> $3 AND m.state = 'active'`
	mentionableName = `SELECT u.id, u.username FROM users AS u JOIN members AS m ON m.user_id = u.id AND m.chat_id = $1
		WHERE u.username = $2 AND u.id <> $3 AND m.state = 'active'`
	addMention = `INSERT INTO mentions (user_id, chat_id, seq, message_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
)

// Mentionable implements chat's sending.
func (tx chatTx) Mentionable(ctx context.Context, id, except int64, users []int64, names []string) (map[int64]string, error) {
	found := make(map[int64]string)
	look := func(query string, key any) error {
		var user int64
		var name string
		err := tx.queryRow(ctx, query, args(id, key, except), &user, &name)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		found[user] = name
		return err
	}
	for _, user := range users {
		if err := look(mentionableUser, user); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if err := look(mentionableName, name); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// AddMentions implements chat's sending.
func (tx chatTx) AddMentions(ctx context.Context, m *chat.Message, users []int64) error {
	for _, user := range users {
		if _, err := tx.exec(ctx, addMention, user, m.Chat, m.Seq, m.ID); err != nil {
			return fmt.Errorf("store mention: %w", err)
		}
	}
	return nil
}

const attachable = `SELECT id, kind, name, mime, size, sha256, width, height, duration_ms, blurhash, thumb_key <> '' FROM files
	WHERE id = $1 AND owner_id = $2 AND kind <> 'avatar'`

// Attachable implements chat's sending.
func (tx chatTx) Attachable(ctx context.Context, user int64, ids []string) ([]chat.Attachment, error) {
	var found []chat.Attachment
	for _, id := range ids {
		if strings.ContainsRune(id, 0) {
			continue // an error would end the transaction, see [ErrText]
		}
		var f chat.Attachment
		err := tx.queryRow(ctx, attachable, args(id, user),
			&f.ID, &f.Kind, &f.Name, &f.MIME, &f.Size, &f.SHA256, &f.Width, &f.Height, &f.Duration, &f.Blurhash, &f.Thumb)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		found = append(found, f)
	}
	return found, nil
}
