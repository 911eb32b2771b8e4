package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/trust"
)

// trustTx is what package trust does in a transaction.
type trustTx struct{ *Tx }

type trustStore struct{ s *Store }

// Trust returns the store of identities and verifications.
func (s *Store) Trust() trust.Store { return trustStore{s} }

func (c trustStore) Update(ctx context.Context, f func(trust.Tx) error) error {
	return c.s.Update(ctx, func(tx *Tx) error { return f(trustTx{tx}) })
}

func (c trustStore) View(ctx context.Context, f func(trust.Tx) error) error {
	return c.s.View(ctx, func(tx *Tx) error { return f(trustTx{tx}) })
}

const (
	identityColumns = `i.id, i.user_id, i.username, i.display_name, i.public_key, i.level, i.score, i.created_at, i.updated_at,
	EXISTS (SELECT 1 FROM trust_verifications AS v WHERE v.identity_id = i.id AND v.type = 'challenge' AND v.status = 'verified')`

	insertIdentity = `INSERT INTO trust_identities (id, user_id, username, display_name, public_key, fingerprint, level, score, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`
	saveIdentity = `UPDATE trust_identities SET username = $1, display_name = $2, public_key = $3, fingerprint = $4, level = $5, score = $6, updated_at = $7
		WHERE id = $8`
	identityByID   = `SELECT ` + identityColumns + ` FROM trust_identities AS i WHERE i.id = $1`
	lockIdentity   = identityByID + ` FOR UPDATE`
	identityByUser = `SELECT ` + identityColumns + ` FROM trust_identities AS i WHERE i.user_id = $1`

	allIdentities = `SELECT ` + identityColumns + ` FROM trust_identities AS i WHERE i.id < $1 ORDER BY i.id DESC LIMIT $2`
	identityNamed = `SELECT ` + identityColumns + ` FROM trust_identities AS i WHERE i.username = $3 AND i.id < $1 ORDER BY i.id DESC LIMIT $2`
	identityKeyed = `SELECT ` + identityColumns + ` FROM trust_identities AS i WHERE i.fingerprint = $3 AND i.id < $1 ORDER BY i.id DESC LIMIT $2`
	identityOwned = `SELECT ` + identityColumns + ` FROM trust_identities AS i WHERE i.user_id = $3 AND i.id < $1 ORDER BY i.id DESC LIMIT $2`
)

func scanIdentity(r row, i *trust.Identity) error {
	var key string
	err := r.Scan(&i.ID, &i.User, &i.Username, &i.DisplayName, &key, &i.Level, &i.Score, &i.CreatedAt, &i.UpdatedAt, &i.KeyVerified)
	if err != nil {
		return err
	}
	if i.Key, err = base64.StdEncoding.DecodeString(key); err != nil {
		return fmt.Errorf("key of identity %s: %w", i.ID, err)
	}
	return nil
}

func (tx trustTx) identity(ctx context.Context, query string, a ...any) (i trust.Identity, err error) {
	if err := classify(scanIdentity(tx.row(ctx, query, a...), &i)); err != nil {
		return trust.Identity{}, fmt.Errorf("read identity: %w", noRow(err, trust.ErrNotFound))
	}
	return i, nil
}

// AddIdentity implements trust.Tx.
func (tx trustTx) AddIdentity(ctx context.Context, i *trust.Identity) error {
	n, err := tx.exec(ctx, insertIdentity, i.ID, i.User, i.Username, i.DisplayName, base64.StdEncoding.EncodeToString(i.Key),
		trust.Fingerprint(i.Key), i.Level, int64(i.Score), i.CreatedAt, i.UpdatedAt)
	switch {
	case err != nil:
		return fmt.Errorf("add identity: %w", err)
	case n == 1:
		return nil
	}
	switch _, err := tx.IdentityOf(ctx, i.User); {
	case err == nil:
		return trust.ErrExists
	case !errors.Is(err, trust.ErrNotFound):
		return err
	}
	return &trust.TakenError{Field: "username"}
}

// Identity implements trust.Tx.
func (tx trustTx) Identity(ctx context.Context, id string) (trust.Identity, error) {
	return tx.identity(ctx, identityByID, id)
}

// LockIdentity implements trust.Tx.
func (tx trustTx) LockIdentity(ctx context.Context, id string) (trust.Identity, error) {
	return tx.identity(ctx, tx.text(identityByID, lockIdentity), id)
}

// IdentityOf implements trust.Tx.
func (tx trustTx) IdentityOf(ctx context.Context, user int64) (trust.Identity, error) {
	return tx.identity(ctx, identityByUser, user)
}

// SaveIdentity implements trust.Tx.
func (tx trustTx) SaveIdentity(ctx context.Context, i *trust.Identity) error {
	_, err := tx.exec(ctx, saveIdentity, i.Username, i.DisplayName, base64.StdEncoding.EncodeToString(i.Key), trust.Fingerprint(i.Key),
		i.Level, int64(i.Score), i.UpdatedAt, i.ID)
	if err != nil {
		return fmt.Errorf("save identity: %w", err)
	}
	return nil
}

