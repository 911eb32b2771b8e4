package servertest_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/kuranty/kuranty/internal/servertest"
)

// What guarantees.md promises of the whole server, on /v1/ws, /ws and /v1/events.

// door is a way to show a credential to the gateway; it returns how that was answered,
// without what differs from call to call. Good credentials get "in".
type door func(t *testing.T, in *servertest.Instance, credential string) string

// passing matches what differs from answer to answer.
var passing = regexp.MustCompile(`"(id|timestamp|requestId|request_id|trace_id)":"[^"]*",?`)

// refusedSocket reads what a socket says until it is closed, or "in" once it is open.
func refusedSocket(s *socket) string {
	var all strings.Builder
	for {
		text, err := s.read()
		switch {
		case err != nil:
			var c websocket.CloseError
			errors.As(err, &c)
			return fmt.Sprintf("%s %d %s", &all, c.Code, c.Reason)
		case text == adminWelcome, strings.Contains(text, `"action":"auth","status":"ok"`):
			return "in"
		}
		all.WriteString(passing.ReplaceAllString(text, ""))
	}
}

func overHTTP(method, path string) door {
	return func(t *testing.T, in *servertest.Instance, credential string) string {
		r := request(t, in.URL, person{token: credential}, method, path, "application/json", nil)
		if r.status != 401 && r.status != 503 { // what comes after the credential may be refused
			return "in"
		}
		return fmt.Sprint(r.status, passing.ReplaceAllString(r.body, ""))
	}
}

var doors = map[string]door{
	"/v1/ws": func(t *testing.T, in *servertest.Instance, credential string) string {
		return refusedSocket(dialGateway(t, in, "/v1/ws", http.Header{"Authorization": {"Bearer " + credential}}))
	},
	"/v1/ws by message": func(t *testing.T, in *servertest.Instance, credential string) string {
		s := dialGateway(t, in, "/v1/ws", nil)
		s.send(`{"type":"auth","token":"` + credential + `"}`)
		return refusedSocket(s)
	},
	"/ws": func(t *testing.T, in *servertest.Instance, credential string) string {
		return refusedSocket(dialGateway(t, in, "/ws?token="+credential, nil))
	},
	"GET /v1/events":  overHTTP(http.MethodGet, "/v1/events?channels=system"),
	"POST /v1/events": overHTTP(http.MethodPost, "/v1/events"),
	"stream":          overHTTP(http.MethodHead, "/v1/events/stream?channels=system"),
}

// outsideKey is a key of an application whose tokens are taken.
func outsideKey(t *testing.T) (private ed25519.PrivateKey, text string, jwks func(kid string) string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return private, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), func(kid string) string {
		return fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":%q,"x":%q}]}`, kid, base64.RawURLEncoding.EncodeToString(public))
	}
}

