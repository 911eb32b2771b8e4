// Package realtime delivers publications to connections: channels, subscriptions,
// presence, history and recovery, as client-protocol.md describes them. It is a
// library: sockets are a [Conn]'s business, permissions an [Authorizer]'s, streams a
// [Broker]'s.
//
// What it promises: a connection sees the publications of a channel in order of
// offset, each once, and never across a gap (it is told to recover instead); a
// recovery is called successful only if it is complete; a connection that does
// not read costs at most its queue and delays nobody.
//
// Nothing blocks on a client. A publication is encoded once for each kind of
// connection and written by the goroutine that published it, or by its shard's
// worker if that is busy. [Node.Run] owns every goroutine and returns after the last
// has ended.
package realtime
