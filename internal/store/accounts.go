package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/kuranty/kuranty/internal/identity"
)

// Accounts is the part of the store that keeps accounts, sessions and API keys.
func (s *Store) Accounts() identity.Store { return accountStore{s} }

type accountStore struct{ s *Store }

func (a accountStore) Update(ctx context.Context, change func(identity.Tx) error) error {
	return a.s.Update(ctx, func(tx *Tx) error { return change(accountTx{tx}) })
}

func (a accountStore) View(ctx context.Context, read func(identity.Tx) error) error {
	return a.s.View(ctx, func(tx *Tx) error { return read(accountTx{tx}) })
}

// accountTx is a transaction as identity sees it.
type accountTx struct{ *Tx }

const (
	insertAccount = `INSERT INTO users (external_id, username, email, email_verified_at, name, about, avatar_file_id, picture,
			password_hash, role, kind, state, lang, tz, privacy, search_name, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) RETURNING id`
	insertNumbered = `INSERT INTO users (external_id, username, email, email_verified_at, name, about, avatar_file_id, picture,
			password_hash, role, kind, state, lang, tz, privacy, search_name, created_at, updated_at, id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) RETURNING id`

	// PostgreSQL numbers rows from a sequence that knows nothing of numbers given by hand
	// (SQLite's AUTOINCREMENT does), so it is moved past them, by one transaction at a time.
	lockNumbers = `SELECT pg_advisory_xact_lock(4702394921427289)`
	skipNumbers = `SELECT setval('users_id_seq', $1) FROM users_id_seq WHERE last_value < $1`

	skipNumbersSQLite  = `UPDATE sqlite_sequence SET seq = $1 WHERE name = 'users' AND seq < $1`
	beginNumbersSQLite = `INSERT INTO sqlite_sequence (name, seq) SELECT 'users', $1 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'users')`
)

// AddAccount stores an account and sets its id, unless it has one.
func (tx accountTx) AddAccount(ctx context.Context, a *identity.Account) error {
	values, err := accountValues(a)
	if err != nil {
		return err
	}
	values = append(values, a.CreatedAt, a.UpdatedAt)
	query := insertAccount
	if a.ID != 0 {
		query, values = insertNumbered, append(values, a.ID)
	}
	if err := tx.queryRow(ctx, query, values, &a.ID); err != nil {
		return fmt.Errorf("add account: %w", taken(err))
	}
	if query == insertAccount || tx.dialect != Postgres {
		return nil
	}
	return tx.NumberAbove(ctx, a.ID)
}

// NumberAbove moves the numbers of accounts that are added past n.
func (tx accountTx) NumberAbove(ctx context.Context, n int64) error {
	var err error
	if tx.dialect == Postgres {
		if _, err = tx.exec(ctx, lockNumbers); err == nil {
			_, err = tx.exec(ctx, skipNumbers, n)
		}
	} else if _, err = tx.exec(ctx, skipNumbersSQLite, n); err == nil {
		_, err = tx.exec(ctx, beginNumbersSQLite, n)
	}
	if err != nil {
		return fmt.Errorf("number accounts above %d: %w", n, err)
	}
	return nil
}

// accountValues are the columns that inserting and updating have in common, in order.
func accountValues(a *identity.Account) ([]any, error) {
	privacy, err := json.Marshal(a.Privacy)
	if err != nil {
		return nil, fmt.Errorf("encode privacy of account %d: %w", a.ID, err)
	}
	return []any{
		nullText(a.ExternalID), nullText(a.Username), nullText(a.Email), nullNumber(a.EmailVerifiedAt), a.Name, a.About,
		nullText(a.AvatarFile), nullText(a.Picture), nullText(a.PasswordHash), a.Role, a.Kind, a.State, a.Lang, a.TZ,
		string(privacy), a.SearchName(),
	}, nil
}

const updateAccount = `UPDATE users SET external_id = $1, username = $2, email = $3, email_verified_at = $4, name = $5, about = $6,
		avatar_file_id = $7, picture = $8, password_hash = $9, role = $10, kind = $11, state = $12, lang = $13, tz = $14,
		privacy = $15, search_name = $16, updated_at = $17
	WHERE id = $18`

// SaveAccount stores what may change of an account.
func (tx accountTx) SaveAccount(ctx context.Context, a identity.Account) error {
	values, err := accountValues(&a)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, updateAccount, append(values, a.UpdatedAt, a.ID)...); err != nil {
		return fmt.Errorf("save account %d: %w", a.ID, taken(err))
	}
	return nil
}

// taken names the unique value that another account has.
func taken(err error) error {
	if !isConflict(err) {
		return err
	}
	where := err.Error() // SQLite: "… users.email"
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		where = pg.ConstraintName // users_email_key
	}
	for _, field := range []string{"external_id", "username", "email"} {
		if strings.Contains(where, "users."+field) || where == "users_"+field+"_key" {
			return &identity.TakenError{Field: field}
		}
	}
	return &identity.TakenError{Field: "id"}
}

