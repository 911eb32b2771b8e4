package privacy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/privacy"
)

// Texts that are nowhere else. What vera wrote has wrote in it, what describes her self,
// what others wrote kept.
const (
	self  = "zselfz"
	wrote = "zwrotez"
	kept  = "zkeptz"
)

// stage is a person who left traces everywhere.
type stage struct {
	*harness
	vera, anna, boris                        int64
	direct, group, owned, alone, left, saved int64
	answered, forwarded, joint               chat.Message
}

func set(h *harness) *stage {
	ctx := h.t.Context()
	s := &stage{harness: h}
	_, _, err := h.accounts.EnsureAdmin(ctx, identity.NewAccount{Name: "root", Username: "root", Password: password})
	h.must(err)
	by := h.register(self, self)
	s.vera = by.User
	ids := h.users("anna", "boris")
	s.anna, s.boris = ids[0], ids[1]
	s.profile(by)
	s.group = h.group(s.anna, "Group", s.vera, s.boris)
	s.owned = h.group(s.vera, "Owned", s.boris, s.anna)
	s.alone = h.group(s.vera, "Of nobody else")
	s.left = h.group(s.anna, "Left", s.vera)
	s.direct = h.direct(s.vera, s.anna)
	v, err := h.chats.Saved(ctx, s.vera)
	h.must(err)
	s.saved = v.Chat.ID
	s.talk()
	h.must(h.chats.Leave(ctx, s.vera, s.left))
	h.must(h.chats.SetRole(ctx, s.vera, s.owned, s.anna, chat.Admin))
	draft := json.RawMessage(`{"text":"` + self + ` draft"}`)
	_, err = h.chats.SetState(ctx, s.vera, s.group, chat.StateChange{Draft: &draft})
	h.must(err)
	_, err = h.chats.CreateInvite(ctx, s.vera, s.owned, time.Hour, 5)
	h.must(err)
	h.exec(`INSERT INTO idempotency (principal, key, request, status, response, created_at) VALUES ($1, 'k', 'r', 200, $2, $3)`,
		event.User(s.vera), self+" reply", h.clock().UnixMilli())
	job, err := h.privacy.RequestExport(ctx, s.vera)
	h.must(err)
	h.work()
	if e, err := h.privacy.Export(ctx, s.vera, job); err != nil || e.State != privacy.Done {
		h.t.Fatalf("export before the erasure: %+v, %v", e, err)
	}
	return s
}

// profile fills in what belongs to the account.
func (s *stage) profile(by identity.Caller) {
	ctx := s.t.Context()
	s.must(s.chats.RequestContact(ctx, s.vera, s.anna))
	s.must(s.chats.AcceptContact(ctx, s.anna, s.vera))
	s.must(s.chats.RequestContact(ctx, s.vera, s.boris))
	other := s.users("ivan")[0]
	s.must(s.chats.Block(ctx, s.vera, other))
	s.exec(`UPDATE users SET picture = $1, last_seen_at = 7, external_id = $2 WHERE id = $3`, "https://example.com/"+self, self+" outside", s.vera)
	s.exec(`INSERT INTO idempotency (principal, key, request, status, response, created_at) VALUES ($1, 'k', '', 201, $2, 7)`,
		event.User(s.anna), fmt.Sprintf(`{"id":5,"title":"%s","companion":{"id":%d,"name":"%[1]s"}}`, self, s.vera))
	s.must(s.accounts.SetRole(ctx, identity.Operator("test"), s.vera, identity.RoleAdmin))
	by.Role = identity.RoleAdmin // which has ended the session
	_, err := s.accounts.Login(ctx, self, password, identity.Device{Name: self + " tablet", Address: address(self)})
	s.must(err)
	_, _, err = s.accounts.CreateKey(ctx, by, self+" key", nil, 0)
	s.must(err)
}

