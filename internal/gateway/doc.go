// Package gateway streams the event log to services, bots and operators over WebSocket
// (event-gateway.md).
//
// What it promises: a connection gets each event that its subscriptions match and that it
// may see exactly once and in the order of the log, live without asking the database; who
// comes back with the id of the last event gets what was missed, without a gap and without
// a repetition, as long as the log keeps it. Who may see an event of a room is asked when it
// is delivered, not when it is subscribed to, and of replayed events too. A slow reader
// costs a bounded buffer, then none: it reads the log at the speed of its socket and delays
// nobody.
//
// A [Gateway] is a reader of the log (outbox.Sink): what was committed comes through
// [Gateway.Deliver]. Its sessions are carried by the sockets of realtime/transport and have
// no goroutine of their own; what must wait for the database runs in goroutines that
// [Gateway.Run] owns and waits for.
package gateway
