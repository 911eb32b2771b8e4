package realtime

import "github.com/kuranty/kuranty/protocol"

// pass is one round of a shard's worker: what waited, and for whom. Its slices are
// reused by the next round.
type pass struct {
	parts      []part
	subs       []*subscription // of all parts, one after the other
	touched    []*Session
	runs       []run
	casualties []casualty
	units      []byte
}

// part is the items of one channel for the subscribers of one framing.
type part struct {
	channel  string
	framing  Framing
	items    []item
	from, to int // in pass.subs
}

// run is some items that leave as one frame.
type run struct {
	items []item
	frame []byte // nil if they cannot be said in the framing's format
	// first and last are the offsets of the run's positioned publications; first is 0
	// if there are none, broken if they do not follow each other.
	first, last uint64
	epoch       string
	broken      bool
	presence    bool // joins or leaves
	pubs        int
}

// casualty is a subscription that could not take what was delivered.
type casualty struct {
	sub *subscription
	why *protocol.Close
}

// take adds the waiting items of ch and its subscribers. The shard's lock is held.
func (p *pass) take(ch *channel) {
	items := ch.items
	ch.items = nil
	for i := range ch.groups {
		g := &ch.groups[i]
		if len(g.subs) == 0 {
			continue
		}
		from := len(p.subs)
		p.subs = append(p.subs, g.subs...)
		p.parts = append(p.parts, part{ch.name, g.framing, items, from, len(p.subs)})
	}
}

// deliver hands every part to its subscribers. If there are several, a session may be
// in more than one, and is written to at the end; else at once.
func (p *pass) deliver() (deliveries uint64) {
	for i := range p.parts {
		part := &p.parts[i]
		p.encode(part)
		for _, sub := range p.subs[part.from:part.to] {
			n, why := sub.offer(p.runs)
			deliveries += uint64(n)
			if why != nil {
				p.casualties = append(p.casualties, casualty{sub, why})
			}
			if len(p.parts) == 1 {
				sub.session.Flush()
			} else if n > 0 || why != nil {
				p.touched = append(p.touched, sub.session)
			}
		}
	}
	for _, s := range p.touched {
		s.Flush()
	}
	return deliveries
}

// encode makes the runs of a part.
func (p *pass) encode(part *part) {
	clear(p.runs)
	p.runs = p.runs[:0]
	units := p.units[:0]
	format := part.framing.Format()
	start := 0
	for i := range part.items {
		it := &part.items[i]
		before := len(units)
		if it.pub != nil && (!it.pub.Binary || format == protocol.Protobuf) {
			units = protocol.AppendPublication(units, format, part.channel, it.pub)
			joined := i > start && part.items[start].pub != nil
			if !joined || len(units) <= runBytes {
				continue
			}
			// It does not fit: close the run before it and encode it again in its own.
			units = units[:before]
			p.seal(part, start, i, units)
			start = i
			units = protocol.AppendPublication(units[:0], format, part.channel, it.pub)
			continue
		}
		if i > start {
			p.seal(part, start, i, units)
		}
		units = units[:0]
		if it.pub == nil {
			units = protocol.AppendReply(units, format, &protocol.Reply{Push: it.push(part.channel)})
		}
		p.seal(part, i, i+1, units)
		units, start = units[:0], i+1
	}
	if start < len(part.items) {
		p.seal(part, start, len(part.items), units)
	}
	if cap(units) <= 2*runBytes {
		p.units = units
	}
}

// push is a join or leave as its subscribers get it.
func (i *item) push(channel string) *protocol.Push {
	if i.join != nil {
		return &protocol.Push{Channel: channel, Join: &protocol.Join{Info: i.join}}
	}
	return &protocol.Push{Channel: channel, Leave: &protocol.Leave{Info: i.leave}}
}

// seal adds the run of items[from:to], which units say.
func (p *pass) seal(part *part, from, to int, units []byte) {
	r := run{items: part.items[from:to]}
	if len(units) > 0 {
		r.frame = part.framing.AppendFrame(make([]byte, 0, len(units)+16), units)
	}
	for i := range r.items {
		it := &r.items[i]
		if it.pub == nil {
			r.presence = true
			continue
		}
		r.pubs++
		switch {
		case it.pos.Offset == 0:
		case r.first == 0:
			r.first, r.last, r.epoch = it.pos.Offset, it.pos.Offset, it.pos.Epoch
		case it.pos.Offset != r.last+1 || it.pos.Epoch != r.epoch:
			r.broken = true
		default:
			r.last = it.pos.Offset
		}
	}
	p.runs = append(p.runs, r)
}

// reset forgets everything, so that the pass retains nothing between rounds.
func (p *pass) reset() {
	clear(p.parts)
	clear(p.subs)
	clear(p.touched)
	clear(p.runs)
	clear(p.casualties)
	p.parts, p.subs, p.touched, p.runs, p.casualties = p.parts[:0], p.subs[:0], p.touched[:0], p.runs[:0], p.casualties[:0]
}
