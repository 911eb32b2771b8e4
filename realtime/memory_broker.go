package realtime

import (
	"context"
	"crypto/rand"
	"errors"
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

const (
	memoryShards = 64
	// sweepEvery is the time between two sweeps of one shard each, so that expired
	// state holds memory for about a minute at most.
	sweepEvery = time.Second
	// idempotencyTTL is how long the result of a publication is remembered for its
	// idempotency key (server-api.md §2).
	idempotencyTTL = 5 * time.Minute
	// defaultMetaTTL is how long offset and epoch live where nobody says otherwise.
	defaultMetaTTL = 30 * 24 * time.Hour
	// minRing is the room a stream starts with, in publications.
	minRing = 8
)

// errSaved refuses what could contradict the snapshot that has been taken.
var errSaved = errors.New("memory broker has been saved and takes no more")

// MemoryOptions configure a [MemoryBroker]. The zero value is ready to use.
type MemoryOptions struct {
	// IdempotencyBytes bounds the memory of remembered idempotency keys; above it the
	// oldest are forgotten before their 5 minutes are over. Zero means 64 MiB.
	IdempotencyBytes int
}

// MemoryBroker is the [Broker] of a single node. Streams live in memory: they do not
// survive a crash, and survive a stop through [MemoryBroker.Save] and
// [MemoryBroker.Load].
//
// What expires is not seen again from that moment on; [MemoryBroker.Run], the only
// goroutine, releases its memory within about a minute. The publications of a
// stream expire together, their TTL after the last one was published.
type MemoryBroker struct {
	sink   Sink
	seed   maphash.Seed
	start  time.Time
	shards [memoryShards]memoryShard
}

// memoryShard is the state of the channels that hash to it.
type memoryShard struct {
	mu       sync.Mutex
	channels map[string]*memoryChannel
	peak     int // of len(channels) since the map was made
	results  results
	saved    bool
}

// memoryChannel exists while it is subscribed to or has something to remember.
type memoryChannel struct {
	subscribed bool
	stream     *stream
	// own is the highest position handed over of publications that bring their own;
	// it is forgotten at ownExpires.
	own        protocol.StreamPosition
	ownExpires int64
}

// stream is the past of a channel. Times are those of [MemoryBroker.now].
type stream struct {
	top protocol.StreamPosition
	// ring holds the last n publications up to the top; the oldest is at head.
	ring    []*protocol.Publication
	head, n int
	// version and versionEpoch are the last ones published.
	version      uint64
	versionEpoch string
	// expires is when the publications do, metaExpires when the stream does.
	expires, metaExpires int64
}

// NewMemoryBroker returns an empty broker.
func NewMemoryBroker(o MemoryOptions) *MemoryBroker {
	if o.IdempotencyBytes == 0 {
		o.IdempotencyBytes = 64 << 20
	}
	b := &MemoryBroker{seed: maphash.MakeSeed(), start: time.Now()}
	for i := range b.shards {
		b.shards[i].channels = make(map[string]*memoryChannel)
		b.shards[i].results = results{
			limit:  o.IdempotencyBytes / memoryShards,
			byName: make(map[resultName]remembered),
		}
	}
	return b
}

// now returns the nanoseconds since the broker was made, which no change of the
// wall clock disturbs (guarantees.md R28), and the wall clock's time.
func (b *MemoryBroker) now() (int64, time.Time) {
	t := time.Now()
	return int64(t.Sub(b.start)), t
}

func (b *MemoryBroker) shard(channel string) *memoryShard {
	return &b.shards[maphash.String(b.seed, channel)%memoryShards]
}

// Attach implements [Broker].
func (b *MemoryBroker) Attach(sink Sink) { b.sink = sink }

// Run releases what has expired until ctx ends; its error is nil.
func (b *MemoryBroker) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			now, _ := b.now()
			b.shards[i%memoryShards].sweep(now)
		}
	}
}

// Subscribe implements [Broker].
func (b *MemoryBroker) Subscribe(_ context.Context, channel string) error {
	sh := b.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.open(channel).subscribed = true
	return nil
}

// Unsubscribe implements [Broker].
func (b *MemoryBroker) Unsubscribe(_ context.Context, channel string) error {
	sh := b.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if ch := sh.channels[channel]; ch != nil {
		ch.subscribed = false
		sh.drop(channel, ch)
	}
	return nil
}

