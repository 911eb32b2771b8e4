package servertest_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/servertest"
)

// failing makes system calls of a running process fail from now on, as faults says
// (strace, --inject) with more arguments, until stop is called. The calls are recorded in
// a file.
func failing(t *testing.T, pid int, faults string, more ...string) (record string, stop func()) {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("there is no strace: scripts/need.sh strace")
	}
	record = filepath.Join(t.TempDir(), "calls")
	calls, _, _ := strings.Cut(faults, ":")
	args := []string{"-f", "-ttt", "-o", record, "-e", "trace=" + calls, "-e", "inject=" + faults, "-p", strconv.Itoa(pid)}
	cmd := exec.Command(path, append(args, more...)...)
	said, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended with the process
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	lines := bufio.NewScanner(said)
	if !lines.Scan() || !strings.Contains(lines.Text(), "attached") {
		t.Fatalf("strace: %s", lines.Text())
	}
	go func() { // it would wait for somebody who reads
		for lines.Scan() {
		}
	}()
	return record, stop
}

// firstFailure returns when the first call failed that was made to.
func firstFailure(t *testing.T, record string) time.Time {
	t.Helper()
	text, err := os.ReadFile(filepath.Clean(record))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		// "1234  1764091500.123456 fdatasync(11) = -1 EIO (Input/output error) (INJECTED)"
		if f := strings.Fields(line); strings.Contains(line, "INJECTED") && len(f) > 1 {
			at, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			return time.UnixMicro(int64(at * 1e6))
		}
	}
	t.Fatalf("no call failed:\n%s", text)
	return time.Time{}
}

// answers are the requests that a server answered, and when they began.
type answers struct {
	mu    sync.Mutex
	begun map[int][]time.Time // by status
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.begun[res.StatusCode] = append(a.begun[res.StatusCode], began)
	}
	return res, err
}

// A sync or a write of a commit fails, for once or for good. No write begun after that is
// acknowledged, the server is not healthy and ends within 5 s, whoever is connected,
// and the next start has every message that was acknowledged.
func TestR06_AFailingDiskEndsTheProcess(t *testing.T) {
	for _, c := range []struct{ name, faults string }{
		{"sync for good", "fsync,fdatasync:error=EIO"},
		{"sync for once", "fsync,fdatasync:error=EIO:when=1"},
		{"write for good", "pwrite64:error=EIO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const connected = 1000
			options := ledgerOptions(t.TempDir())
			p := servertest.Binary(t, options...)
			written, asked := &answers{begun: map[int][]time.Time{}}, &answers{begun: map[int][]time.Time{}}
			l := newLedger()
			l.at(p.URL)
			people, chats := l.people(t, 4, 2)
			l.http.Transport = written
			token := p.Token("42")
			clients := make([]*client, connected)
			defer closeAll(clients)
			each(t, connected, 16, func(i int) (err error) {
				clients[i], err = connect(p.WSURL, token, nil)
				return err
			})
			hangingRequest(t, p.URL, people[0])

			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var writers, prober sync.WaitGroup
			for i, w := range people {
				writers.Go(func() { l.write(ctx, w, "w"+strconv.Itoa(i), chats) })
			}
			prober.Go(func() {
				probe := http.Client{Transport: asked, Timeout: limit}
				for ctx.Err() == nil {
					for _, path := range []string{"/readyz", "/health"} {
						if res, err := probe.Get(p.URL + path); err == nil {
							res.Body.Close()
						}
					}
					time.Sleep(5 * time.Millisecond) // between looks
				}
			})
			until(t, "100 messages acknowledged", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.acked) >= 100 })
			record, _ := failing(t, p.Pid, c.faults)
			code, ended := p.ExitCode(limit)
			gone := time.Now()
			if !ended {
				t.Fatalf("the server goes on\n%s", p.Log())
			}
			failed := firstFailure(t, record)
			t.Logf("ended with %d, %v after the failure", code, gone.Sub(failed).Round(time.Millisecond))
			if took := gone.Sub(failed); code == 0 || took > 5*time.Second {
				t.Errorf("the server ended with %d after %v\n%s", code, took, p.Log())
			}
			for status, begun := range written.begun {
				if n := after(begun, failed); n > 0 && status < 500 {
					t.Errorf("%d writes begun after the failure were answered with %d", n, status)
				}
			}
			// What a look that began at the same moment says is a matter of chance.
			if n := after(asked.begun[http.StatusOK], failed.Add(100*time.Millisecond)); n > 0 {
				t.Errorf("the server said %d times after the failure that it is well", n)
			}

			again := servertest.Binary(t, options...)
			l.at(again.URL)
			stop()
			writers.Wait()
			prober.Wait()
			for _, w := range l.check(t, people[0], chats, nil) {
				t.Error(w)
			}
			t.Logf("%d messages acknowledged", len(l.acked))
		})
	}
}

// after counts the times after at.
func after(times []time.Time, at time.Time) (n int) {
	for _, t := range times {
		if t.After(at) {
			n++
		}
	}
	return n
}

// hangingRequest begins a request of p whose body never ends.
func hangingRequest(t *testing.T, base string, p person) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /api/v2/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\nbegun", p.token)
	if err != nil {
		t.Fatal(err)
	}
}
