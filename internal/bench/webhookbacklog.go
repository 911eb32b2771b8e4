package bench

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// backlog measures what a server weighs while deliveries are due that were there when it
// started: first no receiver answers, then all do. It is held against the same server with
// nothing to do.
func (w *Webhook) backlog(ctx context.Context, progress io.Writer) ([]Result, error) {
	data := filepath.Join(w.Folder, "backlog")
	c, err := w.prepare(ctx, data, nil, w.Endpoints)
	if err != nil {
		return nil, err
	}
	defer c.close()
	idle, err := w.idleMemory(ctx, c.server.pid)
	if err != nil {
		return nil, err
	}
	c.server.close()
	begun := time.Now()
	each := max(w.Backlog/w.Endpoints, 1)
	if err := fillDeliveries(ctx, data, webhookConfig(nil, w.Endpoints), each, w.Size); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(progress, "%d deliveries were made due in %v\n", each*w.Endpoints, time.Since(begun).Round(time.Second)); err != nil {
		return nil, fmt.Errorf("print progress: %w", err)
	}
	c.receivers.hang(w.Endpoints)
	c.server = server{key: chatKey}
	if err := c.server.start(ctx, data, webhookConfig(nil, w.Endpoints)); err != nil {
		return nil, err
	}
	waiting, err := w.watch(ctx, c)
	if err != nil {
		return nil, err
	}
	c.receivers.release()
	sending, err := w.watch(ctx, c)
	if err != nil {
		return nil, err
	}
	bar := 64.0
	if each*w.Endpoints < 1_000_000 {
		bar = 0
	}
	most := max(waiting.memory, sending.memory)
	return []Result{newResult(fmt.Sprintf("%d deliveries due: resident memory above idle, at most", each*w.Endpoints), "MiB", []float64{mebibytes(most - idle)}, nil, bar,
		fmt.Sprintf("%.1f MiB idle, %.1f while no receiver answers and %d attempts wait, %.1f while all do",
			mebibytes(idle), mebibytes(waiting.memory), waiting.taken, mebibytes(sending.memory)),
		fmt.Sprintf("%.0f deliveries/s with the backlog; load average %s", perSecond(sending.taken, w.Watch), loadAverage()))}, nil
}

// idleMemory is what the process weighs once it does nothing.
func (w *Webhook) idleMemory(ctx context.Context, pid int) (int64, error) {
	if err := calm(ctx, pid); err != nil {
		return 0, err
	}
	return residentBytes(pid)
}

// watched is the most memory the server had, and how many webhooks came.
type watched struct {
	memory int64
	taken  int
}

// watch watches the server from when the next webhook comes.
func (w *Webhook) watch(ctx context.Context, c *correspondence) (out watched, err error) {
	before := c.receivers.taken()
	begun := time.Now()
	for came := false; !came || time.Since(begun) < w.Watch; {
		bytes, err := residentBytes(c.server.pid)
		if err != nil {
			return out, err
		}
		out.memory = max(out.memory, bytes)
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return out, err
		}
		switch {
		case came:
		case c.receivers.taken() > before:
			came, begun = true, time.Now()
		case time.Since(begun) > stall:
			return out, errSilent
		}
	}
	out.taken = c.receivers.taken() - before
	_, err = c.receivers.tally.progress()
	return out, err
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// fillDeliveries gives each webhook in the database of the folder data, where config is kept
// too, n deliveries that are due.
func fillDeliveries(ctx context.Context, data string, config map[string]any, n, size int) error {
	file, err := dataFolder(data, config)
	if err != nil {
		return err
	}
	_, err = runSelf(ctx, "bench-due", "--config", file, "--data-dir", data, fmt.Sprintf("--each=%d", n), fmt.Sprintf("--size=%d", size))
	return err
}
