package eventapi

import (
	"net/http"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/gateway"
)

// ticket answers POST /v1/ws/tickets.
func (a *API) ticket(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Origin") != "" && !a.o.Allowed(r) {
		return apierror.New(apierror.Forbidden, nil)
	}
	c, err := a.g.Identify(r, false)
	if err != nil {
		return err
	}
	text, expires := a.g.Ticket(c)
	if text == "" {
		return apierror.New(apierror.Unavailable, nil)
	}
	return send(w, http.StatusOK, struct {
		Ticket    string `json:"ticket"`
		ExpiresIn int    `json:"expiresIn"`
	}{text, expires})
}

// admin returns the caller, who must be an administrator.
func (a *API) admin(r *http.Request) error {
	c, err := a.g.Identify(r, false)
	if err == nil && !c.Admin {
		err = apierror.New(apierror.Forbidden, nil)
	}
	return err
}

// connections answers GET /v1/ws/connections.
func (a *API) connections(w http.ResponseWriter, r *http.Request) error {
	if err := a.admin(r); err != nil {
		return err
	}
	return send(w, http.StatusOK, struct {
		Connections []gateway.Connection `json:"connections"`
	}{a.g.Describe()})
}

// disconnect answers DELETE /v1/ws/connections/{id}.
func (a *API) disconnect(w http.ResponseWriter, r *http.Request) error {
	if err := a.admin(r); err != nil {
		return err
	}
	if !a.g.Disconnect(r.PathValue("id")) {
		return apierror.New(apierror.NotFound, nil)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
