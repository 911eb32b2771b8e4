package privacy_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/privacy"
)

// export makes an export of user and returns what is in it, by name.
func (h *harness) export(user int64) map[string]string {
	h.t.Helper()
	job, err := h.privacy.RequestExport(h.t.Context(), user)
	h.must(err)
	h.work()
	f, e, err := h.privacy.OpenExport(h.t.Context(), user, job)
	h.must(err)
	defer f.Close()
	b, err := io.ReadAll(f)
	h.must(err)
	if int64(len(b)) != e.Size {
		h.t.Errorf("the export has %d bytes, told %d", len(b), e.Size)
	}
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	h.must(err)
	content := make(map[string]string)
	for _, f := range r.File {
		rc, err := f.Open()
		h.must(err)
		b, err := io.ReadAll(rc)
		h.must(errors.Join(err, rc.Close()))
		content[f.Name] = string(b)
	}
	return content
}

type exported struct {
	ID   int64  `json:"id"`
	Text string `json:"text"`
}

// messagesIn are the texts of all messages of an export, by id.
func (h *harness) messagesIn(content map[string]string) map[int64]string {
	h.t.Helper()
	found := make(map[int64]string)
	for name, text := range content {
		if !strings.HasSuffix(name, "/messages.json") {
			continue
		}
		var list []exported
		h.must(json.Unmarshal([]byte(text), &list))
		for _, m := range list {
			found[m.ID] = m.Text
		}
		if page := content[strings.TrimSuffix(name, "json")+"html"]; strings.Count(page, "<article") != len(list) {
			h.t.Errorf("%s has %d messages, its page %d", name, len(list), strings.Count(page, "<article"))
		}
	}
	return found
}

const visible = `SELECT m.id, m.text FROM messages AS m, members AS i, chats AS c WHERE i.user_id = $1 AND i.chat_id = m.chat_id AND c.id = m.chat_id
	AND i.state = 'active' AND c.state = 'active' AND m.seq > i.visible_from_seq AND m.deleted_at = 0
	AND NOT EXISTS (SELECT 1 FROM message_hidden AS h WHERE h.user_id = $1 AND h.message_id = m.id)`

func (h *harness) visibleTo(user int64) map[int64]string {
	h.t.Helper()
	rows, err := h.raw.QueryContext(h.t.Context(), visible, user)
	h.must(err)
	defer rows.Close()
	found := make(map[int64]string)
	for rows.Next() {
		var id int64
		var text string
		h.must(rows.Scan(&id, &text))
		found[id] = text
	}
	h.must(rows.Err())
	return found
}

// TestS37_ExportIsComplete compares exports after a random history with a look at every
// row.
func TestS37_ExportIsComplete(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx, rnd := t.Context(), rand.New(rand.NewPCG(1, 2))
		users := h.users("anna", "boris", "vera", "grisha")
		var chats []int64
		for i := range 4 {
			chats = append(chats, h.group(users[i], fmt.Sprint("group ", i), users...))
		}
		for i := 1; i < 4; i++ {
			chats = append(chats, h.direct(users[0], users[i]))
		}
		var sent []chat.Message
		for i := range 400 {
			user, id := users[rnd.IntN(4)], chats[rnd.IntN(len(chats))]
			switch k := rnd.IntN(20); {
			case k < 14:
				m, _, err := h.chats.Send(ctx, user, id, chat.Sending{Text: fmt.Sprint("text ", i)})
				if err == nil {
					sent = append(sent, m)
				}
			case k < 17 && len(sent) > 0:
				_ = h.chats.Delete(ctx, user, []int64{sent[rnd.IntN(len(sent))].ID}, k == 14)
			case k == 17:
				_ = h.chats.Leave(ctx, user, id)
			case k == 18:
				_, _, _ = h.chats.AddMembers(ctx, users[rnd.IntN(4)], id, []int64{user})
			case rnd.IntN(10) == 0:
				_ = h.chats.Clear(ctx, user, id)
			}
		}
		// More than one page.
		for i := range 450 {
			h.send(users[0], chats[4], fmt.Sprint("page ", i))
		}
		for _, user := range users {
			got, want := h.messagesIn(h.export(user)), h.visibleTo(user)
			if !maps.Equal(got, want) || len(want) < 20 {
				t.Errorf("the export of user %d has %d messages, %d are visible", user, len(got), len(want))
			}
		}
	})
}

