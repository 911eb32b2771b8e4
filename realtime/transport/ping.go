package transport

// Native pings (client-protocol.md §1.1): a ping frame each PingInterval, and the end of
// the connection, without a close frame, if no pong comes within PongTimeout.

// startPings begins with them if the client asked for them.
func (l *link) startPings(who timed) {
	if l.native && l.server.o.PingInterval > 0 {
		l.server.clock.add(duePing, who, 0)
	}
}

// pingDue handles the clock's calls. It reports false if the peer did not answer.
func (l *link) pingDue(kind int, stamp uint32, who timed) bool {
	switch {
	case l.gone.Load():
	case kind == latePong:
		return l.ponged.Load() != stamp
	case kind == duePing:
		l.server.clock.add(latePong, who, l.ponged.Load())
		l.server.clock.add(duePing, who, 0)
		l.tell(func() { l.session.WriteControl(AppendPing(nil)) })
	}
	return true
}
