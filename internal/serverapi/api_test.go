package serverapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/kuranty/kuranty/internal/serverapi"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

func rpc(_ context.Context, method string, params []byte) ([]byte, error) {
	switch method {
	case "echo":
		return params, nil
	case "fail":
		return nil, errors.New("the secret of the database")
	case "binary":
		return []byte("\xff"), nil
	default:
		return nil, fmt.Errorf("look up %s: %w", method, protocol.ErrMethodNotFound)
	}
}

// fake answers what it is told to.
type fake struct {
	serverapi.Node
	publish func(ctx context.Context, channel string, data []byte, o realtime.PublishOptions) (protocol.StreamPosition, error)
}

func (f fake) Publish(ctx context.Context, channel string, data []byte, o realtime.PublishOptions) (protocol.StreamPosition, error) {
	return f.publish(ctx, channel, data, o)
}

func accept(context.Context, string, []byte, realtime.PublishOptions) (protocol.StreamPosition, error) {
	return protocol.StreamPosition{}, nil
}

const hello = `{"channel":"news","data":1}`

func TestS04_Keys(t *testing.T) {
	for _, c := range []struct {
		name string
		o    serverapi.Options
		path string
		head []string
		want int
	}{
		{"no key configured", serverapi.Options{}, "?api_key=", []string{"X-API-Key", "", "Authorization", "apikey "}, 401},
		{"insecure", serverapi.Options{Insecure: true}, "", nil, 200},
		{"insecure with a wrong key", serverapi.Options{Insecure: true, Key: "k"}, "", []string{"X-API-Key", "x"}, 200},
		{"header", serverapi.Options{Key: "k"}, "", []string{"X-API-Key", "k"}, 200},
		{"wrong header", serverapi.Options{Key: "k"}, "", []string{"X-API-Key", "kk"}, 401},
		{"nothing", serverapi.Options{Key: "k", QueryKey: true}, "", nil, 401},
		{"authorization", serverapi.Options{Key: "k"}, "", []string{"Authorization", "apikey k"}, 200},
		{"authorization in another spelling", serverapi.Options{Key: "k"}, "", []string{"Authorization", "  ApiKey\t k "}, 200},
		{"wrong authorization", serverapi.Options{Key: "k"}, "", []string{"Authorization", "apikey x"}, 401},
		{"three words", serverapi.Options{Key: "k"}, "", []string{"Authorization", "apikey k k"}, 401},
		{"one word", serverapi.Options{Key: "k"}, "", []string{"Authorization", "k"}, 401},
		{"another scheme", serverapi.Options{Key: "k"}, "", []string{"Authorization", "Bearer k"}, 401},
		{"wrong header, right authorization", serverapi.Options{Key: "k"}, "", []string{"X-API-Key", "x", "Authorization", "apikey k"}, 401},
		{"empty header, right authorization", serverapi.Options{Key: "k"}, "", []string{"X-API-Key", "", "Authorization", "apikey k"}, 200},
		{"query", serverapi.Options{Key: "k", QueryKey: true}, "?api_key=k", nil, 200},
		{"wrong query", serverapi.Options{Key: "k", QueryKey: true}, "?api_key=x", nil, 401},
		{"first of the query", serverapi.Options{Key: "k", QueryKey: true}, "?api_key=x&api_key=k", nil, 401},
		{"wrong header, right query", serverapi.Options{Key: "k", QueryKey: true}, "?api_key=k", []string{"X-API-Key", "x"}, 200},
		{"query switched off", serverapi.Options{Key: "k"}, "?api_key=k", nil, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			api, err := serverapi.New(fake{publish: accept}, c.o)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/api/publish", "/api"} {
				body := hello
				if path == "/api" {
					body = `{"params":` + hello + `}`
				}
				w := post(api, path+c.path, body, append([]string{"X-API-Key", ""}, c.head...)...)
				if w.Code != c.want || (c.want == 401) != (w.Body.Len() == 0) {
					t.Errorf("POST %s: %d %q, want %d", path, w.Code, w.Body, c.want)
				}
			}
		})
	}
}

