package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// What is kept of a response.
const (
	// MaxBody is the most that is read of a body, in bytes.
	MaxBody = 64 << 10
	// MaxKeptHeader bounds the response headers kept, names and values together.
	MaxKeptHeader = 4 << 10
	// MaxRetryAfter is the longest wait that a receiver can ask for.
	MaxRetryAfter = 24 * time.Hour

	messageChars = 500 // of the body in Attempt.Message
)

// The codes of attempts that failed. Others are "http_" with the status.
const (
	CodeTimeout  = "timeout"
	CodeDNS      = "dns"
	CodeConnect  = "connect"
	CodeReset    = "reset" // the connection ended early, or what came is no HTTP
	CodeTLS      = "tls"
	CodeRedirect = "redirect"
	CodeGone     = "gone"
	CodeBlocked  = "target_blocked"
	CodeInternal = "internal"
)

// What a receiver may ask for with the header webhook-delivery.
const (
	ControlAbort   = "abort-message" // no further attempts of this delivery
	ControlDisable = "disable"       // no further deliveries at all
)

// Attempt is how a request went.
type Attempt struct {
	// Code is empty if and only if the attempt succeeded; Message explains it.
	Code, Message string

	// Status is 0 if no complete header block came.
	Status int
	// Header holds up to MaxKeptHeader bytes of whole headers, in order of their
	// names, without cookies.
	Header http.Header
	// Body is what was read, as text: NUL and invalid UTF-8 are U+FFFD.
	Body string
	// Truncated says that there was, or may have been, more of the body.
	Truncated bool
	// RetryAfter is how long the receiver wants to be left alone, at most
	// MaxRetryAfter; 0 if it does not say or the time has passed. It is read of
	// every response; 429 and 503 are those where it binds.
	RetryAfter time.Duration
	// Control is ControlAbort, ControlDisable or empty.
	Control string

	// RemoteIP is who answered; empty if nobody did or a proxy is between.
	RemoteIP string
	// HTTPVersion is "HTTP/1.1", "HTTP/2.0"; empty without a response.
	HTTPVersion string
	Timings     Timings
}

// Timings are how long the parts of an attempt took; a part that did not take
// place, as all before the request on a connection used again, is 0.
type Timings struct {
	DNS, Connect, TLS time.Duration
	FirstByte         time.Duration // from the start of the attempt
	Total             time.Duration
}

// OK says whether the attempt succeeded.
func (a Attempt) OK() bool { return a.Code == "" }

// refusal is an attempt that was not made, or that nothing may be known of.
func refusal(code string) Attempt { return Attempt{Code: code, Message: messages[code]} }

// messages are the texts of failures without a response. None is made from an
// error of the network, because those name addresses, our own too.
var messages = map[string]string{
	CodeTimeout:  "Request timeout",
	CodeDNS:      "Host name not found",
	CodeConnect:  "Connection failed",
	CodeReset:    "Connection closed before the response was complete",
	CodeTLS:      "TLS handshake failed",
	CodeBlocked:  "Target address is not allowed",
	CodeInternal: "Internal error",
}

