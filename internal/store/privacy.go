package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/privacy"
)

const (
	standing = `SELECT state, legal_hold, role = 'admin' AND state = 'active' AND NOT EXISTS (
			SELECT 1 FROM users AS o WHERE o.role = 'admin' AND o.state = 'active' AND o.id <> u.id)
		FROM users AS u WHERE u.id = $1`
	heldChatsOf = `SELECT count(*) FROM members AS i JOIN chats AS c ON c.id = i.chat_id WHERE i.user_id = $1 AND c.legal_hold`
	sessionsOf  = `SELECT ` + sessionColumns + ` FROM sessions WHERE user_id = $1 ORDER BY created_at, id`
	memberChats = `SELECT i.chat_id FROM members AS i JOIN chats AS c ON c.id = i.chat_id
		WHERE i.user_id = $1 AND i.state = 'active' AND c.state = 'active' AND i.chat_id > $2 ORDER BY i.chat_id LIMIT $3`
	ownFiles = `SELECT id FROM files WHERE owner_id = $1 AND id > $2 ORDER BY id LIMIT $3`
)

// Standing implements privacy's erasing.
func (tx privacyTx) Standing(ctx context.Context, user int64) (s privacy.Standing, err error) {
	if err := tx.queryRow(ctx, standing, args(user), &s.State, &s.Held, &s.OnlyAdmin); err != nil {
		return s, noRow(err, privacy.ErrNotFound)
	}
	return s, nil
}

// HeldChatsOf implements privacy's erasing.
func (tx privacyTx) HeldChatsOf(ctx context.Context, user int64) (n int, err error) {
	err = tx.queryRow(ctx, heldChatsOf, args(user), &n)
	return n, err
}

// SessionsOf implements privacy's exports.
func (tx privacyTx) SessionsOf(ctx context.Context, user int64) (list []identity.Session, err error) {
	err = tx.query(ctx, sessionsOf, args(user), func(r row) error {
		var s identity.Session
		err := scanSession(r, &s)
		s.Family, s.Refresh, s.Replaced = "", "", nil
		list = append(list, s)
		return err
	})
	return list, err
}

// MemberChats implements privacy's exports.
func (tx privacyTx) MemberChats(ctx context.Context, user, after int64, limit int) ([]int64, error) {
	return column[int64](ctx, tx.Tx, memberChats, user, after, limit)
}

// OwnFiles implements privacy's exports.
func (tx privacyTx) OwnFiles(ctx context.Context, user int64, after string, limit int) ([]string, error) {
	return column[string](ctx, tx.Tx, ownFiles, user, after, limit)
}

// column collects the one column of a query.
func column[T any](ctx context.Context, tx *Tx, query string, a ...any) (list []T, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var v T
		err := r.Scan(&v)
		list = append(list, v)
		return err
	})
	return list, err
}

const (
	unheld   = ` JOIN chats AS c ON c.id = m.chat_id AND NOT c.legal_hold `
	placesOf = `SELECT m.chat_id FROM members AS m` + unheld + `WHERE m.user_id = $1 AND m.chat_id > $2 ORDER BY m.chat_id LIMIT $3`
	// The index of client ids has all that is asked for, and asking each chat needs no index
	// of senders, which every message would cost.
	sentBy = `SELECT c.id, m.id FROM chats AS c CROSS JOIN messages AS m
		WHERE NOT c.legal_hold AND c.id >= $2 AND m.chat_id = c.id AND m.sender_id = $1 AND (c.id, m.id) > ($2, $3) ORDER BY c.id, m.id LIMIT $4`
	reactedBy = `SELECT m.chat_id, m.id FROM (SELECT DISTINCT message_id FROM reactions WHERE user_id = $1 AND message_id > $2) AS r
		JOIN messages AS m ON m.id = r.message_id` + unheld + `ORDER BY m.id LIMIT $3`
	filesBy = `SELECT m.chat_id, m.id, f.id FROM files AS f JOIN message_files AS mf ON mf.file_id = f.id JOIN messages AS m ON m.id = mf.message_id` + unheld + `
		WHERE f.owner_id = $1 AND m.id > $2 ORDER BY m.id, f.id LIMIT $3`
	forwardedFrom = `SELECT m.chat_id, m.id FROM messages AS m` + unheld + `
		WHERE m.forward <> '' AND m.id > $1 AND m.forward LIKE $2 AND m.forward NOT LIKE $3 ORDER BY m.id LIMIT $4`
	namingSystem = `SELECT m.chat_id, m.id FROM messages AS m` + unheld + `WHERE m.chat_id = $1 AND m.message_type = 'system' AND m.id > $2
		AND (m.system LIKE $3 OR m.system LIKE $4 OR m.system LIKE $5 OR m.system LIKE $6 OR m.system LIKE $7 OR m.system LIKE $8) ORDER BY m.id LIMIT $9`
	avatarsBy = `SELECT m.id, 0, m.avatar_file_id FROM chats AS m JOIN files AS f ON f.id = m.avatar_file_id
		WHERE m.avatar_file_id <> '' AND f.owner_id = $1 AND NOT m.legal_hold ORDER BY m.id LIMIT $2`
	looseFilesOf = `SELECT f.id FROM files AS f WHERE f.owner_id = $1
		AND NOT EXISTS (SELECT 1 FROM message_files AS mf JOIN messages AS m ON m.id = mf.message_id JOIN chats AS c ON c.id = m.chat_id
			WHERE mf.file_id = f.id AND c.legal_hold)
		AND NOT EXISTS (SELECT 1 FROM chats AS c WHERE c.avatar_file_id = f.id AND c.legal_hold) LIMIT $2`
)

