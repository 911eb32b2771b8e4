// Package windi serves the contract of the WinDI messenger's guide under /api/v1
// (chat-api.md Part B): tokens for the realtime server, publishing in three forms,
// history, presence, and the accounts, chats and files around them.
//
// It is an adapter. What a call may do is decided by internal/chat and
// internal/identity; here are only the shapes of requests and replies. A message is
// stored before it is announced, whichever of the forms it came in, and sender, time and
// id are the server's: what a client says of them is not looked at.
//
// The proxy endpoints answer a separate realtime server that asks whether somebody may
// connect or subscribe. Their answers refuse in the words such a server really obeys.
//
// [Contract] is safe for concurrent use and starts no goroutines.
package windi