// failure classifies what prevented a response.
func failure(ctx context.Context, rec *recorder, err error) Attempt {
	if errors.Is(err, ErrBlocked) {
		return refusal(CodeBlocked)
	}
	if ctx.Err() != nil {
		return refusal(CodeTimeout)
	}
	if !rec.began() { // refused by net/http itself, such as a header that cannot be sent
		return refusal(CodeInternal)
	}
	var lookup *lookupError
	if errors.As(err, &lookup) {
		a := refusal(CodeDNS)
		var dns *net.DNSError
		if errors.As(err, &dns) && !dns.IsNotFound {
			a.Message = "Host name lookup failed"
		}
		return a
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return refusal(CodeTimeout)
	}
	var op *net.OpError
	isOp := errors.As(err, &op)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		a := refusal(CodeConnect)
		a.Message = "Connection refused"
		return a
	case errors.Is(err, errNoSource), isOp && (op.Op == "dial" || op.Op == "proxyconnect"):
		return refusal(CodeConnect)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF):
		return refusal(CodeReset)
	case rec.handshakeFailed(), isOp && op.Op == "remote error": // an alert; with TLS 1.3 it may come after the handshake
		a := refusal(CodeTLS)
		a.Message = tlsMessage(err)
		return a
	}
	if !rec.hasConn() { // such as a proxy that refuses
		return refusal(CodeConnect)
	}
	a := refusal(CodeReset)
	if strings.Contains(err.Error(), "headers exceeded") || strings.Contains(err.Error(), "header list larger") {
		a.Message = "Response headers are too large"
	} else if strings.Contains(err.Error(), "malformed") {
		a.Message = "Response is not HTTP"
	}
	return a
}

func tlsMessage(err error) string {
	var (
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &host):
		return "TLS: the certificate is for another host"
	case errors.As(err, &unknown):
		return "TLS: the certificate is signed by an unknown authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "TLS: the certificate has expired or is not valid yet"
	case errors.As(err, &invalid):
		return "TLS: the certificate is not valid"
	case errors.As(err, &record):
		return "TLS: the server does not speak TLS on this port"
	}
	return messages[CodeTLS]
}

// answer judges a response. broken is the code if its body broke off: that fails
// what would be a success (spec/webhooks.md §4.5), any other status says enough.
func answer(resp *http.Response, body []byte, truncated bool, broken string) Attempt {
	a := Attempt{
		Status: resp.StatusCode, HTTPVersion: resp.Proto,
		Header: keptHeader(resp.Header), Body: text(body, truncated), Truncated: truncated,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
	switch control := strings.ToLower(strings.TrimSpace(resp.Header.Get("Webhook-Delivery"))); control {
	case ControlAbort, ControlDisable:
		a.Control = control
	}
	switch code := a.Status; {
	case code >= 200 && code <= 299:
		a.Code, a.Message = broken, messages[broken]
		return a
	case code >= 300 && code <= 399:
		a.Code, a.Message = CodeRedirect, fmt.Sprintf("HTTP %d: redirect not followed", code)
		return a
	case code == http.StatusGone:
		a.Code = CodeGone
	default:
		a.Code = "http_" + strconv.Itoa(code)
	}
	a.Message = fmt.Sprintf("HTTP %d: %s", a.Status, firstChars(a.Body, messageChars))
	return a
}

// text makes body a string that any database and terminal takes. A character
// that the cut went through is left out.
func text(body []byte, cut bool) string {
	if cut {
		for i := 1; i < utf8.UTFMax && i <= len(body); i++ {
			if tail := body[len(body)-i:]; utf8.RuneStart(tail[0]) {
				if !utf8.FullRune(tail) {
					body = body[:len(body)-i]
				}
				break
			}
		}
	}
	return clean(string(body))
}

func clean(s string) string {
	const replacement = string(utf8.RuneError)
	return strings.ReplaceAll(strings.ToValidUTF8(s, replacement), "\x00", replacement)
}

func firstChars(s string, n int) string {
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}

// keptHeader copies what fits; a header that does not is left out whole.
func keptHeader(h http.Header) http.Header {
	names := make([]string, 0, len(h))
	for name := range h {
		if name != "Set-Cookie" && name != "Set-Cookie2" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	kept, size := http.Header{}, 0
	for _, name := range names {
		for _, value := range h[name] {
			value = clean(value)
			if n := len(name) + len(value); size+n <= MaxKeptHeader {
				kept[name] = append(kept[name], value)
				size += n
			}
		}
	}
	return kept
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 63)
		if err != nil || seconds > uint64(MaxRetryAfter/time.Second) {
			return MaxRetryAfter // more digits than a number has are a long time, too
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), MaxRetryAfter)
}
