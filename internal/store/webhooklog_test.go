package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/webhooks"
)

// Deliveries are listed newest first, by every filter, in pages and from a cursor, and
// counted exactly.
func TestDeliveriesAreListed(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w, other := h.webhook(), h.webhook()
		h.deliver(other.ID, delivery.StateQueued, "")
		begun := h.now
		var d []*delivery.Delivery // each a second after the one before, the last two at once
		for _, state := range []delivery.State{delivery.StateSending, delivery.StateSending, delivery.StateSending, delivery.StatePaused, delivery.StateQueued} {
			d = append(d, h.deliver(w.ID, state, "")...)
			h.now = h.now.Add(time.Second)
		}
		h.now = h.now.Add(-time.Second)
		d = append(d, h.deliver(w.ID, delivery.StateSending, "")...)
		h.finish("", d[0].ID)
		h.finish("http_500", d[1].ID)
		h.finish("gone", d[2].ID)
		for _, c := range []struct {
			q    webhooks.DeliveryQuery
			want []int // of d
		}{
			{webhooks.DeliveryQuery{}, []int{5, 4, 3, 2, 1, 0}},
			{webhooks.DeliveryQuery{Limit: 2, Offset: 1}, []int{4, 3}},
			{webhooks.DeliveryQuery{Limit: 2, Offset: 6}, nil},
			{webhooks.DeliveryQuery{Status: delivery.StatusPending}, []int{5, 4, 3}},
			{webhooks.DeliveryQuery{Status: delivery.StatusSuccess}, []int{0}},
			{webhooks.DeliveryQuery{Status: delivery.StatusFailed}, []int{2, 1}},
			{webhooks.DeliveryQuery{Status: "other"}, nil},
			{webhooks.DeliveryQuery{State: delivery.StateExhausted}, []int{2}},
			{webhooks.DeliveryQuery{State: delivery.StateSending}, []int{5}},
			{webhooks.DeliveryQuery{EventType: "ticket.created", ErrorCode: "http_500"}, []int{1}},
			{webhooks.DeliveryQuery{EventType: "ticket.%"}, nil},
			{webhooks.DeliveryQuery{EventID: d[3].EventID}, []int{3}},
			{webhooks.DeliveryQuery{Since: begun.Add(time.Second), Until: begun.Add(3 * time.Second)}, []int{2, 1}},
			{webhooks.DeliveryQuery{Until: begun.Add(time.Second)}, []int{0}},
		} {
			total := len(c.want)
			if c.q.Limit > 0 {
				total = len(d)
			} else {
				c.q.Limit = 50
			}
			page, n, err := h.owners.Deliveries(ctx, w.ID, c.q)
			var want, got []int64
			for _, i := range c.want {
				want = append(want, d[i].ID)
			}
			for _, d := range page {
				got = append(got, d.ID)
			}
			if err != nil || !slices.Equal(got, want) || n != total {
				t.Errorf("%+v: %v of %d (%v), want %v of %d", c.q, got, n, err, want, total)
			}
		}
		// Deep paging is not disturbed by what comes meanwhile.
		var got []int64
		q := webhooks.DeliveryQuery{Limit: 2}
		for {
			page, _, err := h.owners.Deliveries(ctx, w.ID, q)
			h.must(err)
			if len(page) == 0 {
				break
			}
			for _, d := range page {
				got = append(got, d.ID)
			}
			last := page[len(page)-1]
			q.CursorCreatedAt, q.Cursor = last.CreatedAt, last.ID
			h.deliver(w.ID, delivery.StateQueued, "")
		}
		if want := []int64{d[5].ID, d[4].ID, d[3].ID, d[2].ID, d[1].ID, d[0].ID}; !slices.Equal(got, want) {
			t.Errorf("page by page %v, want %v", got, want)
		}
		totals, err := h.owners.Totals(ctx)
		if want := (webhooks.Totals{Webhooks: 2, Active: 2, Deliveries: 10, Successful: 1, Failed: 2}); err != nil || totals != want {
			t.Errorf("totals %+v, %v, want %+v", totals, err, want)
		}
	})
}

