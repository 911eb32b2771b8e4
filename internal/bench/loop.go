package bench

import (
	"context"
	"fmt"
	"time"
)

const (
	stall = 30 * time.Second       // no progress for so long means the server hangs
	tick  = 100 * time.Millisecond // how often a waiting loop looks at its context
)

// A handler is told what happens to its connection. All calls come from the
// goroutine inside [loop.until]; b is valid during the call only.
type handler interface {
	opened(c *conn)
	data(c *conn, b []byte)
	closed(c *conn, err error)
}

// until serves the sockets until done reports true. It fails when a handler did,
// when ctx ends, and when no handler has noted progress for half a minute.
func (l *loop) until(ctx context.Context, done func() bool) error {
	last, quiet := l.progress, time.Now()
	for !done() {
		if err := l.step(ctx, tick); err != nil {
			return err
		}
		if l.progress != last {
			last, quiet = l.progress, time.Now()
		} else if time.Since(quiet) > stall {
			return fmt.Errorf("the server has sent nothing that was waited for in %v", stall)
		}
	}
	return l.err
}

// pause serves the sockets for d, pings included.
func (l *loop) pause(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := l.step(ctx, min(tick, time.Until(end)+time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}
