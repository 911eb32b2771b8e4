package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strconv"
	"time"
)

// history measures a server whose database has a history: the work of a send in chats of
// different size, reading, and starting.
func (c *Chat) history(ctx context.Context, progress io.Writer) ([]Result, error) {
	data := filepath.Join(c.Folder, "history")
	begun := time.Now()
	f, err := fill(ctx, data, chatConfig(nil), c.Messages)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(progress, "a database of %d messages was filled in %v\n", c.Messages, time.Since(begun).Round(time.Second)); err != nil {
		return nil, fmt.Errorf("print progress: %w", err)
	}
	var results []Result
	started, err := c.starts(ctx, data)
	if err != nil {
		return nil, err
	}
	s := server{key: chatKey}
	if err := s.start(ctx, data, chatConfig(nil)); err != nil {
		return nil, err
	}
	defer s.close()
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	guest, err := s.login(ctx, f.Username, f.Password)
	if err != nil {
		return nil, err
	}
	r, err := newReader(ctx, l, &s, guest)
	if err != nil {
		return nil, err
	}
	for _, measure := range []func(context.Context, *reader, filled) ([]Result, error){c.work, c.lists, c.pages, c.searches} {
		got, err := measure(ctx, r, f)
		if err != nil {
			return results, err
		}
		results = append(results, got...)
	}
	return append(results, started), nil
}

// starts measures how long a start takes until the server is ready.
func (c *Chat) starts(ctx context.Context, data string) (Result, error) {
	var took []float64
	for i := range c.Rounds + 1 {
		s := server{key: chatKey}
		begun := time.Now()
		if err := s.start(ctx, data, chatConfig(nil)); err != nil {
			return Result{}, err
		}
		if i > 0 {
			took = append(took, milliseconds(time.Since(begun)))
		}
		s.close()
	}
	return newResult("start until ready, "+c.size(), "ms", took, nil, 300, "load average "+loadAverage()), nil
}

// size says what the database has.
func (c *Chat) size() string { return strconv.Itoa(c.Messages) + " messages" }

// reader is one person who asks one thing after the other.
type reader struct {
	s     *server
	guest person
	l     *loop
	ca    *caller
}

func newReader(ctx context.Context, l *loop, s *server, guest person) (*reader, error) {
	callers, err := dialCallers(ctx, l, s.addr, s.host, "", "", 1)
	if err != nil {
		return nil, err
	}
	return &reader{s, guest, l, callers[0]}, nil
}

// ask sends a request and returns how long the answer took.
func (r *reader) ask(ctx context.Context, method, path string, body []byte) (time.Duration, error) {
	answered := false
	r.ca.done = func([]byte) { answered = true }
	r.ca.head = r.s.appendRequest(r.ca.head[:0], method, path, r.guest.Token)
	begun := time.Now()
	r.ca.post(body)
	err := r.l.until(ctx, func() bool { return answered })
	return time.Since(begun), err
}

// percentiles asks n times in each round and returns the percentile p of each, in ms.
func (c *Chat) percentiles(ctx context.Context, r *reader, n int, p float64, path func() string) ([]float64, error) {
	var values []float64
	for i := range c.Rounds + 1 {
		took := make([]time.Duration, n)
		for k := range took {
			var err error
			if took[k], err = r.ask(ctx, "GET", path(), nil); err != nil {
				return nil, err
			}
		}
		if i > 0 {
			values = append(values, milliseconds(percentile(took, p)))
		}
	}
	return values, nil
}

// lists measures the list of chats of who has 1,000 of them.
func (c *Chat) lists(ctx context.Context, r *reader, _ filled) ([]Result, error) {
	const asked = 40
	path := func() string { return "/api/v2/chats" }
	took, err := c.percentiles(ctx, r, asked, 50, path)
	if err != nil {
		return nil, err
	}
	before, err := r.s.metric(ctx, "kuranty_database_queries_total")
	if err != nil {
		return nil, err
	}
	for range asked {
		if _, err := r.ask(ctx, "GET", path(), nil); err != nil {
			return nil, err
		}
	}
	after, err := r.s.metric(ctx, "kuranty_database_queries_total")
	if err != nil {
		return nil, err
	}
	// Who calls is looked up again every few seconds, which is no whole query of a request.
	queries := math.Floor((after - before) / asked)
	return []Result{
		newResult("chat list of a user with 1000 chats, "+c.size(), "ms", took, nil, 15),
		newResult("the same: queries", "queries", []float64{queries}, nil, 3),
	}, nil
}

