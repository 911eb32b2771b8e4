package analytics_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/store"
)

func TestPushStoresAndAnnounces(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		meta := map[string]any{"server": "web-1", "region": "eu"}
		s.push(analytics.Value{Name: "load", Value: 0.5, Unit: "percent", Metadata: meta})
		got := s.told()
		want := []map[string]any{{
			"type": event.MetricUpdated, "actor": "key:k_1", "name": "load", "value": 0.5, "unit": "percent", "timestamp": "2026-05-01T12:00:00Z",
			"metadata": map[string]any{"server": "web-1", "region": "eu"},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("event:\n%s", diff)
		}
		// The same again changes nothing; another value at the time replaces it.
		s.push(analytics.Value{Name: "load", Value: 0.5, Unit: "percent", Metadata: meta})
		if got := s.told(); len(got) != 0 {
			t.Errorf("a repetition was announced: %v", got)
		}
		s.push(analytics.Value{Name: "load", Value: 0.7, Metadata: meta})
		if got := s.told(); len(got) != 1 || got[0]["value"] != 0.7 {
			t.Errorf("a correction: %v", got)
		}
		s.pass(time.Second)
		s.push(analytics.Value{Name: "load", Value: 1}, analytics.Value{Name: "queue", Value: -3, At: s.clock().Add(-time.Hour).UnixMilli()})
		list, next, err := s.Series(t.Context(), analytics.SeriesQuery{})
		if err != nil || next != "" || len(list) != 3 {
			t.Fatalf("series %v, %q, %v", list, next, err)
		}
		if one := list[1]; one.Name != "load" || one.Server != "web-1" || one.Unit != "percent" || one.Value != 0.7 || string(one.Metadata) != `{"region":"eu","server":"web-1"}` {
			t.Errorf("series %+v", one)
		}
		// What is late does not become what was last.
		s.push(analytics.Value{Name: "load", Value: 9, At: s.clock().Add(-time.Minute).UnixMilli()})
		if list, _, _ := s.Series(t.Context(), analytics.SeriesQuery{Name: "load"}); list[0].Value != 1 {
			t.Errorf("a late value became the last: %+v", list[0])
		}
	})
}

func TestWhatIsPushedIsChecked(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		now := s.clock()
		for field, v := range map[string]analytics.Value{
			"name":              {Value: 1},
			"name ":             {Name: "a b"},
			"name  ":            {Name: strings.Repeat("x", 129)},
			"name   ":           {Name: "x\x00"},
			"value":             {Name: "x", Value: math.NaN()},
			"value ":            {Name: "x", Value: math.Inf(-1)},
			"value  ":           {Name: "x", Value: 1e101},
			"unit":              {Name: "x", Unit: strings.Repeat("ж", 33)},
			"unit ":             {Name: "x", Unit: "a\nb"},
			"unit  ":            {Name: "x", Unit: "\xff"},
			"timestamp":         {Name: "x", At: now.Add(-12*time.Hour - time.Second).UnixMilli()},
			"timestamp ":        {Name: "x", At: now.Add(5*time.Minute + time.Second).UnixMilli()},
			"timestamp  ":       {Name: "x", At: math.MinInt64},
			"metadata":          {Name: "x", Metadata: map[string]any{"a": strings.Repeat("x", 5000)}},
			"metadata.server":   {Name: "x", Metadata: map[string]any{"server": 5}},
			"metadata.server ":  {Name: "x", Metadata: map[string]any{"server": strings.Repeat("x", 129)}},
			"metadata.server  ": {Name: "x", Metadata: map[string]any{"server": "a\x00"}},
		} {
			err := s.Push(t.Context(), "", []analytics.Value{v})
			var wrong *analytics.FieldError
			if !errors.As(err, &wrong) || wrong.Field != strings.TrimSpace(field) {
				t.Errorf("%q: %v", field, err)
			}
			err = s.Push(t.Context(), "", []analytics.Value{{Name: "good"}, v})
			if !errors.As(err, &wrong) || wrong.Field != "metrics[1]."+strings.TrimSpace(field) {
				t.Errorf("%q in a batch: %v", field, err)
			}
		}
		for _, n := range []int{0, analytics.MaxBatch + 1} {
			var wrong *analytics.FieldError
			if err := s.Push(t.Context(), "", make([]analytics.Value, n)); !errors.As(err, &wrong) || wrong.Field != "metrics" {
				t.Errorf("%d values: %v", n, err)
			}
		}
		// All or none.
		if list, _, _ := s.Series(t.Context(), analytics.SeriesQuery{}); len(list) != 0 {
			t.Errorf("stored: %v", list)
		}
		if got := s.told(); len(got) != 0 {
			t.Errorf("announced: %v", got)
		}
		s.push(analytics.Value{Name: "x", At: now.Add(-12 * time.Hour).UnixMilli()}, analytics.Value{Name: "y", At: now.Add(5 * time.Minute).UnixMilli()},
			analytics.Value{Name: "z", Value: 1e100, Metadata: map[string]any{"nul": "a\x00b", "deep": map[string]any{"a": []any{1}}, "server": nil}})
	})
}

