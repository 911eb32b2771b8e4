package windi

import (
	"net/http"
	"strings"

	"github.com/kuranty/kuranty/internal/apierror"
)

// Access is who may call an endpoint at all; what they may do with which chat is decided
// by the domain.
type Access string

// The kinds of access.
const (
	// Public endpoints need no token.
	Public Access = "public"
	// SignedIn ones need one; where a person is needed, services are refused.
	SignedIn Access = "signed_in"
	// Admins are administrators and services with the scope "admin".
	Admins Access = "admins"
	// Proxies are realtime servers, see [Options.ProxyAllow].
	Proxies Access = "proxies"
)

// Route is an endpoint. Method and Pattern are those of [http.ServeMux].
type Route struct {
	Method, Pattern string
	Access          Access
	serve           func(*Contract, *request) (reply, error)
}

const uploads = "POST /api/v1/files/upload"

// creating are the endpoints whose first reply is repeated for the same Idempotency-Key.
var creating = []string{"POST /api/v1/chats", uploads}

// Routes are the endpoints, in the order of chat-api.md Part B.
func Routes() []Route {
	return []Route{
		{http.MethodPost, "/api/v1/centrifugo/token", SignedIn, (*Contract).token},
		{http.MethodGet, "/api/v1/centrifugo/token", SignedIn, (*Contract).token},
		{http.MethodGet, "/api/v1/centrifugo/connection-info", SignedIn, (*Contract).connectionInfo},
		{http.MethodPost, "/api/v1/centrifugo/connect", Proxies, (*Contract).proxyConnect},
		{http.MethodPost, "/api/v1/centrifugo/subscribe", Proxies, (*Contract).proxySubscribe},
		{http.MethodPost, "/api/v1/centrifugo/publish", SignedIn, (*Contract).publishRequest},
		{http.MethodGet, "/api/v1/history/{chat}", SignedIn, (*Contract).history},
		{http.MethodGet, "/api/v1/history", SignedIn, (*Contract).history},
		{http.MethodGet, "/api/v1/chats/{chat}/messages", SignedIn, (*Contract).messages},
		{http.MethodGet, "/api/v1/centrifugo/presence/{chat}", SignedIn, (*Contract).presence},
		{http.MethodPost, "/api/v1/messages/{message}/read", SignedIn, (*Contract).read},
		{http.MethodPost, "/api/v1/centrifugo/broadcast", Admins, (*Contract).broadcast},
		{http.MethodPost, "/api/v1/users/register", Public, (*Contract).register},
		{http.MethodPost, "/api/v1/users/login", Public, (*Contract).login},
		{http.MethodGet, "/api/v1/users/me", SignedIn, (*Contract).me},
		{http.MethodPut, "/api/v1/users/me", SignedIn, (*Contract).changeMe},
		{http.MethodPost, "/api/v1/users/logout", SignedIn, (*Contract).logout},
		{http.MethodGet, "/api/v1/users/{user}/status", SignedIn, (*Contract).status},
		{http.MethodPost, "/api/v1/chats", SignedIn, (*Contract).createChat},
		{http.MethodGet, "/api/v1/chats", SignedIn, (*Contract).chats},
		{http.MethodGet, "/api/v1/chats/{chat}", SignedIn, (*Contract).chat},
		{http.MethodPost, "/api/v1/centrifugo/typing", SignedIn, (*Contract).typing},
		{http.MethodPost, "/api/v1/files/upload", SignedIn, (*Contract).upload},
		{http.MethodGet, "/api/v1/search/messages", SignedIn, (*Contract).searchMessages},
		{http.MethodGet, "/api/v1/search/users", SignedIn, (*Contract).searchUsers},
		{http.MethodGet, "/api/v1/health", Public, (*Contract).health},
		{http.MethodGet, "/api/v1/centrifugo/stats", Admins, (*Contract).stats},
	}
}

// Handler serves [Routes], and answers 404 to every other path.
func (c *Contract) Handler() http.Handler {
	mux := http.NewServeMux()
	methods := make(map[string][]string)
	for _, r := range Routes() {
		mux.Handle(r.Method+" "+r.Pattern, c.serve(r))
		methods[r.Pattern] = append(methods[r.Pattern], r.Method)
	}
	for pattern, allowed := range methods {
		mux.Handle(pattern, c.serve(Route{Access: Public, serve: func(_ *Contract, r *request) (reply, error) {
			r.w.Header().Set("Allow", strings.Join(allowed, ", "))
			return reply{}, apierror.New(apierror.MethodNotAllowed, nil)
		}}))
	}
	mux.Handle("/", c.serve(Route{Access: Public, serve: func(*Contract, *request) (reply, error) {
		return reply{}, &refusal{http.StatusNotFound, "Not Found", "Не найдено"}
	}}))
	return mux
}
