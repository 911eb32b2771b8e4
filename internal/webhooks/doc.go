// Package webhooks is what owners of webhooks can do: make, change and remove them, look at
// what was delivered, and ask for it again (spec/webhooks.md §1 and §4).
//
// Rules are package delivery's and sending is package dispatch's; this package decides who
// is told what, in which order things are stored, and that no secret leaves unless it is
// asked for. It has neither SQL nor HTTP.
//
// What an operator does is on record ([Options.Audit]) before it is told that it was done.
// The receiver is asked within the call only by [Service.Try] and where a webhook wants to be
// verified, for at most the webhook's own time limit; everything else is the sending loop's,
// which is told of each change ([Options.Poke]).
//
// The package starts no goroutines. A [Service] is safe for concurrent use.
package webhooks