// PlacesOf implements privacy's erasing.
func (tx privacyTx) PlacesOf(ctx context.Context, user, after int64, limit int) ([]int64, error) {
	return column[int64](ctx, tx.Tx, placesOf, user, after, limit)
}

func (tx privacyTx) refs(ctx context.Context, query string, a ...any) (list []privacy.Ref, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var m privacy.Ref
		err := r.Scan(&m.Chat, &m.Message)
		list = append(list, m)
		return err
	})
	return list, err
}

func (tx privacyTx) fileRefs(ctx context.Context, query string, a ...any) (list []privacy.FileRef, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var f privacy.FileRef
		err := r.Scan(&f.Chat, &f.Message, &f.File)
		list = append(list, f)
		return err
	})
	return list, err
}

// SentBy implements privacy's erasing.
func (tx privacyTx) SentBy(ctx context.Context, user, chat, after int64, limit int) ([]privacy.Ref, error) {
	return tx.refs(ctx, sentBy, user, chat, after, limit)
}

// ReactedBy implements privacy's erasing.
func (tx privacyTx) ReactedBy(ctx context.Context, user, after int64, limit int) ([]privacy.Ref, error) {
	return tx.refs(ctx, reactedBy, user, after, limit)
}

// FilesBy implements privacy's erasing.
func (tx privacyTx) FilesBy(ctx context.Context, user, after int64, limit int) ([]privacy.FileRef, error) {
	return tx.fileRefs(ctx, filesBy, user, after, limit)
}

// ForwardedFrom implements privacy's erasing. Forwards are JSON that only we write, without
// blanks.
func (tx privacyTx) ForwardedFrom(ctx context.Context, user, after int64, limit int) ([]privacy.Ref, error) {
	from := `%"sender_id":` + strconv.FormatInt(user, 10) + `,%`
	return tx.refs(ctx, forwardedFrom, after, from, `{"sender_name":"Deleted account"%`, limit)
}

// NamingSystem implements privacy's erasing.
func (tx privacyTx) NamingSystem(ctx context.Context, user, chat, after int64, limit int) ([]privacy.Ref, error) {
	u := strconv.FormatInt(user, 10)
	return tx.refs(ctx, namingSystem, chat, after,
		`%"actor_id":`+u+`,%`, `%"actor_id":`+u+`}%`, `%[`+u+`]%`, `%[`+u+`,%`, `%,`+u+`,%`, `%,`+u+`]%`, limit)
}

// AvatarsBy implements privacy's erasing.
func (tx privacyTx) AvatarsBy(ctx context.Context, user int64, limit int) ([]privacy.FileRef, error) {
	return tx.fileRefs(ctx, avatarsBy, user, limit)
}

// LooseFilesOf implements privacy's erasing.
func (tx privacyTx) LooseFilesOf(ctx context.Context, user int64, limit int) ([]string, error) {
	return column[string](ctx, tx.Tx, looseFilesOf, user, limit)
}

