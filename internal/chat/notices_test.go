package chat_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/store"
	"github.com/kuranty/kuranty/internal/storetest"
)

func TestNoticesToEverybodyAreNumberedInTheLog(t *testing.T) {
	for _, db := range []string{store.SQLite, store.Postgres} {
		t.Run(db, func(t *testing.T) {
			s, err := store.Open(t.Context(), storetest.Options(t, db))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			testNotices(t, s)
		})
	}
}

func testNotices(t *testing.T, s *store.Store) {
	at := time.UnixMilli(1_706_108_040_123)
	svc := chat.New(chat.Options{Store: s.Chat(), Clock: func() time.Time { return at }})
	want := []chat.SystemNotice{
		{Level: chat.Info, Content: "hello", Seq: 1, At: at.UnixMilli()},
		{Level: chat.Critical, Content: "down at night", StartsAt: 10, EndsAt: 20, Seq: 2, At: at.UnixMilli()},
	}
	for i := range want {
		given := want[i]
		given.ID, given.Seq, given.At = "n_mine", 77, 77
		if i == 0 {
			given.Level, given.Content = "", "hello \x00\n"
		}
		got, err := svc.NotifyAll(t.Context(), int64(i)*9, given)
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := strings.CutPrefix(got.ID, "n_"); !ok || len(id) != 26 {
			t.Errorf("id %q", got.ID)
		}
		want[i].ID = got.ID
		if got != want[i] {
			t.Errorf("stored %+v, want %+v", got, want[i])
		}
	}
	if s.Driver() == store.Postgres {
		if _, err := s.NumberEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	log, top, err := s.Stream(t.Context(), event.SystemStream, 0, math.MaxInt64, 10)
	if err != nil || top != 2 || len(log) != 2 {
		t.Fatalf("stream: %v, top %d, %v", log, top, err)
	}
	for i, e := range log {
		var n chat.SystemNotice
		if err := json.Unmarshal(e.Payload, &n); err != nil || n != want[i] || e.Type != event.SystemNotice || "n_"+e.ID[4:] != n.ID {
			t.Errorf("event %d: %+v %s, %v", i, e, e.Payload, err)
		}
	}
	if log[0].Actor != "" || log[1].Actor != "user:9" {
		t.Errorf("actors %q and %q", log[0].Actor, log[1].Actor)
	}
	testWrongNotices(t.Context(), t, svc)
}

func testWrongNotices(ctx context.Context, t *testing.T, svc *chat.Service) {
	for field, n := range map[string]chat.SystemNotice{
		"content":   {Content: " \x01"},
		"level":     {Content: "x", Level: "urgent"},
		"starts_at": {Content: "x", StartsAt: -1},
		"ends_at":   {Content: "x", StartsAt: 5, EndsAt: 5},
	} {
		var wrong *chat.FieldError
		if _, err := svc.NotifyAll(ctx, 0, n); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	var limit *chat.LimitError
	if _, err := svc.NotifyAll(ctx, 0, chat.SystemNotice{Content: strings.Repeat("я", 4001)}); !errors.As(err, &limit) || limit.Got != 4001 {
		t.Errorf("4001 characters: %v", err)
	}
}
