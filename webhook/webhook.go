// Package webhook is what a webhook and its receiver have to agree on: the bytes of a
// body and the signatures over them. The server sends with it, and a receiver written in
// Go may import it; it depends on the standard library, and on jsontext, which is on its way there.
//
// # Bodies
//
// [Canonical] writes JSON so that a receiver may sign what it received, or parse it,
// write it again with Python's json.dumps(payload, sort_keys=True) and sign that: both are
// the same bytes. [Compact] writes what JSON.stringify(JSON.parse(body)) gives again. A
// [Format] says which of them is sent, and in which envelope.
//
// # Signatures
//
// Two schemes stand side by side in each request (webhooks.md §1.6, §4.3):
//
//	X-Webhook-Signature: sha256=<hex>     HMAC-SHA256 of the body
//	webhook-signature: v1,<base64>        HMAC-SHA256 of id.timestamp.body (Standard Webhooks);
//	                                      v1a,<base64> is an Ed25519 signature of the same
//
// Only the second tells when the request was made, so only [Verifier.Verify] refuses one
// that somebody recorded and sends again.
//
// Nothing here keeps state; everything may be called at the same time.
package webhook

import (
	"slices"
	"strings"
)

// Headers of a request. HeaderWebhook and HeaderID differ by two letters only: the first
// is the number of the webhook's configuration, the second the id of the event.
const (
	HeaderEvent         = "X-Webhook-Event"          // type of the event, as ticket.created
	HeaderWebhook       = "X-Webhook-Id"             // id of the webhook's configuration, a decimal number
	HeaderSignature     = "X-Webhook-Signature"      // sha256=<hex>; not sent without a secret
	HeaderSignatureNext = "X-Webhook-Signature-Next" // the same by the new secret, while an old one is still good
	HeaderDelivery      = "X-Webhook-Delivery"       // id of the delivery, a decimal number
	HeaderAttempt       = "X-Webhook-Attempt"        // 1, 2, … within the delivery

	HeaderID            = "Webhook-Id"        // id of the event, the same in each attempt and for each webhook
	HeaderTimestamp     = "Webhook-Timestamp" // seconds since 1970 of this attempt
	HeaderSignatureList = "Webhook-Signature" // signatures with a space between, that of the newest secret first
)

// MaxPayload is the most bytes a payload has in its canonical form (webhooks.md §4.16).
const MaxPayload = 256 << 10

// The headers that are ours or the connection's (webhooks.md §4.1).
var (
	ownHeaders = []string{
		"host", "content-length", "content-type", "connection", "transfer-encoding", "te", "upgrade", "trailer", "user-agent", "accept-encoding",
	}
	ownHeaderPrefixes = []string{"x-webhook-", "webhook-", "ce-", "proxy-"}
)

// OwnHeader tells whether only the sender sets a header, so that the owner of a webhook cannot
// have one of that name; it is in lower case.
func OwnHeader(name string) bool {
	return slices.Contains(ownHeaders, name) || slices.ContainsFunc(ownHeaderPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}
