package privacy

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
)

// exportPage is how many messages are in memory at a time.
const exportPage = 200

// keepEvery is how often an export says that it is going on.
const keepEvery = 20 * time.Second

// archive writes one export. Only the ids of files are held in memory, everything else
// passes through.
type archive struct {
	s    *Service
	r    *running
	user int64
	zip  *zip.Writer
	// files are the ids of files that messages have, in order.
	files []string
	known map[string]bool
	// others counts the bytes of files of other people.
	others int64
	chats  []chatCopy
	kept   time.Time
}

func newArchive(s *Service, r *running, w io.Writer) *archive {
	return &archive{s: s, r: r, user: r.User, zip: zip.NewWriter(w), known: make(map[string]bool), kept: s.o.Clock()}
}

func (a *archive) write(ctx context.Context) error {
	me, err := a.person(ctx)
	if err != nil {
		return err
	}
	if err := a.writeChats(ctx); err != nil {
		return err
	}
	if err := a.json("chats.json", a.chats); err != nil {
		return err
	}
	if err := a.writeParts(ctx); err != nil {
		return err
	}
	list, err := a.writeFiles(ctx)
	if err != nil {
		return err
	}
	if err := a.json("files.json", list); err != nil {
		return err
	}
	err = a.page("index.html", func(w io.Writer) error {
		return indexPage.Execute(w, indexData{Me: *me, Chats: a.chats, Files: list, At: a.s.o.Clock()})
	})
	if err != nil {
		return err
	}
	return a.zip.Close()
}

// create begins a file of the archive.
func (a *archive) create(name string) (io.Writer, error) {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: a.s.o.Clock().UTC()})
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", name, err)
	}
	return w, nil
}

func (a *archive) json(name string, v any) error {
	return a.page(name, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	})
}