func TestAttemptsAreCounted(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w, other := h.webhook(), h.webhook()
		h.now = time.Date(2026, 5, 1, 11, 59, 0, 0, time.UTC)
		d := h.deliver(w.ID, delivery.StateSending, "", "", "", "")
		h.finish("", h.deliver(other.ID, delivery.StateSending, "")[0].ID)
		h.finish("http_500", d[0].ID) // before it is asked for
		since := h.now.Add(time.Second)
		h.now = h.now.Add(30 * time.Second)
		h.finish("", d[0].ID, d[1].ID)
		h.now = h.now.Add(time.Hour)
		h.finish("timeout", d[2].ID)
		got, err := h.owners.Stats(ctx, w.ID, since)
		want := webhooks.Stats{
			Outcomes: map[string]int{"success": 2, "timeout": 1}, P50: 5 * time.Millisecond, P95: 5 * time.Millisecond, P99: 5 * time.Millisecond,
			Hours: []webhooks.Hour{
				{Start: time.Date(2026, 5, 1, 11, 0, 0, 0, time.UTC), Attempts: 2, Succeeded: 2},
				{Start: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Attempts: 1},
			},
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("stats (%v):\n%s", err, diff)
		}
		if got, err := h.owners.Stats(ctx, w.ID, h.now.Add(time.Hour)); err != nil || len(got.Outcomes) != 0 || got.P99 != 0 || len(got.Hours) != 0 {
			t.Errorf("stats of nothing: %+v, %v", got, err)
		}
	})
}

// A payload that is erased is gone from every copy, with what receivers answered to it.
func TestPayloadsAreErased(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		a, b := h.webhook(), h.webhook()
		m := h.matched(h.event(""), delivery.StateSending, a.ID, b.ID)
		h.must(h.sending.FanOut(ctx, h.version(), 1, h.now, []dispatch.Matched{m}))
		other := h.deliver(a.ID, delivery.StateSending, "")[0]
		h.finish("http_500", m.Deliveries[0].ID, m.Deliveries[1].ID, other.ID)
		copied, err := h.owners.Copy(ctx, a.ID, m.Deliveries[0].ID, "evt_copy", h.now)
		h.must(err)
		again, err := h.owners.Copy(ctx, a.ID, copied.ID, "evt_again", h.now)
		h.must(err)
		if err := h.owners.ErasePayload(ctx, b.ID, m.Deliveries[0].ID); !errors.Is(err, webhooks.ErrNoDelivery) {
			t.Errorf("a payload of another webhook's delivery: %v", err)
		}
		h.must(h.owners.ErasePayload(ctx, a.ID, copied.ID))
		for what, d := range map[string]*delivery.Delivery{"first": m.Deliveries[0], "other webhook": m.Deliveries[1], "copy": &copied.Delivery, "copy of the copy": &again.Delivery} {
			got := h.delivery(d)
			attempts, err := h.owners.Attempts(ctx, d.ID)
			h.must(err)
			if got.Event.Payload != nil || got.ResponseBody != "" || len(attempts) > 0 && attempts[0].ResponseBody != "" {
				t.Errorf("%s: %+v, %+v", what, got, attempts)
			}
			if e, ok, err := h.kept(d.EventID); err != nil || !ok || e.Payload != nil {
				t.Errorf("%s: sent is %+v, %v, %v", what, e, ok, err)
			}
		}
		if got := h.delivery(other); got.Event.Payload == nil || got.ResponseBody == "" {
			t.Errorf("the other delivery: %+v", got)
		}
		if _, err := h.owners.Copy(ctx, a.ID, m.Deliveries[0].ID, "evt_late", h.now); !errors.Is(err, webhooks.ErrExpired) {
			t.Errorf("a copy of an erased payload: %v", err)
		}
	})
}

func job(w *delivery.Webhook, kind string, h *hooks) *dispatch.Job {
	return &dispatch.Job{
		ID: "whj_" + kind, Webhook: w.ID, Kind: kind, State: dispatch.JobRunning, Since: h.now.Add(-time.Hour), Until: h.now.Add(time.Hour),
		CreatedAt: h.now, UpdatedAt: h.now,
	}
}

