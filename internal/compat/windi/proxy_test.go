package windi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/compat/windi"
	"github.com/kuranty/kuranty/internal/identity"
)

// verdict is what a separate realtime server makes of an answer, by its documented rules
// (auth-and-channels.md §7, §8): a status other than 200, or a body that does not decode,
// is a failure that the client tries again; disconnect comes before error, and who has
// neither is let in, whatever status says.
func verdict(a *answer) string {
	var r struct {
		Result *struct {
			User     string                     `json:"user"`
			ExpireAt int64                      `json:"expire_at"`
			Info     json.RawMessage            `json:"info"`
			Channels []string                   `json:"channels"`
			Subs     map[string]json.RawMessage `json:"subs"`
		} `json:"result"`
		Error *struct {
			Code      uint32 `json:"code"`
			Message   string `json:"message"`
			Temporary bool   `json:"temporary"`
		} `json:"error"`
		Disconnect *struct {
			Code   uint32 `json:"code"`
			Reason string `json:"reason"`
		} `json:"disconnect"`
	}
	switch err := json.Unmarshal(a.raw, &r); {
	case a.status != 200, err != nil:
		return "failure"
	case r.Disconnect != nil:
		return fmt.Sprintf("disconnect %d", r.Disconnect.Code)
	case r.Error != nil:
		return fmt.Sprintf("error %d", r.Error.Code)
	case r.Result != nil && len(r.Result.Channels)+len(r.Result.Subs) > 0:
		return "channels"
	case r.Result != nil && r.Result.User != "":
		return "user " + r.Result.User
	}
	return "allowed"
}

