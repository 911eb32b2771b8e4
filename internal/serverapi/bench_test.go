package serverapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/serverapi"
	"github.com/kuranty/kuranty/realtime"
)

// empty is what the API is compared with: it reads the body and says yes.
var empty = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header()["Content-Type"] = []string{"application/json"}
	_, _ = w.Write([]byte(`{"result":{}}`))
})

// discard is an answer nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

var payload = `{"text":"` + strings.Repeat("x", 89) + `"}`

// requests are the benchmarks' bodies by name, with how many publications each makes.
var requests = []struct {
	name, path, body string
	publications     int
}{
	{"publish", "/api/publish", `{"channel":"news","data":` + payload + `}`, 1},
	{"publish/history=3", "/api/publish", `{"channel":"chat:1","data":` + payload + `}`, 1},
	{"batch=100", "/api/batch", batchOf("news", 100), 100},
	{"batch=100/history=3", "/api/batch", batchOf("chat:%d", 100), 100},
	{"broadcast=100", "/api/broadcast", `{"channels":[` + strings.TrimSuffix(strings.Repeat(`"news",`, 100), ",") + `],"data":` + payload + `}`, 100},
	{"legacy", "/api", `{"method":"publish","params":{"channel":"news","data":` + payload + `}}`, 1},
}

func batchOf(channel string, n int) string {
	var commands []string
	for i := range n {
		name := channel
		if strings.Contains(name, "%") {
			name = fmt.Sprintf(channel, i)
		}
		commands = append(commands, `{"publish":{"channel":"`+name+`","data":`+payload+`}}`)
	}
	return `{"commands":[` + strings.Join(commands, ",") + `]}`
}

func newBenchAPI(b *testing.B) *serverapi.API {
	return newAPI(b, newNode(b, realtime.NewMemoryPresence()), serverapi.Options{})
}

// BenchmarkHandler calls the handler itself.
func BenchmarkHandler(b *testing.B) {
	api := newBenchAPI(b)
	for _, c := range requests {
		b.Run(c.name, func(b *testing.B) {
			body := strings.NewReader(c.body)
			r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.path, io.NopCloser(body))
			if err != nil {
				b.Fatal(err)
			}
			r.ContentLength = int64(len(c.body))
			r.Header.Set("X-API-Key", testKey)
			w := discard{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(c.body)
				api.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.publications), "ns/publish")
		})
	}
}

// BenchmarkHTTP sends requests one after another over one loopback connection; the first
// is the empty handler with the body of publish.
func BenchmarkHTTP(b *testing.B) {
	overHTTP(b, "empty", empty, requests[0].path, requests[0].body)
	api := newBenchAPI(b)
	for _, c := range requests {
		overHTTP(b, c.name, api, c.path, c.body)
	}
}

func overHTTP(b *testing.B, name string, handler http.Handler, path, body string) {
	b.Run(name, func(b *testing.B) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		server := &http.Server{Handler: handler}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		defer func() {
			server.Close()
			<-served
		}()
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		in := bufio.NewReaderSize(conn, 64<<10)
		request := []byte(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s", path, testKey, len(body), body))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := conn.Write(request); err != nil {
				b.Fatal(err)
			}
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
				b.Fatal(response.Status, err)
			}
			response.Body.Close()
		}
	})
}
