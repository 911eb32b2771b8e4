// Package policy decides who may connect, subscribe, publish and look where: tokens,
// namespaces and their permissions, as auth-and-channels.md §1–§6 describe them. It is
// the [realtime.Authorizer] and the [realtime.Channels] of the server.
//
// Everything is denied that no rule allows. A decision depends on the options at the
// moment of the call only: [Policy.Replace] exchanges them as a whole, and a decision
// under way ends by the options it began with.
//
// A [Policy] is safe for concurrent use, owns no goroutines, and blocks only while a
// token needs a key set that has to be fetched.
package policy
