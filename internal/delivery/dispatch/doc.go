// Package dispatch sends webhooks: it makes deliveries of what the log brings, sends those
// that are due, and records how that went (spec/webhooks.md §3 and §4.5–4.10).
//
// It promises:
//
//   - Every committed event is delivered to each webhook that matches it until it is
//     answered 2xx, given up or canceled; nothing is delivered that was not committed
//     (guarantee R20). Repetitions carry the same webhook-id.
//   - One process sends at a time, the one that leads ([Store.Lead]). What it has claimed
//     when it dies is due again for the next.
//   - A slow or dead receiver holds its own webhook's attempts and no other's: each webhook
//     has a lane with a bound of its own, which takes a slot of the process, or of its host
//     and port, only while that leaves room to others; and a quarter of all slots is kept
//     for first attempts.
//   - Memory is bounded whatever waits in the database: claimed deliveries by number,
//     payloads by bytes.
//
// [Dispatcher.Run] owns all goroutines and returns after the last has ended.
package dispatch
