package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/kuranty/kuranty/internal/bench"
)

// TestMain makes the test's executable what the package expects it to be: called
// with `bench …` it is the command, with `serve …` it is a server.
func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "bench":
		var cli struct {
			Bench bench.Command `cmd:""`
		}
		k := kong.Parse(&cli, kong.BindTo(ctx, (*context.Context)(nil)))
		err = k.Run()
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = serveFake(ctx, os.Stdout)
	default:
		stop()
		// Children inherit it: the race detector else holds each up for a second at its end.
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
		goleak.VerifyTestMain(m)
		return
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fake is the smallest server that the measures accept: channels, streams without
// limits for names that begin with "history:", no tokens checked.
type fake struct {
	mu       sync.Mutex
	channels map[string]*fakeChannel
}

type fakeChannel struct {
	subscribers []chan string
	stream      []json.RawMessage
}

type fakeCommand struct {
	ID        uint32          `json:"id"`
	Connect   json.RawMessage `json:"connect"`
	Subscribe *struct {
		Channel string `json:"channel"`
		Recover bool   `json:"recover"`
		Offset  int    `json:"offset"`
	} `json:"subscribe"`
	Publish *fakePublish `json:"publish"`
}

type fakePublish struct {
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

func newFake() http.Handler {
	f := &fake{channels: map[string]*fakeChannel{}}
	mux := http.NewServeMux()
	new(fakeGateway).add(mux)
	new(fakeWebhooks).add(mux)
	mux.HandleFunc("/connection/websocket", f.connect)
	mux.HandleFunc("POST /api/publish", func(w http.ResponseWriter, r *http.Request) {
		var p fakePublish
		if json.NewDecoder(r.Body).Decode(&p) != nil {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		f.publish(p)
		_, _ = io.WriteString(w, `{"result":{}}`)
	})
	mux.HandleFunc("POST /api/batch", func(w http.ResponseWriter, r *http.Request) {
		var b struct {
			Commands []struct{ Publish fakePublish } `json:"commands"`
		}
		if json.NewDecoder(r.Body).Decode(&b) != nil {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		for _, c := range b.Commands {
			f.publish(c.Publish)
		}
		// Long enough to leave in chunks.
		_, _ = io.WriteString(w, `{"replies":[`+strings.Repeat(`{"publish":{"offset":123456,"epoch":"abcdefgh"}},`, len(b.Commands))+`{}]}`)
	})
	return mux
}

func (f *fake) channel(name string) *fakeChannel {
	ch := f.channels[name]
	if ch == nil {
		ch = &fakeChannel{}
		f.channels[name] = ch
	}
	return ch
}

func (f *fake) publish(p fakePublish) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ch := f.channel(p.Channel)
	if strings.HasPrefix(p.Channel, "history:") {
		ch.stream = append(ch.stream, p.Data)
	}
	for _, s := range ch.subscribers {
		s <- `{"push":{"channel":"` + p.Channel + `","pub":{"data":` + string(p.Data) + `}}}`
	}
}

// connect serves one client. Each is pinged once, at once.
func (f *fake) connect(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20)
	out, done := make(chan string, 4096), make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-out:
				_ = c.Write(r.Context(), websocket.MessageText, []byte(s))
			case <-done:
				return
			}
		}
	}()
	for {
		_, b, err := c.Read(r.Context())
		if err != nil {
			return
		}
		var replies []string
		for line := range strings.SplitSeq(string(b), "\n") {
			var cmd fakeCommand
			if json.Unmarshal([]byte(line), &cmd) != nil {
				return
			}
			replies = append(replies, f.answer(cmd, out)...)
		}
		if len(replies) > 0 {
			out <- strings.Join(replies, "\n")
		}
	}
}

func (f *fake) answer(cmd fakeCommand, out chan string) []string {
	switch {
	case cmd.Connect != nil:
		return []string{fmt.Sprintf(`{"id":%d,"connect":{"client":"c","ping":25,"pong":true}}`, cmd.ID), "{}"}
	case cmd.Publish != nil:
		f.publish(*cmd.Publish)
		return []string{fmt.Sprintf(`{"id":%d,"publish":{}}`, cmd.ID)}
	case cmd.Subscribe != nil && strings.HasSuffix(cmd.Subscribe.Channel, "forbidden:0"):
		return []string{fmt.Sprintf(`{"id":%d,"error":{"code":103,"message":"permission denied"}}`, cmd.ID)}
	case cmd.Subscribe != nil:
		f.mu.Lock()
		defer f.mu.Unlock()
		ch := f.channel(cmd.Subscribe.Channel)
		ch.subscribers = append(ch.subscribers, out)
		result := map[string]any{"epoch": "e", "offset": len(ch.stream)}
		if cmd.Subscribe.Recover {
			pubs := []any{}
			for i, data := range ch.stream[cmd.Subscribe.Offset:] {
				pubs = append(pubs, map[string]any{"data": data, "offset": cmd.Subscribe.Offset + i + 1})
			}
			result["recovered"], result["publications"] = true, pubs
		}
		b, _ := json.Marshal(map[string]any{"id": cmd.ID, "subscribe": result})
		return []string{string(b)}
	}
	return nil // a pong
}

// serveFake is the fake server as a process: it says where it listens and ends with ctx.
func serveFake(ctx context.Context, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: newFake()}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	fmt.Fprintln(out, `{"level":"INFO","msg":"starting"}`)
	fmt.Fprintf(out, `{"level":"INFO","msg":"ready","address":%q}`+"\n", l.Addr())
	if err := srv.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}
