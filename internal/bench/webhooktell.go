package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// news marks the number and the time in a payload as it is told, stamped as it arrives, which
// is in canonical form.
const (
	news    = `{"stamp":"`
	stamped = `"stamp": "`
	newsPad = `","text":"`
	minNews = len(news) + 10 + 1 + 19 + len(newsPad) + len(stampEnd)
)

// appendNews appends an event: its type, its number, the time, and text up to size bytes of
// payload.
func appendNews(dst []byte, typ string, n, at int64, size int) []byte {
	dst = append(append(append(dst, `{"type":"`...), typ...), `","data":`...)
	dst = appendDigits(append(dst, news...), n, 10)
	dst = append(appendDigits(append(dst, ' '), at, 19), newsPad...)
	for range size - minNews {
		dst = append(dst, 'x')
	}
	return append(append(dst, stampEnd...), '}')
}

// newsStamp finds the number and the time in a webhook.
func newsStamp(b []byte) (n, at int64, ok bool) { return stampAfter(stamped, b) }

// teller tells a server of events.
type teller struct {
	server *server
	client *http.Client
	tally  *tally
	number int64 // of the next event
}

func newTeller(s *server, t *tally) *teller {
	return &teller{server: s, tally: t, number: firstNumber, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxLate}}}
}

func (te *teller) close() { te.client.CloseIdleConnections() }

// volley says which events are told and how.
type volley struct {
	events, batch int
	requests      int     // most at a time; a place is free again when all of its events have arrived
	rate          float64 // events per second; 0 is as fast as they arrive
	size          int     // bytes of a payload
	// to is the type of the i-th event, and whether its webhook is waited for.
	to func(i int) (typ string, awaited bool)
}

var errSilent = fmt.Errorf("nothing that was waited for has come in %v", stall)

// produce tells of events and waits for their webhooks, and until the server has recorded
// them: Wall lasts until it does nothing any more, CPU is the server's.
func (te *teller) produce(ctx context.Context, v volley) (told, error) {
	events := max(v.events/v.batch, 1) * v.batch
	first := te.number
	te.number += int64(events)
	te.tally.begin(first, events)
	if err := calm(ctx, te.server.pid); err != nil {
		return told{}, err
	}
	cpu, err := readCPU(te.server.pid)
	if err != nil {
		return told{}, err
	}
	begun := time.Now()
	if err := te.all(ctx, v, first, events); err != nil {
		return told{}, err
	}
	if err := calm(ctx, te.server.pid); err != nil {
		return told{}, err
	}
	wall := time.Since(begun)
	end, err := readCPU(te.server.pid)
	if err != nil {
		return told{}, err
	}
	out := te.tally.result()
	out.CPU, out.Wall = end-cpu, wall
	return out, nil
}

// turn is a batch that is due.
type turn struct {
	n  int64 // its first number
	at int64 // when it is due; 0 is as soon as somebody is free
}

// all tells of the events from number first on.
func (te *teller) all(ctx context.Context, v volley, first int64, events int) error {
	g, ctx := errgroup.WithContext(ctx)
	turns := make(chan turn)
	g.Go(func() error {
		defer close(turns)
		return v.schedule(ctx, turns, first, events)
	})
	for range v.requests {
		g.Go(func() error {
			var body []byte
			for t := range turns {
				var err error
				if body, err = te.tell(ctx, body, v, t, first); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err := te.tally.progress()
	return err
}

// schedule hands out the batches, at the rate if there is one.
func (v *volley) schedule(ctx context.Context, turns chan<- turn, first int64, events int) error {
	begun := now()
	for i := 0; i < events; i += v.batch {
		t := turn{n: first + int64(i)}
		if v.rate > 0 {
			t.at = begun + int64(float64(i)/v.rate*float64(time.Second))
			if err := sleep(ctx, time.Duration(t.at-now())); err != nil {
				return err
			}
		}
		select {
		case turns <- t:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// tell tells of a batch and waits until it is over. It returns body, for the next one. Who
// is told late because nobody was free counts from when it was due.
func (te *teller) tell(ctx context.Context, body []byte, v volley, t turn, first int64) ([]byte, error) {
	at := t.at
	if at == 0 {
		at = now()
	}
	body = append(body[:0], '[')
	for i := range int64(v.batch) {
		if i > 0 {
			body = append(body, ',')
		}
		typ, _ := v.to(int(t.n + i - first))
		body = appendNews(body, typ, t.n+i, at, v.size)
	}
	body = append(body, ']')
	b := te.tally.send(t.n, at, v.batch, func(n int64) bool {
		_, awaited := v.to(int(n - first))
		return awaited
	})
	if err := te.post(ctx, body); err != nil {
		return body, err
	}
	te.tally.answered(b, t.n, now(), v.batch)
	return body, te.wait(ctx, b)
}

func (te *teller) post(ctx context.Context, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+te.server.host+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("tell of events: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-API-Key", te.server.key) //nolint:canonicalheader // as it is documented
	resp, err := te.client.Do(r)
	if err != nil {
		return fmt.Errorf("tell of events: %w", err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("tell of events: %w", err)
	}
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("tell of events: the API answered %s: %.300s", resp.Status, reply)
	}
	return nil
}

// wait waits until a batch is over. It fails when nothing happens for long, or something
// that must not.
func (te *teller) wait(ctx context.Context, b *batch) error {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	last, quiet := 0, time.Now()
	for {
		select {
		case <-b.over:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		}
		count, err := te.tally.progress()
		switch {
		case err != nil:
			return err
		case count != last:
			last, quiet = count, time.Now()
		case time.Since(quiet) > stall:
			return errSilent
		}
	}
}

// sleep waits for d, or for the end of ctx, which is an error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// calm waits until the process has finished what it was doing.
func calm(ctx context.Context, pid int) error {
	return settled(pid, func(d time.Duration) error { return sleep(ctx, d) })
}
