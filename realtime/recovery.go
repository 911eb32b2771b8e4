package realtime

import "github.com/kuranty/kuranty/protocol"

// wanted is a request for what was missed.
type wanted struct {
	// recover says that the client asked, or that the server does so by itself.
	recover bool
	since   protocol.StreamPosition
	// orError refuses the subscription if what was missed cannot be restored.
	orError bool
}

// seam is where the past ends and live publications begin, for one subscriber.
type seam struct {
	// recovered says that missed is everything since what was wanted.
	recovered bool
	missed    []*protocol.Publication
	// pos is where the subscriber stands after missed.
	pos protocol.StreamPosition
	// gap says that the held publications do not continue the past.
	gap bool
}

// announced is the position of the subscribe result: where the client was when it
// gets what it missed and walks on from there, else where it now begins
// (client-protocol.md §15.2).
func (m *seam) announced(w wanted) uint64 {
	if m.recovered {
		return w.since.Offset
	}
	return m.pos.Offset
}

// continuePast appends to the past the held publications that are newer.
func continuePast(top protocol.StreamPosition, held []item) (newer []*protocol.Publication, pos protocol.StreamPosition, gap bool) {
	pos = top
	for i := range held {
		it := &held[i]
		if it.pub == nil || it.pos.Offset == 0 {
			continue
		}
		if pos.Epoch != "" && it.pos.Epoch != pos.Epoch {
			return nil, pos, true
		}
		switch {
		case it.pos.Offset <= pos.Offset:
		case it.pos.Offset == pos.Offset+1:
			newer = append(newer, it.pub)
			pos = it.pos
		default:
			return nil, pos, true
		}
	}
	return newer, pos, false
}

// beginNow is the seam of a subscriber who wants nothing of the past.
func beginNow(past Past, held []item) seam {
	_, pos, gap := continuePast(past.Top, held)
	return seam{pos: pos, gap: gap}
}

// recoverStream is the seam of a subscriber who wants everything it missed: past is
// what is retained after w.since, as far as the limit goes.
func recoverStream(w wanted, past Past, held []item) seam {
	newer, pos, gap := continuePast(past.Top, held)
	m := seam{pos: pos, gap: gap}
	if gap || !complete(w.since, past) {
		return m
	}
	m.recovered = true
	m.missed = append(past.Publications[:len(past.Publications):len(past.Publications)], newer...)
	return m
}

// complete tells whether past is all there was after since.
func complete(since protocol.StreamPosition, past Past) bool {
	if since.Epoch != "" && since.Epoch != past.Top.Epoch {
		return false
	}
	next := since.Offset
	for _, pub := range past.Publications {
		if pub.Offset != next+1 {
			return false
		}
		next = pub.Offset
	}
	return next == past.Top.Offset
}

// recoverCache is the seam of a subscriber who wants the latest publication only
// (client-protocol.md §15.3): past is that one, or nothing.
func recoverCache(w wanted, past Past, held []item) seam {
	newer, pos, gap := continuePast(past.Top, held)
	m := seam{pos: pos, gap: gap}
	if gap {
		return m
	}
	if same := w.since == pos; same && w.since.Offset > 0 {
		m.recovered = true
		return m
	} else if same {
		m.recovered = true
	}
	latest := append(past.Publications[:len(past.Publications):len(past.Publications)], newer...)
	if n := len(latest); n > 0 && latest[n-1].Offset == pos.Offset {
		m.recovered = true
		m.missed = latest[n-1:]
	}
	return m
}
