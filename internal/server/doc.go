// Package server builds a whole server from a configuration, runs it and ends it.
//
// [New] opens the data folder, takes or makes the secrets in it and connects the
// parts: identity, policy, the realtime node, the server API and the transports.
// [Server.Run] starts them in order and owns every goroutine; when its context ends it
// stops taking connections, closes those there are over the drain time, keeps the
// streams of the memory broker in the data folder, and returns.
//
// One process uses a data folder at a time. A graceful stop keeps streams and epochs; a
// crash begins new epochs, because what was kept is removed before the server listens.
package server
