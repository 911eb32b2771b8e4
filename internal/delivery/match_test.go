package delivery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kuranty/kuranty/internal/delivery"
)

func matcher(t testing.TB, id int64, types []string, filter string) *delivery.Matcher {
	t.Helper()
	m, err := delivery.NewMatcher(&delivery.Webhook{ID: id, Settings: delivery.Settings{EventTypes: types, Filter: []byte(filter)}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// §4.2: patterns and filters, with the reason.
func TestSection4_2_Matching(t *testing.T) {
	const payload = `{"user_id":150,"amount":150.0,"title":"Cannot pay","tags":["a","b"],"webhook_id":14,"big":9007199254740993}`
	for _, c := range []struct {
		types, typ, filter, reason string
		ok                         bool
	}{
		{"ticket.*", "ticket.created", "", "event_types[0]", true},
		{"ticket.*", "ticket.message.added", "", "event_types[0]", true},
		{"ticket.*", "ticket", "", "event_types", false},
		{"*.created", "user.created", "", "event_types[0]", true},
		{"*.created", "a.user.created", "", "event_types", false},
		{"*", "anything.at.all", "", "event_types[0]", true},
		{"user.created ticket.* *", "ticket.created", "", "event_types[1]", true},
		{"user.created", "user.creatd", "", "event_types", false},
		{"message.new", "message.created", "", "event_types[0]", true},
		{"a..b", "a..b", "", "event_types[0]", true},

		{"*", "a.b", `{"payload.user_id":150}`, "event_types[0]", true},
		{"*", "a.b", `{"payload.amount":150,"payload.user_id":{"$eq":150.0}}`, "event_types[0]", true},
		{"*", "a.b", `{"payload.big":9007199254740992}`, "filter", false},
		{"*", "a.b", `{"payload.user_id":[1,150]}`, "event_types[0]", true},
		{"*", "a.b", `{"payload.user_id":{"$in":[1,2]}}`, "filter", false},
		{"*", "a.b", `{"payload.user_id":{"$nin":[1,2],"$ne":3,"$gt":149,"$gte":150,"$lt":151,"$lte":150}}`, "event_types[0]", true},
		{"*", "a.b", `{"payload.title":{"$prefix":"Can","$suffix":"pay"}}`, "event_types[0]", true},
		{"*", "a.b", `{"payload.none":{"$exists":false}}`, "event_types[0]", true},
		{"*", "a.b", `{"payload.none":{"$ne":1}}`, "event_types[0]", true},
		{"*", "a.b", `{"payload.none":{"$nin":[1]}}`, "event_types[0]", true},
		{"*", "a.b", `{"payload.none":{"$gt":1}}`, "filter", false},
		{"*", "a.b", `{"payload.none":null}`, "filter", false},
		{"*", "a.b", `{"type":"a.b","$not":{"payload.user_id":1}}`, "event_types[0]", true},
		{"*", "a.b", `{"$or":[{"payload.user_id":1},{"type":{"$prefix":"a."}}]}`, "event_types[0]", true},

		// §4.8: a webhook is not told of itself.
		{"webhook.*", "webhook.disabled", "", "concerns this webhook", false},
		{"*", "delivery.exhausted", "", "concerns this webhook", false},
		{"*", "webhook.test", "", "event_types[0]", true},
	} {
		doc, err := delivery.Document(c.typ, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if reason, ok := matcher(t, 14, strings.Fields(c.types), c.filter).Match(doc); reason != c.reason || ok != c.ok {
			t.Errorf("%q with filter %s, event %s: %q %v, want %q", c.types, c.filter, c.typ, reason, ok, c.reason)
		}
	}
	doc, _ := delivery.Document("webhook.disabled", []byte(payload))
	if _, ok := matcher(t, 15, []string{"webhook.*"}, "").Match(doc); !ok {
		t.Error("another webhook is not told either")
	}
	if _, err := delivery.Document("a", []byte("{")); err == nil {
		t.Error("a broken payload is taken")
	}
	if _, err := delivery.NewMatcher(&delivery.Webhook{ID: 7, Settings: delivery.Settings{Filter: []byte("[]")}}); err == nil || !strings.Contains(err.Error(), "webhook 7") {
		t.Errorf("a broken filter: %v", err)
	}
}

// §4.2: the index finds exactly what asking each webhook finds, each once.
func TestSection4_2_IndexFindsWhatMatches(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "webhook", "*"})
	name := rapid.Custom(func(rt *rapid.T) string { return strings.Join(rapid.SliceOfN(word, 1, 3).Draw(rt, "words"), ".") })
	rapid.Check(t, func(rt *rapid.T) {
		var matchers []*delivery.Matcher
		for id := range rapid.IntRange(0, 20).Draw(rt, "webhooks") {
			filter := rapid.SampledFrom([]string{"", `{"payload.n":1}`}).Draw(rt, "filter")
			matchers = append(matchers, matcher(t, int64(id+1), rapid.SliceOfN(name, 1, 4).Draw(rt, "types"), filter))
		}
		index := delivery.NewIndex(matchers)
		typ := strings.ReplaceAll(rapid.OneOf(name, rapid.Just("webhook.disabled")).Draw(rt, "type"), "*", "c")
		payload := fmt.Appendf(nil, `{"n":%d,"webhook_id":3}`, rapid.IntRange(0, 1).Draw(rt, "n"))
		doc, err := delivery.Document(typ, payload)
		if err != nil {
			rt.Fatal(err)
		}
		var of, want []int64
		for _, m := range matchers {
			if m.MatchesType(typ) {
				of = append(of, m.Webhook())
			}
			if _, ok := m.Match(doc); ok {
				want = append(want, m.Webhook())
			}
		}
		var taking []int64
		for _, m := range index.Of(typ) {
			taking = append(taking, m.Webhook())
		}
		if diff := cmp.Diff(of, taking); diff != "" {
			rt.Fatalf("%s is taken: %s", typ, diff)
		}
		told, err := delivery.Told(index.Of(typ), typ, payload)
		if diff := cmp.Diff(want, told); diff != "" || err != nil {
			rt.Fatalf("%s is told: %v %s", typ, err, diff)
		}
	})
}
