// Package alerts is what should be looked at: alerts, which something raised that looks
// like an attack or a failure, and scans, which hold the running configuration against
// what the server promises (guarantees.md).
//
// What happens is told with [Service.Note], which costs the caller nothing: it puts the
// observation into a bounded queue and never waits; what does not fit is counted in
// [Stats] and lost. [Service.Run] counts observations, of each kind and subject "N in T",
// and raises an alert when there are enough. Services raise their own with
// [Service.Raise].
//
// There is at most one alert of a kind and a subject that is not resolved. Whatever is
// raised again while it stands is folded into it: its count and the time it was last seen
// rise, and security.alert.updated is sent at most once a minute. After it was resolved,
// the next one is a new alert. Of a kind that goes off for very many subjects at once, such
// as a login tried from thousands of addresses, all beyond the first are one alert.
//
// Each change is one transaction with the event that announces it. [Service.Run] owns its
// only goroutine and returns after what was noted has been written. A [Service] is safe
// for concurrent use.
package alerts
