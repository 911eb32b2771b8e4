package transport_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/kuranty/kuranty/realtime/transport"
)

// TestDeadlinesOfRequests: a body that stops coming ends the request, waiting between
// requests does not, and one deadline that has passed is not the next request's.
func TestDeadlinesOfRequests(t *testing.T) {
	const limit = 300 * time.Millisecond
	failed := make(chan error, 1)
	s := serve(t, nil, transport.Options{
		ReadTimeout: limit, ResponseTimeout: 10 * limit,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				failed <- err
				return
			}
			_, _ = io.WriteString(w, "ok")
		}),
	})
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	request := func(body string) {
		t.Helper()
		if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"+body); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		request("ab")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok" {
			t.Fatalf("answer %q, %v", body, err)
		}
		// Longer than a request may take. Nothing tells when such a time is over but the time.
		<-time.After(2 * limit)
	}
	request("a")
	select {
	case err := <-failed:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the body ended with %v, want a timeout", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a body that never comes is waited for")
	}
}
