package webhook_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/webhook"
)

func TestS32_ReceiversOfTheExamples(t *testing.T) {
	for _, command := range [][]string{
		{"python3", "../docs/examples/webhook.py", "0"},
		{"node", "../docs/examples/webhook.mjs", "0"},
		{"php", "-S", "", "../docs/examples/webhook.php"},
	} {
		t.Run(command[0], func(t *testing.T) {
			var secrets []string
			for _, v := range vectors {
				secrets = append(secrets, v.secret)
			}
			both := strings.Join(secrets, " ")
			standard := start(t, []string{"WEBHOOK_SECRET=" + both}, command...)
			body := start(t, []string{"WEBHOOK_SECRET=" + both, "WEBHOOK_CHECK=body"}, command...)
			for _, v := range vectors {
				checkStandard(t, standard.url, v)
				checkBody(t, body.url, v)
			}
			for _, r := range []*receiver{standard, body} {
				r.stop()
				if n := strings.Count(r.output.String(), "user.created {"); r == standard && n != 1 {
					t.Errorf("an event that came %d times was done %d times\n%s", 3*len(vectors), n, r.output.String())
				} else if r == body && n != len(vectors) {
					t.Errorf("%d events without an id were done %d times\n%s", len(vectors), n, r.output.String())
				}
			}
		})
	}
}

func checkStandard(t *testing.T, url string, v vector) {
	t.Helper()
	s, other, body, now := secret(t, v.secret), webhook.NewSecret(), []byte(v.body), time.Now()
	headers := func(at time.Time, signature string) map[string]string {
		return map[string]string{"webhook-id": vectorID, "webhook-timestamp": strconv.FormatInt(at.Unix(), 10), "webhook-signature": signature}
	}
	good := s.SignStandard(vectorID, now, body)
	old, future := now.Add(-6*time.Minute), now.Add(6*time.Minute)
	for _, c := range []struct {
		name    string
		headers map[string]string
		body    string
		want    int
	}{
		{"signed", headers(now, good), v.body, 204},
		{"a repetition", headers(now, good), v.body, 204},
		{"several signatures", headers(now, other.SignStandard(vectorID, now, body)+" v1a,AAAA "+good), v.body, 204},
		{"another body", headers(now, good), v.body + " ", 401},
		{"old", headers(old, s.SignStandard(vectorID, old, body)), v.body, 401},
		{"of the future", headers(future, s.SignStandard(vectorID, future, body)), v.body, 401},
		{"another secret", headers(now, other.SignStandard(vectorID, now, body)), v.body, 401},
		{"no time", map[string]string{"webhook-id": vectorID, "webhook-signature": good}, v.body, 401},
		{"no id", map[string]string{"webhook-timestamp": strconv.FormatInt(now.Unix(), 10), "webhook-signature": good}, v.body, 401},
		{"no signature", map[string]string{"webhook-id": vectorID, "webhook-timestamp": strconv.FormatInt(now.Unix(), 10)}, v.body, 401},
		{"no headers", nil, v.body, 401},
		{"only what may be sent again for ever", map[string]string{"X-Webhook-Signature": s.Sign(body)}, v.body, 401},
	} {
		if got := post(t, url, c.headers, c.body); got != c.want {
			t.Errorf("%s, %s: %d, want %d", v.name, c.name, got, c.want)
		}
	}
}

func checkBody(t *testing.T, url string, v vector) {
	t.Helper()
	s, body := secret(t, v.secret), []byte(v.body)
	for _, c := range []struct {
		name, signature, body string
		want                  int
	}{
		{"documented", s.Sign(body), v.body, 204},
		{"documented, another body", s.Sign(body), v.body + " ", 401},
		{"documented, another secret", webhook.NewSecret().Sign(body), v.body, 401},
		{"documented, no signature", "", v.body, 401},
	} {
		if got := post(t, url, map[string]string{"X-Webhook-Signature": c.signature}, c.body); got != c.want {
			t.Errorf("%s, %s: %d, want %d", v.name, c.name, got, c.want)
		}
	}
}

func TestTheDocumentedCheckAcceptsWhatWeSend(t *testing.T) {
	for _, v := range vectors {
		body, err := webhook.Canonical([]byte(v.body))
		if err != nil {
			t.Fatal(err)
		}
		url := start(t, []string{"WEBHOOK_SECRET=" + v.secret}, "python3", "testdata/documented.py").url
		signature := map[string]string{"X-Webhook-Signature": secret(t, v.secret).Sign(body)}
		if got := post(t, url, signature, string(body)); got != 204 {
			t.Errorf("%s: %d", v.name, got)
		}
		if got := post(t, url, signature, `{"forged": 1}`); got != 401 {
			t.Errorf("%s, forged: %d", v.name, got)
		}
	}
}

type receiver struct {
	url    string
	output bytes.Buffer // whole once stop returned
	stop   func()
}

// start runs a program that prints its URL as the first line. An empty argument stands for
// a free address of ours, for a program that cannot choose one.
func start(t *testing.T, environment []string, command ...string) *receiver {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("%v; make test installs it", err)
	}
	r, args, address := &receiver{}, slices.Clone(command[1:]), ""
	if i := slices.Index(args, ""); i >= 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address = l.Addr().String()
		args[i] = address
		_ = l.Close()
	}
	c := exec.CommandContext(t.Context(), command[0], args...)
	c.Env = append(append(os.Environ(), environment...), "TMPDIR="+t.TempDir())
	read, write := io.Pipe()
	c.Stdout, c.Stderr = write, write // the same writer twice is written by one goroutine
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended, lines := make(chan struct{}), make(chan string, 1)
	go func() {
		_ = c.Wait()
		_ = write.Close()
	}()
	go func() {
		defer close(ended)
		defer close(lines)
		from := bufio.NewReader(io.TeeReader(read, &r.output))
		for first := true; ; first = false {
			line, err := from.ReadString('\n')
			if err != nil {
				return
			}
			if first {
				lines <- strings.TrimSpace(line)
			}
		}
	}()
	r.stop = func() { _ = c.Process.Kill(); <-ended }
	t.Cleanup(r.stop)
	line, ok := <-lines
	if !ok {
		t.Fatalf("%s ended:\n%s", command[0], r.output.String())
	}
	r.url = line
	if address != "" { // PHP says that it started when it listens
		r.url = "http://" + address + "/"
	}
	return r
}

func post(t *testing.T, url string, headers map[string]string, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Webhook-Event", "user.created")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
