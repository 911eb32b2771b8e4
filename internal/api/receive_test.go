package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Clients that look for a reply when they have sent everything get the one that refuses
// their body.
func TestReplyToARefusedBodyArrives(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	address := strings.TrimPrefix(s.url, "http://")
	const size = 20 << 20 // more than sockets hold
	for name, tt := range map[string]struct {
		head string
		want int
	}{
		"too large":       {"POST /api/v2/chats HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer " + anna.token, 413},
		"other type":      {"POST /api/v2/files HTTP/1.1\r\nContent-Type: image/png\r\nAuthorization: Bearer " + anna.token, 415},
		"without a token": {"POST /api/v2/files HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b", 401},
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "%s\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", tt.head, address, size)
		if _, err := io.CopyN(conn, zeros{}, size); err != nil {
			t.Errorf("%s: sending ended with %v", name, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != tt.want {
			t.Errorf("%s: %v %v, want %d", name, resp, err, tt.want)
		}
		conn.Close()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
