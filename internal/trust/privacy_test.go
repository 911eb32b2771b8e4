package trust_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/trust"
)

var _ privacy.Part = trust.Personal{}

// export is what an export has of m, by file.
func (n *network) export(m *member) map[string]string {
	n.t.Helper()
	files := make(map[string]string)
	n.must(n.Personal().Export(n.t.Context(), m.User, func(name string, v any) error {
		b, err := json.Marshal(v)
		files[name] = string(b)
		return err
	}))
	return files
}

// find counts the rows of the database that have a text.
func (n *network) find(text string) (found []string) {
	n.t.Helper()
	db, err := sql.Open(n.driver, n.dsn)
	n.must(err)
	defer db.Close()
	for _, query := range []string{
		`SELECT username || display_name || public_key FROM trust_identities`, `SELECT verifier || begun_by || challenge FROM trust_verifications`,
		`SELECT payload FROM events WHERE type LIKE 'trust.%'`,
	} {
		rows, err := db.QueryContext(n.t.Context(), query)
		n.must(err)
		for rows.Next() {
			var row string
			n.must(rows.Scan(&row))
			if strings.Contains(row, text) {
				found = append(found, row)
			}
		}
		n.must(errors.Join(rows.Err(), rows.Close()))
	}
	return found
}

func TestExport(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		if got := n.export(n.person()); len(got) != 0 {
			t.Errorf("without an identity: %v", got)
		}
		anna, boris := n.member(), n.member()
		n.sign(anna)
		n.begin(anna.Caller, trust.Member, boris.ID)
		n.begin(boris.Caller, trust.Phone, "")
		got := n.export(anna)
		for name, texts := range map[string][]string{
			"identity":        {anna.ID, anna.name, "Анна С.", anna.fingerprint(), anna.public(), `"reputation":0.35`, "2026-05-01T12:00:00.000Z"},
			"verifications-1": {`"challenge"`, `"member"`, boris.ID, `"verified"`},
		} {
			for _, text := range texts {
				if !strings.Contains(got[name], text) {
					t.Errorf("%s lacks %s: %s", name, text, got[name])
				}
			}
		}
		if strings.Contains(fmt.Sprint(got), "phone") || len(got) != 2 {
			t.Errorf("more than anna's own: %v", got)
		}
		planted := errors.New("planted")
		if err := n.Personal().Export(t.Context(), anna.User, func(string, any) error { return planted }); !errors.Is(err, planted) {
			t.Errorf("an error of the writer: %v", err)
		}
	})
}

func TestErase(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		anna, boris := n.member(), n.member()
		n.sign(anna)
		n.begin(anna.Caller, trust.Phone, "")
		word := n.begin(anna.Caller, trust.Member, boris.ID)
		n.begin(boris.Caller, trust.Member, anna.ID)
		name := "Анна Соколова"
		_, err := n.Change(ctx, anna.Caller, anna.ID, trust.Change{DisplayName: &name})
		n.must(err)
		score := n.seen(boris.ID).Score
		n.exec(`INSERT INTO idempotency (principal, key, request, status, response, created_at) VALUES ($1, 'k', '', 201, $2, 0)`, anna.Actor, anna.name)

		for range 2 {
			n.must(n.Personal().Erase(ctx, anna.User))
		}
		for _, text := range []string{anna.name, "Анна Соколова", anna.public()} {
			if found := n.find(text); len(found) > 0 {
				t.Errorf("%q is left in %q", text, found)
			}
		}
		_, err = n.Identity(ctx, anna.ID)
		is(t, "the identity", err, trust.ErrNotFound)
		if _, err := n.Begin(ctx, boris.Caller, trust.NewVerification{Type: trust.Member, Identity: anna.ID}); !errors.Is(err, trust.ErrNotFound) {
			t.Errorf("vouch for who is gone: %v", err)
		}
		// What anna said stands; boris is as before.
		if v, err := n.Verification(ctx, operator, word.ID); err != nil || v.Status != trust.Verified || n.seen(boris.ID).Score != score {
			t.Errorf("anna's word is %+v, %v", v, err)
		}
		if len(n.find(boris.name)) == 0 {
			t.Error("boris is gone too")
		}
		n.checkLog()
		// The name is free, and so is the person.
		vera := n.person()
		_, err = n.Create(ctx, vera.Caller, trust.NewIdentity{Username: anna.name, PublicKey: vera.public()})
		n.must(err)
	})
}

// checkLog holds the trust events that the database has against their schemas.
func (n *network) checkLog() {
	n.t.Helper()
	catalogue, err := event.NewCatalogue()
	n.must(err)
	db, err := sql.Open(n.driver, n.dsn)
	n.must(err)
	defer db.Close()
	rows, err := db.QueryContext(n.t.Context(), `SELECT type, payload FROM events WHERE type LIKE 'trust.%'`)
	n.must(err)
	seen := 0
	for rows.Next() {
		var typ, payload string
		n.must(rows.Scan(&typ, &payload))
		seen++
		if err := catalogue.Kind(typ).Check([]byte(payload)); err != nil {
			n.t.Errorf("the log has %s: %v", typ, err)
		}
	}
	n.must(errors.Join(rows.Err(), rows.Close()))
	if seen == 0 {
		n.t.Error("the log has no events")
	}
}