// TestS06_QueryKeySwitch: a key in the address counts only where that is switched on.
func TestS06_QueryKeySwitch(t *testing.T) {
	for _, on := range []bool{false, true} {
		api := newAPI(t, fake{publish: accept}, serverapi.Options{QueryKey: on})
		w := post(api, "/api/publish?api_key="+testKey, hello, "X-API-Key", "")
		if got := w.Code == http.StatusOK; got != on {
			t.Errorf("switched on %t: status %d", on, w.Code)
		}
	}
}

func TestPathsAndMethods(t *testing.T) {
	for _, c := range []struct {
		method, prefix, path string
		want                 int
	}{
		{"POST", "", "/api/publish", 200},
		{"GET", "", "/api/publish", 405},
		{"OPTIONS", "", "/api", 405},
		{"GET", "", "/api/nothing", 404},
		{"POST", "", "/api/nothing", 404},
		{"POST", "", "/api/", 404},
		{"POST", "", "/api/publish/", 404},
		{"POST", "", "/apipublish", 404},
		{"POST", "", "/publish", 404},
		{"POST", "", "/other/api/publish", 404},
		{"POST", "/inner/api/", "/inner/api/publish", 200},
		{"POST", "/inner/api", "/api/publish", 404},
		{"POST", "/", "/publish", 200},
	} {
		api := newAPI(t, fake{publish: accept}, serverapi.Options{Prefix: c.prefix})
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(hello))
		if c.want < 404 {
			r.Header.Set("X-API-Key", testKey) // the others are refused before keys are looked at
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code != c.want || c.want == 405 && w.Body.Len() > 0 {
			t.Errorf("%s %s below %q: %d %q, want %d", c.method, c.path, c.prefix, w.Code, w.Body, c.want)
		}
	}
}

// TestS23_BodyLimit checks the limit at its exact value, told beforehand or not.
func TestS23_BodyLimit(t *testing.T) {
	for _, limit := range []int{64, 5000, 0} {
		api := newAPI(t, fake{publish: accept}, serverapi.Options{BodyBytes: limit})
		if limit == 0 {
			limit = 1 << 20
		}
		for _, told := range []bool{true, false} {
			for over := range 2 {
				body := hello + strings.Repeat(" ", limit-len(hello)+over)
				r := httptest.NewRequest(http.MethodPost, "/api/publish", io.MultiReader(strings.NewReader(body)))
				if told {
					r.ContentLength = int64(len(body))
				}
				r.Header.Set("X-API-Key", testKey)
				w := httptest.NewRecorder()
				api.ServeHTTP(w, r)
				if want := []int{200, 413}[over]; w.Code != want {
					t.Errorf("%d bytes of %d, told %t: %d, want %d", len(body), limit, told, w.Code, want)
				}
			}
		}
	}
}

// TestS23_PayloadDepth: what is published must not be deeper than clients read.
func TestS23_PayloadDepth(t *testing.T) {
	api := newAPI(t, fake{publish: accept}, serverapi.Options{})
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for n, want := range map[int]int{32: 200, 33: 400, 9000: 400, 200_000: 400} {
		publish := `{"channel":"news","data":` + deep(n) + `}`
		for path, body := range map[string]string{
			"/api/publish": publish,
			"/api/batch":   `{"commands":[{"publish":` + publish + `}]}`,
		} {
			if w := post(api, path, body); w.Code != want {
				t.Errorf("%s, %d levels: %d, want %d", path, n, w.Code, want)
			}
		}
	}
}

