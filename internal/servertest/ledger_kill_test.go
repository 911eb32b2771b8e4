package servertest_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

// kills is how often the ledger tests kill the server: SOAK_KILLS, or 200.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SOAK_KILLS")
	if text == "" {
		return 200
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SOAK_KILLS: %v", err)
	}
	return n
}

// ledgerOptions make the server remember all that a collector can miss, and let writers
// write as fast as they can.
func ledgerOptions(dataDir string, more ...servertest.Option) []servertest.Option {
	return append([]servertest.Option{
		servertest.DataDir(dataDir),
		servertest.Flag("chat.limits.send_per_second", "100000"), servertest.Flag("chat.limits.send_burst", "100000"),
		servertest.Flag("chat.limits.chat_per_second", "100000"), servertest.Flag("chat.limits.requests_per_minute", "10000000"),
		servertest.Flag("chat.limits.anonymous_per_minute", "10000000"),
		servertest.Flag("chat.history_size", "100000"), servertest.Flag("client.recovery_max_publication_limit", "100000"),
		servertest.Flag("client.queue_max_size", "104857600"), servertest.Flag("auth.access_token_ttl", "24h"),
	}, more...)
}

// The server is killed at random points while people write and read; afterwards what was
// acknowledged, what is stored and what the channels said agree.
func TestR01_R05_R09_R18_LedgerOnSQLite(t *testing.T) {
	t.Parallel()
	testLedger(t, kills(t), nil, nil)
}

func TestR01_R05_R09_R18_LedgerOnPostgreSQL(t *testing.T) {
	t.Parallel()
	pg := pgtest.New(t)
	testLedger(t, kills(t), []servertest.Option{
		servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", pg.Database(t)),
	}, func(kill int) {
		// Now and then the database goes down under the server, orderly or not.
		if kill%20 == 10 {
			if err := pg.Restart(kill%40 == 10); err != nil {
				t.Errorf("restart PostgreSQL: %v", err)
			}
		}
	})
}

// testLedger kills the server as often as said, calling between in between, and reports
// what does not agree afterwards.
func testLedger(t *testing.T, kills int, more []servertest.Option, between func(kill int)) {
	wrong := runLedger(t, kills, limit, more, between)
	for i, w := range wrong {
		if i == 20 {
			t.Errorf("… and %d more", len(wrong)-i)
			break
		}
		t.Error(w)
	}
}

// runLedger is testLedger, but returns what does not agree. Patience is how long the newest
// messages may take to reach the collectors.
func runLedger(t *testing.T, kills int, patience time.Duration, more []servertest.Option, between func(kill int)) (wrong []string) {
	dataDir := t.TempDir()
	start := func() *servertest.Process { return servertest.Binary(t, ledgerOptions(dataDir, more...)...) }
	l := newLedger()
	server := start()
	l.at(server.URL)
	people, chats := l.people(t, 5, 3)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers, readers sync.WaitGroup
	collectors := []*collector{newCollector(l, people[0], chats), newCollector(l, people[4], chats)}
	reading, stopReading := context.WithCancel(t.Context())
	defer stopReading()
	for _, c := range collectors {
		readers.Go(func() { c.run(reading) })
	}
	for i, p := range people[:4] {
		writers.Go(func() { l.write(ctx, p, "w"+strconv.Itoa(i), chats) })
	}
	for kill := range kills {
		// A crash comes at any moment: at once, or while messages are on their way, so many that
		// a process does whatever goes wrong now and then.
		enough := l.acknowledged() + rand.N(20)
		until(t, "messages are acknowledged between two kills", func() bool { return l.acknowledged() >= enough })
		if between != nil {
			between(kill)
		}
		server.Kill()
		server = start()
		l.at(server.URL)
	}
	stop()
	writers.Wait()
	tops := map[int64]int64{}
	for _, chat := range chats {
		if all := l.stored(t, people[0], chat); len(all) > 0 {
			tops[chat] = all[len(all)-1].Seq
		}
	}
	for late := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if collectors[0].reached(tops) && collectors[1].reached(tops) {
			break
		}
		if time.Now().After(late) {
			wrong = append(wrong, "the collectors never got the newest messages")
			break
		}
	}
	stopReading()
	readers.Wait()
	wrong = append(wrong, l.check(t, people[0], chats, collectors)...)
	t.Logf("%d kills, %d messages acknowledged", kills, len(l.acked))
	server.Stop(syscall.SIGTERM)
	return wrong
}

// Each of the classic mistakes, made on purpose by a build of its own, is noticed.
func TestLedgerNoticesPlantedMistakes(t *testing.T) {
	t.Parallel()
	binary := servertest.BuildPlanted(t)
	for _, m := range []struct {
		name     string
		postgres bool
	}{
		{"announce-before-commit", false},
		{"answer-before-commit", false},
		{"no-unique-key", false},
		{"no-rollback", false},
		{"event-outside", false},
		{"cursor-by-id", true},
	} {
		t.Run(m.name, func(t *testing.T) {
			const attempts = 12 // chance decides where a crash falls
			for range attempts {
				options := []servertest.Option{servertest.Executable(binary), servertest.Env("PLANTED_MISTAKE", m.name)}
				if m.postgres {
					options = append(options, servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", pgtest.Start(t)))
				}
				if wrong := runLedger(t, 8, 3*time.Second, options, nil); len(wrong) > 0 {
					t.Logf("noticed: %s", wrong[0])
					return
				}
			}
			t.Error("the mistake was not noticed")
		})
	}
}
