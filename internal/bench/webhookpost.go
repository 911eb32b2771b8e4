package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// The floor of webhooks is a process that makes the same requests with net/http and does
// nothing else: no event, no signature, no record. It is `bench post-worker` of this
// executable. Each receiver gets one request after the other, all receivers at once.

// posting orders requests: how often which, and to which addresses.
type posting struct {
	post

	URLs  []string `json:"urls"`
	Posts int      `json:"posts"` // in all
}

// posted is the answer to an order, and the first, which says that it is ready.
type posted struct {
	Wall *time.Duration `json:"wall_ns"`
}

// posts is that process.
type posts struct{ process *child }

func startPosts(ctx context.Context) (*posts, error) {
	process, err := startChild("bench", "post-worker")
	if err != nil {
		return nil, err
	}
	p := &posts{process}
	if _, err := p.done(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *posts) stop() { p.process.stop() }

// round makes n requests like the first webhook that came, to some of the receivers.
func (p *posts) round(ctx context.Context, r *receivers, receivers, n int) (told, error) {
	r.mu.Lock()
	sample := r.sample
	r.mu.Unlock()
	if sample == nil {
		return told{}, errors.New("no webhook has come that could be repeated")
	}
	order := posting{post: *sample, Posts: n}
	for _, url := range r.urls[:receivers] {
		order.URLs = append(order.URLs, url[:strings.LastIndexByte(url, '/')]+barePath)
	}
	b, err := json.Marshal(order)
	if err != nil {
		return told{}, fmt.Errorf("order posts: %w", err)
	}
	pid := p.process.cmd.Process.Pid
	before, err := cpuTime(pid)
	if err != nil {
		return told{}, err
	}
	if _, err := p.process.in.Write(append(b, '\n')); err != nil {
		return told{}, fmt.Errorf("order posts: %w", err)
	}
	wall, err := p.done(ctx)
	if err != nil {
		return told{}, err
	}
	after, err := cpuTime(pid)
	return told{round: round{Publishes: n, Deliveries: n, CPU: after - before, Wall: wall}}, err
}

func (p *posts) done(ctx context.Context) (time.Duration, error) {
	var answer posted
	_, err := p.process.line(ctx, func(line string) bool {
		return json.Unmarshal([]byte(line), &answer) == nil && answer.Wall != nil
	})
	if err != nil {
		return 0, err
	}
	return *answer.Wall, nil
}

// postThrough makes requests for each line of in, an order, and prints to out how long that
// took, until in ends.
func postThrough(ctx context.Context, in io.Reader, out io.Writer) error {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	enc := json.NewEncoder(out)
	if err := enc.Encode(posted{new(time.Duration)}); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	lines := bufio.NewScanner(in)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		var order posting
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		begun := time.Now()
		if err := order.run(ctx, client); err != nil {
			return err
		}
		wall := time.Since(begun)
		if err := enc.Encode(posted{&wall}); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return lines.Err()
}

func (o *posting) run(ctx context.Context, client *http.Client) error {
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for _, url := range o.URLs {
		g.Go(func() error {
			for next.Add(1) <= int64(o.Posts) {
				if err := o.once(ctx, client, url); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (o *posting) once(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(o.Body))
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	r.Header = o.Header
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return fmt.Errorf("post: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("post: the receiver answered %s", resp.Status)
	}
	return nil
}