func TestErrorModes(t *testing.T) {
	errs := map[uint32]int{
		100: 500, 101: 500, 102: 404, 104: 404, 106: 500, 107: 400, 108: 400, 112: 416, 113: 409, 999: 500,
	}
	for code, status := range errs {
		failing := fake{publish: func(context.Context, string, []byte, realtime.PublishOptions) (protocol.StreamPosition, error) {
			return protocol.StreamPosition{}, fmt.Errorf("publish: %w", &protocol.Error{Code: code, Message: "it \"is\""})
		}}
		bare := fmt.Sprintf(`{"code":%d,"message":"it \"is\""}`, code)
		inResult := newAPI(t, failing, serverapi.Options{})
		byStatus := newAPI(t, failing, serverapi.Options{ErrorMode: "transport"})
		for _, c := range []struct {
			name string
			w    *httptest.ResponseRecorder
			code int
			body string
		}{
			{"default", post(inResult, "/api/publish", hello), 200, `{"error":` + bare + `}`},
			{"another mode in the header", post(inResult, "/api/publish", hello, "X-Centrifugo-Error-Mode", "Transport"), 200, `{"error":` + bare + `}`},
			{"header", post(inResult, "/api/publish", hello, "X-Centrifugo-Error-Mode", "transport"), status, bare},
			{"option", post(byStatus, "/api/publish", hello), status, bare},
			{"batch", post(byStatus, "/api/batch", `{"commands":[{"publish":`+hello+`}]}`), 200, `{"replies":[{"error":` + bare + `}]}`},
			{"broadcast", post(byStatus, "/api/broadcast", `{"channels":["a"],"data":1}`), 200, `{"result":{"responses":[{"error":` + bare + `}]}}`},
			{"older form", post(byStatus, "/api", `{"params":`+hello+`}`), 200, `{"error":` + bare + `}`},
		} {
			if c.w.Code != c.code || c.w.Body.String() != c.body || c.w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("code %d, %s: %d %s", code, c.name, c.w.Code, c.w.Body)
			}
		}
		if w := post(byStatus, "/api/publish", `{"channel":5}`); w.Code != 400 || w.Body.String() != "Bad Request\n" {
			t.Errorf("a malformed body: %d %q", w.Code, w.Body)
		}
	}
	if _, err := serverapi.New(fake{}, serverapi.Options{ErrorMode: "other"}); err == nil {
		t.Error("an unknown error mode is no error")
	}
}

// TestS33_InternalErrors: what went wrong inside stays inside, but can be found.
func TestS33_InternalErrors(t *testing.T) {
	var log strings.Builder
	failing := fake{publish: func(context.Context, string, []byte, realtime.PublishOptions) (protocol.StreamPosition, error) {
		return protocol.StreamPosition{}, errors.New("dial 10.0.0.1: the secret cause")
	}}
	api := newAPI(t, failing, serverapi.Options{Logger: textLogger(&log)})
	for _, path := range []string{"/api/publish", "/api/batch", "/api/broadcast", "/api"} {
		log.Reset()
		body := map[string]string{
			"/api/publish": hello, "/api": `{"params":` + hello + `}`,
			"/api/batch": `{"commands":[{"publish":` + hello + `}]}`, "/api/broadcast": `{"channels":["a"],"data":1}`,
		}[path]
		w := post(api, path, body)
		if s := w.Body.String(); strings.Contains(s, "secret") || !strings.Contains(s, `{"code":100,"message":"internal server error"}`) {
			t.Errorf("%s: %s", path, s)
		}
		if !strings.Contains(log.String(), "the secret cause") {
			t.Errorf("%s: the cause is not logged: %s", path, &log)
		}
		if id := w.Header().Get("X-Request-Id"); path == "/api/publish" && (id == "" || !strings.Contains(log.String(), id)) {
			t.Errorf("request id %q is not in the log: %s", id, &log)
		}
		if strings.Contains(log.String(), testKey) {
			t.Errorf("%s: the key is in the log: %s", path, &log)
		}
	}
}