const neutralKeys = `UPDATE api_keys SET name = 'Deleted account' WHERE created_by = $1 RETURNING id`

// KeysOf implements privacy's erasing.
func (tx privacyTx) KeysOf(ctx context.Context, user int64) ([]string, error) {
	return column[string](ctx, tx.Tx, neutralKeys, user)
}

// forgetting are the statements of ForgetPerson; the parameter is the person. Rows about
// two people stand under both, which finds those under the other.
var forgetting = []string{
	`DELETE FROM sessions WHERE user_id = $1`,
	`DELETE FROM account_tokens WHERE user_id = $1 OR created_by = $1`,
	`DELETE FROM api_keys WHERE created_by = $1`,
	`DELETE FROM contacts WHERE contact_id = $1 AND user_id IN (SELECT contact_id FROM contacts WHERE user_id = $1)`,
	`DELETE FROM contacts WHERE user_id = $1`,
	`DELETE FROM blocks WHERE user_id = $1 OR blocked_id = $1`,
	`DELETE FROM mentions WHERE user_id = $1`,
	`DELETE FROM message_hidden WHERE user_id = $1`,
	`DELETE FROM read_log WHERE user_id = $1 AND chat_id IN (SELECT chat_id FROM members WHERE user_id = $1)`,
	`DELETE FROM invites WHERE created_by = $1 AND chat_id IN (SELECT chat_id FROM members WHERE user_id = $1)`,
	`DELETE FROM file_usage WHERE owner_id = $1 AND NOT EXISTS (SELECT 1 FROM files WHERE owner_id = $1)`,
	`UPDATE members SET draft = '', read_at = 0, delivered_at = 0, last_sent_at = 0, muted_until = 0, pin_order = 0, archived = FALSE WHERE user_id = $1`,
	`UPDATE users SET last_seen_at = NULL WHERE id = $1`,
}

const (
	repliesNaming = `SELECT principal, key, response FROM idempotency WHERE response LIKE $1 OR response LIKE $2`
	removeReply   = `DELETE FROM idempotency WHERE principal = $1 AND key = $2`
)

// RepliesNaming implements privacy's erasing. Replies are JSON that only we write, without
// blanks.
func (tx privacyTx) RepliesNaming(ctx context.Context, user int64) (list []privacy.Reply, err error) {
	u := strconv.FormatInt(user, 10)
	err = tx.query(ctx, repliesNaming, args("%:"+u+",%", "%:"+u+"}%"), func(r row) error {
		var reply privacy.Reply
		err := r.Scan(&reply.Principal, &reply.Key, &reply.Text)
		list = append(list, reply)
		return err
	})
	return list, err
}

// RemoveReply implements privacy's erasing.
func (tx privacyTx) RemoveReply(ctx context.Context, r privacy.Reply) error {
	_, err := tx.exec(ctx, removeReply, r.Principal, r.Key)
	return err
}

const (
	forgetRepliesTo   = `DELETE FROM idempotency WHERE principal = $1`
	forgetRepliesLike = `DELETE FROM idempotency WHERE response LIKE $1`
)

// ForgetPerson implements privacy's erasing.
func (tx privacyTx) ForgetPerson(ctx context.Context, user int64) error {
	for _, statement := range forgetting {
		if _, err := tx.exec(ctx, statement, user); err != nil {
			return fmt.Errorf("%s: %w", strings.SplitN(statement, " WHERE", 2)[0], err)
		}
	}
	if _, err := tx.exec(ctx, forgetRepliesTo, event.User(user)); err != nil {
		return fmt.Errorf("forget replies: %w", err)
	}
	return nil
}

const (
	eventsFrom = `SELECT ` + eventColumns + ` FROM events WHERE id > $1
		AND (stream IS NULL OR stream NOT IN (SELECT 'chat:' || id FROM chats WHERE legal_hold)) ORDER BY id LIMIT $2`
	eventAt = `SELECT ` + eventColumns + ` FROM events WHERE id = $1`
	// Whoever takes the content of a message out of an event meanwhile goes first or after.
	holdEventAt = eventAt + ` FOR UPDATE`
)

// EventsFrom implements privacy's erasing.
func (tx privacyTx) EventsFrom(ctx context.Context, after int64, limit int) ([]event.Event, error) {
	return tx.readEvents(ctx, eventsFrom, after, limit)
}

