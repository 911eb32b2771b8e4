package store_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// Deliveries are stored once, with their events and the cursor, or not at all.
func TestR20_DeliveriesAreMadeOnce(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		if pos, known, err := h.sending.Cursor(ctx); err != nil || known || pos != 0 {
			t.Errorf("cursor %d, %v, %v before the first", pos, known, err)
		}
		a, b := h.webhook(), h.webhook()
		version := h.version()
		e := h.event("ticket:1")
		e.Ref = 77
		lease := h.now.Add(time.Minute)
		first := h.matched(e, delivery.StateSending, a.ID)
		h.must(h.sending.FanOut(ctx, version, 1, lease, []dispatch.Matched{first}))
		again := h.matched(e, delivery.StateQueued, a.ID, b.ID)
		other := h.matched(h.event(""), delivery.StatePaused, a.ID)
		h.must(h.sending.FanOut(ctx, version, 2, lease, []dispatch.Matched{again, other}))
		if first.Deliveries[0].ID == 0 || again.Deliveries[0].ID != 0 || again.Deliveries[1].ID == 0 || other.Deliveries[0].ID == 0 {
			t.Errorf("ids %d, %d, %d, %d", first.Deliveries[0].ID, again.Deliveries[0].ID, again.Deliveries[1].ID, other.Deliveries[0].ID)
		}
		if pos, known, err := h.sending.Cursor(ctx); err != nil || !known || pos != 2 {
			t.Errorf("cursor %d, %v, %v", pos, known, err)
		}
		if got := h.delivery(first.Deliveries[0]); got.Delivery != *first.Deliveries[0] || cmp.Diff(got.Event, e, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Ref" }, cmp.Ignore())) != "" {
			t.Errorf("stored %+v\nof %+v", got, *first.Deliveries[0])
		}
		kept, ok, err := h.kept(e.ID)
		if diff := cmp.Diff(e, kept); err != nil || !ok || diff != "" {
			t.Errorf("the event is kept otherwise (%v):\n%s", err, diff)
		}
		if _, ok, err := h.kept("evt_none"); ok || err != nil {
			t.Errorf("an event that is not kept: %v, %v", ok, err)
		}

		if _, err := h.owners.Change(ctx, a.ID, func(w *delivery.Webhook) error { w.IsActive = false; return nil }); err != nil {
			t.Fatal(err)
		}
		late := h.matched(h.event(""), delivery.StateQueued, b.ID)
		if err := h.sending.FanOut(ctx, version, 3, lease, []dispatch.Matched{late}); !errors.Is(err, dispatch.ErrStale) {
			t.Errorf("with an old version: %v", err)
		}
		if pos, _, err := h.sending.Cursor(ctx); err != nil || pos != 2 {
			t.Errorf("cursor %d, %v after a stale one", pos, err)
		}
		if totals, err := h.owners.Totals(ctx); err != nil || totals != (webhooks.Totals{Webhooks: 2, Active: 1, Deliveries: 3}) {
			t.Errorf("totals %+v, %v", totals, err)
		}
	})
}