// talk writes to all chats.
func (s *stage) talk() {
	ctx := s.t.Context()
	file := s.upload(s.vera, self+".txt", self+" content")
	text := func(v string) *string { return &v }
	for _, id := range []int64{s.group, s.owned, s.alone, s.left, s.direct, s.saved} {
		m := s.send(s.vera, id, wrote+" first")
		_, err := s.chats.Edit(ctx, s.vera, m.ID, chat.Editing{Text: text(wrote + " edited")})
		s.must(err)
	}
	s.joint = s.post(s.vera, s.group, chat.Sending{Text: wrote + " with file", Files: []chat.Attachment{{ID: file, Caption: self + " caption"}}})
	s.post(s.vera, s.direct, chat.Sending{Files: []chat.Attachment{{ID: file}}, Metadata: json.RawMessage(`{"a":"` + wrote + `"}`)})
	s.send(s.vera, s.group, wrote+" for @anna") // she gets a notice
	m := s.post(s.anna, s.group, chat.Sending{Text: kept + " for somebody", Mentions: []int64{s.vera}})
	_, err := s.chats.React(ctx, s.vera, m.ID, "👍", true)
	s.must(err)
	_, err = s.chats.React(ctx, s.anna, s.joint.ID, "👍", true)
	s.must(err)
	s.answered = s.post(s.anna, s.group, chat.Sending{Text: kept + " answer", ReplyTo: s.joint.ID})
	copies, err := s.chats.Forward(ctx, s.anna, []int64{s.joint.ID}, []int64{s.owned}, "")
	s.must(err)
	s.forwarded = copies[0]
	s.must(s.chats.Delete(ctx, s.vera, []int64{m.ID}, false))
}

func (h *harness) mustBe(err, want error) {
	h.t.Helper()
	if !errors.Is(err, want) {
		h.t.Fatalf("error is %v, want %v", err, want)
	}
}

// check looks at everything after an erasure.
func (s *stage) check(mode string) {
	s.t.Helper()
	ctx := s.t.Context()
	s.gone(self)
	s.gone(address(self))
	s.goneFromFiles(self)
	if len(s.find(kept)) == 0 {
		s.t.Error("what others wrote is gone")
	}
	if left := s.count(`SELECT count(*) FROM messages WHERE sender_id = $1 AND text <> ''`, s.vera); (left == 0) != (mode == privacy.Erase) {
		s.t.Errorf("%d texts are left after mode %s", left, mode)
	}
	acc, err := s.accounts.Account(ctx, s.vera)
	if err != nil || acc.State != identity.StateDeleted || acc.Name != "Deleted account" || acc.LastSeenAt != 0 || acc.Role != identity.RoleUser {
		s.t.Errorf("the account is %+v (%v)", acc, err)
	}
	for _, query := range []string{
		`SELECT count(*) FROM sessions WHERE user_id = $1`, `SELECT count(*) FROM api_keys WHERE created_by = $1`,
		`SELECT count(*) FROM contacts WHERE user_id = $1 OR contact_id = $1`, `SELECT count(*) FROM blocks WHERE user_id = $1 OR blocked_id = $1`,
		`SELECT count(*) FROM files WHERE owner_id = $1`, `SELECT count(*) FROM file_usage WHERE owner_id = $1`,
		`SELECT count(*) FROM mentions WHERE user_id = $1`, `SELECT count(*) FROM message_hidden WHERE user_id = $1`,
		`SELECT count(*) FROM invites WHERE created_by = $1`, `SELECT count(*) FROM jobs WHERE user_id = $1 AND kind = 'export'`,
		`SELECT count(*) FROM members AS i JOIN chats AS c ON c.id = i.chat_id WHERE i.user_id = $1 AND i.state = 'active' AND c.kind <> 'direct'`,
	} {
		if n := s.count(query, s.vera); n != 0 {
			s.t.Errorf("%d rows: %s", n, query)
		}
	}
	if n := s.count(`SELECT count(*) FROM events WHERE type = 'session.revoked' AND payload LIKE '%deleted%'`); n == 0 {
		s.t.Error("no event tells that the session was revoked")
	}
	s.checkChats(mode)
	s.checkStreams()
}