// Publish implements [Broker].
func (b *MemoryBroker) Publish(_ context.Context, channel string, pub *protocol.Publication, o StreamOptions) (Published, error) {
	keeps := o.HistorySize > 0 && o.HistoryTTL > 0
	var now int64 // only what is remembered has a time
	if keeps || o.IdempotencyKey != "" || o.Position != nil {
		now, _ = b.now()
	}
	sh := b.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.saved {
		return Published{}, errSaved
	}
	name := resultName{channel, o.IdempotencyKey}
	if o.IdempotencyKey != "" {
		if pos, ok := sh.results.find(name, now); ok {
			return Published{Position: pos, Suppressed: true}, nil
		}
	}
	ch := sh.channels[channel]
	var done Published
	switch {
	case o.Position != nil:
		ch, done = sh.accept(channel, pub, &o, now)
	case keeps:
		ch, done = sh.append(channel, pub, &o, now)
	}
	if o.IdempotencyKey != "" {
		sh.results.add(name, done.Position, now)
	}
	if !done.Suppressed && ch != nil && ch.subscribed {
		b.sink.Publication(channel, pub, done.Position)
	}
	return done, nil
}

// PublishJoin implements [Broker].
func (b *MemoryBroker) PublishJoin(_ context.Context, channel string, info *protocol.ClientInfo) error {
	b.tell(channel, info, b.sink.Join)
	return nil
}

// PublishLeave implements [Broker].
func (b *MemoryBroker) PublishLeave(_ context.Context, channel string, info *protocol.ClientInfo) error {
	b.tell(channel, info, b.sink.Leave)
	return nil
}

func (b *MemoryBroker) tell(channel string, info *protocol.ClientInfo, sink func(string, *protocol.ClientInfo)) {
	sh := b.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if ch := sh.channels[channel]; ch != nil && ch.subscribed {
		sink(channel, info)
	}
}

// History implements [Broker]; its error is nil.
func (b *MemoryBroker) History(_ context.Context, channel string, f HistoryFilter, metaTTL time.Duration) (Past, error) {
	now, _ := b.now()
	sh := b.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.stream(channel, now)
	st.metaExpires = max(st.expires, after(now, metaTTL))
	return Past{Publications: st.read(f), Top: st.top}, nil
}

// RemoveHistory implements [Broker]; its error is nil.
func (b *MemoryBroker) RemoveHistory(_ context.Context, channel string) error {
	sh := b.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if ch := sh.channels[channel]; ch != nil && ch.stream != nil {
		ch.stream.clear()
	}
	return nil
}

// after returns now + ttl without overflow; a ttl of zero is the default of what
// outlives publications.
func after(now int64, ttl time.Duration) int64 {
	if ttl <= 0 {
		ttl = defaultMetaTTL
	}
	if int64(ttl) > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + int64(ttl)
}

// open returns the channel, made if need be.
func (sh *memoryShard) open(name string) *memoryChannel {
	ch := sh.channels[name]
	if ch == nil {
		ch = &memoryChannel{}
		sh.channels[name] = ch
		sh.peak = max(sh.peak, len(sh.channels))
	}
	return ch
}

// drop forgets the channel if nothing needs it.
func (sh *memoryShard) drop(name string, ch *memoryChannel) {
	if !ch.subscribed && ch.stream == nil && ch.own.Offset == 0 {
		delete(sh.channels, name)
	}
}

// stream returns the channel's living stream, made if need be, without expired
// publications.
func (sh *memoryShard) stream(name string, now int64) *stream {
	ch := sh.open(name)
	if ch.stream == nil || ch.stream.metaExpires <= now {
		ch.stream = &stream{top: protocol.StreamPosition{Epoch: newEpoch()}}
	}
	if ch.stream.expires <= now {
		ch.stream.clear()
	}
	return ch.stream
}

// newEpoch returns 8 random characters. They name one life of one stream, so 40
// bits are plenty.
func newEpoch() string { return strings.Clone(rand.Text()[:8]) }

// append gives pub its place in the channel's stream, unless its version is old.
func (sh *memoryShard) append(name string, pub *protocol.Publication, o *StreamOptions, now int64) (*memoryChannel, Published) {
	st := sh.stream(name, now)
	if o.Version > 0 {
		if st.version >= o.Version && (o.VersionEpoch == "" || o.VersionEpoch == st.versionEpoch) {
			return nil, Published{Position: st.top, Suppressed: true}
		}
		st.version, st.versionEpoch = o.Version, o.VersionEpoch
	}
	st.top.Offset++
	pub.Offset = st.top.Offset
	if pub.Offset == 1 {
		pub.Epoch = st.top.Epoch
	}
	st.push(pub, o.HistorySize)
	st.expires = after(now, o.HistoryTTL)
	st.metaExpires = max(st.expires, after(now, o.HistoryMetaTTL))
	return sh.channels[name], Published{Position: st.top}
}

