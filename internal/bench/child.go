package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// child is another process of this executable. It lives until stop.
type child struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string   // its output, as far as somebody waits for it
	ended chan struct{} // its output is closed
	tail  []string      // its last lines; read after ended only
}

// startChild runs this executable with args.
func startChild(args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	ch := &child{cmd: exec.Command(self, args...), lines: make(chan string, 64), ended: make(chan struct{})} //nolint:gosec // ourselves
	if ch.in, err = ch.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	out, err := ch.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	ch.cmd.Stderr = ch.cmd.Stdout
	if err := ch.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", strings.Join(args, " "), err)
	}
	go ch.read(out)
	return ch, nil
}

// read takes the child's output until its end. What nobody waits for is dropped.
func (ch *child) read(out io.Reader) {
	defer close(ch.ended)
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		ch.tail = append(ch.tail[max(0, len(ch.tail)-9):], s.Text())
		select {
		case ch.lines <- s.Text():
		default:
		}
	}
	_, _ = io.Copy(io.Discard, out)
}

// line waits for a line that want accepts.
func (ch *child) line(ctx context.Context, want func(string) bool) (string, error) {
	for {
		select {
		case line := <-ch.lines:
			if want(line) {
				return line, nil
			}
		case <-ch.ended:
			return "", fmt.Errorf("%s ended: %s", strings.Join(ch.cmd.Args, " "), strings.Join(ch.tail, "\n"))
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// stop asks the child to end, kills it after 30 s, and waits for it.
func (ch *child) stop() {
	_ = ch.in.Close()
	if err := ch.cmd.Process.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		timer := time.AfterFunc(30*time.Second, func() { _ = ch.cmd.Process.Kill() })
		defer timer.Stop()
	}
	<-ch.ended
	_ = ch.cmd.Wait()
}