// EventAt implements privacy's erasing.
func (tx privacyTx) EventAt(ctx context.Context, row int64) (event.Event, error) {
	found, err := tx.readEvents(ctx, tx.text(eventAt, holdEventAt), row)
	if err != nil {
		return event.Event{}, err
	}
	if len(found) == 0 {
		return event.Event{}, privacy.ErrNotFound
	}
	return found[0], nil
}

const (
	holdUser = `UPDATE users SET legal_hold = $1 WHERE id = $2`
	holdChat = `UPDATE chats SET legal_hold = $1 WHERE id = $2`
)

// HoldUser implements privacy's holds.
func (tx privacyTx) HoldUser(ctx context.Context, user int64, held bool) error {
	return tx.hold(ctx, holdUser, user, held)
}

// HoldChat implements privacy's holds.
func (tx privacyTx) HoldChat(ctx context.Context, chat int64, held bool) error {
	return tx.hold(ctx, holdChat, chat, held)
}

func (tx privacyTx) hold(ctx context.Context, query string, id int64, held bool) error {
	n, err := tx.exec(ctx, query, held, id)
	if err == nil && n == 0 {
		err = privacy.ErrNotFound
	}
	return err
}

const (
	keptDays = `(CASE WHEN c.retention_days = 0 THEN CAST($1 AS BIGINT) WHEN CAST($1 AS BIGINT) = 0 OR c.retention_days < CAST($1 AS BIGINT)
		THEN c.retention_days ELSE CAST($1 AS BIGINT) END)`
	oldest = `(SELECT m.created_at FROM messages AS m WHERE m.chat_id = c.id ORDER BY m.seq LIMIT 1)`

	ageingChats = `SELECT c.id, CASE WHEN c.state <> 'active' THEN 0 ELSE ` + keptDays + ` END FROM chats AS c
		WHERE c.id > $2 AND NOT c.legal_hold
		AND c.id NOT IN (SELECT i.chat_id FROM users AS u JOIN members AS i ON i.user_id = u.id WHERE u.legal_hold)
		AND CASE WHEN c.state <> 'active' THEN ` + oldest + ` IS NOT NULL
			WHEN ` + keptDays + ` = 0 THEN FALSE ELSE coalesce(` + oldest + ` < $3 - ` + keptDays + ` * ` + dayMS + `, FALSE) END
		ORDER BY c.id LIMIT $4`

	dropReadLog = `DELETE FROM read_log WHERE (chat_id, user_id, seq) IN (SELECT chat_id, user_id, seq FROM read_log WHERE at < $1 LIMIT $2)`
	dropReplies = `DELETE FROM idempotency WHERE (principal, key) IN (SELECT principal, key FROM idempotency WHERE created_at < $1 LIMIT $2)`
	dropJobs    = `DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE ended_at > 0 AND ended_at < $1 LIMIT $2)`
	dropInvites = `DELETE FROM invites WHERE id IN (SELECT id FROM invites
		WHERE revoked_at > 0 OR (expires_at > 0 AND expires_at <= $1) OR (max_uses > 0 AND uses >= max_uses) LIMIT $2)`
)

// AgeingChats implements privacy's retention.
func (tx privacyTx) AgeingChats(ctx context.Context, after, now, days int64, limit int) (list []privacy.Ageing, err error) {
	err = tx.query(ctx, ageingChats, args(days, after, now, limit), func(r row) error {
		var a privacy.Ageing
		err := r.Scan(&a.Chat, &a.Days)
		list = append(list, a)
		return err
	})
	return list, err
}

// DropReadLog implements privacy's retention.
func (tx privacyTx) DropReadLog(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.exec(ctx, dropReadLog, before, limit)
}

// DropReplies implements privacy's retention.
func (tx privacyTx) DropReplies(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.exec(ctx, dropReplies, before, limit)
}

// DropJobs implements privacy's retention.
func (tx privacyTx) DropJobs(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.exec(ctx, dropJobs, before, limit)
}

// DropInvites implements privacy's retention.
func (tx privacyTx) DropInvites(ctx context.Context, now int64, limit int) (int64, error) {
	return tx.exec(ctx, dropInvites, now, limit)
}
