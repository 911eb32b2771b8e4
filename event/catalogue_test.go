package event_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
)

func catalogue(t testing.TB, own ...event.Custom) *event.Catalogue {
	t.Helper()
	c, err := event.NewCatalogue(own...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every type has a channel that is documented, a sentence, a producer, a sample that
// obeys its schema, and a schema that a reader can use.
func TestEveryKindIsComplete(t *testing.T) {
	for _, k := range catalogue(t).Kinds() {
		if event.ChannelNamed(k.Channel) == nil {
			t.Errorf("%s: channel %q is not there", k.Type, k.Channel)
		}
		if !strings.HasSuffix(k.Summary, ".") || k.Producer == "" {
			t.Errorf("%s: summary %q, producer %q", k.Type, k.Summary, k.Producer)
		}
		if err := k.Check(k.Sample); err != nil {
			t.Error(err)
		}
		var schema struct {
			Dialect    string         `json:"$schema"`
			Type       string         `json:"type"`
			Properties map[string]any `json:"properties"`
			Required   []string       `json:"required"`
		}
		if err := json.Unmarshal(k.Schema, &schema); err != nil || schema.Dialect == "" || schema.Type != "object" || len(schema.Required) == 0 {
			t.Errorf("%s: schema %s (%v)", k.Type, k.Schema, err)
		}
		for _, path := range k.Latest {
			if name, _, _ := strings.Cut(path, "."); schema.Properties[name] == nil {
				t.Errorf("%s: its newest state is by %s, which it does not have", k.Type, path)
			}
		}
	}
}

// The documented channels and their types are those of event-gateway.md §5.
func TestChannelsHaveTheirDocumentedTypes(t *testing.T) {
	want := map[string]string{
		"messages":  "message.created message.deleted message.updated",
		"rooms":     "room.created room.member.joined room.member.left room.updated",
		"trust":     "trust.identity.created trust.identity.updated trust.reputation.updated trust.verification.created trust.verification.updated",
		"analytics": "analytics.metric.updated analytics.report.completed analytics.report.created",
		"security":  "security.alert.created security.alert.updated security.scan.completed security.scan.started",
		"system":    "system.maintenance.end system.maintenance.start system.status.changed",
	}
	got := map[string][]string{}
	for _, k := range catalogue(t).Kinds() {
		if !k.Named {
			got[k.Channel] = append(got[k.Channel], k.Type)
		}
	}
	for channel, types := range want {
		slices.Sort(got[channel])
		if s := strings.Join(got[channel], " "); s != types {
			t.Errorf("channel %s has %s, want %s", channel, s, types)
		}
	}
}

func TestPayloadThatBreaksItsSchemaIsNoEvent(t *testing.T) {
	k := catalogue(t).Kind(event.TicketCreated)
	_, err := event.New(event.TicketCreated, time.Now(), event.Ticket{TicketID: 1, UserID: 2, Title: "x", Status: "lost", Priority: "high"})
	var wrong *event.PayloadError
	if !errors.As(err, &wrong) || !strings.Contains(wrong.Detail, "status") {
		t.Fatalf("error = %v, want one that names status", err)
	}
	for _, payload := range []string{`{}`, `[]`, `null`, `7`, `{"ticket_id":"1"}`, `{`} {
		if err := k.Check([]byte(payload)); err == nil {
			t.Errorf("%s passes", payload)
		}
	}
}

func TestOperatorsRegisterTypes(t *testing.T) {
	schema := json.RawMessage(`{"type":"object","required":["order"],"properties":{"order":{"type":"integer"}}}`)
	c := catalogue(t, event.Custom{Type: "order.paid", Schema: schema, Sample: json.RawMessage(`{"order":1}`)}, event.Custom{Type: "order.lost"})
	if err := c.Kind("order.paid").Check([]byte(`{"order":"x"}`)); err == nil || !strings.Contains(err.Error(), "order") {
		t.Errorf("a payload with a wrong order: %v", err)
	}
	if err := c.Kind("order.lost").Check([]byte(`{"anything":[1]}`)); err != nil {
		t.Errorf("a type without a schema: %v", err)
	}
	if err := c.Kind("order.lost").Check([]byte(`[1]`)); err == nil {
		t.Error("a list passes as an object")
	}
	for name, own := range map[string]event.Custom{
		"built in":     {Type: "ticket.created"},
		"internal":     {Type: "user.notice"},
		"older name":   {Type: "message.new"},
		"one word":     {Type: "order"},
		"upper case":   {Type: "Order.paid"},
		"wrong schema": {Type: "a.b", Schema: json.RawMessage(`{"type":"nothing"}`)},
		"no JSON":      {Type: "a.b", Schema: json.RawMessage(`{`)},
		"remote":       {Type: "a.b", Schema: json.RawMessage(`{"$ref":"http://127.0.0.1:1/x.json"}`)},
		"wrong sample": {Type: "a.b", Schema: schema, Sample: json.RawMessage(`{}`)},
	} {
		if _, err := event.NewCatalogue(own); err == nil {
			t.Errorf("%s: %s is taken", name, own.Type)
		}
	}
}

func TestOlderNamesAreTheNewTypes(t *testing.T) {
	if k := catalogue(t).Kind("message.new"); k == nil || k.Type != event.MessageCreated {
		t.Errorf("message.new is %v", k)
	}
}

func TestAmountsAreFloats(t *testing.T) {
	for in, want := range map[event.Amount]string{150: "150.0", 0: "0.0", 99.5: "99.5", 1e21: "1e+21"} {
		if got, err := json.Marshal(in); err != nil || string(got) != want {
			t.Errorf("%v is written %s, %v; want %s", float64(in), got, err, want)
		}
	}
}
