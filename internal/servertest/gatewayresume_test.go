package servertest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kuranty/kuranty/internal/pgtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

// follower is a client of the resume test: it is cut off at random and comes back.
type follower struct {
	t     *testing.T
	in    *servertest.Instance
	way   string
	last  string // the id of the last event, or a cursor
	token string // of resume
	seen  []int64
}

// ways in which a follower says what it has.
var resumeWays = []string{"address", "header", "subscribe", "token", "consumer", "late", "none"}

// session connects, reads up to limit events, and is cut off. It reports whether last was
// among them.
func (f *follower) session(n, limit int, until func() string) (ended bool) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	path, header := "/v1/ws", http.Header{"X-Api-Key": {f.in.APIKey}}
	subscribe := map[string]any{"type": "subscribe", "events": []string{"order.*"}}
	if f.last != "" {
		switch f.way {
		case "address":
			path += "?lastEventId=" + f.last
		case "header":
			header.Set("Last-Event-ID", f.last)
		case "subscribe":
			subscribe["lastEventId"] = f.last
		case "token":
			subscribe = map[string]any{"type": "resume", "token": f.token, "lastEventId": f.last}
		case "late": // the past of a second name on a connection that is live for another
			subscribe["channels"], subscribe["lastEventId"] = []string{"events"}, f.last
		}
	}
	if f.way == "consumer" {
		subscribe["consumer"] = "ledger"
	}
	c, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(f.in.URL, "http")+path, &websocket.DialOptions{HTTPHeader: header})
	closeBody(res)
	if err != nil {
		f.t.Errorf("%s: %v", f.way, err)
		return true
	}
	defer func() { _ = c.CloseNow() }()
	say := func(v any) {
		b, _ := json.Marshal(v)
		_ = c.Write(ctx, websocket.MessageText, b)
	}
	if f.way == "late" {
		say(map[string]any{"type": "subscribe", "events": []string{"order.created"}, "filter": map[string]any{"data.number": map[string]any{"$lt": -1}}})
	}
	say(subscribe)
	got := make(map[int64]bool)
	for before := int64(0); limit > 0; {
		_, b, err := c.Read(ctx)
		var m said
		if err != nil || json.Unmarshal(b, &m) != nil {
			f.t.Errorf("%s, connection %d: %v %s", f.way, n, err, b)
			return true
		}
		switch {
		case m.Type == "error" || m.Data["status"] == "lost":
			f.t.Errorf("%s, connection %d: %s", f.way, n, b)
			return true
		case m.Data["action"] == "auth":
			if f.token == "" || f.way != "token" {
				f.token, _ = m.Data["resumeToken"].(string)
			} else {
				defer func(next string) { f.token = next }(m.Data["resumeToken"].(string))
			}
			if cursor, _ := m.Data["cursor"].(string); f.last == "" {
				f.last = cursor
			}
		case m.Type == "event":
			if got[m.Seq] || m.Seq < before {
				f.t.Errorf("%s, connection %d: %d after %d (again: %v)", f.way, n, m.Seq, before, got[m.Seq])
				return true
			}
			got[m.Seq], before = true, m.Seq
			f.seen = append(f.seen, m.Seq)
			f.last = m.ID
			limit--
			if f.way == "consumer" && rand.IntN(3) == 0 {
				say(map[string]any{"type": "ack", "id": m.ID})
			}
			if m.ID == until() {
				return true
			}
		}
	}
	return false
}

// event-gateway.md §10: cut off at 1,000 random points under load, whoever comes back with
// the last id has the whole log, each event once but for those it had when it was cut off.
// Who comes back without gets no event twice.
func TestR18_GatewayResumesAtAnyPoint(t *testing.T) {
	for _, driver := range []string{"sqlite", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			if driver == "sqlite" {
				resumeAtAnyPoint(t, servertest.Start(t, servertest.Config(ownTypes)), 1000)
			} else {
				resumeAtAnyPoint(t, servertest.Start(t, servertest.Config(ownTypes), servertest.Flag("storage.driver", "postgres"), servertest.Flag("storage.dsn", pgtest.Start(t))), 200)
			}
		})
	}
}