// Failed deliveries of a window are found page by page, queued for a job, and counted by it.
func TestFailedDeliveriesAreRecovered(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w := h.webhook()
		d := h.deliver(w.ID, delivery.StateSending, "", "", "", "", "")
		h.finish("gone", d[0].ID, d[1].ID, d[2].ID)
		h.finish("target_blocked", d[3].ID)
		h.finish("", d[4].ID)
		old := h.now
		h.now = h.now.Add(2 * time.Hour)
		h.finish("gone", h.deliver(w.ID, delivery.StateSending, "")[0].ID) // too late
		h.now = old
		j := job(w, dispatch.JobRecover, h)
		j.ErrorCodes = []string{"gone", `"`}
		h.must(h.owners.AddJob(ctx, j))
		stored, err := h.owners.Job(ctx, j.ID)
		if diff := cmp.Diff(*j, stored); err != nil || diff != "" {
			t.Errorf("the job is stored otherwise (%v):\n%s", err, diff)
		}
		if _, err := h.owners.Job(ctx, "whj_none"); !errors.Is(err, webhooks.ErrNoJob) {
			t.Errorf("no job: %v", err)
		}
		found, err := h.sending.Failed(ctx, j, 2)
		if err != nil || !slices.Equal(found, []int64{d[0].ID, d[1].ID}) {
			t.Errorf("failed %v, %v", found, err)
		}
		h.must(h.sending.Record(ctx, nil, found, func(b *dispatch.Batch) error {
			b.Job = j.ID
			for _, d := range b.Deliveries {
				d.Requeue(h.now, delivery.TriggerRecover, false)
			}
			return nil
		}))
		j.At, j.Matched, j.Queued, j.UpdatedAt = found[1], 2, 2, h.now.Add(time.Second)
		if running, err := h.sending.SaveJob(ctx, j); err != nil || !running {
			t.Errorf("saved: %v, %v", running, err)
		}
		if found, err = h.sending.Failed(ctx, j, 2); err != nil || !slices.Equal(found, []int64{d[2].ID}) {
			t.Errorf("failed then %v, %v", found, err)
		}
		j.ErrorCodes, j.At = nil, 0
		if found, err = h.sending.Failed(ctx, j, 9); err != nil || !slices.Equal(found, []int64{d[2].ID, d[3].ID}) {
			t.Errorf("failed with any code %v, %v", found, err)
		}
		if got := claimedIDs(h.claim(w, 9)); !slices.Equal(got, []int64{d[0].ID, d[1].ID}) {
			t.Errorf("claimed %v", got)
		}
		h.finish("", d[0].ID)
		h.finish("gone", d[1].ID)
		if got := h.delivery(d[0]); got.Job != j.ID || got.Attempts != 2 || got.Cycle != 1 || got.Trigger != delivery.TriggerRecover {
			t.Errorf("recovered: %+v", got)
		}
		if stored, err = h.owners.Job(ctx, j.ID); err != nil || stored.Queued != 2 || stored.Succeeded != 1 || stored.Failed != 1 || stored.At != d[1].ID {
			t.Errorf("the job is %+v, %v", stored, err)
		}
		if running, err := h.sending.Jobs(ctx); err != nil || len(running) != 1 || running[0].ID != j.ID {
			t.Errorf("running %+v, %v", running, err)
		}
		h.must(h.owners.CancelJob(ctx, j.ID))
		if running, err := h.sending.SaveJob(ctx, j); err != nil || running {
			t.Errorf("saved when it was canceled: %v, %v", running, err)
		}
		if stored, err = h.owners.Job(ctx, j.ID); err != nil || stored.State != dispatch.JobCanceled {
			t.Errorf("the canceled job is %+v, %v", stored, err)
		}
		if running, err := h.sending.Jobs(ctx); err != nil || len(running) != 0 {
			t.Errorf("running %+v, %v", running, err)
		}
	})
}