// How old a value may be is said with its seconds, whatever digit they end with.
func TestTooOldSaysHowOld(t *testing.T) {
	s := newStand(t, store.SQLite, analytics.Options{Raw: 2*time.Hour + 20*time.Second})
	err := s.Push(t.Context(), "", []analytics.Value{{Name: "x", At: 1}})
	if want := "timestamp must be at most 1h0m10s ago and 5m ahead"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// An error after the change leaves neither values nor events.
func TestChangeAndEventAreOne(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		on := true
		bad := s.another(analytics.Options{Store: broken{s.store.Analytics(), &on}})
		if err := bad.Push(t.Context(), "", []analytics.Value{{Name: "x"}}); !errors.Is(err, errPlanted) {
			t.Errorf("push: %v", err)
		}
		if _, err := bad.Create(t.Context(), "", analytics.Draft{Type: analytics.Usage}); !errors.Is(err, errPlanted) {
			t.Errorf("create: %v", err)
		}
		series, _, _ := s.Series(t.Context(), analytics.SeriesQuery{})
		reports, _, _ := s.List(t.Context(), "", "", 0)
		if got := s.told(); len(got)+len(series)+len(reports) != 0 {
			t.Errorf("left: %v, %v, %v", got, series, reports)
		}
	})
}

func TestSeriesAreBoundedAndPaged(t *testing.T) {
	onBoth(t, analytics.Options{Announced: []string{}}, func(t *testing.T, s *stand) {
		for first := 0; first < analytics.MaxSeries-1; first += 1000 {
			err := s.store.Analytics().Update(t.Context(), func(tx analytics.Tx) error {
				for i := first; i < min(first+1000, analytics.MaxSeries-1); i++ {
					if _, err := tx.AddSeries(t.Context(), fmt.Sprintf("m%05d", i), ""); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		s.push(analytics.Value{Name: "the.last"})
		var wrong *analytics.FieldError
		if err := s.Push(t.Context(), "", []analytics.Value{{Name: "one.more"}}); !errors.As(err, &wrong) || wrong.Field != "name" {
			t.Errorf("one more: %v", err)
		}
		s.pass(time.Second)
		s.push(analytics.Value{Name: "m00000", Value: 2})
		var names []string
		for cursor := ""; len(names) < 450; {
			list, next, err := s.Series(t.Context(), analytics.SeriesQuery{Cursor: cursor, Limit: 150})
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range list {
				names = append(names, one.Name)
			}
			cursor = next
		}
		for i, name := range names {
			if want := fmt.Sprintf("m%05d", i); name != want {
				t.Fatalf("name %d is %s, want %s", i, name, want)
			}
		}
		for _, cursor := range []string{"x", "a|\x00", "a|\xff"} {
			if _, _, err := s.Series(t.Context(), analytics.SeriesQuery{Cursor: cursor}); !errors.Is(err, analytics.ErrCursor) {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
		// What has no values any more makes room.
		s.fold()
		s.push(analytics.Value{Name: "one.more"})
	})
}

func TestPointsAndAggregates(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		begin := s.clock()
		at := func(d time.Duration) int64 { return begin.Add(d).UnixMilli() }
		a := map[string]any{"server": "a"}
		s.push(
			analytics.Value{Name: "x", Value: 1, At: at(-100 * time.Second), Metadata: a},
			analytics.Value{Name: "x", Value: 5, At: at(-95 * time.Second), Metadata: a},
			analytics.Value{Name: "x", Value: 3, At: at(-90 * time.Second)},
			analytics.Value{Name: "x", Value: -2, At: at(-10 * time.Second), Metadata: a},
			analytics.Value{Name: "y", Value: 99, At: at(-10 * time.Second)},
		)
		q := analytics.PointsQuery{Name: "x", Step: time.Minute, From: at(-3 * time.Minute), To: at(0)}
		for _, when := range []string{"as they came", "folded"} {
			got := s.points(q)
			if len(got) != 2 || got[0].At != at(-2*time.Minute) || got[0].N != 3 || got[1].At != at(-time.Minute) || got[1].N != 1 {
				t.Fatalf("%s: %+v", when, got)
			}
			for aggregate, want := range map[string]float64{analytics.Average: 3, analytics.Minimum: 1, analytics.Maximum: 5, analytics.Sum: 9, analytics.Last: 3} {
				if v := got[0].Value(aggregate); v != want {
					t.Errorf("%s: %s is %v, want %v", when, aggregate, v, want)
				}
			}
			q.Server = "a"
			if got := s.points(q); len(got) != 2 || got[0].N != 2 || got[0].Last != 5 {
				t.Errorf("%s: of server a %+v", when, got)
			}
			q.Server = ""
			s.fold()
		}
		for field, q := range map[string]analytics.PointsQuery{
			"from":   {From: at(0), To: at(0)},
			"from ":  {From: -1},
			"to":     {From: 1, To: math.MaxInt64},
			"step":   {Step: time.Millisecond},
			"step ":  {Step: 1500 * time.Millisecond},
			"step  ": {Step: time.Second, From: at(-3 * time.Hour)},
		} {
			_, _, err := s.Points(t.Context(), q)
			var wrong *analytics.FieldError
			if !errors.As(err, &wrong) || wrong.Field != strings.TrimSpace(field) {
				t.Errorf("%q: %v", field, err)
			}
		}
		if _, q, err := s.Points(t.Context(), analytics.PointsQuery{Name: "x", From: 1}); err != nil || q.Step != 7*24*time.Hour {
			t.Errorf("since 1970: step %v, %v", q.Step, err)
		}
		for _, name := range []string{"none", "\x00", "\xff"} {
			if got := s.points(analytics.PointsQuery{Name: name}); len(got) != 0 {
				t.Errorf("points of %q: %v", name, got)
			}
		}
	})
}

// Whatever step and time are asked for, the sum and count of all values come out, before
// and after they are computed by the minute and by the hour, removed as they came, and late.
func TestFoldingKeepsEveryValue(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		begin := s.clock()
		sum, n := 0.0, int64(0)
		put := func(at time.Time) {
			n++
			sum += float64(n)
			s.push(analytics.Value{Name: "x", Value: float64(n), At: at.UnixMilli()})
		}
		check := func(when string) {
			t.Helper()
			for _, step := range []time.Duration{7 * time.Second, time.Minute, 7 * time.Minute, time.Hour, 5 * time.Hour, 24 * time.Hour} {
				total, count := 0.0, int64(0)
				for from := begin.Add(-24 * time.Hour).UnixMilli(); from < s.clock().UnixMilli()+3_600_000; {
					to := from + 2000*step.Milliseconds()
					_, settled, _ := s.Points(t.Context(), analytics.PointsQuery{Name: "x", Step: step, From: from, To: to})
					to -= to % step.Milliseconds()
					for _, p := range s.points(analytics.PointsQuery{Name: "x", Step: step, From: settled.From, To: to - 1}) {
						total, count = total+p.Total, count+p.N
					}
					from = to
				}
				if total != sum || count != n {
					t.Errorf("%s, by %s: sum %v of %d values, want %v of %d", when, step, total, count, sum, n)
				}
			}
		}
		for range 40 {
			put(s.clock())
			s.pass(10 * time.Second)
		}
		check("at first")
		s.fold()
		check("by the minute")
		put(begin.Add(5 * time.Second)) // late
		check("late")
		s.pass(3 * time.Hour)
		put(s.clock())
		s.fold()
		check("by the hour")
		put(begin.Add(61 * time.Second))
		check("late by hours")
		s.fold()
		s.pass(22 * time.Hour)
		s.fold()
		put(s.clock())
		check("half of it removed as it came")
		s.pass(31 * 24 * time.Hour)
		s.fold()
		s.fold()
		check("by the hour only")
		if got := s.points(analytics.PointsQuery{Name: "x", Step: time.Minute, From: begin.UnixMilli(), To: begin.Add(time.Hour).UnixMilli()}); len(got) != 1 {
			t.Errorf("after a month there are %d points", len(got))
		}
		s.pass(731 * 24 * time.Hour)
		s.fold()
		s.fold()
		if list, _, _ := s.Series(t.Context(), analytics.SeriesQuery{}); len(list) != 0 {
			t.Errorf("after two years there is %v", list)
		}
	})
}

// Values that wait to be computed are not removed, however old: the server may have been
// off for days.
func TestNothingIsRemovedBeforeItIsComputed(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		at := s.clock().UnixMilli()
		s.push(analytics.Value{Name: "x", Value: 4})
		s.pass(40 * 24 * time.Hour)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := s.points(analytics.PointsQuery{Name: "x", From: at - 1, To: at + 3_600_000, Step: time.Hour}); len(got) != 1 || got[0].Total != 4 {
				t.Errorf("points %+v", got)
			}
			s.fold()
		}
	})
}