// pages measures pages of 50 messages anywhere in the largest chat.
func (c *Chat) pages(ctx context.Context, r *reader, f filled) ([]Result, error) {
	took, err := c.percentiles(ctx, r, 200, 95, func() string {
		return fmt.Sprintf("/api/v2/chats/%d/messages?limit=50&before=%d", f.Large, 51+rand.IntN(c.Messages))
	})
	return []Result{newResult("page of 50 messages, chat of "+c.size()+": p95", "ms", took, nil, 5)}, err
}

// searches measures searching for a word of every second message, of one in 1,000 and of
// one in 100,000.
func (c *Chat) searches(ctx context.Context, r *reader, f filled) (results []Result, err error) {
	for i, often := range []string{"2", "1000", "100000"} {
		took, err := c.percentiles(ctx, r, 40, 95, func() string { return "/api/v2/search/messages?q=" + url.QueryEscape(f.Words[i]) })
		if err != nil {
			return results, err
		}
		results = append(results, newResult("search for a word in one of "+often+" of "+c.size()+": p95", "ms", took, nil, 60))
	}
	return results, nil
}

// work counts what a send to a chat of 10,000 members takes, against one to a chat of
// 10. Each has one subscriber, so that there is something to publish.
func (c *Chat) work(ctx context.Context, r *reader, f filled) ([]Result, error) {
	const sends = 100
	names := []string{"kuranty_database_statements_total", "kuranty_publications_total"}
	var clients []*client
	for _, chat := range []int64{f.Ten, f.TenThousand} {
		hello, n := greeting(r.guest.Connection, "chat:"+strconv.FormatInt(chat, 10), nil)
		clients = append(clients, &client{request: r.s.upgradeRequest(), hello: hello, awaited: n, stamped: func(int64, int64) {}, find: textStamp})
	}
	if err := r.s.join(ctx, r.l, clients, 1, nil); err != nil {
		return nil, err
	}
	number := int64(firstNumber)
	count := func(chat int64) (per [2]float64, cpu float64, err error) {
		var before [2]float64
		for i, name := range names {
			if before[i], err = r.s.metric(ctx, name); err != nil {
				return per, 0, err
			}
		}
		got, err := timed(ctx, r.l, r.s.pid, func() error {
			for range sends {
				number++
				path := "/api/v2/chats/" + strconv.FormatInt(chat, 10) + "/messages"
				if _, err := r.ask(ctx, "POST", path, appendSending(nil, number, now())); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return per, 0, err
		}
		for i, name := range names {
			after, err := r.s.metric(ctx, name)
			if err != nil {
				return per, 0, err
			}
			// The log remembers once a second how far it is, which is no whole statement of a send.
			per[i] = math.Floor((after - before[i]) / sends)
		}
		return per, microseconds(got.CPU) / sends, nil
	}
	var few, many [2][]float64
	var fewCPU, manyCPU []float64
	for i := range c.Rounds + 1 {
		ten, tenCPU, err := count(f.Ten)
		if err != nil {
			return nil, err
		}
		thousands, thousandsCPU, err := count(f.TenThousand)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue
		}
		fewCPU, manyCPU = append(fewCPU, tenCPU), append(manyCPU, thousandsCPU)
		for k := range names {
			few[k], many[k] = append(few[k], ten[k]), append(many[k], thousands[k])
		}
	}
	if err := hangUp(ctx, r.l, r.s.pid, clients); err != nil {
		return nil, err
	}
	return []Result{
		newResult("SQL statements of a send, chat of 10000 members against 10", "statements", many[0], few[0], 1),
		newResult("publications of a send, chat of 10000 members against 10", "publications", many[1], few[1], 1),
		newResult("server CPU of a send, chat of 10000 members against 10", "µs", manyCPU, fewCPU, 0),
	}, nil
}
