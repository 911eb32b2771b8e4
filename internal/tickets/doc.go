// Package tickets is the rules of support tickets: what people ask the operator of the
// server, and what is answered.
//
// A ticket belongs to one person, who sees it and writes in it, as operators do: people who
// administrate the server, and services. An operator's reply makes a ticket answered, its
// owner's makes it open, also one that was closed; operators set any status, the priority
// and who takes care of it, and can keep its owner from replying until some time.
//
// Every change is announced by an event of its own, stored in the same transaction: whoever
// reads the log sees each change once, in order, and none that did not happen. Of a ticket
// that is not the caller's, nobody learns whether it exists.
//
// The package starts no goroutines. A [Service] is safe for concurrent use.
package tickets