func signed(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// S2: no claim has an effect before the signature is verified, and nothing but a token of
// the configured key, issuer, audience and time is one.
func TestS2_ForgedTokensAtTheGateway(t *testing.T) {
	private, public, _ := outsideKey(t)
	stranger, _, jwks := outsideKey(t)
	config, err := json.Marshal(map[string]any{"auth": map[string]any{"mode": "both", "external": map[string]any{"eddsa_public_key": public, "issuer": "app", "audience": "kuranty"}}})
	if err != nil {
		t.Fatal(err)
	}
	claims := func(more jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "mallory", "iss": "app", "aud": "kuranty", "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"admin"}, "permissions": []string{"*"}}
		maps.Copy(c, more)
		for name, v := range c {
			if v == nil {
				delete(c, name)
			}
		}
		return c
	}
	by := func(key any, header map[string]any, more jwt.MapClaims) string {
		return signed(t, jwt.SigningMethodEdDSA, key, header, claims(more))
	}
	good := by(private, nil, jwt.MapClaims{"sub": "anna"})
	parts := strings.Split(by(private, nil, nil), ".")
	payload, err := json.Marshal(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	forged := map[string]string{
		"no algorithm":     base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + ".",
		"confusion":        signed(t, jwt.SigningMethodHS256, []byte(public), nil, claims(nil)),
		"another key":      by(stranger, nil, nil),
		"jwk":              by(stranger, map[string]any{"jwk": json.RawMessage(strings.TrimSuffix(strings.TrimPrefix(jwks("k"), `{"keys":[`), `]}`)), "kid": "k"}, nil),
		"jku, good key":    by(private, map[string]any{"jku": "https://evil.example/keys"}, nil),
		"x5u, good key":    by(private, map[string]any{"x5u": "https://evil.example/keys"}, nil),
		"another payload":  parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "mallory", "root", 1))) + "." + parts[2],
		"expired":          by(private, nil, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}),
		"never expires":    by(private, nil, jwt.MapClaims{"exp": nil}),
		"not yet":          by(private, nil, jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}),
		"another audience": by(private, nil, jwt.MapClaims{"aud": "other"}),
		"another issuer":   by(private, nil, jwt.MapClaims{"iss": "other"}),
		"over 8 KiB":       by(private, nil, jwt.MapClaims{"x": strings.Repeat("x", 8<<10)}),
	}
	for _, names := range [][]string{{"/v1/ws", "/ws", "GET /v1/events"}, {"/v1/ws by message", "POST /v1/events", "stream"}} { // of 50 failures an address is refused
		in := servertest.Start(t, servertest.Config(string(config)))
		forged["connection token"] = in.Token("7")
		for _, name := range names {
			for what, token := range forged {
				if got := doors[name](t, in, token); got == "in" || strings.Contains(got, "mallory") || !strings.Contains(got, "401") && !strings.Contains(got, "4001") && !strings.Contains(got, "1008") {
					t.Errorf("%s, %s: %s", name, what, got)
				}
			}
		}
		if r := call(t, in, in.APIKey, http.MethodGet, "/admin/users", nil); r.status != 200 || strings.Contains(r.body, "mallory") || strings.Contains(r.body, `"root"`) {
			t.Errorf("a forged token made an account: %d %s", r.status, r.body)
		}
		for _, name := range names {
			who := good
			if name == "/ws" {
				who = by(private, nil, jwt.MapClaims{"sub": "berta"})
			}
			if got := doors[name](t, in, who); got != "in" {
				t.Errorf("%s, a good token: %s", name, got)
			}
		}
	}
}

// S3: tokens cause requests to the configured key set only, one in ten seconds.
func TestS3_TokensAtTheGatewayFetchKeysSeldom(t *testing.T) {
	private, _, jwks := outsideKey(t)
	var fetched, elsewhere atomic.Int64
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_, _ = w.Write([]byte(jwks("known")))
	}))
	defer keys.Close()
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = w.Write([]byte(jwks("unknown")))
	}))
	defer evil.Close()
	in := servertest.Start(t, servertest.Config(`{"auth":{"mode":"both","external":{"jwks_public_endpoint":"`+keys.URL+`"}}}`))
	began := time.Now()
	n := 0
	for name, knock := range doors {
		for range 5 {
			n++
			token := signed(t, jwt.SigningMethodEdDSA, private, map[string]any{"kid": fmt.Sprint("unknown", n), "jku": evil.URL, "x5u": evil.URL},
				jwt.MapClaims{"sub": fmt.Sprint("u", n), "iss": evil.URL, "exp": time.Now().Add(time.Hour).Unix()})
			if n%2 == 0 { // and without what is refused before keys are looked for
				token = signed(t, jwt.SigningMethodEdDSA, private, map[string]any{"kid": fmt.Sprint("unknown", n)},
					jwt.MapClaims{"sub": fmt.Sprint("u", n), "iss": evil.URL, "exp": time.Now().Add(time.Hour).Unix()})
			}
			if knock(t, in, token) == "in" {
				t.Errorf("%s: a token of an unknown key is taken", name)
			}
		}
	}
	if most := 1 + int64(time.Since(began)/(10*time.Second)); fetched.Load() > most || fetched.Load() == 0 {
		t.Errorf("%d fetches in %v", fetched.Load(), time.Since(began))
	}
	if elsewhere.Load() != 0 {
		t.Errorf("%d requests to the address of a token", elsewhere.Load())
	}
	// A key that is known needs no fetch.
	before := fetched.Load()
	token := signed(t, jwt.SigningMethodEdDSA, private, map[string]any{"kid": "known"}, jwt.MapClaims{"sub": "anna", "exp": time.Now().Add(time.Hour).Unix()})
	if got := doors["/v1/ws"](t, in, token); got != "in" || fetched.Load() != before {
		t.Errorf("%s after %d more fetches", got, fetched.Load()-before)
	}
}

