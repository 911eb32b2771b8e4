package servertest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/servertest"
)

// smallDisk mounts a file system of so many MiB, whose folder it returns.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", mib))
	if errors.Is(err, syscall.EPERM) {
		t.Skip("mounting a small disk needs root")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the server's end, so that nothing is open there
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fillUp fills the disk of a folder to the last byte, also what others give back, until
// the function it returns is called, which empties it again.
func fillUp(t *testing.T, dir string) (empty func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(filepath.Clean(name))
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := errors.Join(f.Close(), os.Remove(name)); err != nil {
			t.Error(err)
		}
	}
}

// The disk of the data folder gets full to the last byte, twice, while people write, read
// and upload. Whatever needs room is answered with 503 and when to come back, what does
// not need it goes on, nothing is damaged, and within 5 s of room all is well again.
func TestR27_AFullDisk(t *testing.T) {
	disk := smallDisk(t, 64)
	options := ledgerOptions(filepath.Join(disk, "data"), servertest.Flag("auth.registration", "open"),
		servertest.Config(`{"channel": {"namespaces": [{"name": "news", "allow_subscribe_for_client": true}]}}`))
	p := servertest.Binary(t, options...)
	l := newLedger()
	l.at(p.URL)
	people, chats := l.people(t, 4, 2)
	written := &answers{begun: map[int][]time.Time{}}
	l.http.Transport = written
	key := p.APIKey()
	live := must(t)(connect(p.WSURL, p.Token("reader"), nil))
	if _, err := live.call(`{"id":2,"subscribe":{"channel":"news:today"}}`); err != nil {
		t.Fatal(err)
	}
	c := newCollector(l, people[3], chats)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers, reader sync.WaitGroup
	reading, stopReading := context.WithCancel(t.Context())
	defer stopReading()
	reader.Go(func() { c.run(reading) })
	for _, id := range []string{"own", "full"} { // sent below
		l.tried[id] = entry{Chat: chats[0], Sender: people[0].id, ClientID: id, Text: "text of " + id}
	}
	for i, w := range people[:3] {
		writers.Go(func() { l.write(ctx, w, "w"+strconv.Itoa(i), chats) })
	}
	acked := func() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.acked) }
	until(t, "messages acknowledged", func() bool { return acked() > 50 })

	content := make([]byte, 300<<10)
	_, _ = rand.Read(content)
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 700, 700))); err != nil {
		t.Fatal(err)
	}
	who := people[0]
	file, fileType := form(t, "a.bin", content)
	photo, photoType := form(t, "a.png", picture.Bytes())
	const inJSON = "application/json"
	begun := request(t, p.URL, who, "POST", "/api/v2/files/uploads", inJSON, []byte(fmt.Sprintf(`{"name":"b.bin","size":%d}`, len(content))))
	var upload struct {
		ID string `json:"upload_id"`
	}
	if err := json.Unmarshal([]byte(begun.body), &upload); err != nil || begun.status != http.StatusCreated {
		t.Fatalf("begin an upload: %+v", begun)
	}
	chat := chats[0]
	own := request(t, p.URL, who, "POST", fmt.Sprintf("/api/v2/chats/%d/messages", chat), inJSON, []byte(`{"text":"text of own","client_id":"own"}`))
	var first struct{ ID int64 }
	if err := json.Unmarshal([]byte(own.body), &first); err != nil || own.status != http.StatusCreated {
		t.Fatalf("send: %+v", own)
	}
	writes := []struct{ method, path, contentType, body string }{
		{"POST", fmt.Sprintf("/api/v2/chats/%d/messages", chat), inJSON, `{"text":"text of full","client_id":"full"}`},
		{"PATCH", fmt.Sprintf("/api/v2/messages/%d", first.ID), inJSON, `{"text":"text of own"}`},
		{"PUT", fmt.Sprintf("/api/v2/messages/%d/reactions/%%F0%%9F%%91%%8D", first.ID), inJSON, ``},
		{"POST", "/api/v2/chats", inJSON, `{"kind":"group","title":"New"}`},
		{"POST", fmt.Sprintf("/api/v2/chats/%d/invites", chat), inJSON, `{}`},
		{"PATCH", "/api/v2/me", inJSON, `{"name":"Renamed"}`},
		{"POST", "/api/v2/auth/login", inJSON, `{"login":"writer1","password":"correct horse battery staple"}`},
		{"POST", "/api/v2/auth/register", inJSON, `{"name":"New","username":"newcomer","password":"correct horse battery staple"}`},
		{"POST", "/api/v2/files", fileType, string(file)},
		{"POST", "/api/v2/files", photoType, string(photo)},
		{"POST", "/api/v2/files/uploads", inJSON, `{"name":"c.bin","size":300}`},
		{"PUT", "/api/v2/files/uploads/" + upload.ID + "?offset=0", "application/octet-stream", string(content)},
	}
	reads := []string{
		fmt.Sprintf("/api/v2/chats/%d/messages?limit=200", chat), "/api/v2/chats", "/api/v2/me", "/api/v2/search/messages?q=writer",
		fmt.Sprintf("/api/v2/chats/%d/members", chat),
	}
	for round := range 2 {
		empty := fillUp(t, disk)
		// What was allocated before may still take some writes.
		until(t, "a write is refused", func() bool {
			written.mu.Lock()
			defer written.mu.Unlock()
			return len(written.begun[http.StatusServiceUnavailable]) > 50
		})
		refused := 0
		for _, w := range writes {
			got := request(t, p.URL, who, w.method, w.path, w.contentType, []byte(w.body))
			switch {
			case got.status == http.StatusServiceUnavailable && got.retry != "" && strings.Contains(got.body, "unavailable"):
				refused++
			case got.status < 300 && len(w.body) < 1000: // a few bytes may fit into what a file has already
			default:
				t.Errorf("round %d: %s %s: %d, Retry-After %q, %.300s", round, w.method, w.path, got.status, got.retry, got.body)
			}
		}
		t.Logf("round %d: %d of %d other writes were refused", round, refused, len(writes))
		for _, path := range reads {
			if got := request(t, p.URL, who, "GET", path, inJSON, nil); got.status != http.StatusOK {
				t.Errorf("round %d: GET %s: %+v", round, path, got)
			}
		}
		for path, want := range map[string]int{"/livez": http.StatusOK, "/health": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
			if got := request(t, p.URL, person{}, "GET", path, inJSON, nil); got.status != want {
				t.Errorf("round %d: %s: %+v, want %d", round, path, got, want)
			}
		}
		publishNews(t, p.URL, key, "full"+strconv.Itoa(round))
		if unit, err := live.next(); err != nil || !strings.Contains(string(unit), "full"+strconv.Itoa(round)) {
			t.Errorf("round %d: the open connection got %s (%v)", round, unit, err)
		}
		if newcomer, err := connect(p.WSURL, p.Token("newcomer"), nil); err != nil {
			t.Errorf("round %d: connect: %v", round, err)
		} else {
			_ = newcomer.Close()
		}

		before := acked()
		empty()
		room := time.Now()
		until(t, "writes go on", func() bool { return acked() > before })
		took := time.Since(room)
		t.Logf("round %d: writes went on after %v", round, took.Round(time.Millisecond))
		if took > 5*time.Second {
			t.Errorf("round %d: writes went on after %v", round, took)
		}
		if got := request(t, p.URL, person{}, "GET", "/readyz", inJSON, nil); got.status != http.StatusOK {
			t.Errorf("round %d: not ready with room: %+v", round, got)
		}
		for _, w := range writes[8:10] { // pictures and others
			if got := request(t, p.URL, who, w.method, w.path, w.contentType, []byte(w.body)); got.status != http.StatusCreated {
				t.Errorf("round %d: upload with room: %+v", round, got)
			}
		}
		written.mu.Lock()
		for status := range written.begun {
			if status != http.StatusCreated && status != http.StatusOK && status != http.StatusServiceUnavailable {
				t.Errorf("round %d: writers were answered with %d", round, status)
			}
		}
		clear(written.begun)
		written.mu.Unlock()
	}
	// The upload in parts goes on where it was.
	part := request(t, p.URL, who, "PUT", "/api/v2/files/uploads/"+upload.ID+"?offset=0", "application/octet-stream", content)
	done := request(t, p.URL, who, "POST", "/api/v2/files/uploads/"+upload.ID+"/complete", inJSON, nil)
	var kept struct{ ID string }
	if err := json.Unmarshal([]byte(done.body), &kept); err != nil || part.status != http.StatusOK || done.status != http.StatusCreated {
		t.Fatalf("complete the upload: %+v, then %+v", part, done)
	}
	if got := request(t, p.URL, who, "GET", "/api/v2/files/"+kept.ID, inJSON, nil); got.status != http.StatusOK || got.body != string(content) {
		t.Errorf("the file is read as %d with %d bytes", got.status, len(got.body))
	}

	stop()
	writers.Wait()
	tops := map[int64]int64{}
	for _, chat := range chats {
		all := l.stored(t, who, chat)
		tops[chat] = all[len(all)-1].Seq
	}
	until(t, "the collector has got all", func() bool { return c.reached(tops) })
	stopReading()
	reader.Wait()
	for _, w := range l.check(t, who, chats, []*collector{c}) {
		t.Error(w)
	}
	p.Stop(syscall.SIGTERM)
	t.Logf("%d messages acknowledged; %s", acked(), p.Command("db", "check"))
	again := servertest.Binary(t, options...)
	l.at(again.URL)
	for _, w := range l.check(t, who, chats, nil) {
		t.Error(w)
	}
}

