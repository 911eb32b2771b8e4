package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/realtime/transport"
)

const (
	get     = "GET /x HTTP/1.1\r\nHost: a\r\n"
	post    = "POST /x HTTP/1.1\r\nHost: a\r\n"
	chunked = post + "Transfer-Encoding: chunked\r\n\r\n"
)

// ambiguous are requests that a proxy may read as one and we as another
// (guarantees.md S26). The first is what makes them so.
var ambiguous = map[string]string{
	"length and coding":          post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
	"coding and length":          post + "transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nab\r\n0\r\n\r\n",
	"two lengths":                post + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
	"two codings":                post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"unknown coding":             post + "Transfer-Encoding: identity\r\n\r\n",
	"signed length":              post + "Content-Length: +2\r\n\r\nab",
	"list of lengths":            post + "Content-Length: 2, 2\r\n\r\nab",
	"huge length":                post + "Content-Length: 99999999999999999999\r\n\r\nab",
	"two hosts":                  get + "Host: a\r\n\r\n",
	"line feed after the method": "GET /x HTTP/1.1\nHost: a\r\n\r\n",
	"line feed after a header":   "GET /x HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
	"line feeds only":            "GET /x HTTP/1.1\nHost: a\n\n",
	"return in a header":         get + "X: a\rb\r\n\r\n",
	"returns only":               "GET /x HTTP/1.1\rHost: a\r\r",
	"two returns":                get + "X: a\r\r\n\r\n",
	"zero byte":                  get + "X: a\x00b\r\n\r\n",
	"folded header":              get + "X: a\r\n Content-Length: 2\r\n\r\n",
	"blank before the colon":     get + "Content-Length : 2\r\n\r\n",
	"chunk without a size":       chunked + "\r\nab\r\n0\r\n\r\n",
	"chunk of no size":           chunked + "zz\r\nab\r\n0\r\n\r\n",
	"chunk with a sign":          chunked + "+2\r\nab\r\n0\r\n\r\n",
	"chunk in C":                 chunked + "0x2\r\nab\r\n0\r\n\r\n",
	"chunk too large":            chunked + "ffffffffffffffffff\r\nab\r\n0\r\n\r\n",
	"chunk with a line feed":     chunked + "2\nab\r\n0\r\n\r\n",
	"extension with line feed":   chunked + "2;a=b\nab\r\n0\r\n\r\n",
	"extension with return":      chunked + "2;a\rb\r\nab\r\n0\r\n\r\n",
	"chunk ends in a line feed":  chunked + "2\r\nab\n0\r\n\r\n",
	"chunk does not end":         chunked + "2\r\nabc\r\n0\r\n\r\n",
	"last chunk in line feeds":   chunked + "2\r\nab\r\n0\n\n",
	"trailer with a line feed":   chunked + "2\r\nab\r\n0\r\nA: b\n\r\n",
}

// body answers 400 to what cannot be read to its end, as handlers are to.
func body(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %q", r.Method, b)
}