// An identity whose owner's account was deleted without it goes by itself.
func TestIdentitiesOfDeletedAccountsGo(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		anna, boris := n.member(), n.member()
		n.must(n.accounts.Delete(t.Context(), identity.Operator("test"), anna.User))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- n.Run(ctx) }()
		for late := time.Now().Add(10 * time.Second); len(n.find(anna.name)) > 0; {
			if time.Now().After(late) {
				t.Fatal("the identity is still there")
			}
			<-time.After(5 * time.Millisecond) // of the real clock: the database has no other
		}
		cancel()
		n.must(<-done)
		n.seen(boris.ID)
	})
}

// broken is a store in which the n-th event of a transaction cannot be appended.
type broken struct {
	trust.Store
	n int
}

type brokenTx struct {
	trust.Tx
	n *int
}

var errPlanted = errors.New("planted")

func (b broken) Update(ctx context.Context, f func(trust.Tx) error) error {
	return b.Store.Update(ctx, func(tx trust.Tx) error {
		n := b.n
		return f(brokenTx{tx, &n})
	})
}

func (b brokenTx) Append(ctx context.Context, e event.Event) error {
	if *b.n--; *b.n == 0 {
		return errPlanted
	}
	return b.Tx.Append(ctx, e)
}

// A change and its events are stored together or not at all.
func TestEventsAreStoredWithTheChange(t *testing.T) {
	onBoth(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		anna, boris, guest := n.member(), n.member(), n.person()
		n.sign(boris)
		challenge := n.begin(anna.Caller, trust.Challenge, "")
		phone := n.begin(anna.Caller, trust.Phone, "")
		n.happened()
		key := guest.public()
		for what, c := range map[string]struct {
			events int
			do     func(*trust.Service) error
		}{
			"create": {1, func(s *trust.Service) error {
				_, err := s.Create(ctx, guest.Caller, trust.NewIdentity{Username: "guest", PublicKey: guest.public()})
				return err
			}},
			"change": {2, func(s *trust.Service) error { // the pending challenge fails too
				_, err := s.Change(ctx, anna.Caller, anna.ID, trust.Change{PublicKey: &key})
				return err
			}},
			"vouch": {2, func(s *trust.Service) error {
				_, err := s.Begin(ctx, boris.Caller, trust.NewVerification{Type: trust.Member, Identity: anna.ID})
				return err
			}},
			"begin another": {2, func(s *trust.Service) error {
				_, err := s.Begin(ctx, anna.Caller, trust.NewVerification{Type: trust.Challenge})
				return err
			}},
			"confirm": {2, func(s *trust.Service) error {
				_, err := s.Confirm(ctx, anna.Caller, challenge.ID, trust.Proof{Signature: anna.signature(challenge.Challenge)})
				return err
			}},
			"decide": {2, func(s *trust.Service) error {
				_, err := s.Decide(ctx, operator, phone.ID, trust.Decision{Status: trust.Verified})
				return err
			}},
		} {
			before := n.stored()
			for nth := range c.events {
				s, err := trust.New(trust.Options{Store: broken{n.store.Trust(), nth + 1}, Secret: make([]byte, 32), Clock: n.clock})
				n.must(err)
				if err := c.do(s); !errors.Is(err, errPlanted) {
					t.Errorf("%s without event %d: %v", what, nth+1, err)
				}
			}
			if after := n.stored(); after != before || len(n.happened()) > 0 {
				t.Errorf("%s without an event changed\n%s\nto\n%s", what, before, after)
			}
		}
	})
}

// stored is all that the database has of identities and verifications.
func (n *network) stored() string {
	n.t.Helper()
	var b strings.Builder
	for _, table := range []string{"trust_identities", "trust_verifications"} {
		db, err := sql.Open(n.driver, n.dsn)
		n.must(err)
		rows, err := db.QueryContext(n.t.Context(), `SELECT * FROM `+table+` ORDER BY id`)
		n.must(err)
		columns, err := rows.Columns()
		n.must(err)
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			n.must(rows.Scan(values...))
			for _, v := range values {
				fmt.Fprint(&b, *v.(*any), " ")
			}
			b.WriteByte('\n')
		}
		n.must(errors.Join(rows.Err(), rows.Close(), db.Close()))
	}
	return b.String()
}

// idle is a store with nothing in it that counts how often it is asked.
type idle struct {
	trust.Store
	asked int
}

func (i *idle) View(context.Context, func(trust.Tx) error) error   { i.asked++; return nil }
func (i *idle) Update(context.Context, func(trust.Tx) error) error { return nil }

func TestRunSweepsUntilItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := new(idle)
		s, err := trust.New(trust.Options{Store: i, Secret: make([]byte, 32)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		if err := s.Run(ctx); err != nil || i.asked != 6 { // at once, and four times; once for what has no owner
			t.Errorf("in a minute the store was asked %d times, %v", i.asked, err)
		}
	})
}
