package dispatch_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
	"github.com/kuranty/kuranty/internal/webhooks"
	"github.com/kuranty/kuranty/webhook"
)

func status(code int) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// What happens reaches a receiver signed, once, with all the documented headers, and is in
// the delivery log.
func TestAnEventIsDelivered(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc := receive(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "thanks") })
		wh := r.webhook(rc.URL, signedBy("optional-secret-for-signing"), func(w *delivery.Webhook) { w.Headers = map[string]string{"X-Pass": "word"} })
		other := r.webhook(rc.URL, types("payment.*"))
		r.run()
		id := r.ticket(55)
		d := r.state(wh.ID, delivery.StateSucceeded)
		got := rc.all()
		if len(got) != 1 {
			t.Fatalf("%d requests, want 1", len(got))
		}
		want := `{"has_media": false, "priority": "normal", "status": "open", "ticket_id": 55, "title": "\u041f\u0440\u0438\u0432\u0435\u0442", "user_id": 8}`
		if string(got[0].body) != want {
			t.Errorf("body %s\nwant %s", got[0].body, want)
		}
		for name, value := range map[string]string{
			"Content-Type": "application/json", "X-Webhook-Event": "ticket.created", "X-Webhook-Id": fmt.Sprint(wh.ID), "Webhook-Id": id,
			"X-Webhook-Delivery": fmt.Sprint(d.ID), "X-Webhook-Attempt": "1", "Accept-Encoding": "identity",
			"User-Agent": "Kuranty-Webhooks/test", "X-Pass": "word",
		} {
			if got := got[0].header.Get(name); got != value {
				t.Errorf("%s: %q, want %q", name, got, value)
			}
		}
		v := webhook.Verifier{Secrets: []webhook.Secret{wh.Secret}}
		if err := v.Verify(got[0].header, got[0].body); err != nil {
			t.Errorf("Standard Webhooks: %v", err)
		}
		if err := v.VerifyBody(got[0].header, got[0].body); err != nil {
			t.Errorf("documented signature: %v", err)
		}
		if d.EventID != id || d.Attempts != 1 || d.ResponseStatus != 200 || d.ResponseBody != "thanks" || d.DeliveredAt.IsZero() || d.Trigger != delivery.TriggerEvent {
			t.Errorf("delivery %+v", d)
		}
		if !json.Valid(d.Event.Payload) || d.Event.OrderingKey != "ticket:55" {
			t.Errorf("event %+v", d.Event)
		}
		attempts, err := r.hooks.Attempts(t.Context(), d.ID)
		if err != nil || len(attempts) != 1 {
			t.Fatalf("attempts %v, %v", attempts, err)
		}
		a := attempts[0]
		if a.Number != 1 || a.ResponseBody != "thanks" || a.RemoteIP != "127.0.0.1" || a.RequestHeaders["X-Pass"][0] != "***" || a.RequestHeaders["Webhook-Id"][0] != id {
			t.Errorf("attempt %+v", a)
		}
		stored, err := r.hooks.Webhook(t.Context(), wh.ID)
		if err != nil || stored.SuccessCount != 1 || stored.FailureCount != 0 || stored.LastTriggeredAt.IsZero() {
			t.Errorf("webhook %+v, %v", stored, err)
		}
		if n := len(r.deliveries(other.ID)); n != 0 {
			t.Errorf("a webhook for other events has %d deliveries", n)
		}
	})
}

