package privacy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/privacy"
	"github.com/kuranty/kuranty/internal/tickets"
)

// part is a package with notes of people.
type part struct {
	name   string
	notes  map[int64]string
	erased []int64
	fail   error
	during func()
}

func (p *part) Name() string { return p.name }

func (p *part) Export(_ context.Context, user int64, write func(string, any) error) error {
	return errors.Join(p.fail, write("notes", []string{p.notes[user]}), write("extra", map[string]int64{"user": user}))
}

func (p *part) Erase(_ context.Context, user int64) error {
	p.erased = append(p.erased, user)
	if p.during != nil {
		p.during()
	}
	if p.fail == nil {
		delete(p.notes, user)
	}
	return p.fail
}

func TestPartsAreExported(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		users := h.users("anna", "boris")
		h.parts = []privacy.Part{
			&part{name: "notes", notes: map[int64]string{users[0]: "of anna", users[1]: "of boris"}},
			&part{name: "cards", notes: map[int64]string{users[0]: "card"}},
		}
		h.start(-1)
		content := h.export(users[0])
		for name, want := range map[string]string{
			"notes/notes.json": "[\n  \"of anna\"\n]\n",
			"notes/extra.json": fmt.Sprintf("{\n  \"user\": %d\n}\n", users[0]),
			"cards/notes.json": "[\n  \"card\"\n]\n",
		} {
			if content[name] != want {
				t.Errorf("%s is %q, want %q", name, content[name], want)
			}
		}
	})
}

// TestPartsAreErased has a part fail first, and looks at when its turn is.
func TestPartsAreErased(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		users := h.users("root", "anna", "boris")
		anna := users[1]
		state := ""
		failing := &part{name: "notes", notes: map[int64]string{anna: "x", users[2]: "y"}, fail: errors.New("planted"), during: func() {
			acc, err := h.accounts.Account(ctx, anna)
			h.must(err)
			state = acc.State
			// What a part leaves in the log is unnamed after it.
			h.exec(`UPDATE events SET payload = $1 WHERE id = (SELECT min(id) FROM events WHERE stream = $2)`,
				fmt.Sprintf(`{"id":%d,"name":"zpartz"}`, anna), event.UserStream(anna))
		}}
		second := &part{name: "cards"}
		h.parts = []privacy.Part{failing, second}
		h.start(-1)
		h.exec(`UPDATE users SET legal_hold = TRUE WHERE id = $1`, anna)
		_, err := h.privacy.RequestErasure(ctx, anna, privacy.Anonymize, 0)
		h.must(err)
		h.work()
		if len(failing.erased) != 0 {
			t.Fatal("a part erased who is under legal hold")
		}
		h.exec(`UPDATE users SET legal_hold = FALSE WHERE id = $1`, anna)
		h.pass(2 * time.Hour)
		h.work()
		if _, err := h.privacy.Erasure(ctx, anna); err != nil || len(failing.erased) == 0 || len(second.erased) != 0 {
			t.Fatalf("after a failure: %v, calls %v and %v", err, failing.erased, second.erased)
		}
		failing.fail = nil
		h.pass(2 * time.Hour)
		h.work()
		if _, err := h.privacy.Erasure(ctx, anna); !errors.Is(err, privacy.ErrNotFound) {
			t.Errorf("the erasure is not done: %v", err)
		}
		if _, there := failing.notes[anna]; there || failing.notes[users[2]] != "y" || !slices.Equal(second.erased, []int64{anna}) {
			t.Errorf("left %v, calls of the second %v", failing.notes, second.erased)
		}
		if state != identity.StateDeleted {
			t.Errorf("the account was %q when the part was asked", state)
		}
		h.gone("zpartz")
	})
}

func TestPartsHaveNamesOfTheirOwn(t *testing.T) {
	h := newHarness(t, "sqlite", 0)
	for _, names := range [][]string{{"a", "a"}, {""}, {"chats"}, {"../x"}, {"A"}} {
		var parts []privacy.Part
		for _, name := range names {
			parts = append(parts, &part{name: name})
		}
		_, err := privacy.New(privacy.Options{
			Store: h.store.Privacy(), Chats: h.chats, Accounts: h.accounts, Files: h.files, Folder: t.TempDir(), Parts: parts,
		})
		if err == nil {
			t.Errorf("parts named %q are accepted", names)
		}
	}
}

// TestS37_TicketsOfAPerson exports and erases with a real part, and looks everywhere for
// what was written.
func TestS37_TicketsOfAPerson(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		users := h.users("root", "anna", "boris")
		root, anna, boris := users[0], users[1], users[2]
		s := tickets.NewService(tickets.Options{Store: h.store.Tickets(), Clock: h.clock})
		h.parts = []privacy.Part{s.Personal()}
		h.start(-1)
		own, shot := h.upload(anna, "own.txt", "zownz"), h.upload(root, "shot.txt", "zshotz")
		th, err := s.Open(ctx, tickets.Caller{User: anna, Actor: event.User(anna)}, tickets.New{Title: "ztitlez", Text: "zaskedz", Files: []tickets.File{{ID: own}}})
		h.must(err)
		_, _, err = s.Reply(ctx, tickets.Caller{User: root, Operator: true, Actor: event.User(root)}, th.Ticket.ID, "zansweredz", []tickets.File{{ID: shot, Caption: "zcaptionz"}})
		h.must(err)
		_, err = s.Open(ctx, tickets.Caller{User: boris, Actor: event.User(boris)}, tickets.New{Title: "zotherz", Text: "zotherz"})
		h.must(err)

		content := h.export(anna)
		page := content[fmt.Sprintf("tickets/%d.json", th.Ticket.ID)]
		for _, text := range []string{"ztitlez", "zaskedz", "zansweredz", "zcaptionz", own, shot} {
			if !strings.Contains(page, text) {
				t.Errorf("the export lacks %s: %s", text, page)
			}
		}
		if content["files/"+own+".txt"] != "zownz" || content["files/"+shot+".txt"] != "zshotz" || strings.Contains(fmt.Sprint(content), "zotherz") {
			t.Errorf("the export has %v", slices.Sorted(maps.Keys(content)))
		}
		if content := h.export(boris); strings.Contains(fmt.Sprint(content), "zaskedz") || !strings.Contains(fmt.Sprint(content), "zotherz") {
			t.Errorf("the export of somebody else has %v", slices.Sorted(maps.Keys(content)))
		}

		_, err = h.privacy.RequestErasure(ctx, anna, privacy.Anonymize, 0)
		h.must(err)
		h.work()
		for _, text := range []string{"ztitlez", "zaskedz", "zansweredz", "zcaptionz", "zownz"} {
			h.gone(text)
			h.goneFromFiles(text)
		}
		if h.count(`SELECT count(*) FROM tickets`) != 1 || h.count(`SELECT count(*) FROM ticket_files`) != 0 {
			t.Error("the wrong tickets are gone")
		}
	})
}
