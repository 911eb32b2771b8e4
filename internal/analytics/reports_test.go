package analytics_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/analytics"
)

// work makes the reports that wait, and returns how one of them ended.
func (s *stand) work(by *analytics.Service, id string) analytics.Report {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error)
	go func() { ended <- by.Work(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	}()
	for range 1000 {
		r, err := s.Get(s.t.Context(), id)
		if err != nil {
			s.t.Fatal(err)
		}
		if r.Status != analytics.Pending {
			return r
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Fatal("the report is not made")
	return analytics.Report{}
}

func (s *stand) report(d analytics.Draft) (analytics.Report, string) {
	s.t.Helper()
	r, err := s.Create(s.t.Context(), event.User(88), d)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := s.File(s.t.Context(), r.ID); !errors.Is(err, analytics.ErrNotReady) {
		s.t.Errorf("file of a report that is not made: %v", err)
	}
	if done := s.work(s.Service, r.ID); done.Status != analytics.Completed || done.Size == 0 {
		s.t.Fatalf("report ended as %+v", done)
	}
	r, content, err := s.File(s.t.Context(), r.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	return r, content
}

func TestReportsAreMadeAndAnnounced(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		s.push(analytics.Value{Name: "load", Value: 1, Unit: "percent", Metadata: map[string]any{"server": "a"}})
		s.pass(time.Minute)
		s.push(analytics.Value{Name: "load", Value: -2, Metadata: map[string]any{"server": "a"}}, analytics.Value{Name: "old", Value: 1, At: s.clock().Add(-time.Hour).UnixMilli()})
		s.pass(time.Second)
		for _, typ := range []string{analytics.Performance, analytics.Usage, analytics.Security, analytics.Trust} {
			s.told()
			r, content := s.report(analytics.Draft{Type: typ})
			var out struct {
				ID, Type string
				Rows     []map[string]any
			}
			if err := json.Unmarshal([]byte(content), &out); err != nil || out.ID != r.ID || out.Type != typ || r.To-r.From != 7*86_400_000 || r.RequestedBy != "user:88" {
				t.Errorf("%s: %+v, %s, %v", typ, r, content, err)
			}
			told := s.told()
			if len(told) != 2 || told[0]["type"] != event.ReportCreated || told[0]["requestedBy"] != "88" || told[0]["reportType"] != typ || told[0]["actor"] != "user:88" ||
				told[1]["type"] != event.ReportCompleted || told[1]["status"] != "completed" || told[1]["url"] != "/api/v2/reports/"+r.ID+"/file" || told[1]["id"] != r.ID {
				t.Errorf("%s: told %v", typ, told)
			}
			if typ != analytics.Performance {
				continue
			}
			want := `[map[avg:-0.5 count:2 last:-2 max:1 min:-2 name:load period:total section:metrics server:a unit:percent] ` +
				`map[avg:1 count:1 last:1 max:1 min:1 name:old period:total section:metrics]]`
			if got := fmt.Sprint(out.Rows); got != want {
				t.Errorf("rows %s", got)
			}
		}
		if _, content := s.report(analytics.Draft{Type: analytics.Performance, From: s.clock().Add(-10 * time.Minute).UnixMilli()}); strings.Contains(content, "old") {
			t.Errorf("a report on ten minutes has more: %s", content)
		}
	})
}

// S33: texts of others are no formulas where the file is opened.
func TestS33_CSVHasNoFormulas(t *testing.T) {
	s := newStand(t, "sqlite", analytics.Options{})
	var values []analytics.Value
	for _, bad := range []string{"=1+1", "+1", "-1", "@SUM(A1)", " =1", `=cmd|' /C calc'!A0`, "a,\"b\"", "＝1", "\u00a0=1", "|x"} {
		values = append(values, analytics.Value{Name: "x", Value: -1.5, Unit: bad, Metadata: map[string]any{"server": bad}})
	}
	s.push(values...)
	s.pass(time.Second)
	_, content := s.report(analytics.Draft{Type: analytics.Performance, Format: analytics.CSV})
	rows, err := csv.NewReader(strings.NewReader(content)).ReadAll()
	if err != nil || len(rows) != len(values)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if got, want := strings.Join(rows[0], ","), "section,period,name,server,unit,count,avg,min,max,last"; got != want {
		t.Errorf("header %s, want %s", got, want)
	}
	for _, row := range rows[1:] {
		for _, cell := range row[:5] {
			if strings.ContainsAny(strings.Trim(cell, " \u00a0")[:1], "=+-@|") || strings.HasPrefix(cell, "＝") {
				t.Errorf("cell %q", cell)
			}
		}
		if row[6] != "-1.5" {
			t.Errorf("number %q", row[6])
		}
	}
}

func TestWhatReportsAreAskedForIsChecked(t *testing.T) {
	s := newStand(t, "sqlite", analytics.Options{})
	now := s.clock().UnixMilli()
	for field, d := range map[string]analytics.Draft{
		"type":    {},
		"type ":   {Type: "all"},
		"format":  {Type: analytics.Usage, Format: "xls"},
		"from":    {Type: analytics.Usage, From: now},
		"from ":   {Type: analytics.Usage, From: -5},
		"from  ":  {Type: analytics.Usage, From: now - 732*86_400_000},
		"from   ": {Type: analytics.Usage, From: math.MaxInt64},
		"to":      {Type: analytics.Usage, To: now + 3_600_000},
		"to ":     {Type: analytics.Usage, To: -1},
	} {
		_, err := s.Create(t.Context(), "", d)
		var wrong *analytics.FieldError
		if !errors.As(err, &wrong) || wrong.Field != strings.TrimSpace(field) {
			t.Errorf("%q: %v", field, err)
		}
	}
	for range 50 {
		if _, err := s.Create(t.Context(), "", analytics.Draft{Type: analytics.Usage}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Create(t.Context(), "", analytics.Draft{Type: analytics.Usage}); !errors.Is(err, analytics.ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	for _, id := range []string{"", "rep_none", "\x00", "\xff"} {
		if _, err := s.Get(t.Context(), id); !errors.Is(err, analytics.ErrNotFound) {
			t.Errorf("report %q: %v", id, err)
		}
	}
	for _, cursor := range []string{"x", "1", "-", "1-\x00"} {
		if _, _, err := s.List(t.Context(), "", cursor, 0); !errors.Is(err, analytics.ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

// A node that dies with a report in its hands leaves it to another; it is announced once.
func TestReportsSurviveACrash(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		on := false
		dying := s.another(analytics.Options{Store: broken{claimed{s.store.Analytics(), &on}, &on}})
		r, err := s.Create(t.Context(), "", analytics.Draft{Type: analytics.Usage})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- dying.Work(ctx) }()
		for s.claims(r.ID) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got, _ := s.Get(t.Context(), r.ID); got.Status != analytics.Pending {
			t.Fatalf("it is %s", got.Status)
		}
		s.pass(3 * time.Minute) // the lease ends
		if got := s.work(s.another(analytics.Options{}), r.ID); got.Status != analytics.Completed {
			t.Errorf("it is %s", got.Status)
		}
		var types []string
		for _, m := range s.told() {
			types = append(types, fmt.Sprint(m["type"]))
		}
		if want := []string{event.ReportCreated, event.ReportCompleted}; !slices.Equal(types, want) {
			t.Errorf("told %q, want %q", types, want)
		}
	})
}

// claimed is a store that breaks once a job was claimed.
type claimed struct {
	analytics.Store
	on *bool
}

func (c claimed) Update(ctx context.Context, f func(analytics.Tx) error) error {
	err := c.Store.Update(ctx, f)
	*c.on = true
	return err
}

// claims tells how often a report's job is held now.
func (s *stand) claims(id string) (n int) {
	s.t.Helper()
	err := s.store.Analytics().View(s.t.Context(), func(tx analytics.Tx) error {
		due, err := tx.NextJob(s.t.Context())
		if err == nil && due > s.clock().UnixMilli() {
			n = 1
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// failing is a store whose reading panics.
type failing struct{ analytics.Store }

type failingTx struct{ analytics.Tx }

func (f failing) View(ctx context.Context, do func(analytics.Tx) error) error {
	return f.Store.View(ctx, func(tx analytics.Tx) error { return do(failingTx{tx}) })
}

func (failingTx) Usage(context.Context, int64, int64) ([]analytics.Row, error) { panic("planted") }

// R35: what goes wrong in a job, a panic too, is tried again and then given up, and told.
func TestR35_ReportsThatCannotBeMadeFail(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		bad := s.another(analytics.Options{Store: failing{s.store.Analytics()}})
		r, err := s.Create(t.Context(), "", analytics.Draft{Type: analytics.Usage})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if err := bad.MakeOne(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, _ := s.Get(t.Context(), r.ID); got.Status != analytics.Pending {
				t.Fatalf("given up too early: %+v", got)
			}
			s.pass(5 * time.Minute)
		}
		s.told()
		if err := bad.MakeOne(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, _ := s.Get(t.Context(), r.ID); got.Status != analytics.Failed || got.CompletedAt == 0 {
			t.Errorf("it is %+v", got)
		}
		told := s.told()
		if len(told) != 1 || told[0]["status"] != "failed" || told[0]["url"] != nil {
			t.Errorf("told %v", told)
		}
		if _, _, err := s.File(t.Context(), r.ID); !errors.Is(err, analytics.ErrNotReady) {
			t.Errorf("its file: %v", err)
		}
	})
}

func TestReportsArePagedAndRemoved(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		var want, got []string
		for i := range 5 {
			if i != 2 {
				s.pass(time.Second)
			}
			r, _ := s.report(analytics.Draft{Type: analytics.Trust})
			want = append(want, r.ID)
		}
		for cursor := ""; ; {
			list, next, err := s.List(t.Context(), analytics.Completed, cursor, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				got = append(got, r.ID)
			}
			if cursor = next; next == "" {
				break
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		s.pass(31 * 24 * time.Hour)
		s.fold()
		if list, _, _ := s.List(t.Context(), "", "", 0); len(list) != 0 {
			t.Errorf("after a month there is %v", list)
		}
	})
}

// A person's export names the reports they asked for; with the account that is forgotten.
func TestPersonalPart(t *testing.T) {
	onBoth(t, analytics.Options{}, func(t *testing.T, s *stand) {
		r, err := s.Create(t.Context(), event.User(88), analytics.Draft{Type: analytics.Usage})
		if err == nil {
			_, err = s.Create(t.Context(), event.User(8), analytics.Draft{Type: analytics.Usage})
		}
		if err != nil {
			t.Fatal(err)
		}
		export := func() string {
			var out []byte
			err := s.Part().Export(t.Context(), 88, func(name string, v any) (err error) {
				out, err = json.Marshal(map[string]any{name: v})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
		if got := export(); !strings.HasPrefix(got, `{"reports":[{"id":"`+r.ID+`","type":"usage","format":"json","from":"2026-04-24T12:00:00Z"`) || strings.Count(got, "rep_") != 1 {
			t.Errorf("export %s", got)
		}
		for range 2 {
			if err := s.Part().Erase(t.Context(), 88); err != nil {
				t.Fatal(err)
			}
		}
		if got := export(); got != `{"reports":[]}` {
			t.Errorf("export after erasure %s", got)
		}
		if got, err := s.Get(t.Context(), r.ID); err != nil || got.RequestedBy != "" {
			t.Errorf("report %+v, %v", got, err)
		}
	})
}
