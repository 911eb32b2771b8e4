package channels

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

const (
	// streamsKept bounds the streams whose newest publications are in memory, and
	// windowBytes all their publications together.
	streamsKept = 20_000
	windowBytes = 64 << 20
	// catchUp is how long a client that has seen more than this node is waited for.
	catchUp = 500 * time.Millisecond
)

// streams is the past of channels that are bound to streams: read from the log once, and
// then kept up to date by what is announced, so that a storm of reconnecting clients
// does not reach the database. It implements [realtime.Source].
type streams struct {
	c *Channels

	mu    sync.Mutex
	kept  map[string]*window // by channel
	bytes int
}

// window is the newest publications of one channel.
type window struct {
	// loaded is closed when the window has been read from the log, or could not be.
	loaded chan struct{}
	err    error
	top    uint64
	items  []item // up to top, without a gap
	size   int
	// late were announced while the window was being read.
	late []item
	// stale says that the window was given up while it was being read.
	stale bool
	// personal windows have notices, which may show messages.
	personal bool
}

// item is an event as one channel's subscribers see it.
type item struct {
	pub *protocol.Publication
	at  int64 // when it happened, in milliseconds
	// seq is the number of the message that it announces, 0 for everything else.
	seq uint64
	// shows is the message that a notice shows or has an excerpt of, 0 for everything else.
	shows int64
}

func (i item) size() int { return len(i.pub.Data) + 96 }

func newStreams(c *Channels) *streams {
	return &streams{c: c, kept: make(map[string]*window)}
}

// History implements [realtime.Source]. A reader sees of a chat what a member may.
func (s *streams) History(ctx context.Context, channel string, f realtime.HistoryFilter) (realtime.Past, error) {
	n := parse(channel)
	if f.Reader == "" || n.family != chatChannel && n.family != messagesChannel {
		return s.history(ctx, channel, f, 0)
	}
	for {
		before, err := s.c.memberships.member(ctx, s.c.o.Chats, userID(f.Reader), n.id)
		if err != nil {
			return realtime.Past{}, refusal(err)
		}
		past, err := s.history(ctx, channel, f, before.from)
		if err != nil {
			return past, err
		}
		// Who has left and come back meanwhile sees less than before.
		after, err := s.c.memberships.member(ctx, s.c.o.Chats, userID(f.Reader), n.id)
		if err != nil {
			return realtime.Past{}, refusal(err)
		}
		if after.from == before.from {
			return past, nil
		}
	}
}

// part is the past of a chat for one subscriber, who sees only what comes after a message.
type part struct {
	*streams
	from int64
}

// History implements [realtime.Source].
func (p part) History(ctx context.Context, channel string, f realtime.HistoryFilter) (realtime.Past, error) {
	return p.history(ctx, channel, f, p.from)
}

// seenFrom is a channel's past for who sees nothing of the chat up to a message; from is
// its number, or 0. What was committed while somebody was no member must not come back by
// recovery (guarantees.md S16).
func (c *Channels) seenFrom(past realtime.Source, from int64) realtime.Source {
	if past == nil || from == 0 {
		return past
	}
	return part{c.streams, from}
}

// history is History for who sees nothing of the chat up to the message with number from.
func (s *streams) history(ctx context.Context, channel string, f realtime.HistoryFilter, from int64) (realtime.Past, error) {
	if f.Limit != 0 { // who asks for the position alone is told of the rest live
		s.c.handleStored(ctx)
	}
	past, err := s.read(ctx, channel, f, from)
	if err != nil || f.Since == nil || f.Since.Epoch != past.Top.Epoch || f.Since.Offset <= past.Top.Offset {
		return past, err
	}
	// Another node told the client what this one is about to.
	late := time.NewTimer(catchUp)
	defer late.Stop()
	again := time.NewTicker(catchUp / 50)
	defer again.Stop()
	for err == nil && f.Since.Offset > past.Top.Offset {
		select {
		case <-again.C:
			past, err = s.read(ctx, channel, f, from)
		case <-late.C:
			return past, nil
		case <-ctx.Done():
			return realtime.Past{}, ctx.Err()
		}
	}
	return past, err
}

