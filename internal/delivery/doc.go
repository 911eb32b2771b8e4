// Package delivery is the rules of webhooks: who is told of an event, what an
// answer means, when to try again, and when to stop (spec/webhooks.md §1.3–1.5 and §4).
//
// It has no SQL, sends nothing, starts no goroutine and reads no clock: the time, and
// the randomness of jitter, come in as arguments. Who keeps webhooks and deliveries
// stores the types of this package as they are, calls their methods while it holds the
// row, and stores them again; so the rules are the same on every database and node.
//
//   - [ParseCreate] and [ParsePatch] read what an owner wants of a [Webhook]; mistakes
//     come all together as an [InvalidError], in the form of answer 422.
//   - [Index] finds the webhooks that an event is for.
//   - [Judge] says what an attempt's [Result] means; [Delivery.Finish] applies that to
//     the delivery, by the [Schedule]; [Circuit] and [Health] to the webhook.
//
// An [Index] never changes and is safe for concurrent use. Everything else is a plain
// value that belongs to its caller.
package delivery
