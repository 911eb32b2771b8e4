package servertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/kuranty/kuranty/internal/servertest"
)

// A backup is made of a running server while people write. What it is restored to has
// all that was acknowledged before, files too, and begins new epochs, so that no client
// takes its positions for those of the history that went on elsewhere.
func TestR40_BackupOfARunningServer(t *testing.T) {
	secret := "a-secret-of-both-servers-that-is-long-enough"
	options := func(dir string) []servertest.Option {
		return ledgerOptions(dir, servertest.Flag("auth.secret", secret), servertest.Flag("client.token.hmac_secret_key", secret+"-for-clients"),
			servertest.Config(`{"channel": {"namespaces": [{"name": "news", "allow_subscribe_for_client": true, "history_size": 10, "history_ttl": "1h", "force_recovery": true}]}}`))
	}
	dir := t.TempDir()
	p := servertest.Binary(t, options(filepath.Join(dir, "first"))...)
	l := newLedger()
	l.at(p.URL)
	people, chats := l.people(t, 4, 2)
	body, contentType := form(t, "a.txt", []byte("what the file says"))
	var file struct{ ID string }
	if got := request(t, p.URL, people[0], "POST", "/api/v2/files", contentType, body); json.Unmarshal([]byte(got.body), &file) != nil || got.status != http.StatusCreated {
		t.Fatalf("upload: %+v", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	for i, w := range people {
		writers.Go(func() { l.write(ctx, w, "w"+strconv.Itoa(i), chats) })
	}
	enough := func(n int) func() bool {
		return func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.acked) >= n }
	}
	until(t, "messages acknowledged", enough(100))
	l.mu.Lock()
	before := maps.Clone(l.acked)
	l.mu.Unlock()
	backup := filepath.Join(dir, "backup.zip")
	p.Command("backup", "create", "--output", backup)
	until(t, "more messages acknowledged", enough(len(before)+50))
	stop()
	writers.Wait()
	publishNews(t, p.URL, p.APIKey(), "before")
	channels := []string{"news:today", fmt.Sprintf("chat:%d", chats[0])}
	held := positions(t, p, l, people[0], channels, nil)
	p.Kill()

	second := filepath.Join(dir, "second")
	if out, err := exec.Command(servertest.Build(t), "backup", "restore", backup, "--data-dir", second).CombinedOutput(); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	again := servertest.Binary(t, options(second)...)
	l.at(again.URL)
	found := map[string]entry{}
	for _, chat := range chats {
		for i, e := range l.stored(t, people[0], chat) {
			if e.Seq != int64(i+1) {
				t.Errorf("chat %d: number %d follows %d", chat, e.Seq, i)
			}
			found[e.ClientID] = e
		}
	}
	for id, e := range before {
		if found[id] != e {
			t.Errorf("%s was acknowledged before the backup as %+v, restored is %+v", id, e, found[id])
		}
	}
	t.Logf("%d acknowledged before, %d while and after the backup; %d restored", len(before), len(l.acked)-len(before), len(found))
	if got := request(t, again.URL, people[0], "GET", "/api/v2/files/"+file.ID, "", nil); got.body != "what the file says" {
		t.Errorf("the file is %+v", got)
	}
	for channel, now := range positions(t, again, l, people[0], channels, held) {
		if now.Recovered || now.Epoch == held[channel].Epoch || len(now.Publications) > 0 {
			t.Errorf("%s at %d of epoch %s: %+v; want a new epoch and nothing recovered", channel, held[channel].Offset, held[channel].Epoch, now)
		}
	}
}

// positions subscribes p to channels, from where it was if that is known, and returns
// where it is then.
func positions(t *testing.T, server *servertest.Process, l *ledger, p person, channels []string, held map[string]subscription) map[string]subscription {
	t.Helper()
	var token struct{ Token string }
	if _, err := l.call(t.Context(), p, "POST", "/api/v2/auth/connection-token", nil, &token); err != nil {
		t.Fatal(err)
	}
	c := must(t)(connect(server.WSURL, token.Token, nil))
	all := map[string]subscription{}
	for _, channel := range channels {
		more := ""
		if at, ok := held[channel]; ok {
			more = from(at.Epoch, at.Offset)
		}
		got, err := c.subscribe(channel, more)
		if err != nil || got.Epoch == "" {
			t.Fatalf("subscribe to %s: %+v, %v", channel, got, err)
		}
		all[channel] = got
	}
	return all
}