func (s *streams) read(ctx context.Context, channel string, f realtime.HistoryFilter, from int64) (realtime.Past, error) {
	oldest := s.c.oldest(channel)
	for {
		w, err := s.window(ctx, channel)
		if errors.Is(err, errGivenUp) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return realtime.Past{}, err
		}
		s.mu.Lock()
		if s.kept[channel] != w { // given up meanwhile
			s.mu.Unlock()
			continue
		}
		past := realtime.Past{Top: protocol.StreamPosition{Offset: w.top, Epoch: s.c.o.Log.Epoch()}}
		past.Publications = w.choose(f, oldest, uint64(from))
		s.mu.Unlock()
		return past, nil
	}
}

// choose returns the publications of w that f selects, none of them older than oldest or
// from before the first message with a number above from.
func (w *window) choose(f realtime.HistoryFilter, oldest int64, from uint64) []*protocol.Publication {
	if f.Limit == 0 {
		return nil
	}
	var pubs []*protocol.Publication
	for _, i := range w.items {
		if len(pubs) > 0 || i.at >= oldest && (from == 0 || i.seq > from) {
			pubs = append(pubs, i.pub)
		}
	}
	if f.Since != nil {
		at, exact := slices.BinarySearchFunc(pubs, f.Since.Offset, func(p *protocol.Publication, offset uint64) int {
			return cmp.Compare(p.Offset, offset)
		})
		switch {
		case f.Reverse && f.Since.Offset <= w.top:
			pubs = pubs[:at]
		case f.Reverse:
		case exact:
			pubs = pubs[at+1:]
		default:
			pubs = pubs[at:]
		}
	}
	if f.Reverse {
		slices.Reverse(pubs)
	}
	if f.Limit > 0 && len(pubs) > f.Limit {
		pubs = pubs[:f.Limit]
	}
	return pubs
}

// oldest is the time before which nothing of a channel is recovered, in milliseconds.
func (c *Channels) oldest(channel string) int64 {
	_, ttl := c.retention(parse(channel))
	return c.o.Clock().Add(-ttl).UnixMilli()
}

