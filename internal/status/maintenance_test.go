package status_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/status"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

func exec(t *testing.T, o store.Options, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", o.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

const anna = "user:7"

func (n *node) plan(p status.Plan) status.Maintenance {
	n.t.Helper()
	m, err := n.Plan(n.t.Context(), anna, p)
	n.must(err)
	return m
}

func (n *node) in(d time.Duration) int64 { return n.clock().Add(d).UnixMilli() }

func TestMaintenanceByOperators(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		n := start(t, o)
		ctx := t.Context()
		m := n.plan(status.Plan{Title: " Новые диски ", Affected: []string{"database"}, EndsAt: n.in(time.Hour)})
		if m.Title != "Новые диски" || m.Phase != status.Planned || m.CreatedBy != anna {
			t.Errorf("planned %+v", m)
		}
		if got := n.Status().Maintenance; len(got) != 1 || got[0].ID != m.ID {
			t.Errorf("shown %+v", got)
		}
		n.wrongPhase(n.End(ctx, anna, m.ID))
		title := "Disks"
		if _, err := n.Change(ctx, m.ID, status.PlanChange{Title: &title}); err != nil {
			t.Fatal(err)
		}
		if told := n.told(); len(told) > 0 {
			t.Errorf("told %v", told)
		}
		n.advance(time.Minute)
		for range 2 { // who repeats it gets the same
			got, err := n.Start(ctx, "key:k_1", m.ID)
			if err != nil || got.Phase != status.Running || got.StartedBy != "key:k_1" || got.Title != "Disks" {
				t.Errorf("started %+v, %v", got, err)
			}
		}
		if told, want := n.told(), fmt.Sprintf("[map[actor:key:k_1 affected:[database] at:1777636860000 id:%s scheduledEnd:2026-05-01T13:00:00Z "+
			"startedAt:2026-05-01T12:01:00Z title:Disks type:system.maintenance.start]]", m.ID); fmt.Sprint(told) != want {
			t.Errorf("told %v\nwant %v", told, want)
		}
		n.wrongPhase(n.Change(ctx, m.ID, status.PlanChange{Title: &title}))
		n.wrongPhase(m, n.Cancel(ctx, m.ID))
		n.advance(time.Minute)
		for range 2 {
			got, err := n.End(ctx, anna, m.ID)
			if err != nil || got.Phase != status.Ended || got.EndedBy != anna || got.EndedAt-got.StartedAt != 60_000 {
				t.Errorf("ended %+v, %v", got, err)
			}
		}
		if told, want := n.told(), fmt.Sprintf("[map[actor:user:7 affected:[database] at:1777636920000 endedAt:2026-05-01T12:02:00Z id:%s "+
			"scheduledEnd:2026-05-01T13:00:00Z title:Disks type:system.maintenance.end]]", m.ID); fmt.Sprint(told) != want {
			t.Errorf("told %v\nwant %v", told, want)
		}
		n.wrongPhase(n.Start(ctx, anna, m.ID))
		n.wrongPhase(m, n.Cancel(ctx, m.ID))
		if got := n.Status().Maintenance; len(got) != 0 {
			t.Errorf("shown %+v", got)
		}
		if got, err := n.Maintenance(ctx, m.ID); err != nil || got.Phase != status.Ended || got.Affected[0] != "database" {
			t.Errorf("%+v, %v", got, err)
		}
		other := n.plan(status.Plan{Title: "never"})
		n.must(n.Cancel(ctx, other.ID))
		if _, err := n.Maintenance(ctx, other.ID); !errors.Is(err, status.ErrNotFound) {
			t.Errorf("cancelled: %v", err)
		}
		if told := n.told(); len(told) > 0 {
			t.Errorf("told %v", told)
		}
	})
}

func (n *node) wrongPhase(_ status.Maintenance, err error) {
	n.t.Helper()
	var phase *status.PhaseError
	if !errors.As(err, &phase) {
		n.t.Errorf("error %v", err)
	}
}

