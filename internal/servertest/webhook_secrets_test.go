package servertest_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
	"github.com/kuranty/kuranty/webhook"
)

func TestS34_SecretsAreNotInTheFilesOfSQLite(t *testing.T) {
	secretsAreSealed(t, nil, filesOf)
}

func TestS34_SecretsAreNotInPostgreSQL(t *testing.T) {
	dsn := pgtest.Start(t)
	secretsAreSealed(t, []servertest.Option{servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", dsn)},
		func(t *testing.T, dataDir string) []byte { return append(rowsOf(t, dsn), filesOf(t, dataDir)...) })
}

// secretsAreSealed looks for what opens and signs for the receiver of a webhook in all that a
// server keeps and writes, and changes the key that it is sealed with, twice.
func secretsAreSealed(t *testing.T, more []servertest.Option, dump func(t *testing.T, dataDir string) []byte) {
	dataDir := t.TempDir()
	start := func(keys ...servertest.Option) *servertest.Process {
		return servertest.Binary(t, hookOptions(dataDir, append(append([]servertest.Option{servertest.Flag("log.level", "debug")}, more...), keys...)...)...)
	}
	key := func(n byte) servertest.Option {
		return servertest.Flag("webhooks.secret_encryption_key", encryptionKey(n))
	}
	server := start(key(1))
	o := newOrders()
	o.at(server.URL)
	in := newInbox(t, nil)
	const first, second, password = "canary-of-the-first-secret", "canary-of-the-second-secret", "canary-of-a-header"
	cert, private := servertest.Certificate(t)
	hook := o.hook(t, in.URL, map[string]any{
		"secret": first, "headers": map[string]string{"Authorization": "Bearer " + password}, "tls": map[string]string{"client_cert": cert, "client_key": private},
	})
	path := fmt.Sprintf("/webhooks/%d", hook.ID)
	if _, err := o.call(t.Context(), o.service, "POST", path+"/secret/rotate", map[string]any{"secret": second}, nil); err != nil {
		t.Fatal(err)
	}
	made := o.repeatable(t, "POST", "/webhooks", fmt.Sprintf(`{"name":"made","url":%q,"event_type":"nothing","generate_secret":true}`, in.URL))
	rotated := o.repeatable(t, "POST", fmt.Sprintf("/webhooks/%d/secret/rotate", made.ID), `{"grace_seconds":0}`)

	delivered := 0
	deliver := func(what string) {
		t.Helper()
		if err := o.insist(t.Context(), o.prepare(0, delivered)); err != nil {
			t.Fatal(err)
		}
		delivered++
		until(t, what+": the event comes", func() bool { return len(in.all()) == delivered })
		got := in.all()[delivered-1]
		for _, text := range []string{first, second} {
			v := webhook.Verifier{Secrets: []webhook.Secret{parsed(t, text)}}
			if err := v.Verify(got.header, []byte(got.body)); err != nil {
				t.Errorf("%s: signature by %q: %v", what, text, err)
			}
		}
		if got.header.Get("Authorization") != "Bearer "+password {
			t.Errorf("%s: the header is not sent", what)
		}
	}
	block, _ := pem.Decode([]byte(private))
	canaries := map[string]string{
		"the secret": second, "the secret before": first, "a header": password, "a client key": string(block.Bytes),
		"a client key as text": strings.Split(private, "\n")[1], "a secret that was made": made.Secret, "one that replaced it": rotated.Secret,
		"the bytes of a secret": bytesOf(t, rotated.Secret),
	}
	search := func(when string) {
		t.Helper()
		kept := dump(t, dataDir)
		if !bytes.Contains(kept, []byte(strings.TrimPrefix(in.URL, "http://"))) {
			t.Fatalf("%s: the dump has no webhook", when)
		}
		kept = append(kept, server.Log()...)
		for what, text := range canaries {
			for _, form := range []string{text, base64.StdEncoding.EncodeToString([]byte(text)), hex.EncodeToString([]byte(text))} {
				if bytes.Contains(kept, []byte(strings.TrimRight(form, "="))) {
					t.Errorf("%s: %s can be read", when, what)
				}
			}
		}
	}
	deliver("the first key")
	search("while the server runs")
	server.Stop(syscall.SIGTERM)
	search("after its end")

	server = start(key(2), servertest.Flag("webhooks.previous_encryption_keys", encryptionKey(1)))
	o.at(server.URL)
	deliver("the second key beside the first")
	if _, done := server.Await("encrypted with the new key", limit); !done {
		t.Errorf("nothing was encrypted anew:\n%s", server.Log())
	}
	server.Stop(syscall.SIGTERM)
	server = start(key(2))
	o.at(server.URL)
	deliver("the second key alone")
	search("under the second key")
}

// repeatable makes a request with an idempotency key twice and returns the webhook that both
// answers tell.
func (o *orders) repeatable(t *testing.T, method, path, body string) (v hookView) {
	t.Helper()
	var answers []string
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), method, *o.base.Load()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", hookKey)
		req.Header.Set("Idempotency-Key", "once "+path)
		res, err := o.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		_, err = text.ReadFrom(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode >= 300 {
			t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, text.String(), err)
		}
		answers = append(answers, text.String())
	}
	if err := json.Unmarshal([]byte(answers[0]), &v); err != nil || answers[0] != answers[1] || v.Secret == "" {
		t.Fatalf("answers %q, %v", answers, err)
	}
	return v
}

func parsed(t *testing.T, text string) webhook.Secret {
	t.Helper()
	s, err := webhook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bytesOf is what a secret with whsec_ stands for.
func bytesOf(t *testing.T, secret string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(raw) != 32 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	return string(raw)
}

// filesOf are the bytes of all files below a folder.
func filesOf(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, text...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rowsOf are all rows of all tables as JSON, bytes in hex.
func rowsOf(t *testing.T, dsn string) (all []byte) {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	texts := func(query string) (found []string) {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			found = append(found, text)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return found
	}
	for _, table := range texts(`SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`) {
		all = append(all, strings.Join(texts(`SELECT to_jsonb(t)::text FROM `+table+` t`), "\n")...)
	}
	return all
}