// A replay makes deliveries of events of the log that are missing, and others anew if it is
// asked to.
func TestEventsAreReplayed(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w := h.webhook(ordered(delivery.OrderKey))
		for n := range int64(5) {
			h.must(h.store.Update(ctx, func(tx *store.Tx) error {
				e, err := event.New("ticket.other", h.now.Add(time.Duration(n-2)*time.Hour), map[string]int64{"n": n})
				if err != nil {
					return err
				}
				return tx.Append(ctx, e)
			}))
		}
		if h.store.Driver() == store.Postgres {
			if _, err := h.store.NumberEvents(ctx); err != nil {
				t.Fatal(err)
			}
		}
		j := job(w, dispatch.JobReplay, h)
		j.OnlyMissing = true
		h.must(h.owners.AddJob(ctx, j))
		found, err := h.sending.Log(ctx, j, 1)
		if err != nil || len(found) != 1 || found[0].Pos != 2 { // an hour ago is in the window
			t.Fatalf("logged %+v, %v", found, err)
		}
		j.At = 2
		if found, err = h.sending.Log(ctx, j, 9); err != nil || len(found) != 1 || found[0].Pos != 3 { // in an hour is not
			t.Fatalf("logged then %+v, %v", found, err)
		}
		old := h.deliver(w.ID, delivery.StateSending, "a", "b")
		h.finish("", old[0].ID)
		h.must(h.owners.ErasePayload(ctx, w.ID, old[0].ID))
		e := []delivery.Event{h.event("a"), h.event("b"), h.event("a")}
		e[0].ID, e[1].ID = old[0].EventID, old[1].EventID
		replay := func() (int, []dispatch.Matched) {
			t.Helper()
			var all []dispatch.Matched
			for i := range e {
				all = append(all, h.matched(e[i], delivery.StateQueued, w.ID))
			}
			n, err := h.sending.Replay(ctx, j, h.now, all)
			h.must(err)
			return n, all
		}
		n, all := replay()
		made := all[2].Deliveries[0]
		if n != 1 || made.ID == 0 || all[0].Deliveries[0].ID != 0 {
			t.Errorf("%d were missing", n)
		}
		if got := h.delivery(old[0]); got.State != delivery.StateSucceeded || got.Event.Payload != nil {
			t.Errorf("what was there, and erased, is %+v", got)
		}
		j.OnlyMissing = false
		if n, _ = replay(); n != 1 { // one is being sent, one was queued just now
			t.Errorf("%d were made anew", n)
		}
		if got := h.delivery(old[0]); got.State != delivery.StateQueued || got.Cycle != 1 || got.Attempts != 1 || got.Job != j.ID || got.Trigger != delivery.TriggerReplay ||
			string(got.Event.Payload) != string(e[0].Payload) { // the log still says it
			t.Errorf("made anew: %+v", got)
		}
		// The one that was queued before has its turn in the lane first; then the older one.
		if got := claimedIDs(h.claim(w, 9)); !slices.Equal(got, []int64{made.ID}) {
			t.Errorf("claimed %v, want %d", got, made.ID)
		}
		h.finish("", made.ID)
		if got := claimedIDs(h.claim(w, 9)); !slices.Equal(got, []int64{old[0].ID}) {
			t.Errorf("claimed %v, want %d", got, old[0].ID)
		}
		if got, err := h.owners.Job(ctx, j.ID); err != nil || got.Succeeded != 1 {
			t.Errorf("the job is %+v, %v", got, err)
		}
	})
}

// What has outlived its retention goes, in small pieces, and what is left of removed webhooks.
func TestR20_OldDeliveriesArePruned(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		const day = 24 * time.Hour
		keep := dispatch.Retention{Deliveries: 30 * day, Exhausted: 90 * day, Paused: 7 * day}
		w, removed := h.webhook(), h.webhook()
		h.now = time.Now().UTC() // when events are kept is of the store's clock
		d := h.deliver(w.ID, delivery.StateSending, "", "", "", "")
		h.finish("", d[0].ID, d[1].ID)
		h.finish("gone", d[2].ID)
		paused := h.deliver(w.ID, delivery.StatePaused, "")[0]
		for range 5 {
			h.finish("", h.deliver(removed.ID, delivery.StateSending, "")[0].ID)
		}
		count := func() (deliveries, attempts, events, payloads int) {
			for table, into := range map[string]*int{"webhook_deliveries": &deliveries, "webhook_attempts": &attempts, "webhook_events": &events, "webhook_events WHERE payload IS NOT NULL": &payloads} {
				h.store.MustQuery(t, `SELECT count(*) FROM `+table, nil, into)
			}
			return deliveries, attempts, events, payloads
		}
		prune := func(after time.Duration) {
			t.Helper()
			for i := 0; ; i++ {
				n, err := h.sending.Prune(ctx, h.now.Add(after), keep, 2)
				h.must(err)
				if n == 0 {
					return
				}
				if n > 8 || i > 50 {
					t.Fatalf("%d rows were pruned at once, or without end", n)
				}
			}
		}
		expect := func(what string, want ...int) {
			t.Helper()
			a, b, c, d := count()
			if got := []int{a, b, c, d}; !slices.Equal(got, want) {
				t.Errorf("%s: deliveries, attempts, events and payloads are %v, want %v", what, got, want)
			}
		}
		prune(time.Hour)
		expect("at first", 10, 8, 10, 10)
		h.must(h.owners.Delete(ctx, removed.ID))
		if faults, err := h.store.Check(ctx, nil); err != nil || len(faults) > 0 {
			t.Errorf("check: %q, %v", faults, err)
		}
		prune(time.Hour)
		expect("without the removed webhook", 5, 3, 10, 10)
		if faults, err := h.store.Check(ctx, nil); err != nil || len(faults) > 0 {
			t.Errorf("check: %q, %v", faults, err)
		}
		prune(8 * day)
		if got := h.delivery(paused); got.State != delivery.StateCanceled {
			t.Errorf("after a week the paused delivery is %s", got.State)
		}
		prune(31 * day)
		expect("after 31 days", 2, 1, 2, 0) // the one given up, and the one whose attempt never ended
		prune(91 * day)
		expect("after 91 days", 1, 0, 1, 0)
	})
}