func (s *stage) checkChats(mode string) {
	s.t.Helper()
	ctx := s.t.Context()
	v, err := s.chats.Chat(ctx, s.anna, s.owned)
	if err != nil || v.Chat.Owner != s.anna || v.Member.Role != chat.Owner || v.Chat.MemberCount != 2 {
		s.t.Errorf("the group that had its owner erased is %+v (%v), want anna's", v.Chat, err)
	}
	for _, id := range []int64{s.alone, s.saved} {
		if n := s.count(`SELECT count(*) FROM messages WHERE chat_id = $1`, id); n != 0 {
			s.t.Errorf("chat %d of nobody has %d messages", id, n)
		}
		if n := s.count(`SELECT count(*) FROM chats WHERE id = $1 AND state = 'active'`, id); n != 0 {
			s.t.Errorf("chat %d of nobody has not ended", id)
		}
		if n := s.count(`SELECT count(*) FROM chats WHERE id = $1 AND title <> ''`, id); n != 0 {
			s.t.Errorf("chat %d of nobody has a title", id)
		}
	}
	if v, err = s.chats.Chat(ctx, s.anna, s.direct); err != nil || v.Companion == nil || v.Companion.Name != "Deleted account" {
		s.t.Errorf("the direct chat is %+v (%v), want one with a deleted account", v, err)
	}
	m, _, err := s.chats.Message(ctx, s.anna, s.answered.ID)
	if err != nil || m.ReplyTo == nil || m.ReplyTo.Name != "Deleted account" || m.ReplyTo.Deleted != (mode == privacy.Erase) || (m.ReplyTo.Text == "") != (mode == privacy.Erase) {
		s.t.Errorf("the answer quotes %+v (%v)", m.ReplyTo, err)
	}
	m, _, err = s.chats.Message(ctx, s.anna, s.forwarded.ID)
	if err != nil || m.Forward == nil || m.Forward.Name != "Deleted account" || m.Text == "" || len(m.Files) != 0 {
		s.t.Errorf("the forwarded message is %+v (%v), want its text without name and file", m, err)
	}
	m, _, err = s.chats.Message(ctx, s.anna, s.joint.ID)
	if err != nil || m.Deleted() != (mode == privacy.Erase) || len(m.Files) != 0 {
		s.t.Errorf("the message with a file is %+v (%v)", m, err)
	}
}

// checkStreams looks for gaps in the numbers of chats.
func (s *stage) checkStreams() {
	s.t.Helper()
	for _, id := range []int64{s.group, s.owned, s.alone, s.left, s.direct, s.saved} {
		last := s.count(`SELECT last_event_seq FROM chats WHERE id = $1`, id)
		n := s.count(`SELECT count(DISTINCT stream_seq) FROM events WHERE stream = $1 AND stream_seq BETWEEN 1 AND $2`, event.ChatStream(id), last)
		if n != last {
			s.t.Errorf("chat %d has %d of %d events", id, n, last)
		}
	}
}

func TestS37_ErasureLeavesNothing(t *testing.T) {
	for _, mode := range []string{privacy.Anonymize, privacy.Erase} {
		t.Run(mode, func(t *testing.T) {
			each(t, 0, func(t *testing.T, h *harness) {
				s := set(h)
				if len(h.find(self)) < 20 || len(h.find(wrote)) < 20 {
					t.Fatalf("the stage has only %d and %d traces", len(h.find(self)), len(h.find(wrote)))
				}
				e, err := h.privacy.RequestErasure(t.Context(), s.vera, mode, 7*24*time.Hour)
				h.must(err)
				h.pass(7*24*time.Hour - time.Minute)
				h.work()
				if acc, err := h.accounts.Account(t.Context(), s.vera); err != nil || acc.State != identity.StateActive {
					t.Fatalf("within the grace the account is %s (%v)", acc.State, err)
				}
				if again, err := h.privacy.Erasure(t.Context(), s.vera); err != nil || again != e || again.State != privacy.Waiting {
					t.Errorf("within the grace the erasure is %+v (%v), want %+v", again, err, e)
				}
				h.pass(2 * time.Minute)
				h.work()
				s.check(mode)
				if mode == privacy.Erase {
					// What anna forwarded is hers.
					h.must(h.chats.Delete(t.Context(), s.anna, []int64{s.forwarded.ID}, true))
					h.gone(wrote)
				}
				if _, err := h.privacy.Erasure(t.Context(), s.vera); !errors.Is(err, privacy.ErrNotFound) {
					t.Errorf("afterwards the erasure is %v", err)
				}
			})
		})
	}
}