func TestB09_ProxyAnswersReallyRefuse(t *testing.T) {
	s := start(t)
	anna, boris, gone, bad := s.newUser("Анна"), s.newUser("Boris"), s.newUser("Gone"), s.newUser("Bad")
	id := anna.group()
	gone.call("POST", "/users/logout").want(200)
	if err := s.accounts.Suspend(t.Context(), identity.Operator("test"), bad.id); err != nil {
		t.Fatal(err)
	}
	signer, err := identity.NewSigner(identity.SignerOptions{HMACSecret: tokenSecret})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := signer.CreateConnectionToken(identity.ConnectionTokenOptions{User: fmt.Sprint(boris.id), TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	mixed, err := signer.CreateConnectionToken(identity.ConnectionTokenOptions{User: fmt.Sprint(boris.id), Meta: []byte(`{"sid":"` + anna.session + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	engine := &user{stage: s}
	secret := http.Header{"X-Proxy-Secret": {proxySecret}}
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	token := func(token string) string {
		return `{"client":"9336a229","transport":"websocket","protocol":"json","encoding":"json","data":{"token":"` + token + `"}}`
	}
	isAnna, isBoris := fmt.Sprintf("user %d", anna.id), fmt.Sprintf("user %d", boris.id)
	claim := func(format string) string { return fmt.Sprintf(format, anna.id) }
	for _, x := range []struct {
		name   string
		header http.Header
		body   string
		want   string
	}{
		{"access token", nil, token(anna.access), isAnna},
		{"connection token", nil, token(anna.token), isAnna},
		{"connection token without a session", nil, token(foreign), isBoris},
		{"session of somebody else", nil, token(mixed), "disconnect 4501"},
		{"forwarded header", bearer(anna.access), `{}`, isAnna},
		{"header before token", bearer(anna.access), token(boris.access), isAnna},
		{"a bad header is not somebody else's", bearer("x"), token(boris.access), "disconnect 4501"},
		{"cookie", http.Header{"Cookie": {"access_token=" + anna.access}}, `{}`, isAnna},
		{"cookie of another application", http.Header{"Cookie": {"session=eyJfaWQiOjF9.ZQ"}}, `{"data":{"token":"` + anna.access + `"}}`, isAnna},
		{"cookie with Bearer", http.Header{"Cookie": {`access_token="Bearer ` + anna.access + `"`}}, `{}`, isAnna},
		{"no identity", nil, `{"client":"9336a229"}`, "disconnect 4501"},
		{"nothing", nil, ``, "disconnect 4501"},
		{"garbage token", nil, token("x"), "disconnect 4501"},
		{"API key", nil, token(serviceKey), "disconnect 4501"},
		{"ended session", nil, token(gone.access), "disconnect 4501"},
		{"ended session's connection token", nil, token(gone.token), "disconnect 4501"},
		{"suspended", nil, token(bad.access), "disconnect 4503"},
		{"claimed without the secret", nil, claim(`{"user":"%d"}`), "disconnect 4501"},
		{"claimed as text", secret, claim(`{"user":"%d"}`), isAnna},
		{"claimed as user_id", secret, claim(`{"user":{"user_id":%d}}`), isAnna},
		{"claimed as id", secret, claim(`{"user":{"id":"%d"}}`), isAnna},
		{"claimed in client", secret, claim(`{"client":{"user":"%d"}}`), isAnna},
		{"claimed, unknown", secret, `{"user":"777"}`, "disconnect 4501"},
		{"odd types", secret, `{"user":[1],"client":7,"data":"x"}`, "disconnect 4501"},
		{"no object", nil, `[1]`, "error 400"},
		{"no JSON", nil, `{`, "error 400"},
	} {
		a := engine.callWith("POST", "/centrifugo/connect", x.header, []byte(x.body))
		if got := verdict(a); got != x.want {
			t.Errorf("connect, %s: %s, want %s: %s", x.name, got, x.want, a.raw)
		}
		if strings.Contains(string(a.raw), "@") {
			t.Errorf("connect, %s: tells an e-mail address: %s", x.name, a.raw)
		}
	}
	a := engine.call("POST", "/centrifugo/connect", []byte(token(anna.access))).is(`200`, "status").is(`"Анна"`, "result", "info", "name")
	if left := int64(a.get("result", "expire_at").(float64)) - time.Now().Unix(); left < 86390 || left > 86400 {
		t.Errorf("expires in %d s", left)
	}

	for _, x := range []struct{ user, channel, want string }{
		{fmt.Sprint(anna.id), fmt.Sprintf("chat:%d", id), "allowed"},
		{fmt.Sprint(boris.id), fmt.Sprintf("chat:%d", id), "error 403"},
		{fmt.Sprint(anna.id), "chat:777", "error 403"},
		{fmt.Sprint(anna.id), fmt.Sprintf("user:%d", anna.id), "allowed"},
		{fmt.Sprint(anna.id), fmt.Sprintf("user:%d", boris.id), "error 403"},
		{fmt.Sprint(anna.id), "system:notifications", "allowed"},
		{"", "system:notifications", "error 401"},
		{"777", "system:notifications", "error 401"},
		{fmt.Sprint(bad.id), "system:notifications", "error 403"},
		{fmt.Sprint(anna.id), "news", "error 404"},
		{fmt.Sprint(anna.id), "chat:01", "error 404"},
		{fmt.Sprint(anna.id), "", "error 404"},
	} {
		body, err := json.Marshal(object{"client": "9336a229", "user": x.user, "channel": x.channel})
		if err != nil {
			t.Fatal(err)
		}
		a := engine.call("POST", "/centrifugo/subscribe", body)
		if got := verdict(a); got != x.want {
			t.Errorf("subscribe %s to %q: %s, want %s: %s", x.user, x.channel, got, x.want, a.raw)
		}
	}
	shapes := fmt.Sprintf(`{"user":{"user_id":%d},"channel":"chat:%d"}`, anna.id, id)
	engine.call("POST", "/centrifugo/subscribe", []byte(shapes)).is(`{"result":{},"status":200}`)
	if got := verdict(engine.call("POST", "/centrifugo/subscribe", []byte(`{"channel":`))); got != "error 400" {
		t.Error(got)
	}
}

func TestB09_FailuresAreTemporary(t *testing.T) {
	s := start(t)
	anna := s.newUser("Анна")
	s.accounts.ForgetUser(anna.id)
	s.store.Close()
	engine := &user{stage: s}
	for _, path := range []string{"connect", "subscribe"} {
		a := engine.callWith("POST", "/centrifugo/"+path, http.Header{"X-Proxy-Secret": {proxySecret}},
			object{"user": fmt.Sprint(anna.id), "channel": "chat:1"}).want(200)
		a.is(`{"code":1000,"message":"internal error","temporary":true}`, "error").is(`500`, "status")
	}
}

func TestB09_WhoMayAsk(t *testing.T) {
	ask := func(s *stage, header http.Header) int {
		return (&user{stage: s}).callWith("POST", "/centrifugo/subscribe", header, object{}).status
	}
	s := start(t)
	for name, x := range map[string]struct {
		header http.Header
		want   int
	}{
		"this machine":          {nil, 200},
		"through a proxy":       {http.Header{"X-Forwarded-For": {"203.0.113.5"}}, 403},
		"through another proxy": {http.Header{"Forwarded": {"for=203.0.113.5"}}, 403},
		"with the secret":       {http.Header{"X-Forwarded-For": {"203.0.113.5"}, "X-Proxy-Secret": {proxySecret}}, 200},
		"with a wrong secret":   {http.Header{"X-Forwarded-For": {"203.0.113.5"}, "X-Proxy-Secret": {"x"}}, 403},
	} {
		if got := ask(s, x.header); got != x.want {
			t.Errorf("%s: %d, want %d", name, got, x.want)
		}
	}
	far := start(t, func(o *windi.Options, _ *chat.Options) {
		o.ProxyAllow, o.ProxySecret = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, ""
	})
	eq(t, "a stranger", ask(far, nil), 403)
	eq(t, "a stranger with an empty secret", ask(far, http.Header{"X-Proxy-Secret": {""}}), 403)
	off := start(t, func(o *windi.Options, _ *chat.Options) { o.NoProxyEndpoints = true })
	eq(t, "switched off", ask(off, http.Header{"X-Proxy-Secret": {proxySecret}}), 403)
}