const accountColumns = `id, coalesce(external_id, ''), coalesce(username, ''), coalesce(email, ''), coalesce(email_verified_at, 0), name, about,
	coalesce(avatar_file_id, ''), coalesce(picture, ''), coalesce(password_hash, ''), role, kind, state, lang, tz, privacy,
	coalesce(last_seen_at, 0), user_seq, created_at, updated_at`

func scanAccount(r row, a *identity.Account) error {
	var privacy []byte
	err := r.Scan(&a.ID, &a.ExternalID, &a.Username, &a.Email, &a.EmailVerifiedAt, &a.Name, &a.About,
		&a.AvatarFile, &a.Picture, &a.PasswordHash, &a.Role, &a.Kind, &a.State, &a.Lang, &a.TZ, &privacy,
		&a.LastSeenAt, &a.Seq, &a.CreatedAt, &a.UpdatedAt)
	if err != nil {
		return err
	}
	a.Privacy = identity.DefaultPrivacy() // for settings that are newer than the row
	if err := json.Unmarshal(privacy, &a.Privacy); err != nil {
		return fmt.Errorf("decode privacy of account %d: %w", a.ID, err)
	}
	return nil
}

func (tx accountTx) account(ctx context.Context, query string, key any) (a identity.Account, err error) {
	err = classify(scanAccount(tx.row(ctx, query, key), &a))
	if errors.Is(err, sql.ErrNoRows) {
		return identity.Account{}, identity.ErrNotFound
	}
	if err != nil {
		return identity.Account{}, fmt.Errorf("read account: %w", err)
	}
	return a, nil
}

const (
	accountByID       = `SELECT ` + accountColumns + ` FROM users WHERE id = $1`
	accountByUsername = `SELECT ` + accountColumns + ` FROM users WHERE username = $1`
	accountByEmail    = `SELECT ` + accountColumns + ` FROM users WHERE email = $1`
	accountByExternal = `SELECT ` + accountColumns + ` FROM users WHERE external_id = $1`
	// The one writer of SQLite needs no lock.
	lockAccount = accountByID + ` FOR NO KEY UPDATE`
)

// Account returns an account.
func (tx accountTx) Account(ctx context.Context, id int64) (identity.Account, error) {
	return tx.account(ctx, accountByID, id)
}

// LockAccount returns an account that nobody else changes until the transaction ends.
func (tx accountTx) LockAccount(ctx context.Context, id int64) (identity.Account, error) {
	return tx.account(ctx, tx.text(accountByID, lockAccount), id)
}

// AccountByUsername returns the account with a username.
func (tx accountTx) AccountByUsername(ctx context.Context, username string) (identity.Account, error) {
	return tx.account(ctx, accountByUsername, username)
}

// AccountByEmail returns the account with an e-mail address.
func (tx accountTx) AccountByEmail(ctx context.Context, email string) (identity.Account, error) {
	return tx.account(ctx, accountByEmail, email)
}

// AccountByExternal returns the account of a person of the operator's application.
func (tx accountTx) AccountByExternal(ctx context.Context, id string) (identity.Account, error) {
	return tx.account(ctx, accountByExternal, id)
}

const listAccounts = `SELECT ` + accountColumns + ` FROM users
	WHERE id > $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR role = $3)
		AND ($4 = '' OR search_name LIKE $4 ESCAPE '!' OR email LIKE $4 ESCAPE '!')
	ORDER BY id LIMIT $5`

// ListAccounts returns accounts by rising id.
func (tx accountTx) ListAccounts(ctx context.Context, q identity.AccountQuery) ([]identity.Account, error) {
	pattern := ""
	if q.Search != "" {
		pattern = "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(q.Search) + "%"
	}
	var list []identity.Account
	err := tx.query(ctx, listAccounts, args(q.After, q.State, q.Role, pattern, q.Limit), func(r row) error {
		var a identity.Account
		if err := scanAccount(r, &a); err != nil {
			return err
		}
		list = append(list, a)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return list, nil
}

const (
	activeAdmins = `SELECT id FROM users WHERE role = 'admin' AND state = 'active' ORDER BY id`
	lockAdmins   = activeAdmins + ` FOR NO KEY UPDATE`
	anyAdmin     = `SELECT EXISTS (SELECT 1 FROM users WHERE role = 'admin' AND state <> 'deleted')`
)

// LockAdmins returns the active administrators, whom nobody else changes until the
// transaction ends.
func (tx accountTx) LockAdmins(ctx context.Context) (ids []int64, err error) {
	err = tx.query(ctx, tx.text(activeAdmins, lockAdmins), nil, func(r row) error {
		var id int64
		if err := r.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lock administrators: %w", err)
	}
	return ids, nil
}

// AnyAdmin tells whether there is an administrator.
func (tx accountTx) AnyAdmin(ctx context.Context) (found bool, err error) {
	if err := tx.queryRow(ctx, anyAdmin, nil, &found); err != nil {
		return false, fmt.Errorf("look for an administrator: %w", err)
	}
	return found, nil
}

// NextSeq takes the next number of a user's stream.
func (tx accountTx) NextSeq(ctx context.Context, id int64) (seq int64, err error) {
	return seq, noRow(tx.queryRow(ctx, nextUserSeq, args(id), &seq), identity.ErrNotFound)
}
