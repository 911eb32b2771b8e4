package eventapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/gateway"
)

// Bounds of a page.
const (
	defaultLimit = 100
	maxLimit     = 500
)

// list answers GET /v1/events.
func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	c, err := a.g.Identify(r, false)
	if err != nil {
		return err
	}
	q, err := query(r)
	if err != nil {
		return err
	}
	page, err := a.g.List(r.Context(), c, q)
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, struct {
		Events []json.RawMessage `json:"events"`
		Next   *string           `json:"next"`
		More   bool              `json:"more"`
	}{page.Events, optional(page.Next), page.More})
}

// find answers GET /v1/events/{id}.
func (a *API) find(w http.ResponseWriter, r *http.Request) error {
	c, err := a.g.Identify(r, false)
	if err != nil {
		return err
	}
	cloud, err := cloudEvents(r)
	if err != nil {
		return err
	}
	shown, found, err := a.g.Find(r.Context(), c, r.PathValue("id"), cloud)
	switch {
	case err != nil:
		return err
	case !found:
		return apierror.New(apierror.NotFound, nil)
	}
	sendJSON(w, http.StatusOK, append(shown, '\n'))
	return nil
}

// stream answers GET /v1/events/stream.
func (a *API) stream(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Origin") != "" && !a.o.Allowed(r) { // guarantees.md S21
		return apierror.New(apierror.Forbidden, nil)
	}
	c, err := a.g.Identify(r, true)
	if err != nil {
		return err
	}
	q, err := query(r)
	if err != nil {
		return err
	}
	if id := r.URL.Query().Get("lastEventId"); id != "" {
		q.After = id
	}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		q.After = id
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		return nil
	}
	return a.g.Stream(w, r, c, q)
}

// query reads what is asked for.
func query(r *http.Request) (*gateway.Query, error) {
	in := r.URL.Query()
	cloud, err := cloudEvents(r)
	if err != nil {
		return nil, err
	}
	q := &gateway.Query{
		After: in.Get("after"), Channels: words(in["channels"]), Events: words(in["events"]), Filter: in.Get("filter"), Limit: defaultLimit, Cloud: cloud,
	}
	if text := in.Get("newest"); text != "" {
		if q.Newest, err = strconv.ParseBool(text); err != nil {
			return nil, apierror.NewField("newest", apierror.Invalid)
		}
	}
	switch in.Get("onLost") {
	case "":
	case "earliest":
		q.Earliest = true
	default:
		return nil, apierror.NewField("onLost", apierror.Invalid)
	}
	if text := in.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > maxLimit {
			return nil, &apierror.Error{Code: apierror.Validation, Fields: []apierror.Field{{
				Name: "limit", Reason: apierror.Invalid, Text: fmt.Sprintf("must be 1 to %d", maxLimit), Limit: maxLimit,
			}}}
		}
	}
	return q, nil
}

func cloudEvents(r *http.Request) (bool, error) {
	switch r.URL.Query().Get("format") {
	case "":
		return false, nil
	case "cloudevents":
		return true, nil
	}
	return false, apierror.NewField("format", apierror.Invalid)
}

// words reads lists with commas between the names.
func words(values []string) (list []string) {
	for _, v := range values {
		for word := range strings.SplitSeq(v, ",") {
			if word = strings.TrimSpace(word); word != "" {
				list = append(list, word)
			}
		}
	}
	return list
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// EventType is what is told of a type.
type EventType struct {
	Type        string          `json:"type"`
	Channel     string          `json:"channel"`
	Summary     string          `json:"summary"`
	Producer    string          `json:"producer"`
	Permissions []string        `json:"permissions"`
	Rooms       bool            `json:"rooms"`
	InChannel   bool            `json:"inChannel"`
	Publishable bool            `json:"publishable"`
	Samples     bool            `json:"samples"`
	Aliases     []string        `json:"aliases"`
	Schema      json.RawMessage `json:"schema"`
	Sample      json.RawMessage `json:"sample,omitempty"`
}

// describe makes the answer of GET /event-types, which never changes.
func describe(c *event.Catalogue) []byte {
	out := struct {
		Types []EventType `json:"types"`
	}{Types: []EventType{}}
	for _, k := range c.Kinds() {
		t := EventType{
			Type: k.Type, Channel: k.Channel, Summary: k.Summary, Producer: k.Producer, Permissions: []string{}, InChannel: !k.Named,
			Publishable: publishable(k), Samples: publishable(k) || k.Inert(), Aliases: []string{}, Schema: k.Schema, Sample: k.Sample,
		}
		if ch := event.ChannelNamed(k.Channel); ch != nil {
			t.Permissions, t.Rooms = append(t.Permissions, ch.Permissions...), ch.Rooms
		}
		for alias, typ := range event.TypeAliases {
			if typ == k.Type {
				t.Aliases = append(t.Aliases, alias)
			}
		}
		out.Types = append(out.Types, t)
	}
	b, err := json.Marshal(out)
	if err != nil {
		panic(fmt.Sprintf("eventapi: %v", err)) // schemas and samples were checked
	}
	return append(b, '\n')
}

// listTypes answers GET /event-types. Which types there are is no secret to anybody who may
// connect at all.
func (a *API) listTypes(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.g.Identify(r, false); err != nil {
		return err
	}
	sendJSON(w, http.StatusOK, a.types)
	return nil
}

// publishable tells whether services may append events of a type: only of those that the
// operator registered, for nobody is to say in the server's name what did not happen.
func publishable(k *event.Kind) bool { return k.Producer == event.Operator }
