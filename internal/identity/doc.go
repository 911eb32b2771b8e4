// Package identity tells who is calling. It verifies the signed tokens of realtime
// clients ([Verifier]), makes such tokens ([Signer]), and compares and makes secrets.
//
// No claim of a token has any effect before its signature is verified, except to
// choose among keys that the operator configured; an algorithm is accepted only with
// a key of its own family. Tokens are at most [MaxTokenSize] bytes.
//
// A [Verifier] is safe for concurrent use and owns no goroutines: a key set is fetched
// by the call that needs it, while other calls that need it wait.
package identity