// A failure is tried again by the schedule, under the same webhook-id, until an answer is
// 2xx or the schedule ends; then other webhooks hear that it was given up.
func TestR20_R22_FailuresAreTriedAgainAndThenGivenUp(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		third := receive(t, func(n int, w http.ResponseWriter, _ *http.Request) {
			if n < 3 {
				http.Error(w, "oops", 500)
			}
		})
		never := receive(t, status(418))
		about := receive(t, nil)
		a, b := r.webhook(third.URL), r.webhook(never.URL)
		c := r.webhook(about.URL, types("delivery.exhausted"))
		r.run()
		id := r.ticket(1)
		d := r.state(a.ID, delivery.StateSucceeded)
		if d.Attempts != 3 || third.count() != 3 {
			t.Errorf("%d attempts, %d requests, want 3", d.Attempts, third.count())
		}
		for i, e := range third.all() {
			if e.header.Get("Webhook-Id") != id || e.header.Get("X-Webhook-Attempt") != fmt.Sprint(i+1) {
				t.Errorf("request %d: %v", i, e.header)
			}
		}
		d = r.state(b.ID, delivery.StateExhausted)
		if d.Attempts != 3 || d.ErrorCode != "http_418" || !d.NextRetryAt.IsZero() {
			t.Errorf("delivery %+v", d)
		}
		told := r.state(c.ID, delivery.StateSucceeded)
		var p event.Exhausted
		if err := json.Unmarshal(told.Event.Payload, &p); err != nil || p.WebhookID != b.ID || p.Attempts != 3 || p.EventID != id || p.Error != "HTTP 418" {
			t.Errorf("told %s, %v", told.Event.Payload, err)
		}
		if n := about.count(); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// Two webhooks that get everything, and whose receivers refuse it, tell of each other once:
// what was told is not told of.
func TestGivingUpIsNotToldWithoutEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		never := receive(t, status(404))
		a, b := r.webhook(never.URL, types("*")), r.webhook(never.URL, types("*"))
		r.run()
		both := func(state delivery.State) int {
			return len(r.deliveriesIn(a.ID, state)) + len(r.deliveriesIn(b.ID, state))
		}
		for n := range int64(2) { // what an echo of the first would bring comes before the second
			r.ticket(n)
			r.await("the notices of both", func() bool { return both(delivery.StateExhausted) >= 4*int(n+1) })
		}
		if n := both(""); n != 8 {
			t.Errorf("%d deliveries, want two events and two notices, each twice", n)
		}
	})
}

// 410 disables a webhook at once and loses nothing: what waits is kept, and goes out when it
// is switched on again.
func TestR20_AGoneReceiverLosesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc, mend := refuse(t, http.StatusGone)
		about := receive(t, nil)
		wh := r.webhook(rc.URL, func(w *delivery.Webhook) { w.MaxInFlight = 1 })
		r.webhook(about.URL, types("webhook.*"))
		r.run()
		r.ticket(1)
		r.await("disabled", func() bool {
			w, err := r.hooks.Webhook(t.Context(), wh.ID)
			return err == nil && !w.IsActive && w.Health.Reason == delivery.ReasonGone
		})
		r.await("told", func() bool { return about.count() == 1 })
		r.ticket(2)
		r.await("kept", func() bool {
			all := r.deliveries(wh.ID)
			return len(all) == 2 && all[0].State == delivery.StatePaused
		})
		mend()
		patch, err := delivery.ParsePatch([]byte(`{"is_active":true}`), delivery.Rules{})
		if err != nil {
			t.Fatal(err)
		}
		r.change(wh.ID, func(w *delivery.Webhook) {
			if _, err := patch.Apply(w, time.Now().UTC()); err != nil {
				t.Error(err)
			}
		})
		r.await("released", func() bool { return r.deliveries(wh.ID)[0].State == delivery.StateSucceeded })
		if d := r.deliveries(wh.ID)[1]; d.State != delivery.StateExhausted {
			t.Errorf("the one that was answered 410 is %s", d.State)
		}
	})
}

// A webhook that its owner switched off records nothing while it is off.
func TestSwitchedOffByHandRecordsNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc := receive(t, nil)
		off := r.webhook(rc.URL, func(w *delivery.Webhook) { w.IsActive = false })
		on := r.webhook(rc.URL)
		r.run()
		r.ticket(1)
		r.state(on.ID, delivery.StateSucceeded)
		if n := len(r.deliveries(off.ID)); n != 0 {
			t.Errorf("%d deliveries", n)
		}
	})
}

// Receivers that hang keep their own webhook busy and nobody else's.
func TestR23_HangingReceiversDelayNobodyElse(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		release := make(chan struct{})
		hang := receive(t, func(_ int, _ http.ResponseWriter, req *http.Request) {
			select {
			case <-release:
			case <-req.Context().Done():
			}
		})
		defer close(release)
		r.options.Slots = 20
		for range 5 {
			r.webhook(hang.URL, func(w *delivery.Webhook) { w.MaxInFlight = 2; w.Timeout = time.Minute })
		}
		rc := receive(t, nil)
		good := r.webhook(rc.URL)
		r.run()
		for i := range 50 {
			r.ticket(int64(i))
		}
		r.await("all of the other", func() bool { return rc.count() == 50 })
		r.await("recorded", func() bool {
			return !slices.ContainsFunc(r.deliveries(good.ID), func(d webhooks.Delivery) bool { return d.State != delivery.StateSucceeded })
		})
		if n := hang.count(); n > 10 {
			t.Errorf("%d requests at once to five webhooks with two each", n)
		}
		if s := r.dispatcher.Stats(); s.Busy != 10 {
			t.Errorf("%d slots busy, want 10", s.Busy)
		}
	})
}