// S4: how much of a credential is right makes no difference, and the gateway itself
// compares none but by its hash.
func TestS4_CredentialsAreNotComparedByTheGateway(t *testing.T) {
	in := servertest.Start(t)
	key, _ := newKey(t, in, "*")
	salt := 'A' // a credential that is tried too often is refused before anything is compared
	for name, knock := range doors {
		answers := map[string][]string{}
		salt++
		for what, token := range map[string]string{
			"first": string(salt) + "-" + in.APIKey[2:], "last": in.APIKey[:len(in.APIKey)-2] + "-" + string(salt), "longer": in.APIKey + "-" + string(salt),
			"shorter": in.APIKey[:len(in.APIKey)-int(salt-'A')], "key": key[:len(key)-2] + "-" + string(salt), "none": "nothing" + string(salt),
		} {
			got := knock(t, in, token)
			answers[got] = append(answers[got], what)
		}
		if _, entered := answers["in"]; len(answers) != 1 || entered {
			t.Errorf("%s: %v", name, answers)
		}
	}
	compared := regexp.MustCompile(`(?i)\b[\w.]*(token|ticket|credential|secret)\)?\s*[!=]=\s*[^"\s]|\[(token|ticket|credential|[\w.]+\.(Token|resumeToken))\]|\bkept\[text\]`)
	for _, pattern := range []string{"../gateway/*.go", "../eventapi/*.go", "../server/gateway*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(text), "\n") {
				if !strings.HasSuffix(file, "_test.go") && compared.MatchString(line) && !strings.Contains(line, "hashOf(") {
					t.Errorf("%s:%d: %s", file, i+1, line)
				}
			}
		}
	}
}

