package alerts_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/alerts"
)

func TestAlertsAreFolded(t *testing.T) {
	onBoth(t, alerts.Options{}, func(t *testing.T, s *stand) {
		first := s.raise(alerts.Draft{Kind: "probe", Subject: "disk", Title: "Disk", Severity: alerts.Medium, Metadata: map[string]any{"userId": "88", "free": 3}})
		if m := s.last(); m["id"] != alerts.AlertName(first.ID) || m["severity"] != "medium" || m["createdAt"] != "2026-05-01T12:00:00Z" {
			t.Errorf("created says %v", m)
		}
		same(t, s.told(), []string{created})
		s.pass(time.Second)
		again := s.raise(alerts.Draft{Kind: "probe", Subject: "disk", Title: "Disk is full", Severity: alerts.Critical})
		if again.ID != first.ID || again.Count != 2 || again.Severity != alerts.Critical || again.LastSeenAt-first.CreatedAt != 1000 || again.Title != "Disk is full" {
			t.Errorf("folded: %+v", again)
		}
		if m := s.last(); m["status"] != "active" || m["updatedBy"] != "key:k_1" || m["updatedAt"] != "2026-05-01T12:00:01Z" || m["severity"] != "critical" {
			t.Errorf("updated says %v", m)
		}
		same(t, s.told(), []string{updated})

		// At most once a minute, and the last of it when the minute is over.
		for range 5 {
			s.pass(time.Second)
			s.raise(alerts.Draft{Kind: "probe", Subject: "disk", Title: "Disk is full", Severity: alerts.Low})
		}
		s.tick()
		same(t, s.told(), nil)
		s.pass(time.Minute)
		s.tick()
		if m := s.last(); m["severity"] != "critical" {
			t.Errorf("a lower severity replaced a higher one: %v", m)
		}
		s.tick()
		same(t, s.told(), []string{updated})
		if a := s.only(); a.Count != 7 || a.Announced != 7 {
			t.Errorf("count %d, announced %d", a.Count, a.Announced)
		}
		s.raise(alerts.Draft{Kind: "probe", Subject: "memory", Title: "Memory"})
		s.raise(alerts.Draft{Kind: "other", Subject: "disk", Title: "Disk"})
		same(t, s.told(), []string{created, created})
	})
}

// A clock that was set back, or forth, holds nothing up (guarantees.md R28).
func TestR28_RepetitionsAreToldWhenTheClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		s := newStandAt(t, "sqlite", alerts.Options{SignIns: 3}, time.Now())
		fail := func() {
			s.Note(alerts.Observation{Kind: alerts.FailedSignIns, Subject: "user:88"})
			s.work()
		}
		s.raise(alerts.Draft{Title: "x"})
		s.raise(alerts.Draft{Title: "x"})
		s.raise(alerts.Draft{Title: "x"})
		fail()
		fail()
		s.told()
		s.set(by)
		s.tick()
		same(t, s.told(), []string{updated})
		fail() // counted with those before the jump
		same(t, s.told(), []string{created})
	}
}

// tick does what Run does every 5 s, on the real clock.
func (s *stand) tick() {
	s.t.Helper()
	if err := s.TellAgain(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func TestAcknowledgeAndResolve(t *testing.T) {
	onBoth(t, alerts.Options{}, func(t *testing.T, s *stand) {
		ctx := t.Context()
		a := s.raise(alerts.Draft{Title: "x"})
		s.told()
		for range 2 { // the second time changes nothing
			got, err := s.Acknowledge(ctx, event.User(1), a.ID)
			if err != nil || got.Status != alerts.Acknowledged || got.AcknowledgedBy != "user:1" || got.AcknowledgedAt == 0 {
				t.Errorf("acknowledged: %+v, %v", got, err)
			}
			s.pass(time.Second)
		}
		if m := s.last(); m["status"] != "acknowledged" || m["updatedBy"] != "1" {
			t.Errorf("updated says %v", m)
		}
		same(t, s.told(), []string{updated})
		s.pass(time.Minute)
		if b := s.raise(alerts.Draft{Title: "x"}); b.ID != a.ID || b.Status != alerts.Acknowledged || b.Count != 2 {
			t.Errorf("folded into an acknowledged one: %+v", b)
		}
		s.told()
		for range 2 {
			got, err := s.Resolve(ctx, event.User(2), a.ID)
			if err != nil || got.Status != alerts.Resolved || got.ResolvedBy != "user:2" {
				t.Errorf("resolved: %+v, %v", got, err)
			}
		}
		same(t, s.told(), []string{updated})
		if _, err := s.Acknowledge(ctx, event.User(1), a.ID); !errors.Is(err, alerts.ErrResolved) {
			t.Errorf("acknowledge a resolved one: %v", err)
		}
		if b := s.raise(alerts.Draft{Title: "x"}); b.ID == a.ID || b.Count != 1 || b.Status != alerts.Active {
			t.Errorf("after it was resolved: %+v", b)
		}
		same(t, s.told(), []string{created})
		if _, err := s.Resolve(ctx, "", 4711); !errors.Is(err, alerts.ErrNotFound) {
			t.Errorf("resolve nothing: %v", err)
		}
	})
}

// An error after the change leaves neither the change nor its event.
func TestChangeAndEventAreOne(t *testing.T) {
	onBoth(t, alerts.Options{}, func(t *testing.T, s *stand) {
		ctx := t.Context()
		a := s.raise(alerts.Draft{Title: "x"})
		s.told()
		bad, err := alerts.New(alerts.Options{Store: broken{s.store.Alerts()}, Clock: s.clock, Inspect: s})
		if err != nil {
			t.Fatal(err)
		}
		for name, do := range map[string]func() error{
			"raise": func() error {
				_, _, err := bad.Raise(ctx, "", alerts.Draft{Title: "y", Severity: alerts.Low})
				return err
			},
			"fold": func() error {
				_, _, err := bad.Raise(ctx, "", alerts.Draft{Title: "x", Severity: alerts.Low})
				return err
			},
			"acknowledge": func() error { _, err := bad.Acknowledge(ctx, "", a.ID); return err },
			"resolve":     func() error { _, err := bad.Resolve(ctx, "", a.ID); return err },
			"scan":        func() error { _, err := bad.Scan(ctx, "", alerts.Full, ""); return err },
		} {
			if err := do(); !errors.Is(err, errPlanted) {
				t.Errorf("%s: %v", name, err)
			}
		}
		same(t, s.told(), nil)
		if now := s.only(); now.Count != 1 || now.Status != alerts.Active {
			t.Errorf("changed: %+v", now)
		}
		if scans, _, err := s.Scans(ctx, "", 0); err != nil || len(scans) != 0 {
			t.Errorf("scans %v, %v", scans, err)
		}
	})
}

// Many at once raise one alert, and none is lost.
func TestRaisedAtOnce(t *testing.T) {
	onBoth(t, alerts.Options{}, func(t *testing.T, s *stand) {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { s.raise(alerts.Draft{Title: "x"}) })
		}
		wg.Wait()
		if a := s.only(); a.Count != 20 {
			t.Errorf("count %d", a.Count)
		}
		same(t, s.told(), []string{created, updated})
	})
}