// What is due is claimed once, oldest first, by as many as are asked for; and when who has it
// never says how it ended, it is due again.
func TestR24_DueDeliveriesAreClaimedOnce(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		a, b := h.webhook(), h.webhook()
		made := h.deliver(a.ID, delivery.StateQueued, "1", "2", "3", "1")
		h.deliver(b.ID, delivery.StateQueued, "1")
		h.deliver(a.ID, delivery.StatePaused, "1")
		// The first has failed and is due later than the others.
		h.finish("http_500", made[0].ID)
		retrying := h.delivery(made[0])
		if retrying.State != delivery.StateRetrying || !retrying.NextRetryAt.After(h.now) {
			t.Fatalf("after a failure: %+v", retrying)
		}
		next, err := h.sending.Next(ctx, []int64{a.ID, b.ID, 99})
		if err != nil || len(next) != 2 || next[a.ID].After(h.now) || next[b.ID].After(h.now) {
			t.Errorf("next %v, %v", next, err)
		}
		got := h.claim(a, 2)
		if !slices.Equal(claimedIDs(got), []int64{made[1].ID, made[2].ID}) || got[0].State != delivery.StateSending || got[0].OrderingKey != "" && got[0].OrderingKey != "2" {
			t.Errorf("claimed %+v", got)
		}
		if got := h.claim(a, 10); !slices.Equal(claimedIDs(got), []int64{made[3].ID}) {
			t.Errorf("claimed %v then", claimedIDs(got))
		}
		if got := h.claim(a, 10); len(got) != 0 {
			t.Errorf("claimed %v last", claimedIDs(got))
		}
		if next, err := h.sending.Next(ctx, []int64{a.ID}); err != nil || !next[a.ID].Equal(retrying.NextRetryAt) {
			t.Errorf("next %v, %v, want %v", next, err, retrying.NextRetryAt)
		}
		waiting, err := h.sending.Waiting(ctx)
		if diff := cmp.Diff(map[int64]dispatch.Waiting{a.ID: {Due: 4, Paused: 1}, b.ID: {Due: 1}}, waiting); err != nil || diff != "" {
			t.Errorf("waiting (%v):\n%s", err, diff)
		}
		if unfinished, err := h.owners.Unfinished(ctx, []int64{a.ID, b.ID, 99}); err != nil || unfinished[a.ID] != 5 || unfinished[b.ID] != 1 || unfinished[99] != 0 {
			t.Errorf("unfinished %v, %v", unfinished, err)
		}

		h.now = retrying.NextRetryAt
		if n, err := h.sending.Abandon(ctx, h.now, 10); err != nil || n != 0 {
			t.Errorf("abandoned %d, %v before the lease ended", n, err)
		}
		if got := h.claim(a, 10); !slices.Equal(claimedIDs(got), []int64{made[0].ID}) || !got[0].NextRetryAt.Equal(retrying.NextRetryAt) || got[0].Attempts != 1 {
			t.Errorf("claimed %+v when it is due", got)
		}
		h.now = h.now.Add(2 * time.Minute)
		for _, want := range []int{3, 1, 0} {
			if n, err := h.sending.Abandon(ctx, h.now, 3); err != nil || n != want {
				t.Errorf("abandoned %d, %v, want %d", n, err, want)
			}
		}
		if got := h.claim(a, 10); len(got) != 4 {
			t.Errorf("claimed %v after the lease", claimedIDs(got))
		}
	})
}

// Where order is asked for, only the first unfinished delivery is claimed: of the webhook, or
// of each key. One that waits for its retry holds the others back, one by hand does not.
func TestOrderedDeliveriesAreClaimedInTurn(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		strict, keyed := h.webhook(ordered(delivery.OrderStrict)), h.webhook(ordered(delivery.OrderKey))
		s := h.deliver(strict.ID, delivery.StateQueued, "a", "b", "c")
		k := h.deliver(keyed.ID, delivery.StateQueued, "a", "b", "a", "", "", "b")
		expect := func(what string, w *delivery.Webhook, want ...*delivery.Delivery) {
			t.Helper()
			var ids []int64
			for _, d := range want {
				ids = append(ids, d.ID)
			}
			if got := claimedIDs(h.claim(w, 10)); !slices.Equal(got, ids) {
				t.Errorf("%s: claimed %v, want %v", what, got, ids)
			}
		}
		expect("first", strict, s[0])
		expect("while it is sent", strict)
		h.finish("http_500", s[0].ID)
		expect("while it waits", strict)
		h.finish("gone", s[0].ID)
		expect("when it was given up", strict, s[1])
		h.finish("", s[1].ID)
		expect("when it arrived", strict, s[2])

		expect("one of each key, all without", keyed, k[0], k[1], k[3], k[4])
		expect("nothing more", keyed)
		h.finish("", k[1].ID)
		expect("the next of the key that arrived", keyed, k[5])
		h.finish("http_500", k[0].ID)
		expect("while the other waits", keyed)
		if _, err := h.owners.ChangeDelivery(t.Context(), keyed.ID, k[0].ID, true, func(d *delivery.Delivery) error { d.Cancel(); return nil }); err != nil {
			t.Fatal(err)
		}
		expect("though an attempt by hand is asked for", keyed, k[2])
	})
}