// statusOf makes a request with headers, for a socket too, and returns the status.
func statusOf(t *testing.T, in *servertest.Instance, method, path string, header http.Header) int {
	t.Helper()
	if strings.HasSuffix(path, "ws") {
		return upgrade(t, in, path, header).StatusCode
	}
	r, err := http.NewRequestWithContext(t.Context(), method, in.URL+path, strings.NewReader(`{"type":"order.paid","data":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// S5: the switches that open other surfaces open none of the gateway's.
func TestS5_SwitchesDoNotOpenTheGateway(t *testing.T) {
	private, _, _ := outsideKey(t)
	in := servertest.Start(t, servertest.Config(ownTypes), servertest.Flag("client.insecure", "true"), servertest.Flag("client.insecure_skip_token_signature_verify", "true"), servertest.Flag("http_api.insecure", "true"))
	for name, knock := range doors {
		unverified := signed(t, jwt.SigningMethodEdDSA, private, nil, jwt.MapClaims{"sub": "1", "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"admin"}, "for": name})
		if got := knock(t, in, unverified); got == "in" {
			t.Errorf("%s takes a token of nobody", name)
		}
	}
	for _, path := range []string{"/v1/events", "/v1/events/stream?channels=system", "/v1/ws/connections"} {
		if got := statusOf(t, in, http.MethodGet, path, http.Header{}); got != 401 {
			t.Errorf("%s without a credential: %d", path, got)
		}
	}
	stranger := dialGateway(t, in, "/v1/ws", nil)
	stranger.send(`{"type":"subscribe","channels":["system"]}`)
	stranger.fails("4001", "required")
	dialGateway(t, in, "/ws", nil).ends(1008, "Unauthorized: No token provided")
	for _, path := range []string{"/v1/ws", "/ws", "/v1/events"} {
		if got := statusOf(t, in, http.MethodPost, path, http.Header{"Origin": {"https://evil.example"}, "X-Api-Key": {in.APIKey}}); got != 403 {
			t.Errorf("%s from elsewhere: %d", path, got)
		}
	}
}

// S6: a credential of an address is taken where the contract needs it, and can be off; no
// credential is found in logs, metrics or answers.
func TestS6_GatewayCredentialsAppearNowhere(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes), servertest.Flag("log.level", "debug"), servertest.Flag("gateway.query_token", "false"))
	for _, query := range []string{"token", "api_key"} {
		s := dialGateway(t, in, "/v1/ws?"+query+"="+in.APIKey, nil)
		s.send(`{"type":"subscribe","channels":["system"]}`)
		s.fails("4001", "required")
		dialGateway(t, in, "/ws?"+query+"="+in.APIKey, nil).ends(1008, "Unauthorized: No token provided")
		for _, path := range []string{"/v1/events", "/v1/events/stream"} {
			if got := statusOf(t, in, http.MethodGet, path+"?channels=system&"+query+"="+in.APIKey, http.Header{}); got != 401 {
				t.Errorf("%s?%s: %d", path, query, got)
			}
		}
		if got := statusOf(t, in, http.MethodPost, "/v1/events?"+query+"="+in.APIKey, http.Header{}); got != 401 {
			t.Errorf("POST ?%s: %d", query, got)
		}
	}

	in = servertest.Start(t, servertest.Config(ownTypes), servertest.Flag("log.level", "debug"))
	key, _ := newKey(t, in, "*")
	var said strings.Builder
	hear := func(s *socket) {
		t.Helper()
		said.WriteString(s.next())
	}
	ticket := func() string {
		_, got := ask(t, in, key, http.MethodPost, "/v1/ws/tickets", nil)
		text, _ := got["ticket"].(string)
		if text == "" {
			t.Fatalf("%v", got)
		}
		return text
	}
	one, two := ticket(), ticket()
	for _, query := range []string{"token=" + key, "api_key=" + key, "ticket=" + one} {
		hear(dialGateway(t, in, "/v1/ws?"+query, nil))
	}
	for _, query := range []string{"token=" + in.APIKey, "api_key=" + key, "ticket=" + two} {
		hear(dialGateway(t, in, "/ws?"+query, nil))
	}
	s := dialGateway(t, in, "/v1/ws", nil)
	s.send(`{"type":"auth","token":"` + key + `"}`)
	hear(s)
	s.send(`{"type":"subscribe","channels":["` + key + `"],"token":"` + in.APIKey + `"`) // not whole
	hear(s)
	res := upgrade(t, in, "/v1/ws", http.Header{"Sec-WebSocket-Protocol": {"events.v1, bearer." + key}})
	fmt.Fprint(&said, res.Header)
	bad := key[:len(key)-4] + "AAAA"
	for _, path := range []string{"/v1/ws?token=", "/ws?token="} {
		said.WriteString(refusedSocket(dialGateway(t, in, path+bad, nil)))
	}
	for _, query := range []string{"token", "api_key"} { // they are for what can send no header
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if got := statusOf(t, in, method, "/v1/events?"+query+"="+key, http.Header{}); got != 401 {
				t.Errorf("%s /v1/events?%s: %d", method, query, got)
			}
		}
	}
	for _, path := range []string{"/v1/events?token=" + bad, "/v1/events/" + one, "/v1/events/stream?api_key=" + bad, "/v1/events?ticket=" + one} {
		r := request(t, in.URL, person{}, http.MethodGet, path, "", nil)
		said.WriteString(r.body)
	}
	connections := request(t, in.URL, person{token: in.APIKey}, http.MethodGet, "/v1/ws/connections", "", nil).body
	metrics := metricsOf(t, in)
	in.Stop()
	for where, text := range map[string]string{"log": strings.ReplaceAll(in.Log(), "/v1/events/"+one, ""), "answers": said.String(), "connections": connections, "metrics": metrics} {
		for what, canary := range map[string]string{"key": key, "service key": in.APIKey, "ticket": one, "other ticket": two, "bad key": bad} {
			if strings.Contains(text, canary) {
				t.Errorf("%s: has the %s", where, what)
			}
		}
	}
}

// S21: a handshake with an Origin passes only if it is the server's own or one of the list,
// as a whole; and cookies open nothing.
func TestS21_GatewayHandshakes(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes), servertest.Flag("client.allowed_origins", "https://app.example.com:8443 https://*.shop.example"))
	for origin, good := range map[string]bool{
		"": true, "https://app.example.com:8443": true, "https://a.shop.example": true, "HTTPS://APP.example.com:8443": true,
		"http://app.example.com:8443": false, "https://app.example.com": false, "https://app.example.com:8444": false, "https://app.example.com:8443.evil.example": false,
		"https://evil.example/https://app.example.com:8443": false, "https://x.app.example.com:8443": false, "https://shop.example": false,
		"https://a.shop.example.evil": false, "https://evil.example/a.shop.example": false, "null": false, "*": false,
	} {
		for path, status := range map[string]int{"/v1/ws": 101, "/ws": 101, "/v1/events": 202} {
			header := http.Header{"X-Api-Key": {in.APIKey}}
			if origin != "" {
				header.Set("Origin", origin)
			}
			if !good {
				status = 403
			}
			if got := statusOf(t, in, http.MethodPost, path, header); got != status {
				t.Errorf("%s from %q: %d, want %d", path, origin, got, status)
			}
		}
	}
	two := http.Header{"X-Api-Key": {in.APIKey}, "Origin": {"https://app.example.com:8443", "https://evil.example"}}
	for _, path := range []string{"/v1/ws", "/ws", "/v1/events"} {
		if got := statusOf(t, in, http.MethodPost, path, two); got < 400 {
			t.Errorf("%s with two origins: %d", path, got)
		}
	}

	r := request(t, in.URL, person{}, http.MethodPost, "/api/v2/auth/register", "application/json", []byte(`{"username":"anna","name":"anna","password":"correct horse battery"}`))
	var grant struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal([]byte(r.body), &grant); err != nil || grant.Refresh == "" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for _, origin := range []string{"", "https://app.example.com:8443"} {
		cookie := http.Header{"Cookie": {"kuranty-refresh=" + grant.Refresh + "; token=" + grant.Access}}
		if origin != "" {
			cookie.Set("Origin", origin)
		}
		s := dialGateway(t, in, "/v1/ws", cookie)
		s.send(`{"type":"subscribe","channels":["system"]}`)
		s.fails("4001", "required")
		dialGateway(t, in, "/ws", cookie).ends(1008, "Unauthorized: No token provided")
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if got := statusOf(t, in, method, "/v1/events", cookie); got != 401 {
				t.Errorf("%s by cookie from %q: %d", method, origin, got)
			}
		}
	}
}

// newChat makes a group of the caller and others.
func newChat(t *testing.T, in *servertest.Instance, token string, users ...int64) int64 {
	t.Helper()
	r := call(t, in, token, http.MethodPost, "/chats", map[string]any{"kind": "group", "title": "Garden", "user_ids": users})
	var chat struct{ ID int64 }
	if err := json.Unmarshal([]byte(r.body), &chat); err != nil || chat.ID == 0 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return chat.ID
}

func write(t *testing.T, in *servertest.Instance, token string, chat int64, text, id string) {
	t.Helper()
	if r := call(t, in, token, http.MethodPost, fmt.Sprintf("/chats/%d/messages", chat), map[string]any{"text": text, "client_id": id}); r.status >= 300 {
		t.Fatalf("%d %s", r.status, r.body)
	}
}

// S15: who may not see something gets the answer for what does not exist, on every endpoint.
func TestS15_StrangersCannotTellWhatExistsOnTheGateway(t *testing.T) {
	in := servertest.Start(t)
	bert, bertsToken := signUp(t, in, "bert")
	_, annasToken := signUp(t, in, "anna")
	_, clarasToken := signUp(t, in, "clara")
	chat := newChat(t, in, annasToken, bert)
	write(t, in, annasToken, chat, "secret", "secret")
	var id string
	until(t, "the message", func() bool {
		for _, e := range listEvents(t, in, annasToken, "events=message.created").Events {
			if e.Data["content"] == "secret" {
				id = e.ID
			}
		}
		return id != ""
	})
	const nothing = "evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD"
	closed, _ := newKey(t, in, "read:tickets")
	find := func(token, id string) string {
		r := request(t, in.URL, person{token: token}, http.MethodGet, "/v1/events/"+id, "", nil)
		return fmt.Sprint(r.status, passing.ReplaceAllString(strings.ReplaceAll(r.body, id, "ID"), ""))
	}
	for who, token := range map[string]string{"clara": clarasToken, "a key without the permission": closed} {
		if got, want := find(token, id), find(token, nothing); got != want || !strings.HasPrefix(got, "404") {
			t.Errorf("%s: %s for what is there, %s for what is not", who, got, want)
		}
	}
	if got := find(bertsToken, id); !strings.HasPrefix(got, "200") {
		t.Errorf("a member: %s", got)
	}

	// Rooms that filters name, and connections of others.
	answer := func(s *socket, frame string) string {
		s.send(frame)
		got, _ := json.Marshal(s.hear().Data)
		return passing.ReplaceAllString(string(got), "")
	}
	clara, anna := enter(t, in, clarasToken, ""), dialGateway(t, in, "/v1/ws", http.Header{"Authorization": {"Bearer " + annasToken}})
	resumeToken, _ := anna.answered("auth", "ok").Data["resumeToken"].(string)
	anna.send(`{"type":"subscribe","channels":["messages"]}`)
	anna.answered("subscribe", "ok")
	subscribe := `{"type":"subscribe","channels":["messages"],"filter":{"data.roomId":"%d"},"lastEventId":"` + nothing + `","onLost":"earliest"}`
	if there, not := answer(clara, fmt.Sprintf(subscribe, chat)), answer(clara, fmt.Sprintf(subscribe, chat+1000)); there != not || !strings.Contains(there, `"replayed":0`) {
		t.Errorf("%s for a room, %s for none", there, not)
	}
	if there, not := answer(clara, `{"type":"resume","token":"`+resumeToken+`"}`), answer(clara, `{"type":"resume","token":"rsm_nothing"}`); there != not || !strings.Contains(there, "lost") {
		t.Errorf("%s for a token of another, %s for none", there, not)
	}
	write(t, in, annasToken, chat, "again", "again")
	if m := anna.talk(); m.Data["content"] != "again" { // and its connection still lives
		t.Errorf("%+v", m)
	}
	clara.send(`{"type":"ping"}`)
	if m := clara.hear(); m.Type != "pong" {
		t.Errorf("%+v", m)
	}
	// The same for a connection that has ended, which its own subject may resume afterwards.
	_ = anna.c.CloseNow()
	until(t, "the end of the connection", func() bool {
		return strings.Count(request(t, in.URL, person{token: in.APIKey}, http.MethodGet, "/v1/ws/connections", "", nil).body, `"con_`) == 1
	})
	if there, not := answer(clara, `{"type":"resume","token":"`+resumeToken+`"}`), answer(clara, `{"type":"resume","token":"rsm_nothing"}`); there != not || !strings.Contains(there, "lost") {
		t.Errorf("%s for a token of another, %s for none", there, not)
	}
	back := enter(t, in, annasToken, "")
	back.send(`{"type":"resume","token":"` + resumeToken + `"}`)
	if m := back.hear(); m.Data["action"] != "resume" || m.Data["status"] == "lost" {
		t.Errorf("%+v", m)
	}

	// The operators' socket: types that a key may not read look the same with rooms and without.
	admin := dialGateway(t, in, "/ws?token="+closed, nil)
	admin.want(adminWelcome)
	admin.send(`{"type":"subscribe","events":["*.created"]}`)
	admin.want(`{"type":"subscribed","events":["*.created"]}`)
	for _, last := range []string{id, *listEvents(t, in, annasToken, "channels=messages").Next} { // an id is a position, whosever the event
		admin.send(`{"type":"resume","last_event_id":"` + last + `"}`)
		admin.want(`{"type":"resumed","status":"complete","replayed":0}`)
	}
	write(t, in, annasToken, chat, "once more", "once more")
	ticket := openTicket(t, in, clarasToken, "mine")
	if got := admin.next(); !strings.HasPrefix(got, fmt.Sprintf(`{"type":"ticket.created","payload":{"ticket_id":%d,`, ticket)) {
		t.Errorf("%s", got)
	}
}

// S15, S16 and event-gateway.md §5: membership is looked at when events are sent, of a
// replay that goes on too. Who is removed meanwhile gets neither what comes later nor the
// rest of the past.
func TestS15_RemovedDuringAReplayOnTheGateway(t *testing.T) {
	in := servertest.Start(t, servertest.Config(`{"chat":{"text_limit":16000,"limits":{"requests_per_minute":100000,"send_per_second":1000,"send_burst":1000,"chat_per_second":1000}}}`))
	bert, bertsToken := signUp(t, in, "bert")
	_, annasToken := signUp(t, in, "anna")
	chat, other := newChat(t, in, annasToken, bert), newChat(t, in, annasToken, bert)
	const n = 300
	text := strings.Repeat("😀", 16000) // 19 MB in all, more than the kernel takes, and no word for the index
	for i := range n {
		write(t, in, annasToken, chat, text, fmt.Sprint(i))
	}
	const past = `{"type":"subscribe","channels":["messages"],"lastEventId":"evt_01JNB3C7Q9V5T2M8K4X6Z0R1WD","onLost":"earliest"}`
	replaying := map[string]*socket{}
	for name, token := range map[string]string{"anna": annasToken, "bert": bertsToken} {
		until(t, "the past", func() bool { // of which the last may not be numbered yet
			s := enter(t, in, token, "")
			s.send(past)
			resume, _ := s.answered("subscribe", "ok").Data["resume"].(map[string]any)
			all, _ := resume["replayed"].(float64)
			replaying[name] = s
			return all >= n
		})
	}
	if m := replaying["bert"].talk(); !m.Replayed {
		t.Errorf("%+v", m)
	}
	if r := call(t, in, annasToken, http.MethodDelete, fmt.Sprintf("/chats/%d/members/%d", chat, bert), nil); r.status >= 300 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	write(t, in, annasToken, chat, "not for bert", "after")
	write(t, in, annasToken, other, "for both", "last") // the order of the log: nothing before it comes any more
	for name, s := range replaying {
		got, after := 0, false
		for m := s.talk(); m.Data["content"] != "for both"; m = s.talk() {
			if m.Data["content"] == text {
				got++
			}
			after = after || m.Data["content"] == "not for bert"
		}
		if member := name == "anna"; after != member || member && got != n || !member && got >= n-1 {
			t.Errorf("%s gets %d of %d, and what was written later: %t", name, got, n, after)
		}
	}
}

// R11: a receiver may get an event again, and tells that by its id, which is the same on
// each endpoint; order is that of the log and promised nowhere else.
func TestR11_RepetitionsHaveTheirIDOnTheGateway(t *testing.T) {
	in := servertest.Start(t, servertest.Config(ownTypes))
	const n = 5
	ids := make([]string, n+1)
	for i := range ids { // the one before the first is where receivers go back to
		ids[i] = publish(t, in, "order.created", map[string]any{"number": i})
	}
	until(t, "all", func() bool { return len(listEvents(t, in, in.APIKey, "channels=events").Events) == n+1 })
	check := func(way string, i int, id string) {
		t.Helper()
		if id != ids[i] {
			t.Errorf("%s: event %d is %s, want %s", way, i, id, ids[i])
		}
	}
	for range 2 { // who comes back twice gets it twice
		s := enter(t, in, in.APIKey, "?lastEventId="+ids[0])
		s.send(`{"type":"subscribe","channels":["events"]}`)
		s.answered("subscribe", "ok")
		admin := dialGateway(t, in, "/ws?token="+in.APIKey, nil)
		admin.want(adminWelcome)
		admin.send(`{"type":"subscribe","events":["order.*"]}`)
		admin.want(`{"type":"subscribed","events":["order.*"]}`)
		admin.send(`{"type":"resume","last_event_id":"` + ids[0] + `"}`)
		stream := openStream(t, in, in.APIKey, "channels=events", ids[0])
		page := listEvents(t, in, in.APIKey, "channels=events&after="+ids[0])
		if len(page.Events) != n {
			t.Fatalf("%d events, want %d", len(page.Events), n)
		}
		for i := 1; i <= n; i++ {
			check("/v1/ws", i, s.hear().ID)
			var event struct{ ID string }
			if err := json.Unmarshal([]byte(admin.next()), &event); err != nil {
				t.Fatal(err)
			}
			check("/ws", i, event.ID)
			id, _, _, _ := stream.next()
			check("stream", i, id)
			check("/v1/events", i, page.Events[i-1].ID)
		}
	}
	// The same for who sends: the event is stored once, and announced once.
	s := enter(t, in, in.APIKey, "")
	s.send(`{"type":"subscribe","channels":["events"]}`)
	s.answered("subscribe", "ok")
	again := map[string]any{"type": "order.paid", "data": map[string]any{}, "id": "paid-1"}
	for i := range 3 {
		if status, got := ask(t, in, in.APIKey, http.MethodPost, "/v1/events", again); status != 202 || got["duplicate"] != (i > 0) {
			t.Errorf("%d %v", status, got)
		}
	}
	last := publish(t, in, "order.created", map[string]any{"number": n + 1})
	if m := s.hear(); m.Event != "order.paid" {
		t.Errorf("%+v", m)
	}
	if m := s.hear(); m.ID != last {
		t.Errorf("%+v", m)
	}
	for _, sentence := range []string{"**at least once**", "A repetition has the same `id`."} {
		if !strings.Contains(page(t, "gateway.md"), sentence) {
			t.Errorf("docs/gateway.md lacks %q", sentence)
		}
	}
}

// event-gateway.md §1, rule 3: while a credential is looked at, 32 frames wait and are
// answered afterwards; the 33rd is refused, and costs the connection nothing else.
func TestS22_The33rdFrameOfAStrangerOnTheGateway(t *testing.T) {
	private, _, jwks := outsideKey(t)
	asked, release := make(chan struct{}, 2), make(chan struct{})
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
			_, _ = w.Write([]byte(jwks("k")))
		case <-r.Context().Done():
		}
	}))
	defer keys.Close()
	in := servertest.Start(t, servertest.Config(`{"auth":{"mode":"both","external":{"jwks_public_endpoint":"`+keys.URL+`"}}}`))
	token := signed(t, jwt.SigningMethodEdDSA, private, map[string]any{"kid": "k"}, jwt.MapClaims{"sub": "anna", "exp": time.Now().Add(time.Hour).Unix()})
	s := dialGateway(t, in, "/v1/ws", nil)
	s.send(`{"type":"auth","token":"` + token + `"}`)
	<-asked // so the check runs, until the keys are sent
	for i := range 33 {
		s.send(fmt.Sprintf(`{"type":"subscribe","id":%d,"channels":["system"]}`, i+1))
	}
	if m := s.fails("4003", ""); m.ID != "33" {
		t.Errorf("%+v", m)
	}
	close(release)
	s.answered("auth", "ok")
	for i := range 32 {
		if m := s.answered("subscribe", "ok"); m.ID != fmt.Sprint(i+1) {
			t.Errorf("%d: %+v", i+1, m)
		}
	}
	s.send(`{"type":"ping","id":34}`)
	if m := s.hear(); m.Type != "pong" || m.ID != "34" {
		t.Errorf("%+v", m)
	}
}
