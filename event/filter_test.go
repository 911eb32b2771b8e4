package event_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/event"
)

func document(t testing.TB, payload string) event.Document {
	t.Helper()
	k := catalogue(t).Kind(event.TicketCreated)
	doc, err := event.NewDocument(k, &event.Event{ID: "evt_1", Type: k.Type, Actor: "user:7"}, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestFilter(t *testing.T) {
	doc := document(t, `{"id":"7","n":10,"f":10.0,"big":9007199254740993,"name":"Анна","null":null,"on":true,"tags":["a","b"],"who":{"id":3},"list":[{"x":1},{"x":2}]}`)
	for filter, want := range map[string]bool{
		`{}`:                                     true,
		`{"data.id":"7"}`:                        true,
		`{"payload.id":"7"}`:                     true,
		`{"data.id":7}`:                          false,
		`{"data.n":10.0}`:                        true,
		`{"data.f":10}`:                          true,
		`{"data.big":9007199254740992}`:          false,
		`{"data.null":null}`:                     true,
		`{"data.none":null}`:                     false,
		`{"data.none":{"$ne":1}}`:                true,
		`{"data.on":true,"data.n":11}`:           false,
		`{"data.n":[9,10]}`:                      true,
		`{"data.n":{"$nin":[9,11]}}`:             true,
		`{"data.n":{"$gt":9,"$lte":10}}`:         true,
		`{"data.n":{"$lt":10}}`:                  false,
		`{"data.n":{"$gt":"9"}}`:                 false,
		`{"data.name":{"$prefix":"Ан"}}`:         true,
		`{"data.name":{"$suffix":"на"}}`:         true,
		`{"data.name":{"$gte":"Анна"}}`:          true,
		`{"data.tags":"b"}`:                      true,
		`{"data.tags":{"$ne":"b"}}`:              false,
		`{"data.who.id":3}`:                      true,
		`{"data.list.x":2}`:                      true,
		`{"data.who.none":{"$exists":false}}`:    true,
		`{"data.null":{"$exists":true}}`:         true,
		`{"$or":[{"data.n":1},{"data.id":"7"}]}`: true,
		`{"$not":{"data.n":10}}`:                 false,
		`{"event":"ticket.created","actor":{"$prefix":"user:"},"channel":"tickets"}`: true,
	} {
		f, err := event.ParseFilter([]byte(filter))
		if err != nil {
			t.Errorf("%s: %v", filter, err)
		} else if got := f.Pass(doc); got != want {
			t.Errorf("%s is %v", filter, got)
		}
	}
}

func TestFilterThatIsNone(t *testing.T) {
	for filter, place := range map[string]string{
		``: "", `[]`: "", `7`: "", `{"a":1} {}`: "", `{"$and":[]}`: "$and", `{"a..b":1}`: "a..b", `{"":1}`: "",
		`{"data.n":{}}`: "data.n", `{"data.n":{"$foo":1}}`: "data.n.$foo", `{"data.n":{"$in":1}}`: "data.n.$in", `{"data.n":{"$eq":[1]}}`: "data.n.$eq",
		`{"data.n":{"$gt":null}}`: "data.n.$gt", `{"data.n":{"$prefix":1}}`: "data.n.$prefix", `{"data.n":{"$exists":1}}`: "data.n.$exists",
		`{"$or":[]}`: "$or", `{"$or":[1]}`: "$or", `{"$not":[]}`: "$not", `{"data.n":[[1]]}`: "data.n.$in",
		strings.Repeat(`{"$not":`, 20) + `{}` + strings.Repeat(`}`, 20): "$not", `{"a":"` + strings.Repeat("x", 2048) + `"}`: "",
	} {
		_, err := event.ParseFilter([]byte(filter))
		var wrong *event.FilterError
		if !errors.As(err, &wrong) || !strings.Contains(wrong.Path, place) {
			t.Errorf("%.60s: %v, want an error at %q", filter, err, place)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`{}`, `{"data.n":{"$gt":1e9999}}`, `{"$or":[{"$not":{"data.id":"7"}}]}`, `{"data.n":[1,"a",null,true]}`} {
		f.Add(seed)
	}
	doc := document(f, `{"id":"7","n":10,"tags":["a"],"who":{"id":3}}`)
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := event.ParseFilter([]byte(text))
		if err != nil {
			return
		}
		not, err := event.ParseFilter([]byte(`{"$not":` + text + `}`))
		if err == nil && filter.Pass(doc) == not.Pass(doc) {
			t.Errorf("%s and its opposite agree", text)
		}
	})
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, typ string
		want         bool
	}{
		{"*", "ticket.created", true},
		{"ticket.*", "ticket.created", true},
		{"ticket.*", "ticket", false},
		{"*.created", "ticket.created", true},
		{"*.created", "trust.identity.created", false},
		{"trust.*", "trust.identity.created", true},
		{"trust.*.created", "trust.identity.created", true},
		{"trust.*.created", "trust.identity.updated", false},
		{"ticket.created", "ticket.created", true},
		{"ticket", "ticket.created", false},
		{"ticket.created.*", "ticket.created", false},
		{"tick*.created", "ticket.created", false},
		{"", "ticket.created", false},
		{"*", "", false},
	} {
		if got := event.Matches(c.pattern, c.typ); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.typ, got)
		}
	}
	if n := len(catalogue(t).Matching("trust.*")); n != 5 {
		t.Errorf("trust.* are %d types", n)
	}
	if found := catalogue(t).Matching("message.new"); len(found) != 1 || found[0].Type != event.MessageCreated {
		t.Errorf("message.new is %v", found)
	}
}
