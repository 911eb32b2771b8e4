// Package egress makes one HTTP request to a server that somebody else named:
// the receiver of a webhook. That server may be hostile, and whoever named it
// may want us to call what only we can reach.
//
// It promises (guarantees S31, S33, and of R21 what one attempt can hold):
//
//   - No connection is made to an address that [Guard] refuses. The concrete
//     address is checked at every dial, after the name was resolved, so an
//     answer of DNS that changes gains nothing. A connection is used again only
//     for the host, port and TLS identity it was made for. Redirects are never
//     followed and proxies in the environment are ignored.
//   - An attempt ends within its limit, which covers everything from resolving
//     the name to the last byte of the body. Of a response at most 64 KiB of
//     headers and 64 KiB of body are taken, as they are: nothing is decompressed.
//   - What is reported of a refused target is the refusal. Other error messages
//     are fixed texts or the receiver's own words, never an address.
//
// With Options.Proxy the proxy resolves and dials, and the duty to refuse
// addresses is the proxy's; only addresses written in the URL are still checked.
//
// What outlives [Client.Do] is inside net and net/http: connections kept for
// reuse, which [Client.Close] ends, and a lookup, dial or handshake that nobody
// waits for any longer. Those end by themselves, a lookup within the limits of
// the system's resolver, the others within ConnectTimeout and Options.Timeout.
package egress