// TestS15_ExportHasNothingOfOthers looks for what a person must not see.
func TestS15_ExportHasNothingOfOthers(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		users := h.users("anna", "boris", "vera")
		anna, boris, vera := users[0], users[1], users[2]
		foreign, shared := h.group(boris, "zforeignz", vera), h.group(boris, "shared", anna, vera)
		h.send(boris, foreign, "zsecretz")
		m := h.send(boris, shared, "zdeletedz")
		h.must(h.chats.Delete(ctx, boris, []int64{m.ID}, true))
		m = h.send(boris, shared, "zhiddenz")
		h.must(h.chats.Delete(ctx, anna, []int64{m.ID}, false))
		h.post(boris, foreign, chat.Sending{Files: []chat.Attachment{{ID: h.upload(boris, "a.txt", "zforeign filez")}}})
		h.post(boris, shared, chat.Sending{Text: "have it", Files: []chat.Attachment{{ID: h.upload(boris, "../zевилz.TXT", "zshared filez")}}})
		own := h.upload(anna, "mine.txt", "zown filez")
		job, err := h.privacy.RequestExport(ctx, anna)
		h.must(err)
		_, _, err = h.privacy.OpenExport(ctx, anna, job)
		h.mustBe(err, privacy.ErrNotReady)
		content := h.export(anna)
		all := fmt.Sprint(content)
		for _, text := range []string{"zforeignz", "zsecretz", "zdeletedz", "zhiddenz", "zforeign filez", "refresh_hash", "argon2"} {
			if strings.Contains(all, text) {
				t.Errorf("the export has %q", text)
			}
		}
		for _, text := range []string{"zown filez", "zshared filez", "anna@example.com", "agent anna", "about anna", address("anna")} {
			if !strings.Contains(all, text) {
				t.Errorf("the export lacks %q", text)
			}
		}
		if content["files/"+own+".txt"] != "zown filez" {
			t.Errorf("the file is not in its place among %v", slices.Sorted(maps.Keys(content)))
		}
		for name := range content {
			if strings.Contains(name, "..") || strings.HasPrefix(name, "/") || strings.ContainsAny(name, `\:`) {
				t.Errorf("%q is a dangerous name", name)
			}
		}
		for _, stranger := range []int64{boris, vera, 0} {
			_, err = h.privacy.Export(ctx, stranger, job)
			h.mustBe(err, privacy.ErrNotFound)
			_, _, err = h.privacy.OpenExport(ctx, stranger, job)
			h.mustBe(err, privacy.ErrNotFound)
		}
		_, err = h.privacy.RequestExport(ctx, 99)
		h.mustBe(err, privacy.ErrNotFound)
	})
}

// TestS33_ExportIsEscaped writes what would be markup wherever people can write.
func TestS33_ExportIsEscaped(t *testing.T) {
	const evil = `</p></article><script>alert(1)</script><img src=x onerror="alert(2)">`
	each(t, 0, func(t *testing.T, h *harness) {
		users := h.users("anna", "boris")
		h.exec(`UPDATE users SET name = $1, about = $1`, evil)
		id := h.group(users[0], "T"+evil, users[1])
		m := h.send(users[1], id, evil)
		h.post(users[1], id, chat.Sending{Text: evil, ReplyTo: m.ID, Files: []chat.Attachment{{ID: h.upload(users[1], `"><script>.txt`, "x")}}})
		for name, text := range h.export(users[0]) {
			if !strings.HasSuffix(name, ".html") {
				continue
			}
			if strings.Contains(text, "<script") || strings.Contains(text, "<img") || !strings.Contains(text, "default-src 'none'") {
				t.Errorf("%s is not harmless:\n%s", name, text)
			}
			if !strings.Contains(text, "&lt;script&gt;alert(1)") {
				t.Errorf("%s does not show what was written", name)
			}
		}
	})
}

func TestExportsAreKeptForAWhile(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		ctx := t.Context()
		anna := h.users("anna")[0]
		first, err := h.privacy.RequestExport(ctx, anna)
		h.must(err)
		h.work()
		list := func() []string {
			entries, err := os.ReadDir(filepath.Join(h.folder, "exports"))
			h.must(err)
			var names []string
			for _, e := range entries {
				info, err := e.Info()
				h.must(err)
				if info.Mode().Perm() != 0o600 {
					t.Errorf("%s has mode %v", e.Name(), info.Mode())
				}
				names = append(names, e.Name())
			}
			return names
		}
		if got := list(); !slices.Equal(got, []string{first + ".zip"}) {
			t.Errorf("the folder has %v", got)
		}
		second, err := h.privacy.RequestExport(ctx, anna)
		h.must(err)
		if second == first {
			t.Error("a finished export stands in the way of a new one")
		}
		h.work()
		if got := list(); !slices.Equal(got, []string{second + ".zip"}) {
			t.Errorf("after a second export the folder has %v", got)
		}
		h.pass(7*24*time.Hour - time.Minute)
		h.work()
		if e, err := h.privacy.Export(ctx, anna, second); err != nil || e.ExpiresAt != h.clock().Add(time.Minute).UnixMilli() {
			t.Errorf("before its end the export is %+v (%v)", e, err)
		}
		h.pass(time.Minute)
		_, err = h.privacy.Export(ctx, anna, second)
		h.mustBe(err, privacy.ErrNotFound)
		h.work()
		if got := list(); len(got) != 0 {
			t.Errorf("after its end the folder has %v", got)
		}
	})
}

func TestExportSurvivesCrashes(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		users := h.users("anna", "boris")
		h.send(users[0], h.direct(users[0], users[1]), "Привет")
		job, err := h.privacy.RequestExport(t.Context(), users[0])
		h.must(err)
		for n := 1; n < 6; n++ {
			h.start(n)
			if err := h.privacy.Work(t.Context()); !errors.Is(err, errCrash) {
				break
			}
			h.pass(3 * time.Minute)
		}
		h.start(-1)
		h.work()
		if e, err := h.privacy.Export(t.Context(), users[0], job); err != nil || e.State != privacy.Done {
			t.Errorf("after crashes the export is %+v (%v)", e, err)
		}
	})
}