// Identities implements trust.Tx.
func (tx trustTx) Identities(ctx context.Context, q *trust.IdentityQuery, below string) (list []trust.Identity, err error) {
	collect := func(r row) error {
		var i trust.Identity
		err := scanIdentity(r, &i)
		list = append(list, i)
		return err
	}
	switch {
	case q.User != 0:
		err = tx.query(ctx, identityOwned, args(below, q.Limit, q.User), collect)
	case q.Username != "":
		err = tx.query(ctx, identityNamed, args(below, q.Limit, q.Username), collect)
	case q.Fingerprint != "":
		err = tx.query(ctx, identityKeyed, args(below, q.Limit, q.Fingerprint), collect)
	default:
		err = tx.query(ctx, allIdentities, args(below, q.Limit), collect)
	}
	return list, err
}

const (
	verificationColumns = `v.id, v.identity_id, v.type, v.status, v.confidence, v.verifier, v.begun_by, v.challenge, v.secret, v.tries,
	v.created_at, v.updated_at, v.expires_at`

	insertVerification = `INSERT INTO trust_verifications (id, identity_id, type, status, confidence, verifier, begun_by, challenge, secret, tries,
			created_at, updated_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	saveVerification = `UPDATE trust_verifications SET status = $1, confidence = $2, verifier = $3, challenge = $4, secret = $5, tries = $6,
		updated_at = $7, expires_at = $8 WHERE id = $9`
	verificationByID     = `SELECT ` + verificationColumns + ` FROM trust_verifications AS v WHERE v.id = $1`
	currentVerifications = `SELECT ` + verificationColumns + ` FROM trust_verifications AS v
		WHERE v.identity_id = $1 AND v.type = $2 AND v.status = $3 ORDER BY v.id`

	verificationPage = ` AND v.id < $1 AND ($2 = '' OR v.type = $2) AND ($3 = '' OR v.status = $3) ORDER BY v.id DESC LIMIT $4`
	allVerifications = `SELECT ` + verificationColumns + ` FROM trust_verifications AS v WHERE TRUE` + verificationPage
	verificationsOf  = `SELECT ` + verificationColumns + ` FROM trust_verifications AS v WHERE v.identity_id = $5` + verificationPage
	verificationsFor = `SELECT ` + verificationColumns + ` FROM trust_verifications AS v
		WHERE (v.identity_id = (SELECT id FROM trust_identities WHERE user_id = $5) OR v.begun_by = $6) AND ($7 = '' OR v.identity_id = $7)` + verificationPage

	vouched = `SELECT EXISTS (SELECT 1 FROM trust_verifications
		WHERE identity_id = $1 AND type = 'member' AND status IN ('verified', 'failed') AND verifier = $2)`
	evidence = `SELECT type, max(confidence), CAST(sum(confidence) AS BIGINT) FROM trust_verifications
		WHERE identity_id = $1 AND status = 'verified' GROUP BY type`
	begunBy   = `SELECT count(*), coalesce(min(created_at), 0) FROM trust_verifications WHERE begun_by = $1 AND created_at > $2`
	mailedFor = `SELECT count(*), coalesce(min(created_at), 0) FROM trust_verifications WHERE identity_id = $1 AND type = 'email' AND created_at > $2`

	addressee = `SELECT coalesce(email, ''), name, lang FROM users WHERE id = $1 AND state <> 'deleted'`
)

func scanVerification(r row, v *trust.Verification) error {
	return r.Scan(&v.ID, &v.Identity, &v.Type, &v.Status, &v.Confidence, &v.Verifier, &v.BegunBy, &v.Challenge, &v.Secret, &v.Tries,
		&v.CreatedAt, &v.UpdatedAt, &v.ExpiresAt)
}

func (tx trustTx) verifications(ctx context.Context, query string, a ...any) (list []trust.Verification, err error) {
	err = tx.query(ctx, query, a, func(r row) error {
		var v trust.Verification
		err := scanVerification(r, &v)
		list = append(list, v)
		return err
	})
	return list, err
}

// AddVerification implements trust.Tx.
func (tx trustTx) AddVerification(ctx context.Context, v *trust.Verification) error {
	_, err := tx.exec(ctx, insertVerification, v.ID, v.Identity, v.Type, v.Status, int64(v.Confidence), v.Verifier, v.BegunBy, v.Challenge, v.Secret, v.Tries,
		v.CreatedAt, v.UpdatedAt, v.ExpiresAt)
	if err != nil {
		return fmt.Errorf("add verification: %w", err)
	}
	return nil
}

// Verification implements trust.Tx.
func (tx trustTx) Verification(ctx context.Context, id string) (v trust.Verification, err error) {
	if err := classify(scanVerification(tx.row(ctx, verificationByID, id), &v)); err != nil {
		return v, fmt.Errorf("read verification: %w", noRow(err, trust.ErrNotFound))
	}
	return v, nil
}

// SaveVerification implements trust.Tx.
func (tx trustTx) SaveVerification(ctx context.Context, v *trust.Verification) error {
	_, err := tx.exec(ctx, saveVerification, v.Status, int64(v.Confidence), v.Verifier, v.Challenge, v.Secret, v.Tries, v.UpdatedAt, v.ExpiresAt, v.ID)
	if err != nil {
		return fmt.Errorf("save verification: %w", err)
	}
	return nil
}

// Verifications implements trust.Tx.
func (tx trustTx) Verifications(ctx context.Context, viewer int64, q *trust.VerificationQuery, below string) ([]trust.Verification, error) {
	switch {
	case viewer != 0:
		return tx.verifications(ctx, verificationsFor, below, q.Type, q.Status, q.Limit, viewer, event.User(viewer), q.Identity)
	case q.Identity != "":
		return tx.verifications(ctx, verificationsOf, below, q.Type, q.Status, q.Limit, q.Identity)
	}
	return tx.verifications(ctx, allVerifications, below, q.Type, q.Status, q.Limit)
}

// Current implements trust.Tx.
func (tx trustTx) Current(ctx context.Context, identity, typ, status string) ([]trust.Verification, error) {
	return tx.verifications(ctx, currentVerifications, identity, typ, status)
}

// Vouched implements trust.Tx.
func (tx trustTx) Vouched(ctx context.Context, identity, member string) (there bool, err error) {
	err = tx.queryRow(ctx, vouched, args(identity, member), &there)
	return there, err
}

// Evidence implements trust.Tx.
func (tx trustTx) Evidence(ctx context.Context, identity string) (trust.Evidence, error) {
	found := make(trust.Evidence)
	err := tx.query(ctx, evidence, args(identity), func(r row) error {
		var typ string
		var best, sum trust.Share
		err := r.Scan(&typ, &best, &sum)
		if found[typ] = best; typ == trust.Member {
			found[typ] = sum
		}
		return err
	})
	return found, err
}

// Begun implements trust.Tx.
func (tx trustTx) Begun(ctx context.Context, actor string, after int64) (n int, first int64, err error) {
	err = tx.queryRow(ctx, begunBy, args(actor, after), &n, &first)
	return n, first, err
}

// Mailed implements trust.Tx.
func (tx trustTx) Mailed(ctx context.Context, identity string, after int64) (n int, first int64, err error) {
	err = tx.queryRow(ctx, mailedFor, args(identity, after), &n, &first)
	return n, first, err
}

// Person implements trust.Tx.
func (tx trustTx) Person(ctx context.Context, user int64) (p trust.Person, err error) {
	err = tx.queryRow(ctx, addressee, args(user), &p.Email, &p.Name, &p.Lang)
	return p, noRow(err, trust.ErrNotFound)
}

const (
	dueVerifications = `SELECT id FROM trust_verifications WHERE status IN ('pending', 'verified') AND expires_at <= $1 ORDER BY expires_at LIMIT $2`
	ownerless        = `SELECT i.user_id FROM trust_identities AS i JOIN users AS u ON u.id = i.user_id WHERE u.state = 'deleted' LIMIT $1`
	forgetEnded      = `DELETE FROM trust_verifications WHERE id IN (
		SELECT id FROM trust_verifications WHERE status IN ('failed', 'expired') AND updated_at < $1 ORDER BY updated_at LIMIT $2)`

	eventsOfIdentity    = `SELECT ` + eventColumns + ` FROM events WHERE stream = $1 AND id > $2 ORDER BY id LIMIT $3`
	removeVerifications = `DELETE FROM trust_verifications WHERE id IN (SELECT id FROM trust_verifications WHERE identity_id = $1 LIMIT $2)`
	removeIdentity      = `DELETE FROM trust_identities WHERE id = $1`
)

// Due implements trust.Tx.
func (tx trustTx) Due(ctx context.Context, now int64, limit int) ([]string, error) {
	return column[string](ctx, tx.Tx, dueVerifications, now, limit)
}

// Ownerless implements trust.Tx.
func (tx trustTx) Ownerless(ctx context.Context, limit int) ([]int64, error) {
	return column[int64](ctx, tx.Tx, ownerless, limit)
}

// ForgetEnded implements trust.Tx.
func (tx trustTx) ForgetEnded(ctx context.Context, before int64, limit int) (int64, error) {
	return tx.exec(ctx, forgetEnded, before, limit)
}

// Shown implements trust.Tx.
func (tx trustTx) Shown(ctx context.Context, identity string, after int64, limit int) ([]event.Event, error) {
	return tx.readEvents(ctx, eventsOfIdentity, trust.Stream(identity), after, limit)
}

// RemoveVerifications implements trust.Tx.
func (tx trustTx) RemoveVerifications(ctx context.Context, identity string, limit int) (int64, error) {
	return tx.exec(ctx, removeVerifications, identity, limit)
}

// RemoveIdentity implements trust.Tx.
func (tx trustTx) RemoveIdentity(ctx context.Context, i *trust.Identity) error {
	if _, err := tx.exec(ctx, forgetRepliesTo, event.User(i.User)); err != nil {
		return err
	}
	_, err := tx.exec(ctx, removeIdentity, i.ID)
	return err
}
