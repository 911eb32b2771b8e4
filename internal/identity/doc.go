// Package identity tells who is calling. It keeps accounts, their sessions and the API
// keys of services ([Accounts]), verifies the signed tokens of realtime clients and of
// the operator's own application ([Verifier]), makes tokens ([Signer]), and compares and
// makes secrets.
//
// No claim of a token has any effect before its signature is verified, except to
// choose among keys that the operator configured; an algorithm is accepted only with
// a key of its own family. Tokens are at most [MaxTokenSize] bytes, and those of one
// kind are no use as another.
//
// Secrets that are given out are stored hashed and shown once. A refresh token is
// replaced at each use; one used again after 30 s revokes its session. Whatever changes
// an account is one transaction with the event that tells of it, so that what is
// revoked is revoked on every node: this one knows at once, others when the event
// reaches [Accounts.Forget] and [Accounts.ForgetUser], and after 5 s without it.
//
// Everything is safe for concurrent use. A [Verifier] owns no goroutines: a key set is
// fetched by the call that needs it, while other calls that need it wait.
// [Accounts.Run] owns those of the accounts and returns after the last has ended.
package identity