// The index of the write-ahead log, a file of its own, cannot grow because the disk is
// full: that passes, as with any other file.
func TestR27_NoRoomForTheIndexOfTheLog(t *testing.T) {
	options := ledgerOptions(t.TempDir())
	p := servertest.Binary(t, options...)
	l := newLedger()
	l.at(p.URL)
	people, chats := l.people(t, 4, 1)
	record, stop := failing(t, p.Pid, "pwrite64:error=ENOSPC", "-P", filepath.Join(p.DataDir, "kuranty.db-shm"))
	text := strings.Repeat("многа букаф ", 300)
	var sent, refused atomic.Int64
	send := func(i int) (ok bool, err error) {
		status, err := l.call(t.Context(), people[i%len(people)], "POST", fmt.Sprintf("/api/v2/chats/%d/messages", chats[0]), map[string]any{
			"client_id": fmt.Sprintf("m%d", sent.Add(1)), "text": text,
		}, nil)
		if status == http.StatusServiceUnavailable {
			refused.Add(1)
			return false, nil
		}
		return err == nil, err
	}
	each(t, 40, 40, func(i int) error {
		for refused.Load() == 0 && sent.Load() < 20_000 {
			if _, err := send(i); err != nil {
				return err
			}
		}
		return nil
	})
	firstFailure(t, record)
	stop()
	if _, ended := p.ExitCode(100 * time.Millisecond); ended || refused.Load() == 0 {
		t.Fatalf("%d writes were refused; ended: %v\n%s", refused.Load(), ended, p.Log())
	}
	if ok, err := send(0); !ok {
		t.Errorf("a write with room again: %v", err)
	}
	t.Logf("%d of %d writes were refused", refused.Load(), sent.Load())
}