func (a *archive) page(name string, f func(io.Writer) error) error {
	w, err := a.create(name)
	if err == nil {
		err = f(w)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// alive tells now and then that the export is going on, and notices if it is not ours
// any more.
func (a *archive) alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := a.s.o.Clock()
	if now.Sub(a.kept).Abs() < keepEvery {
		return nil
	}
	a.kept = now
	return a.s.keep(ctx, a.r, struct{}{})
}

// person writes what is about the person alone.
func (a *archive) person(ctx context.Context) (*profileCopy, error) {
	acc, err := a.s.o.Accounts.Account(ctx, a.user)
	if err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	me := copyProfile(&acc)
	err = a.s.store.View(ctx, func(tx Tx) error {
		sessions, err := tx.SessionsOf(ctx, a.user)
		me.Sessions = copySessions(sessions)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	contacts, err := a.s.o.Chats.Contacts(ctx, a.user)
	if err != nil {
		return nil, fmt.Errorf("read contacts: %w", err)
	}
	blocked, err := a.s.o.Chats.Blocks(ctx, a.user)
	if err != nil {
		return nil, fmt.Errorf("read blocked people: %w", err)
	}
	me.Contacts, me.Blocked = copyContacts(contacts), copyPeople(blocked)
	return me, errors.Join(
		a.json("profile.json", me.profile()), a.json("sessions.json", me.Sessions),
		a.json("contacts.json", me.Contacts), a.json("blocked.json", me.Blocked))
}

func (a *archive) writeChats(ctx context.Context) error {
	a.chats = []chatCopy{}
	for after := int64(0); ; {
		var ids []int64
		err := a.s.store.View(ctx, func(tx Tx) (err error) {
			ids, err = tx.MemberChats(ctx, a.user, after, exportPage)
			return err
		})
		if err != nil {
			return fmt.Errorf("list chats: %w", err)
		}
		for _, id := range ids {
			if err := a.writeChat(ctx, id); err != nil {
				return fmt.Errorf("chat %d: %w", id, err)
			}
			after = id
		}
		if len(ids) < exportPage {
			return nil
		}
	}
}

// writeChat writes the messages of a chat, for programs and for people.
func (a *archive) writeChat(ctx context.Context, id int64) error {
	v, err := a.s.o.Chats.Chat(ctx, a.user, id)
	if errors.Is(err, chat.ErrNotFound) {
		return nil // left meanwhile
	}
	if err != nil {
		return err
	}
	c := copyChat(&v)
	folder := path.Join("chats", fmt.Sprint(id))
	c.Folder = folder
	w, err := a.create(path.Join(folder, "messages.json"))
	if err != nil {
		return err
	}
	list := jsonList{w: w}
	err = a.messages(ctx, id, func(m *chat.Message) error {
		c.Messages++
		a.note(m)
		return list.add(copyMessage(m))
	})
	if err = errors.Join(err, list.end()); err != nil {
		return err
	}
	err = a.page(path.Join(folder, "messages.html"), func(w io.Writer) error {
		if err := chatHead.Execute(w, c); err != nil {
			return err
		}
		err := a.messages(ctx, id, func(m *chat.Message) error { return messageRow.Execute(w, rowOf(m, a.user)) })
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, chatFoot)
		return err
	})
	if err != nil {
		return err
	}
	a.chats = append(a.chats, c)
	return nil
}

// messages calls f for each message of a chat that the person sees, the oldest first. It
// asks as the person would, so what the person does not see is not there.
func (a *archive) messages(ctx context.Context, id int64, f func(*chat.Message) error) error {
	q := chat.PageQuery{Limit: exportPage} // from the oldest: offset 0
	for {
		p, err := a.s.o.Chats.Messages(ctx, a.user, id, q)
		if errors.Is(err, chat.ErrNotFound) {
			return nil // left meanwhile
		}
		if err != nil {
			return fmt.Errorf("read messages: %w", err)
		}
		for i := range p.Messages {
			if err := f(&p.Messages[i]); err != nil {
				return err
			}
		}
		if !p.After || len(p.Messages) == 0 {
			return nil
		}
		if err := a.alive(ctx); err != nil {
			return err
		}
		q.After, q.Offset = p.Messages[len(p.Messages)-1].Seq, -1
	}
}

// note remembers the files of a message.
func (a *archive) note(m *chat.Message) {
	for _, f := range m.Files {
		a.noteFiles(f.ID)
	}
}

func (a *archive) noteFiles(ids ...string) {
	for _, id := range ids {
		if id != "" && !a.known[id] {
			a.known[id] = true
			a.files = append(a.files, id)
		}
	}
}

// writeFiles writes the files that the person uploaded, and then those of messages.
func (a *archive) writeFiles(ctx context.Context) ([]fileCopy, error) {
	list := []fileCopy{}
	add := func(id string) error {
		f, err := a.writeFile(ctx, id)
		if err == nil && f.ID != "" {
			list = append(list, f)
		}
		return err
	}
	own := make(map[string]bool)
	for after := ""; ; {
		var ids []string
		err := a.s.store.View(ctx, func(tx Tx) (err error) {
			ids, err = tx.OwnFiles(ctx, a.user, after, exportPage)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list files: %w", err)
		}
		for _, id := range ids {
			if err := add(id); err != nil {
				return nil, err
			}
			own[id], after = true, id
		}
		if len(ids) < exportPage {
			break
		}
	}
	for _, id := range a.files {
		if own[id] {
			continue
		}
		if err := add(id); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// writeFile writes one file, unless it is another person's and too much of others' is
// there already. What cannot be read any more is not there.
func (a *archive) writeFile(ctx context.Context, id string) (fileCopy, error) {
	if err := a.alive(ctx); err != nil {
		return fileCopy{}, err
	}
	r, f, err := a.s.openFile(ctx, a.user, id)
	if err != nil || r == nil {
		return fileCopy{}, err
	}
	defer r.Close()
	c := copyFile(&f)
	c.Own = f.Owner == a.user
	if !c.Own {
		if a.others+f.Size > a.s.o.ExportBytes {
			c.LeftOut = true
			return c, nil
		}
		a.others += f.Size
	}
	c.Path = "files/" + f.ID + extension(f.Name)
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: c.Path, Method: zip.Store, Modified: time.UnixMilli(f.CreatedAt).UTC()})
	if err != nil {
		return c, fmt.Errorf("begin %s: %w", c.Path, err)
	}
	if _, err := io.Copy(w, &watched{r, a, ctx}); err != nil {
		return c, fmt.Errorf("copy file: %w", err)
	}
	return c, nil
}

// watched reads a file and keeps the job meanwhile.
type watched struct {
	io.Reader
	a   *archive
	ctx context.Context //nolint:containedctx // it lives as long as the copying of one file
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.a.alive(w.ctx); err != nil {
		return 0, err
	}
	return w.Reader.Read(p)
}

var plainExtension = regexp.MustCompile(`^\.[a-z0-9]{1,8}$`)

// extension is how the name of a file ends, if that is harmless on every system.
func extension(name string) string {
	if e := strings.ToLower(path.Ext(name)); plainExtension.MatchString(e) {
		return e
	}
	return ""
}

// jsonList writes a JSON array piece by piece.
type jsonList struct {
	w     io.Writer
	begun bool
}

func (l *jsonList) add(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode entry: %w", err)
	}
	sep := ",\n"
	if !l.begun {
		l.begun, sep = true, "[\n"
	}
	_, err = l.w.Write(append([]byte(sep), b...))
	return err
}

func (l *jsonList) end() error {
	closing := "\n]\n"
	if !l.begun {
		closing = "[]\n"
	}
	_, err := io.WriteString(l.w, closing)
	return err
}
