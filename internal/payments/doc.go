// Package payments keeps what people paid and were paid: transactions in minor units of one
// currency, and the balance of each person, which follows from them.
//
// A transaction is stored together with the event that announces it, and, once it is
// completed, with what it does to the balance: its type says whether it adds, takes or
// does neither. Balances are neither negative nor above what an int64 holds, also when many
// transactions of one person come at once: what would make them so is refused. A
// transaction is never removed and its amount never changed; completing a pending one is
// the only thing that happens to it, but for the erasure of its texts with the person.
//
// An external id, which is the payment provider's, makes repetitions harmless: with the
// same method of payment it is stored once, and who sends it again gets the first.
//
// Who may write and whose transactions somebody sees is decided by the caller, who says so
// with each call. A [Service] is safe for concurrent use and starts no goroutines.
package payments
