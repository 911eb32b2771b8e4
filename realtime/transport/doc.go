// Package transport carries the sessions of a [realtime.Node] over WebSocket, on a
// listener of its own; every other HTTP request goes to a handler.
//
// Handlers of the application may have WebSocket connections too, for sessions of another
// kind ([Session], [Server.Accept]): they run on the same sockets, under the same promises.
//
// What it promises: RFC 6455 and RFC 7692 as written; no memory is taken for a
// length that is only declared; a request whose Origin is not allowed gets no session
// (guarantees.md S21), a peer that is slow to ask is closed (S22), every limit holds
// at its exact value (S23); a panic ends the connection that raised it and
// nothing else (R35); no descriptor is used after it was closed.
//
// On Linux, connections without TLS have no goroutine: a few pollers read requests,
// upgrade them and run the sessions' code themselves, because waking a goroutine costs
// more than most commands do. A poller that is held up by one connection is replaced,
// so no connection waits for another for long. With TLS, and elsewhere, a
// connection has one goroutine that reads, and one that writes while bytes wait.
// An idle connection holds no buffer and no timer.
//
// [Server.Serve] owns all goroutines and returns after the last has ended.
package transport