// hangingAt receives requests that are answered, which good counts, and those to /hang, which
// hang until the test ends and hung counts.
func hangingAt(t *testing.T) (rc *receiver, hung, good *atomic.Int64) {
	hung, good = new(atomic.Int64), new(atomic.Int64)
	release := make(chan struct{})
	rc = receive(t, func(_ int, _ http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/hang" {
			good.Add(1)
			return
		}
		hung.Add(1)
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	return rc, hung, good
}

// Receivers that hang leave room to the others, at their own host and in the process,
// however many attempts each may have under way.
func TestR23_HangingReceiversLeaveRoom(t *testing.T) {
	for name, limit := range map[string]func(*dispatch.Options){
		"host":    func(o *dispatch.Options) { o.PerHost = 20 },
		"process": func(o *dispatch.Options) { o.Slots, o.PerHost = 20, 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, r *rig) {
				rc, hung, good := hangingAt(t)
				limit(&r.options)
				const hanging, others, events = 5, 10, 50
				for range hanging {
					r.webhook(rc.URL+"/hang", func(w *delivery.Webhook) { w.Timeout = time.Minute })
				}
				for range others {
					r.webhook(rc.URL)
				}
				r.run()
				for i := range events {
					r.ticket(int64(i))
				}
				r.await("all of the others", func() bool { return good.Load() == others*events })
				if n := hung.Load(); n < 2*hanging || n > 19 {
					t.Errorf("%d requests hang, of 20 at once", n)
				}
			})
		})
	}
}

// A webhook that has its host for itself takes most of it, and still leaves room to the next.
func TestOneWebhookTakesMostOfItsHost(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc, hung, good := hangingAt(t)
		r.options.PerHost = 20
		r.webhook(rc.URL+"/hang", func(w *delivery.Webhook) { w.MaxInFlight, w.Timeout = 100, time.Minute })
		r.run()
		for i := range 50 {
			r.ticket(int64(i))
		}
		r.await("four fifths", func() bool { return hung.Load() == 16 })
		next := r.webhook(rc.URL)
		r.await("the next is known", func() bool { return r.knows(next) })
		for i := range 50 {
			r.ticket(int64(i))
		}
		r.await("all of the next", func() bool { return good.Load() > 50 })
		if n := hung.Load(); n != 16 {
			t.Errorf("%d requests hang, want 16 of 20 at once", n)
		}
	})
}

// What was under way or claimed when a process ended is delivered by the next, under the
// same webhook-id.
func TestR20_R22_TheNextProcessGoesOn(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		var hang atomic.Bool
		hang.Store(true)
		rc := receive(t, func(_ int, _ http.ResponseWriter, req *http.Request) {
			if hang.Load() {
				<-req.Context().Done()
			}
		})
		wh := r.webhook(rc.URL, func(w *delivery.Webhook) { w.MaxInFlight = 2; w.Timeout = time.Minute })
		r.run()
		ids := map[string]bool{}
		for i := range 30 {
			ids[r.ticket(int64(i))] = true
		}
		r.await("two under way", func() bool { return rc.count() == 2 })
		r.halt()
		hang.Store(false)
		r.ticket(99) // while nobody sends
		r.run()
		r.await("all", func() bool {
			all := r.deliveries(wh.ID)
			return len(all) == 31 && !slices.ContainsFunc(all, func(d webhooks.Delivery) bool { return d.State != delivery.StateSucceeded })
		})
		for _, e := range rc.all() {
			delete(ids, e.header.Get("Webhook-Id"))
		}
		if len(ids) > 0 {
			t.Errorf("%d events were not delivered", len(ids))
		}
	})
}

