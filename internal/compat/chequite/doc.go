// Package chequite is contract A of the chat backend (chat-api.md, part A): the HTTP
// endpoints and the realtime payloads that clients of the chequite/chat package expect.
//
// It translates and decides nothing: every endpoint is one or two calls of the chat
// service, which the other contracts call too, so that all show the same messages,
// marks and errors. Replies have every field of the original with its meaning and type,
// and some more. One set of objects ([Contract.Message], lists, REST answers) is built
// in objects.go, so a message looks the same wherever it comes from.
//
// What is published is the same for all who get it: a person's address and presence are
// in it only if everybody may know them, or in a chat of two the other. Lists of chats are built for each user who is
// subscribed to theirs, at most every 200 ms; see [Contract.Run], which owns the one
// goroutine (and the few it starts to build lists). [Contract] is safe for concurrent
// use, and none of its methods that tell of changes blocks.
package chequite
