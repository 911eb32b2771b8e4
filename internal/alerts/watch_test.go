package alerts_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kuranty/kuranty/internal/alerts"
)

func TestFailedSignInsBecomeOneAlert(t *testing.T) {
	onBoth(t, alerts.Options{}, func(t *testing.T, s *stand) {
		fail := func(n int) {
			for range n {
				s.Note(alerts.Observation{Kind: alerts.FailedSignIns, Subject: "user:88", User: 88, Detail: map[string]string{"address": "192.0.2.1"}})
			}
			s.work()
		}
		fail(9)
		s.pass(5 * time.Minute) // and these do not count any more
		fail(9)
		same(t, s.told(), nil)
		fail(1)
		a := s.only()
		var m map[string]any
		if err := json.Unmarshal(a.Metadata, &m); err != nil {
			t.Fatal(err)
		}
		if a.Kind != alerts.FailedSignIns || a.Subject != "user:88" || a.User != 88 || a.Severity != alerts.High || a.Count != 10 ||
			m["userId"] != "88" || m["attempts"] != 10.0 || m["timeWindow"] != "5m" || m["address"] != "192.0.2.1" {
			t.Errorf("%+v %v", a, m)
		}
		if a.Description != "10 failed sign-ins within 5m: user:88" || a.Category != "authentication" || a.Source != "identity" {
			t.Errorf("%+v", a)
		}
		same(t, s.told(), []string{created})
		fail(4)
		if a = s.only(); a.Count != 14 {
			t.Errorf("count %d", a.Count)
		}
		if err := json.Unmarshal(a.Metadata, &m); err != nil || m["attempts"] != 14.0 {
			t.Errorf("attempts %v, %v", m["attempts"], err)
		}
		same(t, s.told(), []string{updated})
		if _, err := s.Resolve(t.Context(), "user:1", a.ID); err != nil {
			t.Fatal(err)
		}
		fail(1)
		if list := s.list(alerts.Query{Status: alerts.Active}); len(list) != 1 || list[0].ID == a.ID {
			t.Errorf("after it was resolved: %+v", list)
		}
	})
}

// A storm from everywhere is a few alerts, not thousands.
func TestAStormOfSubjectsIsFolded(t *testing.T) {
	s := newStand(t, "sqlite", alerts.Options{SignIns: 2})
	for i := range 500 {
		for range 2 {
			s.Note(alerts.Observation{Kind: alerts.FailedSignIns, Subject: fmt.Sprintf("address:192.0.2.%d", i)})
		}
	}
	s.work()
	list := s.list(alerts.Query{Limit: 200})
	total := int64(0)
	for i := range list {
		total += list[i].Count
	}
	if len(list) != alerts.MaxLoud+1 || total != 1000 || len(s.list(alerts.Query{})) != alerts.MaxLoud+1 {
		t.Errorf("%d alerts that count %d", len(list), total)
	}
}

// Whoever tells of something is never held up, and what is lost is counted.
func TestNoteNeverWaits(t *testing.T) {
	s := newStand(t, "sqlite", alerts.Options{})
	for range alerts.Queued + 10 { // nobody takes them
		s.Note(alerts.Observation{Kind: alerts.TokenReused, Subject: "user:88"})
	}
	if n := s.Stats(); n.Noted != alerts.Queued || n.Dropped != 10 {
		t.Errorf("%+v", n)
	}
	s.work()
	if a := s.only(); a.Count != alerts.Queued {
		t.Errorf("count %d", a.Count)
	}
	if n := s.Stats(); n.Raised != 1 || n.Folded != 0 {
		t.Errorf("%+v", n)
	}
}

// Subjects may be what a stranger sent.
func TestHostileSubjects(t *testing.T) {
	onBoth(t, alerts.Options{}, func(t *testing.T, s *stand) {
		for _, subject := range []string{"a\x00b", "a\xff", "\r\n", string(make([]byte, 100_000)), "'; DROP TABLE alerts; --"} {
			s.Note(alerts.Observation{Kind: alerts.TokenReused, Subject: subject})
		}
		s.Note(alerts.Observation{Kind: "unknown"})
		s.work()
		if list := s.list(alerts.Query{}); len(list) == 0 || len(list) > 5 {
			t.Errorf("%+v", list)
		}
	})
}

// away is a store that is not available.
type away struct {
	alerts.Store
	until time.Time
}

func (a away) Update(ctx context.Context, f func(alerts.Tx) error) error {
	if time.Now().Before(a.until) {
		return errPlanted
	}
	return a.Store.Update(ctx, f)
}

// What happens while the database is away is told afterwards.
func TestAlertsWaitForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, "sqlite", alerts.Options{})
		service, err := alerts.New(alerts.Options{Store: away{s.store.Alerts(), time.Now().Add(10 * time.Second)}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- service.Run(ctx) }()
		service.Note(alerts.Observation{Kind: alerts.DatabaseUnavailable, Subject: "database"})
		time.Sleep(5 * time.Second)
		if n := service.Stats(); n.Raised != 0 {
			t.Errorf("%+v", n)
		}
		time.Sleep(7 * time.Second)
		if n := service.Stats(); n.Raised != 1 {
			t.Errorf("%+v", n)
		}
		service.Note(alerts.Observation{Kind: alerts.TokenReused, Subject: "user:1"})
		cancel() // what was noted before the end is stored
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := service.Stats(); n.Raised != 2 {
			t.Errorf("%+v", n)
		}
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAddressesOfIPv6CountByTheirNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "address:192.0.2.1", "::ffff:192.0.2.1": "address:192.0.2.1", "2001:db8::1:2:3:4": "address:2001:db8::/64",
		"fe80::1%eth0": "address:fe80::/64", "2001:db8::/64": "address:2001:db8::/64", "somewhere": "address:somewhere",
	} {
		if got := alerts.About(0, address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := alerts.About(88, "192.0.2.1"); got != "user:88" {
		t.Error(got)
	}
}
