package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/kuranty/kuranty/internal/chat"
)

// memberColumns are those of a member, of a table called i.
const memberColumns = `i.chat_id, i.user_id, i.role, i.state, i.joined_at, i.joined_seq, i.visible_from_seq, i.read_seq, i.delivered_seq,
	i.read_at, i.delivered_at, i.manual_unread_seq, i.muted_until, i.pin_order, i.archived, i.hidden, i.draft, i.last_sent_at`

// memberFields are where memberColumns are scanned to; finish then fills in the rest.
type memberFields struct {
	m     *chat.Member
	draft []byte
}

func (f *memberFields) dest() []any {
	m := f.m
	return []any{
		&m.Chat, &m.User, &m.Role, &m.State, &m.JoinedAt, &m.JoinedSeq, &m.VisibleFromSeq, &m.ReadSeq, &m.DeliveredSeq,
		&m.ReadAt, &m.DeliveredAt, &m.ManualUnreadSeq, &m.MutedUntil, &m.PinOrder, &m.Archived, &m.Hidden, &f.draft, &m.LastSentAt,
	}
}

func (f *memberFields) finish() {
	if len(f.draft) > 0 {
		f.m.Draft = f.draft
	}
}

const (
	// pin sorts chats that are not pinned after those that are (chat.NotPinned).
	pin = `CASE WHEN i.pin_order > 0 THEN i.pin_order ELSE 9007199254740991 END`

	// small is up to how many members of a chat it is told how far each has read.
	small = `WITH small AS (SELECT CAST($1 AS BIGINT) AS n)`

	listed = ` FROM members AS i JOIN chats AS c ON c.id = i.chat_id
		WHERE i.user_id = $2 AND i.state = 'active' AND NOT i.hidden AND c.state = 'active'
		AND ($3 = '' OR c.kind = $3) AND ($4 OR i.archived = $5) AND (NOT $6 OR i.manual_unread_seq > 0 OR ` + unreadCount + ` > 0)`

	countViews = small + ` SELECT count(*)` + listed

	views = small + `, page AS (SELECT c.id AS chat_id, ` + pin + ` AS pin` + listed + `
		AND (` + pin + `, -c.last_activity_at, -c.id) > ($7, $8, $9)
		ORDER BY 2, c.last_activity_at DESC, c.id DESC LIMIT $10 OFFSET $11)` + viewRows

	viewOf = small + `, page AS (SELECT c.id AS chat_id, 0 AS pin FROM members AS i JOIN chats AS c ON c.id = i.chat_id
		WHERE i.user_id = $2 AND i.chat_id = $3 AND i.state = 'active' AND c.state = 'active')` + viewRows

	// viewRows are the chats of a page with what one member, $2, sees of them.
	viewRows = ` SELECT ` + chatColumns + `, ` + memberColumns + `, ` + othersRead + `, ` + othersDelivered + `, ` +
		unreadCount + `, ` + unreadMentions + `, ` + lastShown + `, ` + personViewColumns + `
		FROM page AS p JOIN chats AS c ON c.id = p.chat_id JOIN members AS i ON i.chat_id = c.id AND i.user_id = $2
		JOIN users AS me ON me.id = i.user_id
		LEFT JOIN members AS o ON c.kind = 'direct' AND o.chat_id = c.id AND o.user_id <> i.user_id LEFT JOIN users AS w ON w.id = o.user_id
		ORDER BY p.pin, c.last_activity_at DESC, c.id DESC`

	// How far others have read and got messages is told in direct chats only if both tell
	// (chat-api.md §0.7), of delivery in small chats only.
	othersRead = `CASE WHEN c.kind <> 'direct' THEN CASE WHEN c.top_reader = i.user_id THEN c.next_read ELSE c.top_read END
		WHEN ` + notTold + ` THEN 0 ELSE coalesce(o.read_seq, 0) END`
	othersDelivered = `CASE WHEN c.kind <> 'direct' AND c.member_count > (SELECT n FROM small) THEN 0
		WHEN c.kind <> 'direct' THEN coalesce((SELECT max(x.delivered_seq) FROM members AS x WHERE x.chat_id = c.id AND x.user_id <> i.user_id AND x.state = 'active'), 0)
		WHEN ` + notTold + ` THEN 0 ELSE coalesce(o.delivered_seq, 0) END`
	notTold = `me.privacy LIKE '%"read_receipts":false%' OR w.privacy LIKE '%"read_receipts":false%'`

	// lastShown is the id of the newest message that the member sees.
	lastShown = `coalesce((SELECT x.id FROM messages AS x WHERE x.chat_id = c.id AND x.seq > i.visible_from_seq AND x.deleted_at = 0
		AND ` + notHidden + ` ORDER BY x.seq DESC LIMIT 1), 0)`
)

// Views implements chat's lists.
func (tx chatTx) Views(ctx context.Context, user int64, q chat.ChatsPage) ([]chat.View, error) {
	return tx.readViews(ctx, views, q.Small, user, q.Kind, q.Any, q.Archived, q.Unread,
		q.After.Pin, -q.After.Activity, -q.After.ID, q.Limit, q.Offset)
}

