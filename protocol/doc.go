// Package protocol is the wire protocol between the server and its realtime
// clients, version 2 of the Centrifugo client protocol: the messages as plain
// Go structs, their JSON and Protobuf codecs, how several messages share one
// transport message, and every error, close and unsubscribe code.
//
// One set of structs serves both formats. A codec never retains what it was
// given and starts no goroutine; all functions are safe for concurrent use.
// Payload fields ([Raw]) of a decoded message alias the decoded bytes: who
// keeps such a message longer than the bytes must copy them.
//
// protocol.proto beside this file states the same messages in the schema
// language; a test holds the codecs against it.
package protocol
