package store

import (
	"context"
	"fmt"

	"github.com/kuranty/kuranty/internal/chat"
)

const (
	roleRank = `CAST(CASE i.role WHEN 'owner' THEN 0 WHEN 'admin' THEN 1 ELSE 2 END AS BIGINT)`

	membersFrom = ` FROM members AS i JOIN users AS w ON w.id = i.user_id JOIN users AS me ON me.id = $1
		WHERE i.chat_id = $2 AND i.state = $3 AND ($4 = '' OR i.role = $4) AND ($5 = '' OR w.search_name LIKE $5 ESCAPE '!')`
	countMembers = `SELECT count(*)` + membersFrom
	membersOf    = `SELECT ` + memberColumns + `, ` + personViewColumns + membersFrom + `
		AND (` + roleRank + `, i.joined_at, i.user_id) > ($6, $7, $8)
		ORDER BY ` + roleRank + `, i.joined_at, i.user_id LIMIT $9`
)

// MembersOf implements chat's members.
func (tx chatTx) MembersOf(ctx context.Context, viewer, id int64, q chat.MembersPage) (found []chat.MemberView, total int, err error) {
	name := ""
	if q.Name != "" {
		name = "%" + likeText.Replace(q.Name) + "%"
	}
	if err := tx.queryRow(ctx, countMembers, args(viewer, id, q.State, q.Role, name), &total); err != nil {
		return nil, 0, fmt.Errorf("count members: %w", err)
	}
	a := args(viewer, id, q.State, q.Role, name, q.After.Rank, q.After.JoinedAt, q.After.User, q.Limit)
	err = tx.query(ctx, membersOf, a, func(r row) error {
		var m chat.MemberView
		mf, pf := memberFields{m: &m.Member}, personFields{p: &m.Person}
		if err := r.Scan(append(mf.dest(), pf.dest()...)...); err != nil {
			return fmt.Errorf("scan member: %w", err)
		}
		mf.finish()
		if err := pf.finish(); err != nil {
			return err
		}
		found = append(found, m)
		return nil
	})
	return found, total, err
}

// Somebody lets another add them unless one blocks the other, or they want to hear of
// contacts only: people who accepted each other, or to whom they have written.
const (
	candidate = `SELECT ` + personColumns + `, coalesce(i.state, ''),
		NOT EXISTS (SELECT 1 FROM blocks AS b WHERE (b.user_id = u.id AND b.blocked_id = me.id) OR (b.user_id = me.id AND b.blocked_id = u.id))
		AND (u.privacy NOT LIKE '%"who_can_add":"contacts"%'
			OR EXISTS (SELECT 1 FROM contacts AS k WHERE k.user_id = u.id AND k.contact_id = me.id AND k.state = 'accepted')
			OR EXISTS (SELECT 1 FROM chats AS z JOIN messages AS x ON x.chat_id = z.id
				WHERE z.kind = 'direct' AND z.direct_key IN (u.id || ':' || me.id, me.id || ':' || u.id) AND x.sender_id = u.id)) `
	candidatesSQLite = candidate + `FROM json_each($1) AS j JOIN users AS u ON u.id = j.value
		JOIN users AS me ON me.id = $2 LEFT JOIN members AS i ON i.chat_id = $3 AND i.user_id = u.id ORDER BY u.id`
	candidatesPostgres = candidate + `FROM jsonb_array_elements_text($1::jsonb) AS j(value) JOIN users AS u ON u.id = j.value::bigint
		JOIN users AS me ON me.id = $2 LEFT JOIN members AS i ON i.chat_id = $3 AND i.user_id = u.id ORDER BY u.id`
)

