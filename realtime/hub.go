package realtime

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/kuranty/kuranty/protocol"
)

const (
	shardCount = 64
	// shardBytes bounds the publications that wait for one shard's worker; publishers
	// wait for room. It is well below what may wait for one connection, so that a
	// batch alone makes nobody slow.
	shardBytes = 128 << 10
	// runBytes bounds the encoded publications that leave as one frame: common
	// client libraries refuse messages above 32 KiB.
	runBytes = 16 << 10
	// inlineSubscribers is up to how many subscribers the publishing goroutine serves
	// itself; for more, a worker costs little and the publisher's reply does not wait.
	inlineSubscribers = 32
)

// hub knows the subscribers of every channel of this node and writes publications to
// them. A channel belongs to one shard, and a shard is worked by one goroutine
// at a time, which gives order.
type hub struct {
	node   *Node
	seed   maphash.Seed
	shards [shardCount]shard
}

type shard struct {
	mu       sync.Mutex
	channels map[string]*channel
	dirty    []*channel    // those with waiting items, in order of arrival
	waiting  int           // bytes of all waiting items
	room     chan struct{} // closed when waiting falls below the bound; nil if nobody asked
	working  bool

	pass pass // owned by the worker
}

// channel is a channel with subscribers on this node; its fields are guarded by the
// shard's lock.
type channel struct {
	name       string
	groups     []group
	items      []item
	positioned int                     // subscriptions that watch for gaps
	top        protocol.StreamPosition // of the last positioned publication taken
	suspect    protocol.StreamPosition // the broker's top when it last differed
	// moving is closed when the broker has confirmed the first subscription, or the
	// end of the last; until then nobody may join.
	moving chan struct{}
}

// group is the subscribers who share frames.
type group struct {
	framing Framing
	subs    []*subscription
}

// item is something to deliver: exactly one of pub, join and leave.
type item struct {
	pub         *protocol.Publication
	pos         protocol.StreamPosition
	join, leave *protocol.ClientInfo
}

// size is about what the item takes on the wire.
func (i *item) size() int {
	if i.pub == nil {
		return 128
	}
	return len(i.pub.Data) + 64
}

func newHub(n *Node) *hub {
	h := &hub{node: n, seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].channels = make(map[string]*channel)
	}
	return h
}

func (h *hub) shard(name string) *shard {
	return &h.shards[maphash.String(h.seed, name)%shardCount]
}