// Deliveries in order never pass each other, whoever pauses, releases, cancels and adds more.
func TestLanesKeepTheirOrder(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w := h.webhook(ordered(delivery.OrderStrict))
		d := h.deliver(w.ID, delivery.StateQueued, "", "", "")
		claims := func(what string, want ...*delivery.Delivery) {
			t.Helper()
			var ids []int64
			for _, d := range want {
				ids = append(ids, d.ID)
			}
			if got := claimedIDs(h.claim(w, 9)); !slices.Equal(got, ids) {
				t.Errorf("%s: claimed %v, want %v", what, got, ids)
			}
		}
		if next, err := h.sending.Next(ctx, []int64{w.ID}); err != nil || len(next) != 1 {
			t.Errorf("next %v, %v", next, err)
		}
		if n, err := h.sending.Pause(ctx, w.ID, 9); err != nil || n != 3 {
			t.Errorf("paused %d, %v", n, err)
		}
		d = append(d, h.deliver(w.ID, delivery.StateQueued, "")...)
		claims("behind paused ones")
		if n, err := h.sending.Release(ctx, w.ID, h.now, 1); err != nil || n != 1 {
			t.Errorf("released %d, %v", n, err)
		}
		claims("released", d[0])
		if _, err := h.sending.Abandon(ctx, h.now.Add(time.Hour), 9); err != nil {
			t.Fatal(err)
		}
		claims("abandoned", d[0])
		h.finish("", d[0].ID)
		claims("while the next is paused")
		if n, err := h.owners.CancelPaused(ctx, w.ID, 9); err != nil || n != 2 {
			t.Errorf("canceled %d, %v", n, err)
		}
		claims("canceled", d[3])
		// One that is there already, and final, is not waited for.
		m := []dispatch.Matched{h.matched(delivery.Event{ID: d[0].EventID}, delivery.StateQueued, w.ID), h.matched(h.event(""), delivery.StateQueued, w.ID)}
		h.finish("", d[3].ID)
		h.must(h.sending.FanOut(ctx, h.version(), 9, h.now, m))
		claims("after a repeated one", m[1].Deliveries[0])
	})
}

// While deliveries are added to lanes, others end: none is left behind for ever.
func TestLanesDoNotStandStill(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w := h.webhook(ordered(delivery.OrderKey))
		version := h.version()
		const batches, each = 40, 5
		var all [][]dispatch.Matched
		for range batches {
			var batch []dispatch.Matched
			for i := range each {
				batch = append(batch, h.matched(h.event(fmt.Sprint("ticket:", i%2)), delivery.StateQueued, w.ID))
			}
			all = append(all, batch)
		}
		added := make(chan error, 1)
		go func() {
			var err error
			for i := 0; i < len(all) && err == nil; i++ {
				err = h.sending.FanOut(ctx, version, int64(i), h.now, all[i])
			}
			added <- err
		}()
		sent, last := 0, map[string]int64{}
		for end := time.Now().Add(30 * time.Second); sent < batches*each; {
			got := h.claim(w, 9)
			if len(got) == 0 {
				if time.Now().After(end) {
					t.Fatalf("%d of %d were claimed", sent, batches*each)
				}
				continue
			}
			for _, c := range got {
				if c.ID <= last[c.OrderingKey] {
					t.Errorf("%d of %s came after %d", c.ID, c.OrderingKey, last[c.OrderingKey])
				}
				last[c.OrderingKey] = c.ID
			}
			if len(got) > 2 {
				t.Errorf("%d of two lanes are sent at once", len(got))
			}
			h.finish("", claimedIDs(got)...)
			sent += len(got)
		}
		if err := <-added; err != nil {
			t.Error(err)
		}
	})
}

// A delivery that is added at the moment at which the only one before it ends has its turn.
func TestTheNextOfALaneIsNotForgotten(t *testing.T) {
	onHooks(t, func(t *testing.T, h *hooks) {
		ctx := t.Context()
		w := h.webhook(ordered(delivery.OrderStrict))
		version := h.version()
		head := h.deliver(w.ID, delivery.StateQueued, "")[0]
		for round := range 150 {
			if got := claimedIDs(h.claim(w, 9)); !slices.Equal(got, []int64{head.ID}) {
				t.Fatalf("round %d: claimed %v, want %d", round, got, head.ID)
			}
			next := h.matched(h.event(""), delivery.StateQueued, w.ID)
			added := make(chan error, 1)
			go func() { added <- h.sending.FanOut(ctx, version, 1, h.now, []dispatch.Matched{next}) }()
			h.finish("", head.ID)
			h.must(<-added)
			head = next.Deliveries[0]
		}
	})
}