func resumeAtAnyPoint(t *testing.T, in *servertest.Instance, cuts int) {
	ended, closing := make(chan struct{}), make(chan struct{})
	var cut atomic.Int64
	last := ""
	batch := func(n int) string {
		list := make([]map[string]any, n)
		for i := range list {
			list[i] = map[string]any{"type": "order.created", "data": map[string]any{"number": i}}
		}
		_, got := ask(t, in, in.APIKey, http.MethodPost, "/v1/events", list)
		events, _ := got["events"].([]any)
		if len(events) != n {
			t.Errorf("%v", got)
			return ""
		}
		id, _ := events[n-1].(map[string]any)["event_id"].(string)
		return id
	}
	first := publish(t, in, "order.paid", map[string]any{})
	until(t, "the first", func() bool { return len(listEvents(t, in, in.APIKey, "channels=events").Events) == 1 })
	go func() { // the load
		defer close(ended)
		for {
			batch(1 + rand.IntN(20))
			select {
			case <-closing:
				last = batch(1)
				return
			case <-time.After(time.Duration(rand.IntN(8)) * time.Millisecond):
			}
		}
	}()
	followers := make([]*follower, len(resumeWays))
	var wg sync.WaitGroup
	for i, way := range resumeWays {
		f := &follower{t: t, in: in, way: way, last: first}
		if way == "token" || way == "consumer" {
			f.last = ""
		}
		followers[i] = f
		wg.Go(func() {
			for n := 0; cut.Add(1) <= int64(cuts) && !t.Failed(); n++ {
				f.session(n, 1+rand.IntN(30), func() string { return "-" })
			}
		})
	}
	wg.Wait()
	close(closing)
	<-ended
	if t.Failed() {
		return
	}
	for _, f := range followers { // the last connection reads to the end
		if f.way != "none" {
			wg.Go(func() { f.session(-1, 1<<30, func() string { return last }) })
		}
	}
	wg.Wait()
	var all []int64
	for after := ""; ; {
		p := listEvents(t, in, in.APIKey, "channels=events&limit=100"+after)
		for _, e := range p.Events {
			all = append(all, e.Seq)
			after = "&after=" + e.ID
		}
		if len(p.Events) == 0 {
			break
		}
	}
	t.Logf("%d events", len(all))
	for _, f := range followers {
		seen := slices.Clone(f.seen)
		slices.Sort(seen)
		unique := slices.Compact(slices.Clone(seen))
		want := all
		if len(unique) > 0 {
			want = all[slices.Index(all, unique[0]):]
		}
		switch again := len(seen) - len(unique); {
		case f.way == "none" && again > 0, f.way != "consumer" && again > 0:
			t.Errorf("%s: %d events came twice", f.way, again)
		}
		if f.way != "none" && !slices.Equal(unique, want) {
			t.Errorf("%s: has %d events of %d", f.way, len(unique), len(want))
		}
		if f.way != "none" && f.way != "token" && f.way != "consumer" && len(want) != len(all)-1 { // all but the one they began with
			t.Errorf("%s: begins at %v of %v", f.way, unique[:1], all[:2])
		}
	}
}

// event-gateway.md §10: tokens, consumers, and what is not kept.
func TestGatewayResume(t *testing.T) {
	onBoth(t, ownTypes, func(t *testing.T, in *servertest.Instance) {
		s := dialGateway(t, in, "/v1/ws?token="+in.APIKey, nil)
		token, _ := s.answered("auth", "ok").Data["resumeToken"].(string)
		s.send(`{"type":"subscribe","channels":["system"],"events":["order.*"]}`)
		s.answered("subscribe", "ok")
		first := publish(t, in, "order.paid", map[string]any{"n": 1})
		s.hear()
		second := publish(t, in, "order.paid", map[string]any{"n": 2})
		s.hear()
		// The server still believes in the connection.
		other, _ := newKey(t, in)
		stranger := enter(t, in, other, "")
		stranger.send(`{"type":"resume","token":"` + token + `","lastEventId":"` + first + `"}`)
		stranger.answered("resume", "lost")
		again := enter(t, in, in.APIKey, "")
		again.send(`{"type":"resume","token":"` + token + `","lastEventId":"` + first + `"}`)
		m := again.answered("resume", "ok")
		if fmt.Sprint(m.Data["count"], m.Data["active"]) != "2 map[channels:[system] events:[order.*]]" {
			t.Errorf("%v", m.Data)
		}
		if m := again.hear(); m.ID != second || !m.Replayed {
			t.Errorf("%+v", m)
		}
		s.closed(1000, "1000")
		again.send(`{"type":"resume","token":"` + token + `"}`)
		again.answered("resume", "lost")

		// A consumer that has acknowledged nothing gets again what it got.
		one := enter(t, in, in.APIKey, "")
		one.send(`{"type":"subscribe","events":["order.*"],"consumer":"crm-1"}`)
		one.answered("subscribe", "ok")
		third := publish(t, in, "order.paid", map[string]any{"n": 3})
		one.hear()
		two := enter(t, in, in.APIKey, "")
		two.send(`{"type":"subscribe","events":["order.*"],"consumer":"crm-1"}`)
		two.answered("subscribe", "ok")
		one.answered("consumer", "replaced")
		one.closed(1000, "1000")
		if m := two.hear(); m.ID != third {
			t.Errorf("%+v", m)
		}
		two.send(`{"type":"ack","id":"` + third + `"}`)
		fourth := publish(t, in, "order.paid", map[string]any{"n": 4})
		two.hear()
		until(t, "the acknowledgement", func() bool {
			three := enter(t, in, in.APIKey, "")
			defer func() { _ = three.c.CloseNow() }()
			three.send(`{"type":"subscribe","events":["order.*"],"consumer":"crm-1"}`)
			three.answered("subscribe", "ok")
			return three.hear().ID == fourth
		})

		lost := enter(t, in, in.APIKey, "?lastEventId=evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD")
		lost.send(`{"type":"subscribe","events":["order.*"],"onLost":"earliest"}`)
		resume, _ := lost.answered("subscribe", "ok").Data["resume"].(map[string]any)
		if resume["status"] != "lost" || resume["earliest"] == "" || resume["replayed"] != 4.0 {
			t.Errorf("%v", resume)
		}
		if m := lost.hear(); m.ID != first {
			t.Errorf("%+v", m)
		}
		bad := enter(t, in, in.APIKey, "?lastEventId=7")
		bad.fails("4003", "")
	})
}