func TestMaintenanceBySchedule(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		n := start(t, o)
		both := n.plan(status.Plan{Title: "both", StartsAt: n.in(time.Minute), EndsAt: n.in(2 * time.Minute)})
		n.plan(status.Plan{Title: "only an operator"})
		late := n.plan(status.Plan{Title: "late", StartsAt: n.in(time.Hour), EndsAt: n.in(90 * time.Minute)})
		at := n.plan(status.Plan{Title: "now", StartsAt: n.in(-time.Second)})
		if at.Phase != status.Running || at.StartedBy != anna {
			t.Errorf("at once: %+v", at)
		}
		kinds := func() (all []string) {
			for _, e := range n.told() {
				all = append(all, fmt.Sprint(e["type"], " ", e["title"], " ", e["actor"]))
			}
			return all
		}
		expect := func(want ...string) {
			t.Helper()
			if got := kinds(); !slices.Equal(got, want) {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		expect("system.maintenance.start now user:7")
		n.advance(55 * time.Second)
		n.sample(3)
		expect("system.maintenance.start both ")
		var titles []string
		for _, m := range n.Status().Maintenance {
			titles = append(titles, m.Title+" "+string(m.Phase))
		}
		if want := []string{"now running", "both running", "late planned", "only an operator planned"}; !slices.Equal(titles, want) {
			t.Errorf("shown %q, want %q", titles, want)
		}
		n.advance(time.Minute)
		n.sample(2)
		expect("system.maintenance.end both ")
		if m, err := n.Maintenance(t.Context(), both.ID); err != nil || m.StartedBy+m.EndedBy != "" || m.Phase != status.Ended {
			t.Errorf("%+v, %v", m, err)
		}
		// Nobody was there while it should have been: it begins and ends late, once.
		n.advance(24 * time.Hour)
		n.sample(3)
		expect("system.maintenance.start late ", "system.maintenance.end late ")
		if m, err := n.Maintenance(t.Context(), late.ID); err != nil || m.Phase != status.Ended {
			t.Errorf("%+v, %v", m, err)
		}
	})
}

// Two processes whose schedules come at the same moment, and operators who are in a hurry,
// begin and end each maintenance once.
func TestMaintenanceBeginsAndEndsOnce(t *testing.T) {
	o := storetest.Options(t, store.Postgres)
	nodes := []*node{start(t, o), start(t, o)}
	const many = 20
	var ids []string
	for i := range many {
		p := status.Plan{Title: fmt.Sprint(i), StartsAt: nodes[0].in(time.Minute), EndsAt: nodes[0].in(2 * time.Minute)}
		ids = append(ids, nodes[0].plan(p).ID)
	}
	for range 2 {
		var all sync.WaitGroup
		for _, n := range nodes {
			n.advance(time.Minute)
			all.Go(func() { n.Sample(t.Context()) })
			all.Go(func() {
				for _, id := range ids[:many/2] {
					_, _ = n.Start(t.Context(), anna, id)
					_, _ = n.End(t.Context(), anna, id)
				}
			})
		}
		all.Wait()
	}
	for _, n := range nodes {
		n.sample(1)
	}
	count := make(map[string]int)
	for _, n := range nodes {
		for _, e := range n.told() {
			count[fmt.Sprint(e["type"], e["id"])]++
		}
	}
	for _, id := range ids {
		for _, typ := range []string{event.MaintenanceStart, event.MaintenanceEnd} {
			if got := count[typ+id]; got != 1 {
				t.Errorf("%s of %s: %d times", typ, id, got)
			}
		}
	}
}

