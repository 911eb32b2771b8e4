package realtime_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// TestTranscripts plays the conversations in testdata. A line is one of
//
//	ann -> {…}            ann sends a transport message; " | " separates the units of one
//	ann <- {…}            ann gets this unit next; everything that arrives must be written down
//	ann <~ {…}            the same, within a minute
//	ann <- close 3501 …   the server closes ann's connection
//	ann gone              ann's connection breaks
//	ann mute              ann answers no pings from now on; before, she does, and no line shows it
//	wait 25s              time passes
//	publish CHANNEL DATA  the server publishes
//	unsubscribe|disconnect USER [CHANNEL]
//	subscribe USER CHANNEL [OFFSET EPOCH]
//	refresh USER SECONDS
//
// A client appears with its first line. Ids and epochs are written as <ann> and
// <epoch>, whichever they are.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, file) })
		})
	}
}

type stage struct {
	*world
	t       *testing.T
	clients map[string]*pipe
	pending map[string][]string
	mute    map[string]bool
	epoch   string
}

func play(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &stage{
		world: newWorld(t, nil), t: t,
		clients: make(map[string]*pipe), pending: make(map[string][]string), mute: make(map[string]bool),
	}
	defer s.close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.line(line); err != nil {
			t.Fatalf("%s:%d: %v", file, n, err)
		}
	}
	for name := range s.clients {
		s.collect(name)
		for _, unit := range s.pending[name] {
			t.Errorf("%s: at the end %s also got %s", file, name, unit)
		}
	}
}

func (s *stage) line(line string) error {
	who, rest, _ := strings.Cut(line, " ")
	verb, what, _ := strings.Cut(rest, " ")
	target := realtime.Target{User: verb}
	args := strings.Fields(what)
	ctx := s.t.Context()
	switch {
	case verb == "->":
		what = s.fill(strings.ReplaceAll(what, " | ", "\n"))
		if s.clients[who] == nil {
			s.clients[who] = s.dial(protocol.JSON)
		}
		s.clients[who].send(what)
	case verb == "<-":
		return s.expect(who, what)
	case verb == "<~":
		for range 60 {
			if s.collect(who); len(s.pending[who]) > 0 {
				break
			}
			time.Sleep(time.Second)
		}
		return s.expect(who, what)
	case verb == "gone":
		s.clients[who].session.Gone()
		delete(s.clients, who)
	case verb == "mute":
		s.mute[who] = true
	case who == "wait":
		d, err := time.ParseDuration(verb)
		if err != nil {
			return err
		}
		for ; d > 0; d -= time.Second {
			time.Sleep(time.Second)
			for who := range s.clients {
				s.collect(who)
			}
		}
	case who == "publish":
		if _, err := s.node.Publish(ctx, verb, []byte(what), realtime.PublishOptions{}); err != nil {
			return err
		}
	case who == "unsubscribe":
		return s.node.Unsubscribe(ctx, target, strings.Join(args, ""), protocol.UnsubscribeServer)
	case who == "disconnect":
		return s.node.Disconnect(ctx, target, protocol.CloseForceDisconnect, nil)
	case who == "subscribe":
		var o realtime.SubscribeOptions
		if len(args) == 3 {
			o.RecoverSince = &protocol.StreamPosition{Epoch: s.fill(args[2])}
			if _, err := fmt.Sscan(args[1], &o.RecoverSince.Offset); err != nil {
				return err
			}
		}
		return s.node.Subscribe(ctx, target, args[0], o)
	case who == "refresh":
		var seconds int64
		if _, err := fmt.Sscan(args[0], &seconds); err != nil {
			return err
		}
		return s.node.Refresh(ctx, target, realtime.RefreshOptions{ExpireAt: expireAt(seconds)})
	default:
		return fmt.Errorf("unknown line %q", line)
	}
	synctest.Wait()
	return nil
}

func (s *stage) collect(who string) {
	synctest.Wait()
	p := s.clients[who]
	if p == nil {
		return
	}
	for _, message := range p.take() {
		for unit := range strings.SplitSeq(message, "\n") {
			if unit == "{}" && !s.mute[who] {
				p.send("{}")
				continue
			}
			s.pending[who] = append(s.pending[who], strings.TrimPrefix(unit, "\x01"))
		}
	}
}

var epochs = regexp.MustCompile(`"epoch":"([^"<_]+)"`)

func (s *stage) expect(who, want string) error {
	s.collect(who)
	if len(s.pending[who]) == 0 {
		return fmt.Errorf("%s got nothing, want %s", who, want)
	}
	got := s.pending[who][0]
	s.pending[who] = s.pending[who][1:]
	if m := epochs.FindStringSubmatch(got); m != nil {
		s.epoch = m[1]
	}
	for name, p := range s.clients {
		got = strings.ReplaceAll(got, p.session.ID(), "<"+name+">")
	}
	got = epochs.ReplaceAllString(got, `"epoch":"<epoch>"`)
	if got != want {
		return fmt.Errorf("%s got\n\t%s\nwant\n\t%s", who, got, want)
	}
	return nil
}

func (s *stage) fill(text string) string {
	for name, p := range s.clients {
		text = strings.ReplaceAll(text, "<"+name+">", p.session.ID())
	}
	return strings.ReplaceAll(text, "<epoch>", s.epoch)
}
