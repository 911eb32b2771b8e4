package delivery

import (
	"bytes"
	"cmp"
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

// MatchesType tells whether events of a type may be for the webhook.
func (m *Matcher) MatchesType(typ string) bool { return m.pattern(typ) >= 0 }

// pattern is which of the patterns takes a type, -1 if none does.
func (m *Matcher) pattern(typ string) int {
	return slices.IndexFunc(m.patterns, func(p string) bool { return event.Matches(p, typ) || p == typ })
}

// Match tells whether an event is for the webhook, and why: the pattern that takes it
// (event_types[0] is the first), or what keeps it away.
func (m *Matcher) Match(doc event.Document) (reason string, ok bool) {
	typ, _ := doc["type"].(string)
	i := m.pattern(typ)
	if i < 0 {
		return "event_types", false
	}
	if refused := m.refuses(typ, doc); refused != "" {
		return refused, false
	}
	return fmt.Sprintf("event_types[%d]", i), true
}

// refuses says what keeps an event of a type that m takes away, empty if nothing does.
func (m *Matcher) refuses(typ string, doc event.Document) string {
	switch {
	case !m.filter.Pass(doc):
		return "filter"
	case m.concerns(typ, doc):
		return "concerns this webhook"
	}
	return ""
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

// Of returns the matchers that take a type, in the order of their webhooks.
func (x *Index) Of(typ string) (of []*Matcher) {
	word, _, _ := strings.Cut(typ, ".")
	for _, some := range [...][]*Matcher{x.exact[typ], x.first[word], x.first["*"]} {
		for _, m := range some {
			if m.MatchesType(typ) {
				of = append(of, m)
			}
		}
	}
	slices.SortFunc(of, func(a, b *Matcher) int { return cmp.Compare(a.webhook, b.webhook) })
	return slices.Compact(of)
}

// Told returns the webhooks of matchers that take a type, if they are told of an event of it.
// Its payload is read only if one of them asks what it says; the error is that of [Document].
func Told(of []*Matcher, typ string, payload []byte) (webhooks []int64, err error) {
	var doc event.Document
	for _, m := range of {
		if !m.filter.Empty() || slices.Contains(aboutWebhooks, typ) {
			if doc == nil {
				if doc, err = Document(typ, payload); err != nil {
					return nil, err
				}
			}
			if m.refuses(typ, doc) != "" {
				continue
			}
		}
		webhooks = append(webhooks, m.webhook)
	}
	return webhooks, nil
}