func TestMaintenanceIsChecked(t *testing.T) {
	n := start(t, store.Options{Path: t.TempDir() + "/k.db"})
	names := make([]string, 21)
	for i := range names {
		names[i] = fmt.Sprint("name", i)
	}
	for name, c := range map[string]struct {
		plan status.Plan
		want string
	}{
		"no title":         {status.Plan{}, "title must not be empty"},
		"blank":            {status.Plan{Title: " \n "}, "title must not be empty"},
		"long":             {status.Plan{Title: strings.Repeat("я", 201)}, "title must be at most 200 characters"},
		"lines":            {status.Plan{Title: "a\nb"}, "title must be one line of text"},
		"nul":              {status.Plan{Title: "a\x00b"}, "title must be one line of text"},
		"not UTF-8":        {status.Plan{Title: "a\xff"}, "title must be one line of text"},
		"names":            {status.Plan{Title: "a", Affected: names}, "affected must be at most 20 names"},
		"twice":            {status.Plan{Title: "a", Affected: []string{"x", "x"}}, "affected must not have a name twice"},
		"empty name":       {status.Plan{Title: "a", Affected: []string{""}}, "affected must not be empty"},
		"long name":        {status.Plan{Title: "a", Affected: []string{strings.Repeat("x", 65)}}, "affected must be at most 64 characters"},
		"begins in past":   {status.Plan{Title: "a", StartsAt: n.in(-2 * time.Minute)}, "starts_at must not have passed"},
		"begins far away":  {status.Plan{Title: "a", StartsAt: n.in(11 * 366 * 24 * time.Hour)}, "starts_at must be within ten years"},
		"ends in past":     {status.Plan{Title: "a", EndsAt: n.in(-time.Second)}, "ends_at must be after starts_at and in the future"},
		"ends before":      {status.Plan{Title: "a", StartsAt: n.in(time.Hour), EndsAt: n.in(time.Minute)}, "ends_at must be after starts_at and in the future"},
		"ends far away":    {status.Plan{Title: "a", EndsAt: n.in(11 * 366 * 24 * time.Hour)}, "ends_at must be within ten years"},
		"negative":         {status.Plan{Title: "a", StartsAt: -1}, "starts_at must not have passed"},
		"title and affect": {status.Plan{Affected: []string{""}}, "title must not be empty\naffected must not be empty"},
		"good":             {status.Plan{Title: strings.Repeat("я", 200), Affected: names[:20], StartsAt: n.in(-time.Minute), EndsAt: n.in(9 * 365 * 24 * time.Hour)}, ""},
	} {
		_, err := n.Plan(t.Context(), anna, c.plan)
		if got := fmt.Sprint(err); got != c.want && (err != nil || c.want != "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if page, err := n.List(t.Context(), status.Query{}); err != nil || len(page.Maintenance) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	// A change checks the schedule only if it is changed.
	m := n.plan(status.Plan{Title: "a", EndsAt: n.in(time.Minute)})
	n.advance(time.Hour)
	title, past := "b", n.in(-time.Hour)
	if _, err := n.Change(t.Context(), m.ID, status.PlanChange{Title: &title}); err != nil {
		t.Error(err)
	}
	var field *status.FieldError
	if _, err := n.Change(t.Context(), m.ID, status.PlanChange{StartsAt: &past}); !errors.As(err, &field) || field.Field != "starts_at" {
		t.Errorf("error %v", err)
	}
	if _, err := n.Start(t.Context(), anna, m.ID); !errors.As(err, &field) || field.Field != "ends_at" {
		t.Errorf("begun after its end: %v", err)
	}
	if got, err := n.Maintenance(t.Context(), m.ID); err != nil || got.Title != "b" || got.Phase != status.Planned {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestListOfMaintenance(t *testing.T) {
	onBoth(t, func(t *testing.T, o store.Options) {
		n := start(t, o)
		ctx := t.Context()
		var want []string
		for i := range 7 {
			n.advance(time.Millisecond)
			m := n.plan(status.Plan{Title: fmt.Sprint(i)})
			want = append([]string{m.ID}, want...)
			if i%2 == 0 {
				_, err := n.Start(ctx, anna, m.ID)
				n.must(err)
			}
		}
		var got []string
		for q := (status.Query{Limit: 3}); ; {
			page, err := n.List(ctx, q)
			n.must(err)
			for _, m := range page.Maintenance {
				got = append(got, m.ID)
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("listed %q, want %q", got, want)
		}
		if page, err := n.List(ctx, status.Query{Phase: status.Running}); err != nil || len(page.Maintenance) != 4 {
			t.Errorf("%+v, %v", page, err)
		}
		for _, bad := range []string{"x", "mnt_", want[0] + "X", "mnt_\x00123456789012345678901234"} {
			if _, err := n.List(ctx, status.Query{Cursor: bad}); !errors.Is(err, status.ErrCursor) {
				t.Errorf("cursor %q: %v", bad, err)
			}
			for name, err := range map[string]error{"get": second(n.Maintenance(ctx, bad)), "start": second(n.Start(ctx, anna, bad)), "cancel": n.Cancel(ctx, bad)} {
				if !errors.Is(err, status.ErrNotFound) {
					t.Errorf("%s %q: %v", name, bad, err)
				}
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestPersonsPart(t *testing.T) {
	n := start(t, store.Options{Path: t.TempDir() + "/k.db"})
	m := n.plan(status.Plan{Title: "Disks"})
	if _, err := n.Start(t.Context(), "user:8", m.ID); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, user := range []int64{7, 8, 9} {
		n.must(n.Export(t.Context(), user, func(name string, v any) error {
			b, err := json.Marshal(v)
			files[fmt.Sprint(user, name)] = string(b)
			return err
		}))
	}
	if len(files) != 2 || !strings.Contains(files["7maintenance"], `"created_by_you":true,"started_by_you":false`) || !strings.Contains(files["8maintenance"], `"started_by_you":true`) {
		t.Errorf("exported %v", files)
	}
	n.must(n.Erase(t.Context(), 7))
}