// TestS37_ErasureSurvivesCrashes ends the process after each step in turn.
func TestS37_ErasureSurvivesCrashes(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		s := set(h)
		_, err := h.privacy.RequestErasure(t.Context(), s.vera, privacy.Erase, 0)
		h.must(err)
		crashes := 0
		for ; crashes < 200; crashes++ {
			h.start(3) // the claim, one step, and the end of the next
			err := h.privacy.Work(t.Context())
			if !errors.Is(err, errCrash) {
				h.must(err)
				break
			}
			h.pass(3 * time.Minute) // till the lease is over
		}
		if crashes < 10 {
			t.Errorf("only %d crashes were survived", crashes)
		}
		h.start(-1)
		h.pass(3 * time.Minute)
		h.work()
		s.check(privacy.Erase)
	})
}

func TestErasureCanBeTakenBack(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		vera := h.users("vera")[0]
		h.mustBe(h.privacy.CancelErasure(ctx, vera), privacy.ErrNotFound)
		first, err := h.privacy.RequestErasure(ctx, vera, privacy.Anonymize, time.Hour)
		h.must(err)
		second, err := h.privacy.RequestErasure(ctx, vera, privacy.Erase, 2*time.Hour)
		h.must(err)
		if second.Job != first.Job || second.Mode != privacy.Erase || second.DueAt != first.DueAt+time.Hour.Milliseconds() {
			t.Errorf("asked again it is %+v, was %+v", second, first)
		}
		h.must(h.privacy.CancelErasure(ctx, vera))
		h.pass(3 * time.Hour)
		h.work()
		if acc, err := h.accounts.Account(ctx, vera); err != nil || acc.State != identity.StateActive {
			t.Errorf("the account is %s (%v), want active", acc.State, err)
		}
		_, err = h.privacy.RequestErasure(ctx, vera, "everything", 0)
		h.mustBe(err, privacy.ErrMode)
		_, err = h.privacy.RequestErasure(ctx, 99, privacy.Erase, 0)
		h.mustBe(err, privacy.ErrNotFound)
		_, err = h.privacy.RequestErasure(ctx, vera, privacy.Erase, 0)
		h.must(err)
		h.work()
		_, err = h.privacy.RequestErasure(ctx, vera, privacy.Erase, 0)
		h.mustBe(err, privacy.ErrNotFound)
	})
}

func TestLastAdministratorStays(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		acc, _, err := h.accounts.EnsureAdmin(t.Context(), identity.NewAccount{Name: "root", Username: "root", Password: password})
		h.must(err)
		_, err = h.privacy.RequestErasure(t.Context(), acc.ID, privacy.Erase, 0)
		h.mustBe(err, privacy.ErrLastAdmin)
	})
}

func TestLegalHoldStopsErasure(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		s := set(h)
		h.must(h.privacy.HoldUser(ctx, s.vera, true))
		_, err := h.privacy.RequestErasure(ctx, s.vera, privacy.Erase, 0)
		h.must(err)
		before := h.find(self)
		h.work()
		if after := h.find(self); !slices.Equal(before, after) {
			t.Errorf("under legal hold %d of %d traces are left", len(after), len(before))
		}
		// The hold on her ends, one on a chat begins.
		h.must(h.privacy.HoldUser(ctx, s.vera, false))
		h.must(h.privacy.HoldChat(ctx, s.group, true))
		h.pass(61 * time.Minute)
		h.work()
		held := h.count(`SELECT count(*) FROM messages WHERE chat_id = $1 AND deleted_at = 0`, s.group)
		if n := h.count(`SELECT count(*) FROM messages WHERE sender_id = $1 AND deleted_at = 0 AND chat_id <> $2`, s.vera, s.group); n != 0 || held != 6 {
			t.Errorf("%d messages are left elsewhere, %d in the chat under hold", n, held)
		}
		if len(h.find(self+" content")) != 1 {
			t.Error("the file in the chat under hold is gone")
		}
		h.pass(61 * time.Minute)
		h.work() // nothing has changed
		h.must(h.privacy.HoldChat(ctx, s.group, false))
		h.pass(61 * time.Minute)
		h.work()
		s.check(privacy.Erase)
	})
}