// Candidates implements chat's members.
func (tx chatTx) Candidates(ctx context.Context, id, user int64, users []int64) (found []chat.Candidate, err error) {
	list, err := idList(users)
	if err != nil {
		return nil, err
	}
	err = tx.query(ctx, tx.text(candidatesSQLite, candidatesPostgres), args(list, user, id), func(r row) error {
		var c chat.Candidate
		if err := r.Scan(append(personDest(&c.Person), &c.State, &c.Willing)...); err != nil {
			return fmt.Errorf("scan person: %w", err)
		}
		found = append(found, c)
		return nil
	})
	return found, err
}

// What was said while somebody was away counts as read, and what was once hidden from a
// member stays hidden.
const (
	joinInto = `INSERT INTO members (chat_id, user_id, role, joined_at, joined_seq, visible_from_seq, read_seq, read_at, delivered_seq, delivered_at, event_seq) `
	joinOn   = ` WHERE TRUE ON CONFLICT (chat_id, user_id) DO UPDATE SET role = excluded.role, state = 'active', joined_at = excluded.joined_at,
		joined_seq = excluded.joined_seq, read_seq = excluded.read_seq, read_at = excluded.read_at, delivered_seq = excluded.delivered_seq,
		delivered_at = excluded.delivered_at, manual_unread_seq = 0, archived = FALSE, hidden = FALSE, event_seq = excluded.event_seq,
		visible_from_seq = CASE WHEN members.visible_from_seq > excluded.visible_from_seq THEN members.visible_from_seq ELSE excluded.visible_from_seq END`
	joinSQLite   = joinInto + `SELECT $1, j.value, $2, $3, $4, $5, $4, $3, $4, $3, $6 FROM json_each($7) AS j` + joinOn
	joinPostgres = joinInto + `SELECT $1::bigint, j.value::bigint, $2, $3::bigint, $4::bigint, $5::bigint, $4, $3, $4, $3, $6::bigint
		FROM jsonb_array_elements_text($7::jsonb) AS j(value)` + joinOn

	furthest = ` FROM members WHERE chat_id = chats.id AND state = 'active' ORDER BY read_seq DESC, user_id LIMIT 1`
	topReads = `top_reader = coalesce((SELECT user_id` + furthest + `), 0), top_read = coalesce((SELECT read_seq` + furthest + `), 0),
		next_read = coalesce((SELECT read_seq` + furthest + ` OFFSET 1), 0)`
	recount      = `UPDATE chats SET member_count = (SELECT count(*) FROM members WHERE chat_id = chats.id AND state = 'active'), ` + topReads + ` WHERE id = $1 RETURNING member_count`
	recountReads = `UPDATE chats SET ` + topReads
)

// Join implements chat's members.
func (tx chatTx) Join(ctx context.Context, c *chat.Chat, role string, users []int64, now int64) (members int, err error) {
	list, err := idList(users)
	if err != nil {
		return 0, err
	}
	var visible int64
	if c.Settings.HistoryForNew == "joined" {
		visible = c.LastSeq
	}
	if _, err := tx.exec(ctx, tx.text(joinSQLite, joinPostgres), c.ID, role, now, c.LastSeq, visible, c.LastEventSeq+1, list); err != nil {
		return 0, fmt.Errorf("store members: %w", err)
	}
	return tx.recount(ctx, c.ID)
}

func (tx chatTx) recount(ctx context.Context, id int64) (members int, err error) {
	if err := tx.queryRow(ctx, recount, args(id), &members); err != nil {
		return 0, fmt.Errorf("count members of chat %d: %w", id, err)
	}
	return members, nil
}

const (
	departed = `UPDATE members SET state = $1, role = 'member', event_seq = $2 WHERE chat_id = $3 AND user_id = $4`
	setRole  = `UPDATE members SET role = $1, event_seq = $2 WHERE chat_id = $3 AND user_id = $4`
)

// Depart implements chat's members.
func (tx chatTx) Depart(ctx context.Context, c *chat.Chat, user int64, state string) (members int, err error) {
	if _, err := tx.exec(ctx, departed, state, c.LastEventSeq+1, c.ID, user); err != nil {
		return 0, fmt.Errorf("store member: %w", err)
	}
	return tx.recount(ctx, c.ID)
}

