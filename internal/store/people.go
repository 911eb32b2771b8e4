package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/kuranty/kuranty/internal/chat"
)

// personViewColumns are those of a person called w as another, called me, sees them;
// without a row they are those of nobody.
const personViewColumns = `coalesce(w.id, 0), coalesce(w.name, ''), coalesce(w.username, ''), coalesce(w.email, ''), coalesce(w.about, ''),
	coalesce(nullif(w.avatar_file_id, ''), w.picture, ''), coalesce(w.kind, ''), coalesce(w.state, ''), coalesce(w.role, ''), coalesce(w.lang, ''),
	coalesce(w.privacy, ''), coalesce(w.last_seen_at, 0), coalesce(w.created_at, 0),
	EXISTS (SELECT 1 FROM contacts AS k WHERE k.user_id = me.id AND k.contact_id = w.id AND k.state = 'accepted'),
	EXISTS (SELECT 1 FROM blocks AS b WHERE b.user_id = me.id AND b.blocked_id = w.id),
	EXISTS (SELECT 1 FROM chats AS z WHERE z.kind = 'direct' AND z.direct_key IN (w.id || ':' || me.id, me.id || ':' || w.id))`

// personFields are where personViewColumns are scanned to; finish then fills in the rest.
type personFields struct {
	p       *chat.PersonView
	privacy []byte
}

func (f *personFields) dest() []any {
	p := f.p
	return []any{
		&p.ID, &p.Name, &p.Username, &p.Email, &p.About, &p.Avatar, &p.Kind, &p.State, &p.Role, &p.Lang,
		&f.privacy, &p.LastSeenAt, &p.CreatedAt, &p.Contact, &p.BlockedByMe, &p.Near,
	}
}

func (f *personFields) finish() error {
	f.p.Near = f.p.Near || f.p.Contact
	if err := fromJSON(f.privacy, &f.p.Privacy); err != nil {
		return fmt.Errorf("privacy of user %d: %w", f.p.ID, err)
	}
	return nil
}

// readPeople scans rows of personViewColumns.
func (tx chatTx) readPeople(ctx context.Context, query string, a ...any) ([]chat.PersonView, error) {
	var found []chat.PersonView
	err := tx.query(ctx, query, a, func(r row) error {
		var p chat.PersonView
		f := personFields{p: &p}
		if err := r.Scan(f.dest()...); err != nil {
			return fmt.Errorf("scan person: %w", err)
		}
		if err := f.finish(); err != nil {
			return err
		}
		found = append(found, p)
		return nil
	})
	return found, err
}

const (
	peopleOfSQLite   = `SELECT ` + personViewColumns + ` FROM json_each($1) AS j JOIN users AS w ON w.id = j.value CROSS JOIN (SELECT CAST($2 AS BIGINT) AS id) AS me`
	peopleOfPostgres = `SELECT ` + personViewColumns + ` FROM jsonb_array_elements_text($1::jsonb) AS j(value)
		JOIN users AS w ON w.id = j.value::bigint CROSS JOIN (SELECT CAST($2 AS BIGINT) AS id) AS me`
)

// PeopleOf implements chat's people. The viewer needs no row: 0 sees what strangers see.
func (tx chatTx) PeopleOf(ctx context.Context, viewer int64, users []int64) ([]chat.PersonView, error) {
	list, err := idList(users)
	if err != nil {
		return nil, err
	}
	return tx.readPeople(ctx, tx.text(peopleOfSQLite, peopleOfPostgres), list, viewer)
}

const findPeople = `WITH found AS (SELECT u.id, CAST(CASE WHEN u.username = $1 OR u.email = $2 THEN 0
		WHEN u.search_name LIKE $3 ESCAPE '!' THEN 1 WHEN u.search_name LIKE $4 ESCAPE '!' THEN 2 ELSE 3 END AS BIGINT) AS place
	FROM users AS u WHERE u.state = 'active' AND u.id <> $5 AND (u.search_name LIKE $6 ESCAPE '!' OR u.username = $1 OR u.email = $2)
	AND NOT EXISTS (SELECT 1 FROM blocks AS b WHERE b.user_id = u.id AND b.blocked_id = $5)
	AND (NOT $7 OR EXISTS (SELECT 1 FROM contacts AS k WHERE k.user_id = $5 AND k.contact_id = u.id AND k.state = 'accepted')
		OR EXISTS (SELECT 1 FROM members AS x JOIN members AS y ON y.chat_id = x.chat_id AND y.user_id = u.id AND y.state = 'active'
			WHERE x.user_id = $5 AND x.state = 'active')))
	SELECT ` + personViewColumns + `, f.place FROM found AS f JOIN users AS w ON w.id = f.id JOIN users AS me ON me.id = $5
	WHERE (f.place, f.id) > ($8, $9) ORDER BY f.place, f.id LIMIT $10`

// likeText makes signs of a text mean themselves in LIKE … ESCAPE '!'.
var likeText = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// FindPeople implements chat's people.
func (tx chatTx) FindPeople(ctx context.Context, viewer int64, q chat.PeoplePage) ([]chat.FoundPerson, error) {
	text := likeText.Replace(q.Needle)
	var found []chat.FoundPerson
	a := args(q.Needle, q.Email, text+"%", "% "+text+"%", viewer, "%"+text+"%", q.Near, q.After.Rank, q.After.ID, q.Limit)
	err := tx.query(ctx, findPeople, a, func(r row) error {
		var p chat.FoundPerson
		f := personFields{p: &p.PersonView}
		if err := r.Scan(append(f.dest(), &p.Rank)...); err != nil {
			return fmt.Errorf("scan person: %w", err)
		}
		if err := f.finish(); err != nil {
			return err
		}
		found = append(found, p)
		return nil
	})
	return found, err
}

const sharesChat = `SELECT EXISTS (SELECT 1 FROM contacts WHERE user_id = $1 AND contact_id = $2 AND state = 'accepted')
	OR EXISTS (SELECT 1 FROM members AS x JOIN members AS y ON y.chat_id = x.chat_id AND y.user_id = $2 AND y.state = 'active'
		JOIN chats AS c ON c.id = x.chat_id AND c.state = 'active' WHERE x.user_id = $1 AND x.state = 'active')`

// SharesChat implements chat's people.
func (tx chatTx) SharesChat(ctx context.Context, a, b int64) (shares bool, err error) {
	err = tx.queryRow(ctx, sharesChat, args(a, b), &shares)
	return shares, err
}