// A webhook with strict order gets one event after the other, though some have to be tried
// again; with order by key that is so for each ticket.
func TestOrderSurvivesFailures(t *testing.T) {
	for _, ordering := range []string{delivery.OrderStrict, delivery.OrderKey} {
		t.Run(ordering, func(t *testing.T) {
			onBoth(t, func(t *testing.T, r *rig) {
				rc := receive(t, func(n int, w http.ResponseWriter, _ *http.Request) {
					if n%3 == 0 {
						w.WriteHeader(500)
					}
				})
				wh := r.webhook(rc.URL, func(w *delivery.Webhook) {
					w.Ordering = ordering
					w.RetrySchedule = slices.Repeat(delivery.Schedule{time.Millisecond}, 15)
				})
				r.run()
				const n, tickets = 30, 3
				var order [tickets][]string
				for i := range n {
					order[i%tickets] = append(order[i%tickets], r.ticket(int64(i%tickets)))
				}
				r.await("all", func() bool {
					all := r.deliveries(wh.ID)
					return len(all) == n && !slices.ContainsFunc(all, func(d webhooks.Delivery) bool { return d.State != delivery.StateSucceeded })
				})
				var got [tickets][]string
				for _, e := range rc.all() {
					k := e.ticket()
					if id := e.header.Get("Webhook-Id"); len(got[k]) == 0 || got[k][len(got[k])-1] != id { // repetitions apart
						got[k] = append(got[k], id)
					}
				}
				for k := range tickets {
					if !slices.Equal(got[k], order[k]) {
						t.Errorf("ticket %d: %v\nwant %v", k, got[k], order[k])
					}
				}
			})
		})
	}
}

// Retry-After holds the whole webhook, and rate limits its attempts.
func TestReceiversSetThePace(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		busy := receive(t, func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		})
		slow := receive(t, nil)
		a := r.webhook(busy.URL)
		r.webhook(slow.URL, func(w *delivery.Webhook) { w.RateLimit = &delivery.RateLimit{Max: 2, PerSeconds: 1} })
		r.run()
		r.ticket(1)
		r.await("refused", func() bool { all := r.deliveries(a.ID); return len(all) == 1 && all[0].Attempts == 1 })
		for i := range 4 {
			r.ticket(int64(i + 2))
		}
		r.await("all", func() bool { return busy.count() == 6 && slow.count() == 5 })
		got := busy.all()
		for _, e := range got[1:] {
			if wait := e.at.Sub(got[0].at); wait < time.Second {
				t.Errorf("asked again after %s though it wanted a second", wait)
			}
		}
		paced := slow.all()
		if took := paced[4].at.Sub(paced[0].at); took < 1400*time.Millisecond { // two at once, then two a second
			t.Errorf("five attempts in %s with two a second", took)
		}
	})
}

// An attempt by hand is made though the webhook is disabled.
func TestAttemptsByHand(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc := receive(t, func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.WriteHeader(400)
			}
		})
		wh := r.webhook(rc.URL, func(w *delivery.Webhook) { w.RetrySchedule = delivery.Schedule{} })
		r.run()
		r.ticket(1)
		d := r.state(wh.ID, delivery.StateExhausted)
		r.change(wh.ID, func(w *delivery.Webhook) { w.IsActive = false })
		if _, err := r.hooks.ChangeDelivery(t.Context(), wh.ID, d.ID, true, func(*delivery.Delivery) error { return nil }); err != nil {
			t.Fatal(err)
		}
		r.dispatcher.Poke()
		d = r.state(wh.ID, delivery.StateSucceeded)
		attempts, err := r.hooks.Attempts(t.Context(), d.ID)
		if err != nil || len(attempts) != 2 || attempts[1].Trigger != delivery.TriggerManual || d.Attempts != 2 {
			t.Errorf("delivery %+v, attempts %+v, %v", d, attempts, err)
		}
		time.Sleep(1500 * time.Millisecond) // longer than between two looks
		if n := rc.count(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
}

// Recovery queues what was given up again, replay what a webhook never got; both end, and
// count how it went.
func TestRecoverAndReplay(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc, mend := refuse(t, 500)
		since := time.Now().Add(-time.Minute)
		wh := r.webhook(rc.URL, func(w *delivery.Webhook) { w.RetrySchedule = delivery.Schedule{} })
		r.run()
		for i := range 5 {
			r.ticket(int64(i))
		}
		r.await("all given up", func() bool {
			all := r.deliveries(wh.ID)
			return len(all) == 5 && !slices.ContainsFunc(all, func(d webhooks.Delivery) bool { return d.State != delivery.StateExhausted })
		})
		mend()
		job := r.job(wh.ID, dispatch.JobRecover, since)
		if job.Matched != 5 || job.Queued != 5 || job.Succeeded != 5 || job.Failed != 0 {
			t.Errorf("recovery %+v", job)
		}
		if d := r.deliveries(wh.ID)[0]; d.Attempts != 2 || d.Cycle != 1 || d.Trigger != delivery.TriggerRecover {
			t.Errorf("recovered %+v", d)
		}
		late := r.webhook(rc.URL)
		r.await("known", func() bool { return r.dispatcher.Stats().Leading && r.knows(late) })
		job = r.job(late.ID, dispatch.JobReplay, since)
		if job.Matched < 5 || job.Succeeded < 5 {
			t.Errorf("replay %+v", job)
		}
	})
}

