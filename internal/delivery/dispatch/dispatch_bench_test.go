package dispatch_test

import (
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/store"
)

// BenchmarkDeliveries is one event for one of ten webhooks, from its commit until it was
// recorded that it was delivered; the receiver is in the same process.
func BenchmarkDeliveries(b *testing.B) {
	for name, options := range map[string]func() store.Options{
		"sqlite":   func() store.Options { return store.Options{Path: filepath.Join(b.TempDir(), "k.db")} },
		"postgres": func() store.Options { return store.Options{Driver: store.Postgres, DSN: pgtest.Start(b)} },
	} {
		b.Run(name, func(b *testing.B) { benchmarkDeliveries(b, newRig(b, options())) })
	}
}

func benchmarkDeliveries(b *testing.B, r *rig) {
	var got atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }), ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	const webhooks, batch = 10, 25
	for i := range webhooks {
		r.webhook("http://"+l.Addr().String(), signedBy("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), types("bench.e"+string(rune('0'+i))))
	}
	r.run()
	b.ResetTimer()
	sent := 0
	for sent < b.N {
		for int64(sent)-got.Load() > 500 {
			time.Sleep(time.Millisecond)
		}
		err := r.store.Update(b.Context(), func(tx *store.Tx) error {
			for i := range batch {
				e, err := event.New("bench.e"+string(rune('0'+i%webhooks)), time.Now(), map[string]any{"order_id": 12345, "text": "some words that are not long", "price": 12.5})
				if err != nil {
					return err
				}
				if err := tx.Append(b.Context(), e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		sent += batch
	}
	defer func() { b.Logf("sent %d, got %d, %+v", sent, got.Load(), r.dispatcher.Stats()) }()
	r.await("all", func() bool { return got.Load() >= int64(sent) && r.dispatcher.Stats().Pending == 0 })
}