// An attempt by hand is asked for, made by whoever sends, and then not any more.
func TestAttemptsByHand(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w := h.webhook(func(w *delivery.Webhook) { w.IsActive = false })
		made := h.deliver(w.ID, delivery.StateSending, "1", "2", "3")
		h.finish("", made[0].ID, made[1].ID, made[2].ID)
		for _, d := range made[:2] {
			if _, err := h.owners.ChangeDelivery(ctx, w.ID, d.ID, true, func(*delivery.Delivery) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		copied, err := h.owners.Copy(ctx, w.ID, made[2].ID, "evt_copy", h.now)
		h.must(err)
		if copied.EventID != "evt_copy" || copied.Attempts != 0 || copied.Trigger != delivery.TriggerManual || !slices.Equal(copied.Event.Payload, h.delivery(made[2]).Event.Payload) {
			t.Errorf("the copy is %+v", copied)
		}
		looked := func(want int) {
			t.Helper()
			if n, _, err := h.sending.Asked(ctx); err != nil || n != want {
				t.Errorf("%d attempts by hand wait (%v), want %d", n, err, want)
			}
		}
		looked(3)
		got, err := h.sending.ClaimManual(ctx, 2, nil)
		if err != nil || !slices.Equal(claimedIDs(got), []int64{made[0].ID, made[1].ID}) {
			t.Errorf("claimed %v, %v", claimedIDs(got), err)
		}
		got, err = h.sending.ClaimManual(ctx, 2, claimedIDs(got))
		if err != nil || !slices.Equal(claimedIDs(got), []int64{copied.ID}) {
			t.Errorf("claimed %v, %v except those", claimedIDs(got), err)
		}
		h.must(h.sending.Record(ctx, []int64{w.ID}, []int64{made[0].ID}, func(b *dispatch.Batch) error {
			r := delivery.Result{Code: "http_500", Ended: h.now}
			b.Deliveries[made[0].ID].FinishManual(r, delivery.Judge(r))
			b.Manual = []int64{made[0].ID}
			return nil
		}))
		looked(2)
		if got := h.delivery(made[0]); got.State != delivery.StateExhausted || got.Attempts != 2 {
			t.Errorf("after an attempt by hand that failed: %+v", got)
		}
		h.must(h.owners.Delete(ctx, w.ID))
		if got, err := h.sending.ClaimManual(ctx, 9, nil); err != nil || len(got) != 0 {
			t.Errorf("claimed %v, %v of a removed webhook", claimedIDs(got), err)
		}
	})
}

