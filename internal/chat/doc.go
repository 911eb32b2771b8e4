// Package chat is the rules of the chat backend: who may write, read, change and see
// what in which chat. Every contract (internal/api, internal/compat/…) calls the same
// [Service]; none has rules of its own.
//
// A chat numbers its messages 1, 2, 3, … without gaps (seq) and its persisted changes
// likewise (event_seq, the number in the stream of the chat). Both are taken in the
// transaction that stores the change, together with the event that announces it; what
// a call returned without an error is stored. Membership is looked at in that
// transaction too, by the queries themselves: whoever is not an active member gets
// [ErrNotFound], whether the chat exists or not.
//
// The package knows neither SQL nor HTTP. It reads and writes through [Store], and owns
// no goroutines but those of [Typing] and [Presence], which their Run methods wait for.
package chat