// CountViews implements chat's lists.
func (tx chatTx) CountViews(ctx context.Context, user int64, q chat.ChatsPage) (n int, err error) {
	err = tx.queryRow(ctx, countViews, args(q.Small, user, q.Kind, q.Any, q.Archived, q.Unread), &n)
	return n, err
}

// ViewOf implements chat's lists.
func (tx chatTx) ViewOf(ctx context.Context, user, id int64, small int) (chat.View, error) {
	found, err := tx.readViews(ctx, viewOf, small, user, id)
	if err != nil {
		return chat.View{}, err
	}
	if len(found) == 0 {
		return chat.View{}, chat.ErrNotFound
	}
	return found[0], nil
}

// readViews scans viewRows and fetches the messages they name.
func (tx chatTx) readViews(ctx context.Context, query string, a ...any) ([]chat.View, error) {
	var found []chat.View
	last := make(map[int64]int) // message → index in found
	err := tx.query(ctx, query, a, func(r row) error {
		var v chat.View
		var message int64
		cf, mf, pf := chatFields{c: &v.Chat}, memberFields{m: &v.Member}, personFields{p: new(chat.PersonView)}
		d := append(cf.dest(), mf.dest()...)
		d = append(d, &v.Read.Others, &v.Read.OthersDelivered, &v.Unread, &v.UnreadMentions, &message)
		if err := r.Scan(append(d, pf.dest()...)...); err != nil {
			return fmt.Errorf("scan chat: %w", err)
		}
		if err := cf.finish(); err != nil {
			return err
		}
		if err := pf.finish(); err != nil {
			return err
		}
		mf.finish()
		v.Read.Own = v.Member.ReadSeq
		if pf.p.ID != 0 {
			v.Companion = pf.p
		}
		if message != 0 {
			last[message] = len(found)
		}
		found = append(found, v)
		return nil
	})
	if err != nil || len(last) == 0 {
		return found, err
	}
	return found, tx.fillLast(ctx, found, last)
}

// messagesBy are messages by a JSON list of ids.
const (
	messagesBySQLite   = `SELECT ` + messageColumns + ` FROM json_each($1) AS j JOIN messages AS m ON m.id = j.value` + messageJoins
	messagesByPostgres = `SELECT ` + messageColumns + ` FROM jsonb_array_elements_text($1::jsonb) AS j(value) JOIN messages AS m ON m.id = j.value::bigint` + messageJoins
)

func (tx chatTx) fillLast(ctx context.Context, found []chat.View, last map[int64]int) error {
	wanted := make([]int64, 0, len(last))
	for id := range last {
		wanted = append(wanted, id)
	}
	list, err := idList(wanted)
	if err != nil {
		return err
	}
	messages, err := tx.readMessages(ctx, tx.text(messagesBySQLite, messagesByPostgres), list)
	if err != nil {
		return err
	}
	for i := range messages {
		found[last[messages[i].ID]].LastMessage = &messages[i]
	}
	return nil
}

// idList encodes ids for json_each.
func idList(ids []int64) (string, error) {
	b, err := json.Marshal(ids)
	if err != nil {
		return "", fmt.Errorf("encode ids: %w", err)
	}
	if ids == nil {
		return "[]", nil
	}
	return string(b), nil
}

const memberOf = `SELECT ` + memberColumns + `, ` + chatColumns + ` FROM members AS i JOIN chats AS c ON c.id = i.chat_id
	WHERE i.chat_id = $1 AND i.user_id = $2 AND i.state = 'active' AND c.state = 'active'`

// MemberOf implements chat's lists.
func (tx chatTx) MemberOf(ctx context.Context, user, id int64) (m chat.Member, c chat.Chat, err error) {
	mf, cf := memberFields{m: &m}, chatFields{c: &c}
	if err := tx.queryRow(ctx, memberOf, args(id, user), append(mf.dest(), cf.dest()...)...); err != nil {
		return m, c, noRow(err, chat.ErrNotFound)
	}
	mf.finish()
	return m, c, cf.finish()
}

const activeOf = `SELECT c.id, c.member_count, i.visible_from_seq FROM members AS i JOIN chats AS c ON c.id = i.chat_id
	WHERE i.user_id = $1 AND i.state = 'active' AND NOT i.hidden AND c.state = 'active'
	ORDER BY c.last_activity_at DESC, c.id DESC LIMIT $2`

// ActiveOf implements chat's lists.
func (tx chatTx) ActiveOf(ctx context.Context, user int64, limit int) (found []chat.Place, err error) {
	err = tx.query(ctx, activeOf, args(user, limit), func(r row) error {
		var p chat.Place
		if err := r.Scan(&p.Chat, &p.Members, &p.VisibleFromSeq); err != nil {
			return fmt.Errorf("scan chat: %w", err)
		}
		found = append(found, p)
		return nil
	})
	return found, err
}