// What an attempt came to is stored as a whole: delivery, attempt, how the webhook does, and
// the events that tell of it; settings stay what their owner made them.
func TestAttemptsAreRecorded(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w := h.webhook()
		made := h.deliver(w.ID, delivery.StateSending, "1", "2")
		refused := errors.New("refused")
		note := func(b *dispatch.Batch) error {
			e, err := event.New(event.WebhookFailing, h.now, event.Webhook{WebhookID: w.ID})
			b.Events = append(b.Events, e)
			return err
		}
		err := h.sending.Record(ctx, []int64{w.ID}, []int64{made[0].ID}, func(b *dispatch.Batch) error {
			b.Webhooks[w.ID].SuccessCount = 9
			b.Deliveries[made[0].ID].Cancel()
			return errors.Join(note(b), refused)
		})
		if !errors.Is(err, refused) {
			t.Errorf("a refused record returned %v", err)
		}
		if got := h.delivery(made[0]); got.State != delivery.StateSending {
			t.Errorf("a refused record left %+v", got)
		}
		var want dispatch.Batch
		attempt := delivery.Attempt{
			DeliveryID: made[0].ID, WebhookID: w.ID, Number: 1, Trigger: delivery.TriggerEvent, Started: h.now, Duration: 7 * time.Millisecond, DNS: time.Millisecond,
			Connect: 2 * time.Millisecond, TLS: 3 * time.Millisecond, FirstByte: 6 * time.Millisecond, RemoteIP: "192.0.2.1", HTTPVersion: "HTTP/2.0",
			RequestHeaders: map[string][]string{"X-A": {"1", "2"}}, ResponseHeaders: map[string][]string{"Server": {`"x"`}, "X-Empty": {}, "X-Bytes": {"\xff", ""}},
			ResponseStatus: 500, ResponseBody: "ой\n\"\\", ResponseTruncated: true, Code: "http_500", Message: "HTTP 500: ой",
		}
		h.must(h.sending.Record(ctx, []int64{w.ID, 99}, []int64{made[0].ID, made[1].ID, 999_999}, func(b *dispatch.Batch) error {
			if len(b.Webhooks) != 1 || len(b.Deliveries) != 2 {
				t.Errorf("read %v and %v", slices.Collect(maps.Keys(b.Webhooks)), slices.Collect(maps.Keys(b.Deliveries)))
			}
			r, hook, d := attempt.Result(), b.Webhooks[w.ID], b.Deliveries[made[0].ID]
			v := delivery.Judge(r)
			hook.Record(h.now, v, delivery.Limits{})
			hook.Circuit.Done(h.now, false, v, 1)
			hook.Name, hook.URL = "not stored", "not stored"
			d.Finish(&hook.Settings, r, v, delivery.Retries{}, 0.5)
			b.Deliveries[made[1].ID].Pause()
			b.Attempts = append(b.Attempts, attempt)
			want = *b
			return note(b)
		}))
		got := h.delivery(made[0])
		if diff := cmp.Diff(*want.Deliveries[made[0].ID], got.Delivery); diff != "" || got.State != delivery.StateRetrying {
			t.Errorf("the delivery is stored otherwise:\n%s", diff)
		}
		if got := h.delivery(made[1]); got.State != delivery.StatePaused {
			t.Errorf("the other delivery is %s", got.State)
		}
		stored, err := h.owners.Webhook(ctx, w.ID)
		wanted := want.Webhooks[w.ID]
		if err != nil || stored.Name != w.Name || stored.URL != w.URL || stored.FailureCount != 1 || cmp.Diff(stored.Health, wanted.Health) != "" || cmp.Diff(stored.Circuit, wanted.Circuit) != "" ||
			!stored.LastTriggeredAt.Equal(wanted.LastTriggeredAt) {
			t.Errorf("the webhook is %+v, %v, want %+v", stored, err, wanted)
		}
		attempts, err := h.owners.Attempts(ctx, made[0].ID)
		if err != nil || len(attempts) != 1 {
			t.Fatalf("attempts %v, %v", attempts, err)
		}
		attempt.ID = attempts[0].ID
		attempt.ResponseHeaders["X-Bytes"][0] = "\uFFFD" // what is no text is replaced
		if diff := cmp.Diff(attempt, attempts[0]); diff != "" || attempt.ID == 0 {
			t.Errorf("the attempt is stored otherwise:\n%s", diff)
		}
		var events int64
		h.store.MustQuery(t, `SELECT count(*) FROM events WHERE type = $1`, []any{event.WebhookFailing}, &events)
		if events != 1 {
			t.Errorf("%d events, want 1", events)
		}
	})
}