// SetRole implements chat's members.
func (tx chatTx) SetRole(ctx context.Context, c *chat.Chat, user int64, role string) error {
	_, err := tx.exec(ctx, setRole, role, c.LastEventSeq+1, c.ID, user)
	return err
}

const (
	goodInvite = `n.revoked_at = 0 AND (n.expires_at = 0 OR n.expires_at > $2) AND (n.max_uses = 0 OR n.uses < n.max_uses)`

	inviteColumns = `n.id, n.chat_id, n.created_by, n.created_at, n.expires_at, n.max_uses, n.uses`

	addInvite    = `INSERT INTO invites (id, chat_id, created_by, created_at, expires_at, max_uses) VALUES ($1, $2, $3, $4, $5, $6)`
	invitesOf    = `SELECT ` + inviteColumns + ` FROM invites AS n WHERE n.chat_id = $1 AND ` + goodInvite + ` ORDER BY n.created_at DESC, n.id`
	inviteBy     = `SELECT ` + inviteColumns + `, ` + chatColumns + ` FROM invites AS n JOIN chats AS c ON c.id = n.chat_id AND c.state = 'active' WHERE n.id = $1 AND ` + goodInvite
	useInvite    = `UPDATE invites AS n SET uses = uses + 1 WHERE n.id = $1 AND ` + goodInvite
	revokeInvite = `UPDATE invites AS n SET revoked_at = $2 WHERE n.id = $1 AND ` + goodInvite + ` AND n.chat_id = $3`
	revokeAllOf  = `UPDATE invites SET revoked_at = $1 WHERE chat_id = $2 AND created_by = $3 AND revoked_at = 0`
)

func inviteDest(in *chat.Invite) []any {
	return []any{&in.ID, &in.Chat, &in.CreatedBy, &in.CreatedAt, &in.ExpiresAt, &in.MaxUses, &in.Uses}
}

// AddInvite implements chat's invites.
func (tx chatTx) AddInvite(ctx context.Context, key string, in *chat.Invite) error {
	_, err := tx.exec(ctx, addInvite, key, in.Chat, in.CreatedBy, in.CreatedAt, in.ExpiresAt, in.MaxUses)
	return err
}

// InvitesOf implements chat's invites.
func (tx chatTx) InvitesOf(ctx context.Context, id, now int64) (found []chat.Invite, err error) {
	err = tx.query(ctx, invitesOf, args(id, now), func(r row) error {
		var in chat.Invite
		if err := r.Scan(inviteDest(&in)...); err != nil {
			return fmt.Errorf("scan invite: %w", err)
		}
		found = append(found, in)
		return nil
	})
	return found, err
}

// InviteBy implements chat's invites.
func (tx chatTx) InviteBy(ctx context.Context, key string, now int64) (in chat.Invite, c chat.Chat, err error) {
	f := chatFields{c: &c}
	if err := tx.queryRow(ctx, inviteBy, args(key, now), append(inviteDest(&in), f.dest()...)...); err != nil {
		return in, c, noRow(err, chat.ErrNotFound)
	}
	return in, c, f.finish()
}

// UseInvite implements chat's invites.
func (tx chatTx) UseInvite(ctx context.Context, key string, now int64) error {
	return found(tx.exec(ctx, useInvite, key, now))
}

// RevokeInvite implements chat's invites.
func (tx chatTx) RevokeInvite(ctx context.Context, id int64, key string, now int64) error {
	return found(tx.exec(ctx, revokeInvite, key, now, id))
}

// found makes a change of no row [chat.ErrNotFound].
func found(n int64, err error) error {
	if err == nil && n == 0 {
		return chat.ErrNotFound
	}
	return err
}

// RevokeInvitesOf implements chat's members.
func (tx chatTx) RevokeInvitesOf(ctx context.Context, id, user, now int64) error {
	_, err := tx.exec(ctx, revokeAllOf, now, id, user)
	return err
}
