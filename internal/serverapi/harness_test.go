package serverapi_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/serverapi"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

const testKey = "the-key"

// rules are namespaces for tests: chat keeps three publications and presence, object
// takes JSON objects, binary anything. Without namespace there are no features.
type rules struct{}

func (rules) ChannelOptions(channel string) (realtime.ChannelOptions, error) {
	namespace, _, found := strings.Cut(strings.TrimPrefix(channel, "$"), ":")
	if !found {
		return realtime.ChannelOptions{}, nil
	}
	kept := realtime.ChannelOptions{HistorySize: 3, HistoryTTL: time.Minute}
	switch namespace {
	case "chat":
		kept.Presence = true
	case "object":
		kept.DataFormat = realtime.DataJSONObject
	case "binary":
		kept.DataFormat = realtime.DataBinary
	default:
		return kept, protocol.ErrUnknownChannel
	}
	return kept, nil
}

// everybody lets in everybody, as who the token says.
type everybody struct{ rules }

func (everybody) Connect(_ context.Context, in realtime.Connecting) (realtime.Credentials, error) {
	return realtime.Credentials{User: in.Request.Token, Info: []byte(`{"name":"N"}`)}, nil
}

func (everybody) Refresh(context.Context, realtime.Client, string) (realtime.Credentials, error) {
	return realtime.Credentials{}, protocol.ErrNotAvailable
}

func (e everybody) Subscribe(_ context.Context, _ realtime.Client, req *protocol.SubscribeRequest) (realtime.Grant, error) {
	o, err := e.ChannelOptions(req.Channel)
	return realtime.Grant{Options: o}, err
}

func (everybody) SubRefresh(context.Context, realtime.Client, string, string) (realtime.Grant, error) {
	return realtime.Grant{}, protocol.ErrNotAvailable
}

func (everybody) Publish(context.Context, realtime.Client, string, []byte, bool) error { return nil }

func (everybody) Presence(context.Context, realtime.Client, string, bool) error { return nil }

func (everybody) History(context.Context, realtime.Client, string, bool) error { return nil }

// newNode returns a running node.
func newNode(t testing.TB, presence realtime.PresenceStore) *realtime.Node {
	t.Helper()
	n, err := realtime.New(realtime.Options{
		Name: "test", Version: "1.2.3", Channels: rules{}, Authorizer: everybody{}, Presence: presence, Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run node: %v", err)
		}
	})
	return n
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// newAPI returns the API of node with the test key unless o says otherwise.
func newAPI(t testing.TB, node serverapi.Node, o serverapi.Options) *serverapi.API {
	t.Helper()
	if o.Key == "" {
		o.Key = testKey
	}
	if o.Logger == nil {
		o.Logger = quiet()
	}
	api, err := serverapi.New(node, o)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// post sends body to path with the test key and the headers, given in pairs.
func post(api http.Handler, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("X-Api-Key", testKey)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

// client is a connection in memory that keeps what it is sent.
type client struct {
	session *realtime.Session

	mu     sync.Mutex
	got    bytes.Buffer
	more   chan struct{} // closed when something arrives
	closed bool
}

type lines struct{}

func (lines) Format() protocol.Format              { return protocol.JSON }
func (lines) AppendFrame(dst, units []byte) []byte { return append(append(dst, units...), '\n') }
func (lines) AppendClose(dst []byte, c *protocol.Close) []byte {
	return append(append(append(dst, c.Error()...), '\n'), 0)
}

func (*client) Framing() realtime.Framing { return lines{} }
func (*client) Peer() realtime.Peer       { return realtime.Peer{Transport: "test"} }
func (*client) AwaitWritable()            {}

func (c *client) TryWrite(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got.Write(p)
	close(c.more)
	c.more = make(chan struct{})
	return len(p), nil
}

func (c *client) Close(graceful bool) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	if graceful {
		c.session.Gone()
	}
}

// connect returns a connection of user that is subscribed to channels.
func connect(t testing.TB, n *realtime.Node, user string, channels ...string) *client {
	t.Helper()
	c := &client{more: make(chan struct{})}
	c.session = n.NewSession(c)
	commands := `{"id":1,"connect":{"token":"` + user + `"}}`
	for _, channel := range channels {
		commands += "\n" + `{"id":2,"subscribe":{"channel":"` + channel + `"}}`
	}
	c.session.Receive([]byte(commands))
	c.session.Flush()
	c.await(t, `"connect":{`)
	for range channels {
		c.await(t, `"subscribe":{`)
	}
	return c
}

// await reads up to the line that holds want, and returns it.
func (c *client) await(t testing.TB, want string) string {
	t.Helper()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for {
		c.mu.Lock()
		more := c.more
		for {
			line, err := c.got.ReadString('\n')
			if err != nil {
				break
			}
			if strings.Contains(line, want) {
				c.mu.Unlock()
				return strings.TrimSpace(strings.Trim(line, "\x00"))
			}
		}
		c.mu.Unlock()
		select {
		case <-more:
		case <-late.C:
			t.Fatalf("the client was not sent %s", want)
		}
	}
}
