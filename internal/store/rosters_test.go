package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/chat"
)

func TestRostersAreThoseOfTheViewersChats(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		p := c.people(5)
		one, two, foreign := c.group(p[0], p[2], p[1]), c.group(p[3], p[0]), c.group(p[3], p[4])
		c.setMember(one, p[1], "role", chat.Admin)
		c.setMember(one, p[2], "joined_at", 5)
		c.setMember(two, p[3], "state", chat.Left)
		got, err := c.Rosters(t.Context(), p[0], []int64{one, two, foreign, 77}, 10)
		if err != nil {
			t.Fatal(err)
		}
		want := map[int64][]int64{one: {p[0], p[1], p[2]}, two: {p[0]}}
		if diff := cmp.Diff(want, idsOf(got)); diff != "" {
			t.Error(diff)
		}
		if got, err = c.Rosters(t.Context(), p[0], []int64{one}, 2); err != nil || len(got[one]) != 2 {
			t.Errorf("two of each: %v, %v", idsOf(got), err)
		}
		if got, err = c.Rosters(t.Context(), p[0], nil, 2); err != nil || len(got) != 0 {
			t.Errorf("no chats: %v, %v", got, err)
		}
	})
}

func idsOf(rosters map[int64][]chat.PersonView) map[int64][]int64 {
	out := make(map[int64][]int64, len(rosters))
	for id, people := range rosters {
		for _, p := range people {
			out[id] = append(out[id], p.ID)
		}
	}
	return out
}

func TestPublishingUnstoredIsForWhoMayWrite(t *testing.T) {
	onChats(t, chat.Options{}, func(t *testing.T, c *chats) {
		p := c.people(4)
		group, direct := c.group(p[0], p[1]), c.direct(p[0], p[2])
		c.settings(group, `{"who_can_post":"admins"}`)
		c.store.MustExec(t, `INSERT INTO blocks (user_id, blocked_id, created_at) VALUES ($1, $2, 0)`, p[2], p[0])
		for _, x := range []struct {
			user, chat int64
			want       error
		}{
			{p[0], group, nil},
			{p[1], group, chat.ErrForbidden},
			{p[3], group, chat.ErrNotFound},
			{p[0], direct, chat.ErrCannotMessage},
			{p[2], direct, chat.ErrCannotMessage},
			{p[3], 0, nil},
			{p[3], 99, chat.ErrNotFound},
		} {
			if err := c.MayPublish(t.Context(), x.user, x.chat); !errors.Is(err, x.want) {
				t.Errorf("user %d in chat %d: %v, want %v", x.user, x.chat, err, x.want)
			}
		}
	})
}

func TestWhatIsNotStoredCountsAsWell(t *testing.T) {
	c := openChats(t, "sqlite", chat.Options{Limits: chat.Limits{SendPerSecond: 1, SendBurst: 2, UploadsPerMinute: 1}})
	user := c.person("user")
	var often *chat.RateError
	for i := range 3 {
		if err := c.MayPublish(t.Context(), user, 0); errors.As(err, &often) != (i == 2) {
			t.Errorf("publication %d: %v", i, err)
		}
		if err := c.MayUpload(user); errors.As(err, &often) != (i > 0) {
			t.Errorf("upload %d: %v", i, err)
		}
	}
}
