package store_test

import (
	"slices"
	"testing"

	"github.com/kuranty/kuranty/internal/gateway"
	"github.com/kuranty/kuranty/internal/store"
)

// Who reads for a consumer is who took it last; one that is another subject's, or that nobody
// took, is none of those asked for.
func TestHoldersOfConsumers(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		g := open(t, o).Gateway()
		ctx := t.Context()
		take := func(subject, name, holder string) {
			t.Helper()
			if _, _, err := g.TakeConsumer(ctx, subject, name, holder, 1); err != nil {
				t.Fatal(err)
			}
		}
		const strange = `a"b\c'<&>ü%_`
		take("key:1", "crm", "con_1")
		take("key:1", "crm", "con_2")
		take("key:1", strange, "con_3")
		take("user:7", "crm", "con_4")
		take("key:1", "other", "con_5")
		for _, c := range []struct{ asked, want []string }{
			{[]string{"crm"}, []string{"con_2"}},
			{[]string{strange, "crm", "nobody's"}, []string{"con_2", "con_3"}},
			{[]string{"nobody's"}, nil},
			{nil, nil},
		} {
			names := make([]gateway.ConsumerName, 0, len(c.asked))
			for _, name := range c.asked {
				names = append(names, gateway.ConsumerName{Subject: "key:1", Name: name})
			}
			got, err := g.Holders(ctx, names)
			slices.Sort(got)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q: %q %v, want %q", c.asked, got, err, c.want)
			}
		}
	})
}