// accept lets pub pass with the position it brings, unless that was handed over
// already.
func (sh *memoryShard) accept(name string, pub *protocol.Publication, o *StreamOptions, now int64) (*memoryChannel, Published) {
	ch, pos := sh.open(name), *o.Position
	if ch.ownExpires > now && ch.own.Epoch == pos.Epoch && pos.Offset <= ch.own.Offset {
		return nil, Published{Position: pos, Suppressed: true}
	}
	ch.own, ch.ownExpires = pos, after(now, o.HistoryMetaTTL)
	pub.Offset = pos.Offset
	if pos.Offset == 1 {
		pub.Epoch = pos.Epoch
	}
	return ch, Published{Position: pos}
}

// push appends pub and keeps the last size publications.
func (st *stream) push(pub *protocol.Publication, size int) {
	for st.n >= size {
		st.ring[st.head] = nil
		st.head = (st.head + 1) % len(st.ring)
		st.n--
	}
	if st.n == len(st.ring) {
		ring := make([]*protocol.Publication, min(size, max(minRing, 2*st.n)))
		copy(ring[copy(ring, st.ring[st.head:]):], st.ring[:st.head])
		st.ring, st.head = ring, 0
	}
	st.ring[(st.head+st.n)%len(st.ring)] = pub
	st.n++
}

func (st *stream) clear() { st.ring, st.head, st.n = nil, 0, 0 }

// read returns the retained publications that f selects.
func (st *stream) read(f HistoryFilter) []*protocol.Publication {
	skip, n := 0, st.n // of the ring: the selected ones
	if f.Since != nil {
		gone := st.top.Offset - uint64(st.n) // the offset before the oldest
		if f.Reverse {
			n = int(min(max(f.Since.Offset, gone+1)-gone-1, uint64(st.n)))
		} else {
			skip = int(min(max(f.Since.Offset, gone)-gone, uint64(st.n)))
			n -= skip
		}
	}
	count := n
	if f.Limit >= 0 {
		count = min(n, f.Limit)
	}
	if count == 0 {
		return nil
	}
	pubs := make([]*protocol.Publication, count)
	for i := range pubs {
		k := skip + i
		if f.Reverse {
			k = n - 1 - i
		}
		pubs[i] = st.ring[(st.head+k)%len(st.ring)]
	}
	return pubs
}

// sweep releases what has expired.
func (sh *memoryShard) sweep(now int64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.results.expire(now)
	for name, ch := range sh.channels {
		if st := ch.stream; st != nil {
			if st.expires <= now {
				st.clear()
			}
			if st.metaExpires <= now {
				ch.stream = nil
			}
		}
		if ch.ownExpires <= now {
			ch.own = protocol.StreamPosition{}
		}
		sh.drop(name, ch)
	}
	if sh.peak > 1024 && len(sh.channels) < sh.peak/4 {
		// Maps keep the room they once needed.
		channels := make(map[string]*memoryChannel, len(sh.channels))
		for name, ch := range sh.channels {
			channels[name] = ch
		}
		sh.channels, sh.peak = channels, len(channels)
	}
}

// results remembers the positions of publications by idempotency key, for
// [idempotencyTTL] and up to limit bytes.
type results struct {
	limit, bytes int
	byName       map[resultName]remembered
	order        []resultName // oldest first, from index oldest on
	oldest       int
}

type resultName struct{ channel, key string }

type remembered struct {
	pos     protocol.StreamPosition
	expires int64
}

// size is about what remembering n takes, with the room of map and order.
func (n resultName) size() int { return len(n.channel) + len(n.key) + 160 }

func (r *results) find(name resultName, now int64) (protocol.StreamPosition, bool) {
	got, ok := r.byName[name]
	return got.pos, ok && got.expires > now
}

// add remembers the result of name, which [results.find] did not find.
func (r *results) add(name resultName, pos protocol.StreamPosition, now int64) {
	r.expire(now)
	r.put(name, remembered{pos, now + int64(idempotencyTTL)})
}

func (r *results) put(name resultName, result remembered) {
	r.byName[name] = result
	r.order = append(r.order, name)
	r.bytes += name.size()
	for r.bytes > r.limit && len(r.byName) > 1 {
		r.forget()
	}
}

func (r *results) expire(now int64) {
	for r.oldest < len(r.order) && r.byName[r.order[r.oldest]].expires <= now {
		r.forget()
	}
}

// forget drops the oldest result.
func (r *results) forget() {
	name := r.order[r.oldest]
	r.order[r.oldest] = resultName{}
	r.oldest++
	r.bytes -= name.size()
	delete(r.byName, name)
	if r.oldest*2 >= len(r.order) {
		kept := copy(r.order, r.order[r.oldest:])
		clear(r.order[kept:])
		r.order, r.oldest = r.order[:kept], 0
	}
	if len(r.byName) == 0 {
		r.byName, r.order = make(map[resultName]remembered), nil
	}
}