// Two nodes compute while services push and one is killed in between: nothing is counted
// twice or left out.
func TestFoldingOnTwoNodes(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		ctx := t.Context()
		kill := true
		dying := s.another(analytics.Options{Store: broken{s.store.Analytics(), &kill}})
		begin := s.clock().UnixMilli()
		var wg sync.WaitGroup
		done := make(chan struct{})
		for range 2 {
			node := s.another(analytics.Options{})
			wg.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					if err := node.Fold(ctx); err != nil {
						t.Error(err)
						return
					}
					_ = dying.Fold(ctx)
				}
			})
		}
		s.pass(2 * time.Minute)
		var pushing sync.WaitGroup
		for w := range int64(4) {
			pushing.Go(func() {
				for i := range int64(25) {
					err := s.Push(ctx, "", []analytics.Value{{Name: "x", Value: 1, At: begin + i*1000 + w}, {Name: "y", Value: 1, At: begin + i*1000 + w}})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		pushing.Wait()
		close(done)
		wg.Wait()
		s.pass(2 * time.Hour)
		s.fold()
		for _, step := range []time.Duration{time.Minute, time.Hour} {
			total := 0.0
			for _, p := range s.points(analytics.PointsQuery{Name: "x", Step: step, From: begin - 1, To: begin + 3_600_000}) {
				total += p.Total
			}
			if total != 100 {
				t.Errorf("by %s: %v values, want 100", step, total)
			}
		}
	})
}

func TestSamples(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		s.readings = []analytics.Reading{
			{Name: "connections", Value: 7},
			{Name: "messages_per_second", Unit: "1/s", Value: 100, Rate: true},
			{Name: "goroutines", Value: 12},
			{Name: "odd", Value: math.NaN()},
		}
		sample := func() {
			t.Helper()
			if err := s.Sample(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		sample()
		s.pass(10 * time.Second)
		s.readings[1].Value = 150
		sample()
		var told []string
		for _, m := range s.told() {
			told = append(told, fmt.Sprintf("%v=%v%v%v", m["name"], m["value"], m["metadata"], m["actor"]))
		}
		want := []string{"connections=7map[server:node-1]", "connections=7map[server:node-1]", "messages_per_second=5map[server:node-1]"}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("announced:\n%s", diff)
		}
		list, _, _ := s.Series(t.Context(), analytics.SeriesQuery{Server: "node-1"})
		if len(list) != 3 {
			t.Errorf("series %+v", list)
		}
		// A process that began anew counts from 0.
		s.pass(10 * time.Second)
		s.readings[1].Value = 3
		sample()
		if got := s.points(analytics.PointsQuery{Name: "messages_per_second"}); len(got) != 1 {
			t.Errorf("points %+v", got)
		}
		s.told()
		for name, want := range map[string]int{"*": 2, "goroutines": 1, "": 0} {
			o := analytics.Options{Announced: []string{}}
			if name != "" {
				o.Announced = []string{name}
			}
			s.pass(time.Second)
			if err := s.another(o).Sample(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.told(); len(got) != want {
				t.Errorf("announced %q: %v", name, got)
			}
		}
	})
}

// Run takes samples by itself and ends with its context.
func TestRun(t *testing.T) {
	s := newStand(t, "sqlite", analytics.Options{Interval: 10 * time.Millisecond})
	s.readings = []analytics.Reading{{Name: "connections", Value: 7}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	for range 500 {
		if list, _, _ := s.Series(t.Context(), analytics.SeriesQuery{}); len(list) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(s.told()) == 0 {
		t.Error("no sample was announced")
	}
}
