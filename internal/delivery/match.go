package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/kuranty/kuranty/event"
)

// Document is what filters of webhooks look at: the type and the payload of an event
// (spec/webhooks.md §4.2). The error says that the payload is not JSON.
func Document(typ string, payload []byte) (event.Document, error) {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber() // numbers compare by value, however long
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("payload of %s: %w", typ, err)
	}
	return event.Document{"type": typ, "payload": v}, nil
}

// Matcher is what a webhook is told of.
type Matcher struct {
	webhook  int64
	patterns []string // with older names of types replaced
	filter   event.Filter
}

// NewMatcher returns the matcher of w. The error says that its filter, which was checked
// when it came, cannot be read.
func NewMatcher(w *Webhook) (*Matcher, error) {
	m := &Matcher{webhook: w.ID, patterns: make([]string, len(w.EventTypes))}
	for i, typ := range w.EventTypes {
		m.patterns[i] = typ
		if newer := event.TypeAliases[typ]; newer != "" {
			m.patterns[i] = newer
		}
	}
	if len(w.Filter) > 0 {
		var err error
		if m.filter, err = event.ParseFilter(w.Filter); err != nil {
			return nil, fmt.Errorf("webhook %d: %w", w.ID, err)
		}
	}
	return m, nil
}

// Webhook is the id of whose matcher m is.
func (m *Matcher) Webhook() int64 { return m.webhook }

// MatchesType tells whether events of a type may be for the webhook, and by which of its
// patterns: event_types[0] is the first.
func (m *Matcher) MatchesType(typ string) (reason string, ok bool) {
	for i, pattern := range m.patterns {
		if event.Matches(pattern, typ) || pattern == typ {
			return fmt.Sprintf("event_types[%d]", i), true
		}
	}
	return "", false
}

// Match tells whether an event is for the webhook, and why: the pattern that takes it, or
// what keeps it away.
func (m *Matcher) Match(doc event.Document) (reason string, ok bool) {
	typ, _ := doc["type"].(string)
	reason, ok = m.MatchesType(typ)
	switch {
	case !ok:
		return "event_types", false
	case !m.filter.Pass(doc):
		return "filter", false
	case m.concerns(typ, doc):
		return "concerns this webhook", false
	}
	return reason, true
}

// aboutWebhooks are the types of events about a webhook.
var aboutWebhooks = []string{event.WebhookFailing, event.WebhookDisabled, event.WebhookRecovered, event.DeliveryExhausted}

// concerns tells whether an event tells of m's own webhook, which is not told of its own
// failures: each would make the next (spec/webhooks.md §4.8).
func (m *Matcher) concerns(typ string, doc event.Document) bool {
	if !slices.Contains(aboutWebhooks, typ) {
		return false
	}
	payload, _ := doc["payload"].(map[string]any)
	id, ok := payload["webhook_id"].(json.Number)
	return ok && id.String() == fmt.Sprint(m.webhook)
}

// Index finds the matchers that an event is for, without asking each. It never changes.
type Index struct {
	exact map[string][]*Matcher // by type
	first map[string][]*Matcher // by the first word of a pattern, * too
}

// NewIndex returns the index of matchers. Those of webhooks whose [Webhook.Intake] is
// Ignore need not be in it.
func NewIndex(matchers []*Matcher) *Index {
	x := &Index{exact: map[string][]*Matcher{}, first: map[string][]*Matcher{}}
	for _, m := range matchers {
		exact, first := map[string]bool{}, map[string]bool{}
		for _, pattern := range m.patterns {
			if event.IsPattern(pattern) {
				word, _, _ := strings.Cut(pattern, ".")
				first[word] = true
			} else {
				exact[pattern] = true
			}
		}
		for typ := range exact {
			x.exact[typ] = append(x.exact[typ], m)
		}
		for word := range first {
			x.first[word] = append(x.first[word], m)
		}
	}
	return x
}

// Wants tells whether any webhook is told of a type; if not, nobody needs its payload.
func (x *Index) Wants(typ string) bool {
	for _, m := range x.candidates(typ) {
		if _, ok := m.MatchesType(typ); ok {
			return true
		}
	}
	return false
}

// Match returns the ids of the webhooks that an event is for, each once, rising.
func (x *Index) Match(doc event.Document) (ids []int64) {
	typ, _ := doc["type"].(string)
	for _, m := range x.candidates(typ) {
		if _, ok := m.Match(doc); ok {
			ids = append(ids, m.webhook)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (x *Index) candidates(typ string) []*Matcher {
	word, _, _ := strings.Cut(typ, ".")
	return slices.Concat(x.exact[typ], x.first[word], x.first["*"])
}