// TestR35_PanicsAreContained: one part of a request that panics does not end the process.
func TestR35_PanicsAreContained(t *testing.T) {
	api := newAPI(t, fake{publish: func(_ context.Context, channel string, _ []byte, _ realtime.PublishOptions) (protocol.StreamPosition, error) {
		if channel == "bad" {
			panic("at the disco")
		}
		return protocol.StreamPosition{Offset: 1}, nil
	}}, serverapi.Options{})
	const failed = `{"error":{"code":100,"message":"internal server error"}}`
	w := post(api, "/api/broadcast", `{"channels":["a","bad","b"],"data":1}`)
	if want := `{"result":{"responses":[{"result":{"offset":1}},` + failed + `,{"result":{"offset":1}}]}}`; w.Body.String() != want {
		t.Errorf("broadcast: %s", w.Body)
	}
	w = post(api, "/api/batch", `{"parallel":true,"commands":[{"publish":{"channel":"bad","data":1}},{"publish":{"channel":"a","data":1}}]}`)
	if want := `{"replies":[` + failed + `,{"publish":{"offset":1}}]}`; w.Body.String() != want {
		t.Errorf("batch: %s", w.Body)
	}
	if got := api.Stats().Panics; got != 2 {
		t.Errorf("%d panics counted, want 2", got)
	}
}