// join registers sub, whose session and framing are set, and subscribes at the broker
// if it is the channel's first.
func (h *hub) join(ctx context.Context, sub *subscription) error {
	sh := h.shard(sub.channel)
	for {
		sh.mu.Lock()
		ch := sh.channels[sub.channel]
		if ch == nil {
			ch = &channel{name: sub.channel, moving: make(chan struct{})}
			sh.channels[sub.channel] = ch
			ch.add(sub)
			sh.mu.Unlock()
			return h.open(ctx, sh, ch, sub)
		}
		if ch.moving == nil {
			ch.add(sub)
			sh.mu.Unlock()
			return nil
		}
		moving := ch.moving
		sh.mu.Unlock()
		select {
		case <-moving:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open subscribes at the broker for the first subscriber of a channel.
func (h *hub) open(ctx context.Context, sh *shard, ch *channel, first *subscription) error {
	err := h.node.o.Broker.Subscribe(ctx, ch.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	close(ch.moving)
	ch.moving = nil
	if err != nil {
		ch.remove(first)
		delete(sh.channels, ch.name)
	}
	return err
}

// leave removes sub, and unsubscribes at the broker if it was the last.
func (h *hub) leave(ctx context.Context, sub *subscription) error {
	sh := h.shard(sub.channel)
	sh.mu.Lock()
	ch := sh.channels[sub.channel]
	if ch == nil || !ch.remove(sub) || ch.count() > 0 || ch.moving != nil {
		sh.mu.Unlock()
		return nil
	}
	ch.moving = make(chan struct{})
	sh.mu.Unlock()
	err := h.node.o.Broker.Unsubscribe(ctx, ch.name)
	sh.mu.Lock()
	delete(sh.channels, ch.name)
	close(ch.moving)
	sh.mu.Unlock()
	return err
}

func (ch *channel) add(sub *subscription) {
	if sub.positioned {
		ch.positioned++
	}
	framing := sub.session.framing
	for i := range ch.groups {
		if g := &ch.groups[i]; g.framing == framing {
			sub.index = len(g.subs)
			g.subs = append(g.subs, sub)
			return
		}
	}
	sub.index = 0
	ch.groups = append(ch.groups, group{framing: framing, subs: []*subscription{sub}})
}

// remove reports whether sub was there.
func (ch *channel) remove(sub *subscription) bool {
	framing := sub.session.framing
	for i := range ch.groups {
		g := &ch.groups[i]
		if g.framing != framing {
			continue
		}
		last := len(g.subs) - 1
		if sub.index > last || g.subs[sub.index] != sub {
			return false
		}
		moved := g.subs[last]
		g.subs[sub.index] = moved
		moved.index = sub.index
		g.subs[last] = nil
		g.subs = g.subs[:last]
		if sub.positioned {
			ch.positioned--
		}
		return true
	}
	return false
}

func (ch *channel) count() int {
	n := 0
	for i := range ch.groups {
		n += len(ch.groups[i].subs)
	}
	return n
}

// Publication implements [Sink].
func (h *hub) Publication(name string, pub *protocol.Publication, pos protocol.StreamPosition) {
	h.take(name, item{pub: pub, pos: pos})
}

// Join implements [Sink].
func (h *hub) Join(name string, info *protocol.ClientInfo) { h.take(name, item{join: info}) }

// Leave implements [Sink].
func (h *hub) Leave(name string, info *protocol.ClientInfo) { h.take(name, item{leave: info}) }

func (h *hub) take(name string, it item) {
	sh := h.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ch := sh.channels[name]
	if ch == nil {
		return
	}
	if it.pos.Offset > 0 {
		ch.top = it.pos
	}
	if len(ch.items) == 0 {
		sh.dirty = append(sh.dirty, ch)
	}
	ch.items = append(ch.items, it)
	sh.waiting += it.size()
}

// wait returns when the shard of the channel has room for publications.
func (h *hub) wait(ctx context.Context, name string) error {
	sh := h.shard(name)
	for {
		sh.mu.Lock()
		if sh.waiting < shardBytes {
			sh.mu.Unlock()
			return nil
		}
		if sh.room == nil {
			sh.room = make(chan struct{})
		}
		room := sh.room
		sh.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Flush implements [Sink]: it delivers what waits in the channel's shard, itself if
// that is little work, unless somebody is at it already.
func (h *hub) Flush(name string) {
	sh := h.shard(name)
	sh.mu.Lock()
	if sh.working || len(sh.dirty) == 0 {
		sh.mu.Unlock()
		return
	}
	sh.working = true
	subscribers := 0
	for _, ch := range sh.dirty {
		subscribers += ch.count()
	}
	sh.mu.Unlock()
	if subscribers <= inlineSubscribers && !h.work(sh) {
		return
	}
	h.node.spawn(func() {
		for h.work(sh) {
		}
	})
}

// work delivers what waits and reports whether more has come meanwhile; if not, the
// shard is free for the next worker.
func (h *hub) work(sh *shard) (more bool) {
	sh.mu.Lock()
	p := &sh.pass
	for _, ch := range sh.dirty {
		p.take(ch)
	}
	clear(sh.dirty)
	sh.dirty = sh.dirty[:0]
	sh.waiting = 0
	if sh.room != nil {
		close(sh.room)
		sh.room = nil
	}
	sh.mu.Unlock()

	h.deliver(p)

	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.working = len(sh.dirty) > 0
	return sh.working
}

// deliver contains a panic to the pass that raised it.
func (h *hub) deliver(p *pass) {
	defer func() {
		if r := recover(); r != nil {
			h.node.panicked("deliver", r)
			p.reset()
		}
	}()
	h.node.count.deliveries.Add(p.deliver())
	for _, c := range p.casualties {
		h.node.spawn(func() { c.sub.lost(c.why) })
	}
	p.reset()
}