// Many record attempts of the same webhook, and its owner changes it meanwhile: every count
// is there, and no change is lost.
func TestCountsOfWebhooksAreNotLost(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		a, b := h.webhook(), h.webhook()
		const rounds, workers = 10, 4
		ended := make(chan error, workers+1)
		for range workers {
			go func() {
				var err error
				for i := 0; i < rounds && err == nil; i++ {
					err = h.sending.Record(ctx, []int64{a.ID, b.ID}, nil, func(batch *dispatch.Batch) error {
						for _, w := range batch.Webhooks {
							w.Record(h.now, delivery.Verdict{}, delivery.Limits{})
						}
						return nil
					})
				}
				ended <- err
			}()
		}
		go func() {
			var err error
			for i := 0; i < rounds && err == nil; i++ {
				_, err = h.owners.Change(ctx, b.ID, func(w *delivery.Webhook) error { w.MaxInFlight++; return nil })
			}
			ended <- err
		}()
		for range workers + 1 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		got, err := h.owners.Webhook(ctx, b.ID)
		if err != nil || got.SuccessCount != rounds*workers || got.MaxInFlight != b.MaxInFlight+rounds {
			t.Errorf("%d successes, %d in flight (%v), want %d and %d", got.SuccessCount, got.MaxInFlight, err, rounds*workers, b.MaxInFlight+rounds)
		}
	})
}

func TestDeliveriesArePausedAndReleased(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w, other := h.webhook(), h.webhook()
		made := h.deliver(w.ID, delivery.StateQueued, "1", "2", "3")
		h.finish("http_500", made[0].ID)
		h.deliver(other.ID, delivery.StateQueued, "1")
		count := func(what string, n int, err error, want int) {
			t.Helper()
			if err != nil || n != want {
				t.Errorf("%s: %d, %v, want %d", what, n, err, want)
			}
		}
		n, err := h.sending.Pause(ctx, w.ID, 2)
		count("paused", n, err, 2)
		n, err = h.sending.Pause(ctx, w.ID, 2)
		count("paused then", n, err, 1)
		if got := h.delivery(made[0]); got.State != delivery.StatePaused || !got.NextRetryAt.IsZero() || got.Attempts != 1 {
			t.Errorf("paused: %+v", got)
		}
		h.now = h.now.Add(time.Hour)
		n, err = h.sending.Release(ctx, w.ID, h.now, 2)
		count("released", n, err, 2)
		got := h.delivery(made[0])
		if got.State != delivery.StateRetrying || !got.NextRetryAt.Equal(h.now) || !got.CycleStart.Equal(h.now) {
			t.Errorf("released: %+v", got)
		}
		if got := h.delivery(made[1]); got.State != delivery.StateQueued {
			t.Errorf("released before any attempt: %s", got.State)
		}
		if got := claimedIDs(h.claim(w, 10)); !slices.Equal(got, []int64{made[0].ID, made[1].ID}) {
			t.Errorf("claimed %v", got)
		}
		n, err = h.owners.CancelPaused(ctx, w.ID, 10)
		count("canceled", n, err, 1)
		if got := h.delivery(made[2]); got.State != delivery.StateCanceled || got.Status() != delivery.StatusFailed {
			t.Errorf("canceled: %+v", got)
		}
		n, err = h.owners.CancelPaused(ctx, w.ID, 10)
		count("canceled then", n, err, 0)
	})
}

// One process sends; when it ends, another does.
func TestR24_OneProcessSends(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		leads := make(chan string, 10)
		lead := func(name string) (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- h.sending.Lead(ctx, func(ctx context.Context) error {
					leads <- name
					<-ctx.Done()
					return nil
				})
			}()
			return func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}
		stop := lead("first")
		if got := <-leads; got != "first" {
			t.Errorf("%s leads", got)
		}
		if h.store.Driver() != "postgres" {
			stop()
			return
		}
		// Who numbers the log is somebody else's business.
		ctx, cancel := context.WithCancel(t.Context())
		numbers := make(chan error, 1)
		began := make(chan struct{})
		go func() {
			numbers <- h.store.Lead(ctx, func(ctx context.Context) error { close(began); <-ctx.Done(); return nil })
		}()
		<-began
		cancel()
		<-numbers
		next := lead("second")
		select {
		case got := <-leads:
			t.Errorf("%s leads, too", got)
		case <-time.After(1500 * time.Millisecond): // it asks every second
		}
		stop()
		if got := <-leads; got != "second" {
			t.Errorf("%s leads then", got)
		}
		next()
	})
}