// window returns the loaded window of a channel.
func (s *streams) window(ctx context.Context, channel string) (*window, error) {
	s.mu.Lock()
	w := s.kept[channel]
	if w == nil {
		w = &window{loaded: make(chan struct{}), personal: parse(channel).family == userChannel}
		s.kept[channel] = w
		s.mu.Unlock()
		s.load(context.WithoutCancel(ctx), channel, w)
	} else {
		s.mu.Unlock()
	}
	select {
	case <-w.loaded:
		return w, w.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// load reads a window from the log: what this node has handled already.
func (s *streams) load(ctx context.Context, channel string, w *window) {
	items, top, err := s.c.readItems(ctx, channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(w.loaded)
	if err == nil && w.stale {
		err = errGivenUp
	}
	if err != nil {
		w.err = fmt.Errorf("read the past of %s: %w", channel, err)
		if s.kept[channel] == w {
			delete(s.kept, channel)
		}
		return
	}
	limit, _ := s.c.retention(parse(channel))
	w.top = top
	for _, it := range append(items, w.late...) {
		w.add(it, limit)
	}
	w.late = nil
	s.bytes += w.size
	s.trim(channel)
}

// errGivenUp makes a reader look again: the log has changed under it.
var errGivenUp = errors.New("the log was changed meanwhile")

// add appends it to the window, unless it is there.
func (w *window) add(it item, limit int) {
	offset := it.pub.Offset
	if n := len(w.items); n > 0 {
		switch last := w.items[n-1].pub.Offset; {
		case offset <= last:
			return
		case offset > last+1:
			w.items, w.size = nil, 0
		}
	}
	w.top = max(w.top, offset)
	w.items = append(w.items, it)
	w.size += it.size()
	for len(w.items) > limit {
		w.size -= w.items[0].size()
		w.items = w.items[1:]
	}
}

// trim keeps the windows within their bounds by giving up some others; s.mu is held.
func (s *streams) trim(except string) {
	for channel, w := range s.kept {
		if s.bytes <= windowBytes && len(s.kept) <= streamsKept {
			return
		}
		select {
		case <-w.loaded:
			if channel != except {
				s.bytes -= w.size
				delete(s.kept, channel)
			}
		default:
		}
	}
}

// wants tells whether there is a window of the channel, to which an event is to be added.
func (s *streams) wants(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[channel] != nil
}

// add puts what is being announced into the window of its channel, if there is one.
func (s *streams) add(channel string, it item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.kept[channel]
	if w == nil {
		return
	}
	select {
	case <-w.loaded:
		before := w.size
		limit, _ := s.c.retention(parse(channel))
		w.add(it, limit)
		s.bytes += w.size - before
	default:
		w.late = append(w.late, it)
	}
}

// giveUp forgets the window of a channel: what it shows has been changed in the log.
func (s *streams) giveUp(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.kept[channel]
	if w == nil {
		return
	}
	select {
	case <-w.loaded:
		s.bytes -= w.size
	default:
		w.stale = true
	}
	delete(s.kept, channel)
}

// giveUpNotices forgets the windows of people with a notice that shows a message.
func (s *streams) giveUpNotices(message int64) {
	shown := func(i item) bool { return i.shows == message }
	s.mu.Lock()
	var channels []string
	for channel, w := range s.kept {
		if w.personal && (w.reading() || slices.ContainsFunc(w.items, shown)) {
			channels = append(channels, channel)
		}
	}
	s.mu.Unlock()
	for _, channel := range channels {
		s.giveUp(channel)
	}
}

// reading tells whether the window is still being read from the log.
func (w *window) reading() bool {
	select {
	case <-w.loaded:
		return false
	default:
		return true
	}
}

// giveUpAll forgets every window.
func (s *streams) giveUpAll() {
	s.mu.Lock()
	channels := slices.Collect(maps.Keys(s.kept))
	s.mu.Unlock()
	for _, channel := range channels {
		s.giveUp(channel)
	}
}

// readLog reads the newest events of a channel's stream that this node has handled.
func (c *Channels) readLog(ctx context.Context, channel string) ([]event.Event, uint64, error) {
	n := parse(channel)
	size, _ := c.retention(n)
	oldest, upTo := c.oldest(channel), c.handled.Load()
	if n.family == messagesChannel {
		events, top, err := c.o.Log.Messages(ctx, n.id, oldest, upTo, size)
		return events, uint64(top), err
	}
	events, top, err := c.o.Log.Stream(ctx, channel, oldest, upTo, size) // streams are named like their channels
	return events, uint64(top), err
}

// readItems reads the log and renders what it has. A panic is an error: who waits for the
// window must not wait forever (guarantees.md R35).
func (c *Channels) readItems(ctx context.Context, channel string) (items []item, top uint64, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.o.Logger.Error("panic", "where", "past of "+channel, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	events, top, err := c.readLog(ctx, channel)
	items = make([]item, 0, len(events))
	for i := range events {
		if it, ok := c.render(channel, &events[i]); ok {
			items = append(items, it)
		}
	}
	return items, top, err
}

// render returns an event as the subscribers of a channel see it; ok is false if they do
// not.
func (c *Channels) render(channel string, e *event.Event) (it item, ok bool) {
	offset, seq := uint64(e.Seq), messageSeq(e)
	var data []byte
	var err error
	if parse(channel).family == messagesChannel {
		if offset = seq; offset == 0 {
			return item{}, false
		}
		data, err = c.o.Contract.Message(context.Background(), *e)
	} else {
		data, err = c.o.Render(*e)
	}
	if err != nil {
		c.o.Logger.Error("render event", "event", e.ID, "type", e.Type, "channel", channel, "error", err)
		return item{}, false
	}
	it = item{pub: &protocol.Publication{Offset: offset, Data: data}, at: e.At, seq: seq}
	if e.Type == event.UserNotice {
		if it.shows = e.Ref; it.shows == 0 {
			it.shows = newest(data)
		}
	}
	return it, true
}

// newest is the message that the notice of a chat shows as the chat's newest, 0 for other
// notices.
func newest(notice []byte) int64 {
	var p struct {
		Data struct {
			Chat struct {
				Last struct {
					ID int64 `json:"id"`
				} `json:"last_message"`
			} `json:"chat"`
		} `json:"data"`
	}
	if json.Unmarshal(notice, &p) != nil {
		return 0
	}
	return p.Data.Chat.Last.ID
}

// Purged tells that the oldest messages of a chat have been removed from the database.
func (c *Channels) Purged(chat int64) {
	c.streams.giveUp(chatName(chat))
	c.streams.giveUp(messagesName(chat))
}

// handleStored waits until this node has handled what it had stored when it was asked, at
// most catchUp: who was told that a message is stored finds it in the history.
func (c *Channels) handleStored(ctx context.Context) {
	if c.o.Head == nil {
		return
	}
	head := c.o.Head()
	if c.handled.Load() >= head {
		return
	}
	late := time.NewTimer(catchUp)
	defer late.Stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for c.handled.Load() < head {
		select {
		case <-again.C:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