func TestParallelIsBounded(t *testing.T) {
	const items = 1500
	command := `{"publish":` + hello + `},`
	for path, body := range map[string]string{
		"/api/broadcast": `{"channels":[` + strings.TrimSuffix(strings.Repeat(`"c",`, items), ",") + `],"data":1}`,
		"/api/batch":     `{"parallel":true,"commands":[` + strings.TrimSuffix(strings.Repeat(command, items), ",") + `]}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			var running atomic.Int64
			release := make(chan struct{})
			api := newAPI(t, fake{publish: func(context.Context, string, []byte, realtime.PublishOptions) (protocol.StreamPosition, error) {
				running.Add(1)
				<-release
				return protocol.StreamPosition{Offset: 1}, nil
			}}, serverapi.Options{})
			var w *httptest.ResponseRecorder
			done := make(chan struct{})
			go func() {
				w = post(api, path, body)
				close(done)
			}()
			synctest.Wait() // until all that may run do
			if n := running.Load(); n != 1024 {
				t.Errorf("%s: %d at once, want 1024", path, n)
			}
			close(release)
			<-done
			if n := strings.Count(w.Body.String(), `{"offset":1}`); n != items {
				t.Errorf("%s: %d results, want %d", path, n, items)
			}
		})
	}
}

// TestPayloadText: what is published is the text of the request, key order, repeated
// keys and spelling of numbers included.
func TestPayloadText(t *testing.T) {
	for _, data := range []string{
		`null`, `""`, `0`, `false`, `-0.0E+1`, `{"b":1,"a":2,"b":3}`, `[ 1 ,2]`, "{\"a\":\n1}", `"\u0041\/é"`,
	} {
		var got []byte
		var options realtime.PublishOptions
		api := newAPI(t, fake{publish: func(_ context.Context, _ string, data []byte, o realtime.PublishOptions) (protocol.StreamPosition, error) {
			got, options = data, o
			return protocol.StreamPosition{}, nil
		}}, serverapi.Options{})
		publish := `{"channel":"news", "data" : ` + data + ` , "tags":{"a":"b"}}`
		for path, body := range map[string]string{
			"/api/publish": publish, "/api": `{"params":` + publish + `}`, "/api/batch": `{"commands":[{"publish":` + publish + `}]}`,
			"/api/broadcast": `{"channels":["a"],"data":` + data + `}`,
		} {
			got = nil
			if w := post(api, path, body); w.Code != 200 || string(got) != data || !options.JSON {
				t.Errorf("%s of %q: %d, published %q", path, data, w.Code, got)
			}
		}
		post(api, "/api/publish", `{"channel":"news","data":1,"b64data":"/w=="}`)
		if string(got) != "\xff" || options.JSON {
			t.Errorf("binary data: published %q, JSON %t", got, options.JSON)
		}
	}
}

func TestEffectsOnConnections(t *testing.T) {
	node := newNode(t, nil)
	api := newAPI(t, node, serverapi.Options{})
	call := func(method, body string) {
		t.Helper()
		if w := post(api, "/api/"+method, body); w.Body.String() != `{"result":{}}` {
			t.Fatalf("%s %s: %d %s", method, body, w.Code, w.Body)
		}
	}
	ann, bob := connect(t, node, "ann", "news"), connect(t, node, "bob", "news")

	call("publish", `{"channel":"news","data":{"n":1},"tags":{"k":"v"}}`)
	for _, c := range []*client{ann, bob} {
		if got, want := c.await(t, `"pub"`), `{"push":{"channel":"news","pub":{"data":{"n":1},"tags":{"k":"v"}}}}`; got != want {
			t.Errorf("a client got %s, want %s", got, want)
		}
	}
	post(api, "/api/publish", `{"channel":"chat:1","data":1}`)
	call("subscribe", `{"channel":"chat:1","user":"ann","data":{"d":1},"info":{"i":1},"override":{"force_recovery":{"value":true}}}`)
	if got := ann.await(t, `"subscribe"`); !strings.Contains(got, `"recoverable":true`) || !strings.Contains(got, `"data":{"d":1}`) || !strings.Contains(got, `"offset":1`) {
		t.Errorf("subscribe: %s", got)
	}
	if w := post(api, "/api/presence", `{"channel":"chat:1"}`); !strings.Contains(w.Body.String(), `"conn_info":{"name":"N"},"chan_info":{"i":1}`) {
		t.Errorf("presence: %s", w.Body)
	}
	if w := post(api, "/api/channels", `{}`); w.Body.String() != `{"result":{"channels":{"chat:1":{"num_clients":1},"news":{"num_clients":2}}}}` {
		t.Errorf("channels: %s", w.Body)
	}
	call("unsubscribe", `{"channel":"chat:1","user":"ann"}`)
	ann.await(t, `{"push":{"channel":"chat:1","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
	call("subscribe", `{"channel":"chat:2","user":"bob"}`)
	bob.await(t, `"subscribe"`)
	call("unsubscribe", `{"user":"bob"}`)
	bob.await(t, `"unsubscribe"`)
	bob.await(t, `"unsubscribe"`)
	call("refresh", `{"user":"ann","expire_at":99999999999}`)
	ann.await(t, `"refresh":{"expires":true,"ttl":`)
	call("disconnect", `{"user":"ann","whitelist":["`+ann.session.ID()+`"]}`)
	call("disconnect", `{"user":"ann","client":"`+bob.session.ID()+`"}`)
	call("publish", `{"channel":"news","data":"still here"}`)
	ann.await(t, "still here")
	call("disconnect", `{"user":"ann","client":"`+ann.session.ID()+`"}`)
	ann.await(t, "close 3503: force disconnect")
	call("disconnect", `{"user":"bob","disconnect":{"code":4501}}`)
	bob.await(t, "close 4501: disconnect")
	cat := connect(t, node, "cat")
	call("refresh", `{"user":"cat","expired":true}`)
	cat.await(t, "close 3005: connection expired")
	nobody := connect(t, node, "")
	call("disconnect", `{"disconnect":{"code":3001}}`)
	nobody.await(t, "close 3001: shutdown")
}

func TestStats(t *testing.T) {
	api := newAPI(t, newNode(t, nil), serverapi.Options{})
	post(api, "/api/publish", hello)
	post(api, "/api/publish", `{}`)
	post(api, "/api/batch", `{"commands":[{"publish":`+hello+`},{"history":{"channel":"news"}},{}]}`)
	post(api, "/api", `{"params":`+hello+`}`)
	post(api, "/api/publish", `[]`)
	post(api, "/api/publish", hello, "X-API-Key", "wrong")
	post(api, "/api/publish", strings.Repeat(" ", 2<<20))
	want := serverapi.Stats{
		Calls: []serverapi.CallStats{
			{Method: "publish", Count: 3},
			{Method: "publish", Code: 107, Count: 1},
			{Method: "history", Code: 108, Count: 1},
			{Method: "batch", Count: 1},
		},
		Unauthorized: 1, Malformed: 1, TooLarge: 1,
	}
	if got := api.Stats(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