// answers sends raw in pieces of n bytes and returns the statuses of the answers, and
// whether the connection was closed after them.
func answers(t *testing.T, conn net.Conn, raw string, n int) (statuses []int, closed bool) {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() {
		for ; raw != ""; raw = raw[min(n, len(raw)):] {
			if _, err := io.WriteString(conn, raw[:min(n, len(raw))]); err != nil {
				return // refused already
			}
		}
	}()
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses, !errors.Is(err, os.ErrDeadlineExceeded)
		}
		statuses = append(statuses, resp.StatusCode)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil { // cut off, because we sent more
			return statuses, !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// S26: ambiguous HTTP is refused and the connection closed, on every listener, as the
// first request of a connection and as a later one, and however it comes in pieces.
func TestS26_AmbiguousHTTPIsRefused(t *testing.T) {
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	o := transport.Options{Handler: http.HandlerFunc(body)}
	plain := serve(t, nil, o)
	o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: secure.TLS.Certificates}
	overTLS := serve(t, nil, o)
	listeners := map[string]func() (net.Conn, error){
		"plain": func() (net.Conn, error) { return net.Dial("tcp", plain.addr) },
		"TLS": func() (net.Conn, error) {
			return tls.Dial("tcp", overTLS.addr, &tls.Config{InsecureSkipVerify: true})
		},
	}
	for listener, dial := range listeners {
		for name, raw := range ambiguous {
			for _, first := range []string{"", get + "\r\n", chunked + "2;a=b\r\nab\r\n0\r\nX: y\r\n\r\n", post + "Content-Length: 2\r\n\r\nab"} {
				for _, piece := range []int{1, 1 << 20} {
					t.Run(fmt.Sprintf("%s/%s/%d/%d", listener, name, len(first), piece), func(t *testing.T) {
						t.Parallel()
						conn, err := dial()
						if err != nil {
							t.Fatal(err)
						}
						// What is refused must not be followed by another answer.
						statuses, closed := answers(t, conn, first+raw+get+"\r\n", piece)
						if first != "" && len(statuses) > 0 && statuses[0] == http.StatusOK {
							statuses = statuses[1:]
						}
						if len(statuses) > 1 || len(statuses) == 1 && statuses[0] != 400 && statuses[0] != 501 || !closed {
							// A trailer comes when the request has been answered.
							if !(strings.HasPrefix(name, "trailer") && closed && statuses[0] == http.StatusOK) {
								t.Errorf("statuses %v, closed %v", statuses, closed)
							}
						}
					})
				}
			}
		}
	}
}

// What is unambiguous passes, in any pieces.
func TestStrictReaderLetsProperRequestsPass(t *testing.T) {
	s := serve(t, nil, transport.Options{Handler: http.HandlerFunc(body)})
	raw := get + "\r\n" + chunked + "2\r\nab\r\nA;x=\"y\" \r\n0123456789\r\n000\r\nTrailer: 1\r\n\r\n" +
		post + "Content-Length:  3 \r\nX:\t\r\n\r\na\nb" + post + "Content-Length: 0\r\n\r\n" +
		"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + get + "Connection: close\r\n\r\n"
	for _, piece := range []int{1, 7, 64, 1 << 20} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, raw[:1]); err != nil {
			t.Fatal(err)
		}
		go func() {
			for rest := raw[1:]; rest != ""; rest = rest[min(piece, len(rest)):] {
				_, _ = io.WriteString(conn, rest[:min(piece, len(rest))])
			}
		}()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		in := bufio.NewReader(conn)
		for i, want := range []string{`GET ""`, `POST "ab0123456789"`, `POST "a\nb"`, `POST ""`, "", `GET ""`} {
			method := http.MethodGet
			if want == "" {
				method = http.MethodHead
			}
			resp, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("pieces of %d, answer %d: %v", piece, i, err)
			}
			if got, _ := io.ReadAll(resp.Body); string(got) != want || resp.StatusCode != http.StatusOK {
				t.Errorf("pieces of %d, answer %d: %d %s, want %s", piece, i, resp.StatusCode, got, want)
			}
		}
		conn.Close()
	}
}

// Frames that come with the request of a later upgrade are not taken for requests.
func TestUpgradeOfAKeptConnectionKeepsEarlyFrames(t *testing.T) {
	s := serve(t, nil, transport.Options{Handler: http.HandlerFunc(body)})
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	frame := "\x81\x82\x00\x00\x00\x00\n\n" // a masked text of two line feeds
	_, _ = io.WriteString(conn, get+"\r\n"+"GET /connection/websocket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"+frame)
	in := bufio.NewReader(conn)
	for _, want := range []int{200, 101} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%v %v, want %d", resp, err, want)
		}
		if want == 200 {
			_, _ = io.Copy(io.Discard, resp.Body)
		}
	}
	echoed := make([]byte, 4)
	if _, err := io.ReadFull(in, echoed); err != nil || string(echoed) != "\x81\x02\n\n" {
		t.Errorf("echo %q: %v", echoed, err)
	}
}