// A replay queues no more than the receiver takes soon: what happens now is not behind it.
func TestReplaysLetWhatHappensPass(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		const limit, old, now = 20, 100, 2000
		release := make(chan struct{})
		rc := receive(t, func(int, http.ResponseWriter, *http.Request) { <-release })
		r.run()
		for i := range old {
			r.ticket(int64(i))
		}
		w := r.webhook(rc.URL, func(w *delivery.Webhook) { w.MaxInFlight = limit; w.Timeout = time.Minute })
		r.await("known", func() bool { return r.knows(w) })
		r.begin(w.ID, dispatch.JobReplay, time.Now().Add(-time.Minute))
		r.await("all its attempts are under way", func() bool { return rc.count() == limit })
		id := r.ticket(now)
		r.await("the new event is due", func() bool {
			return slices.ContainsFunc(r.deliveries(w.ID), func(d webhooks.Delivery) bool { return d.EventID == id })
		})
		head, err := r.store.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.await("it is in its queue", func() bool { return r.dispatcher.Stats().Position >= head })
		close(release)
		r.await("the new event", func() bool {
			return slices.ContainsFunc(rc.all(), func(e exchange) bool { return e.ticket() == now })
		})
		if at := slices.IndexFunc(rc.all(), func(e exchange) bool { return e.ticket() == now }); at >= 2*limit {
			t.Errorf("%d requests came before it", at)
		}
	})
}

// Deliveries that wait for hours to be tried again do not hold up a replay.
func TestReplaysDoNotWaitForRetries(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc, mend := refuse(t, 500)
		r.run()
		r.ticket(1)
		r.await("nobody wants it", func() bool { return r.dispatcher.Stats().Position > 0 })
		w := r.webhook(rc.URL, func(w *delivery.Webhook) {
			w.RetrySchedule, w.RateLimit = delivery.Schedule{time.Hour}, &delivery.RateLimit{Max: 2, PerSeconds: 1}
		})
		r.await("known", func() bool { return r.knows(w) })
		r.ticket(2)
		r.await("two wait for an hour", func() bool { return len(r.deliveriesIn(w.ID, delivery.StateRetrying)) >= 2 })
		mend()
		if job := r.job(w.ID, dispatch.JobReplay, time.Now().Add(-time.Minute)); job.Queued == 0 || job.Succeeded != job.Queued {
			t.Errorf("replay %+v", job)
		}
	})
}

// knows waits until events reach a new webhook, by one.
func (r *rig) knows(w *delivery.Webhook) bool {
	r.ticket(1000)
	return len(r.deliveries(w.ID)) > 0
}

// begin begins a job.
func (r *rig) begin(id int64, kind string, since time.Time) {
	r.t.Helper()
	now := time.Now().UTC()
	j := dispatch.Job{ID: "whj_" + kind, Webhook: id, Kind: kind, State: dispatch.JobRunning, Since: since, Until: now.Add(time.Minute), OnlyMissing: true, CreatedAt: now, UpdatedAt: now}
	if err := r.hooks.AddJob(r.t.Context(), &j); err != nil {
		r.t.Fatal(err)
	}
	r.dispatcher.Poke()
}

// job runs a job and waits for its end and that of its deliveries.
func (r *rig) job(id int64, kind string, since time.Time) (j dispatch.Job) {
	r.t.Helper()
	r.begin(id, kind, since)
	r.await(kind, func() bool {
		var err error
		if j, err = r.hooks.Job(r.t.Context(), "whj_"+kind); err != nil {
			r.t.Fatal(err)
		}
		return j.State == dispatch.JobDone && j.Succeeded+j.Failed == j.Queued
	})
	return j
}

// A receiver that fails ten times is left alone, then tried with one request.
func TestACircuitOpens(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		rc := receive(t, status(500))
		wh := r.webhook(rc.URL)
		r.run()
		for i := range 40 {
			r.ticket(int64(i))
		}
		r.await("open", func() bool { return r.dispatcher.Stats().Circuits[wh.ID] == 1 })
		r.await("recorded", func() bool { return r.dispatcher.Stats().Busy == 0 })
		n := rc.count()
		time.Sleep(300 * time.Millisecond)
		if again := rc.count(); again != n || n > 10+delivery.DefaultMaxInFlight {
			t.Errorf("%d requests, then %d, though the circuit is open", n, again)
		}
	})
}