func TestWhatServicesSayIsChecked(t *testing.T) {
	s := newStand(t, "sqlite", alerts.Options{})
	deep := map[string]any{}
	for range 10_000 {
		deep = map[string]any{"a": deep}
	}
	for field, d := range map[string]alerts.Draft{
		"title":       {Title: "", Severity: alerts.Low},
		"title ":      {Title: strings.Repeat("ж", 201), Severity: alerts.Low},
		"title  ":     {Title: "a\x00b", Severity: alerts.Low},
		"title   ":    {Title: "a\xffb", Severity: alerts.Low},
		"severity":    {Title: "x", Severity: "fatal"},
		"kind":        {Title: "x", Severity: alerts.Low, Kind: "Upper"},
		"kind ":       {Title: "x", Severity: alerts.Low, Kind: alerts.FailedSignIns},
		"subject":     {Title: "x", Severity: alerts.Low, Subject: "a\nb"},
		"description": {Title: "x", Severity: alerts.Low, Description: strings.Repeat("x", 4001)},
		"category":    {Title: "x", Severity: alerts.Low, Category: strings.Repeat("x", 65)},
		"source":      {Title: "x", Severity: alerts.Low, Source: strings.Repeat("x", 65)},
		"metadata":    {Title: "x", Severity: alerts.Low, Metadata: map[string]any{"x": strings.Repeat("x", 17<<10)}},
		"metadata ":   {Title: "x", Severity: alerts.Low, Metadata: deep},
	} {
		_, _, err := s.Raise(t.Context(), "", d)
		var wrong *alerts.FieldError
		if !errors.As(err, &wrong) || wrong.Field != strings.TrimSpace(field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, id := range []any{"-1", "088x", 1e300, 1.5, -3.0, nil, []any{}, "99999999999999999999"} {
		if a := s.raise(alerts.Draft{Title: fmt.Sprint(id), Metadata: map[string]any{"userId": id}}); a.User != 0 {
			t.Errorf("userId %v is taken for %d", id, a.User)
		}
	}
	if a := s.raise(alerts.Draft{Title: "y", Metadata: map[string]any{"userId": 88.0, "nul": "a\x00b"}}); a.User != 88 {
		t.Errorf("userId 88 is taken for %d", a.User)
	}
}

func TestPages(t *testing.T) {
	onBoth(t, alerts.Options{}, func(t *testing.T, s *stand) {
		for i := range 7 {
			d := alerts.Draft{Title: fmt.Sprint(i), Severity: []string{alerts.Low, alerts.High}[i%2]}
			if i == 3 {
				d.Kind, d.Metadata = "probe", map[string]any{"userId": "88"}
			}
			a := s.raise(d)
			if i == 5 {
				if _, err := s.Resolve(t.Context(), "", a.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		var titles []string
		for cursor := ""; ; {
			list, next, err := s.List(t.Context(), alerts.Query{Limit: 3, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for i := range list {
				titles = append(titles, list[i].Title)
			}
			if cursor = next; next == "" {
				break
			}
		}
		same(t, titles, strings.Fields("6 5 4 3 2 1 0"))
		for want, q := range map[string]alerts.Query{
			"5":           {Status: alerts.Resolved},
			"6 4 3 2 1 0": {Status: "open"},
			"5 3 1":       {Severity: alerts.High},
			"3 1":         {Severity: alerts.High, Status: alerts.Active},
			"3":           {Kind: "probe"},
			" 3":          {User: 88},
		} {
			titles = nil
			for _, a := range s.list(q) {
				titles = append(titles, a.Title)
			}
			same(t, titles, strings.Fields(want))
		}
		for _, cursor := range []string{"x", "-1", "0", "1e3", "99999999999999999999"} {
			if _, _, err := s.List(t.Context(), alerts.Query{Cursor: cursor}); !errors.Is(err, alerts.ErrCursor) {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
	})
}

func TestNames(t *testing.T) {
	if id, err := alerts.ParseAlert(alerts.AlertName(7)); id != 7 || err != nil {
		t.Error(id, err)
	}
	for _, name := range []string{"", "7", "alr_", "alr_0", "alr_-1", "alr_07", "alr_+7", "scn_7", "alr_9999999999999999999", "alr_7 "} {
		if _, err := alerts.ParseAlert(name); !errors.Is(err, alerts.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestOldAlertsAreRemoved(t *testing.T) {
	onBoth(t, alerts.Options{Retention: 24 * time.Hour}, func(t *testing.T, s *stand) {
		ctx := t.Context()
		s.raise(alerts.Draft{Title: "old"})
		if _, err := s.Scan(ctx, "", alerts.Quick, ""); err != nil {
			t.Fatal(err)
		}
		s.pass(25 * time.Hour)
		s.raise(alerts.Draft{Title: "new"})
		if err := s.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if a := s.only(); a.Title != "new" {
			t.Errorf("left %q", a.Title)
		}
		if scans, _, err := s.Scans(ctx, "", 0); err != nil || len(scans) != 0 {
			t.Errorf("scans %v, %v", scans, err)
		}
	})
}

// What alerts say of a person is exported, and taken out of alerts and log with them.
func TestPersonIsExportedAndErased(t *testing.T) {
	onBoth(t, alerts.Options{SignIns: 2}, func(t *testing.T, s *stand) {
		ctx := t.Context()
		secret := "zsecretz"
		s.raise(alerts.Draft{Title: "shared", Description: secret, Category: secret, Metadata: map[string]any{"userId": "88"}})
		s.raise(alerts.Draft{Title: "shared", Metadata: map[string]any{"userId": "89"}}) // of whom that was not said
		s.raise(alerts.Draft{Title: secret, Subject: secret, Description: secret, Category: secret, Source: secret, Metadata: map[string]any{"userId": 88.0, "name": secret}})
		s.raise(alerts.Draft{Title: "of another", Metadata: map[string]any{"userId": "89", "name": "boris"}})
		for range 2 {
			s.Note(alerts.Observation{Kind: alerts.FailedSignIns, Subject: "user:88", User: 88, Detail: map[string]string{"address": secret}})
		}
		s.work()
		files := map[string]string{}
		write := func(name string, v any) error {
			b, err := json.Marshal(v)
			files[name] = string(b)
			return err
		}
		if err := s.Part().Export(ctx, 88, write); err != nil {
			t.Fatal(err)
		}
		if got := files["alerts"]; len(files) != 1 || strings.Count(got, `"kind"`) != 2 || !strings.Contains(got, alerts.FailedSignIns) || strings.Contains(got, "boris") {
			t.Errorf("export %v", files)
		}
		if err := s.Part().Export(ctx, 90, write); err != nil || files["alerts"] != "[]" {
			t.Errorf("export of nobody %v, %v", files, err)
		}
		for range 2 { // done again after a crash
			if err := s.Part().Erase(ctx, 88); err != nil {
				t.Fatal(err)
			}
		}
		log, err := s.store.Events(ctx, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		if s.store.Driver() == "postgres" { // where nobody numbers events here
			err := s.store.Alerts().View(ctx, func(tx alerts.Tx) error { log, err = tx.AlertEvents(ctx, 0, 100); return err })
			if err != nil {
				t.Fatal(err)
			}
		}
		all := fmt.Sprintf("%+v", s.list(alerts.Query{}))
		kinds, err := event.NewCatalogue()
		if err != nil {
			t.Fatal(err)
		}
		for i := range log {
			all += string(log[i].Payload)
			if err := kinds.Kind(log[i].Type).Check(log[i].Payload); err != nil {
				t.Error(err)
			}
		}
		if len(log) != 5 || strings.Contains(all, secret) || !strings.Contains(all, "boris") {
			t.Errorf("%d events, left: %s", len(log), all)
		}
		if s.list(alerts.Query{User: 88}) != nil {
			t.Error("alerts are still about them")
		}
	})
}

func TestNothingIsKeptOfACancelledCall(t *testing.T) {
	s := newStand(t, "sqlite", alerts.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Raise(ctx, "", alerts.Draft{Title: "x", Severity: alerts.Low}); err == nil {
		t.Error("raised for who is gone")
	}
}
