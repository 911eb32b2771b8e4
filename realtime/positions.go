package realtime

import (
	"context"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// watchPositions checks positions until ctx ends.
func (n *Node) watchPositions(ctx context.Context) {
	checks := time.NewTicker(n.o.PositionCheckDelay)
	defer checks.Stop()
	for {
		select {
		case <-checks.C:
			n.checkPositions(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// checkPositions compares what subscribers were handed with the top of each stream
// that somebody watches for gaps, so that a publication lost on the way is
// noticed also if no other follows (guarantees.md R16). A stream is taken for ahead of
// its subscribers only if it is so twice in a row: once may be a publication on
// its way.
func (n *Node) checkPositions(ctx context.Context) {
	for i := range n.hub.shards {
		sh := &n.hub.shards[i]
		for _, name := range sh.watched() {
			o, err := n.options(name)
			if err != nil || ctx.Err() != nil {
				continue
			}
			past, err := n.past(ctx, name, &o, HistoryFilter{})
			if err != nil {
				n.o.Logger.Error("check position", "channel", name, "error", err)
				continue
			}
			for _, sub := range sh.behind(name, past.Top) {
				if sub.misses(past.Top) {
					sub.lost(protocol.CloseInsufficient)
				}
			}
		}
	}
}

// watched returns the channels with positioned subscriptions.
func (sh *shard) watched() []string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var names []string
	for name, ch := range sh.channels {
		if ch.positioned > 0 {
			names = append(names, name)
		}
	}
	return names
}

// behind returns the subscriptions to look at if top has not been reached for the
// second time, and takes top as reached then.
func (sh *shard) behind(name string, top protocol.StreamPosition) []*subscription {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ch := sh.channels[name]
	if ch == nil || ch.top == top {
		return nil
	}
	if ch.suspect != top {
		ch.suspect = top
		return nil
	}
	ch.top = top
	var subs []*subscription
	for _, g := range ch.groups {
		subs = append(subs, g.subs...)
	}
	return subs
}

// misses tells whether a live subscription has not got up to top, and ends its
// delivery if so.
func (sub *subscription) misses(top protocol.StreamPosition) bool {
	s := sub.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if !sub.positioned || sub.phase != subLive {
		return false
	}
	same := sub.pos.Epoch == top.Epoch || sub.pos.Epoch == ""
	if same && sub.pos.Offset >= top.Offset {
		return false
	}
	sub.phase = subEnded
	return true
}
