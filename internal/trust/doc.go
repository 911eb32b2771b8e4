// Package trust is who can prove what about themselves: people publish an identity with
// an Ed25519 key, and others see how well it is verified and of what repute it is.
//
// A verification is begun, then verified or failed, and expires. The key is proved by
// signing a challenge, the e-mail address of the account by a code sent there, and another
// member may vouch; documents, phones and the like are decided by operators. Level and
// reputation follow from the verifications that stand, by the formula of [Evidence.Score],
// and from nothing else: they are computed anew in the transaction of each change, which
// is also that of the events about it.
//
// A challenge is random, good once and for one identity and key. A code is kept as a keyed
// hash, and ends after [codeTries] wrong tries. Whoever may see an identity is everybody
// with an account; verifications are seen by whose identity it is, by who gave them and by
// operators, and do not exist for others.
//
// A [Service] is safe for concurrent use. [Service.Run], which lets verifications expire,
// is its only goroutine.
package trust
