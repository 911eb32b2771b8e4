// Package bench measures any server that speaks the client protocol (JSON over
// WebSocket) and the server HTTP API: what a delivery, a publish, a connection and
// a return cost the server's process in CPU time, how late publications arrive, and
// what an idle connection keeps in memory; and what our chat backend does. It is what
// `kuranty bench` runs.
//
// Only ratios hold on shared machines, so where a measure has a lower bound the
// same run measures that floor too, in turns with the server: a child process that
// writes prebuilt frames to as many sockets, without blocking, and does nothing
// else (or an empty net/http handler that reads the same body). CPU time is read
// from the kernel's clock of the server's process and never includes the client.
//
// The client side is one loop over epoll with hand-made framing, so that it is
// never what is measured; it needs Linux, elsewhere every measure returns
// [ErrUnsupported].
//
// A measure owns what it starts: its sockets and its child processes (the floor,
// and the server when no URL is given) are gone when it returns, also after an
// error or when its context ends. No goroutine outlives it.
package bench
