package alerts

import "time"

// The kinds of alerts that the server raises itself.
const (
	// FailedSignIns are passwords that were wrong, or came too often to be looked at.
	FailedSignIns = "failed_sign_ins"
	// TokenReused is a refresh token that was shown after it had been replaced: it was
	// copied, and its session has been ended.
	TokenReused = "token_reused"
	// RefusedTokens are tokens and API keys that are forged, expired or revoked.
	RefusedTokens = "refused_tokens"
	// RateLimited are requests refused because there were too many.
	RateLimited = "rate_limited"
	// DatabaseUnavailable means that nothing could be stored for a while; DatabaseBroken that the
	// server has ended because a commit could not be made durable.
	DatabaseUnavailable = "database_unavailable"
	DatabaseBroken      = "database_broken"
	// RefusedEvents are events of the log that one of its readers could not take.
	RefusedEvents = "refused_events"
	// FailingWebhook is a webhook endpoint that refuses deliveries.
	FailingWebhook = "failing_webhook"
)

// rule says when observations of a kind become an alert, and which.
type rule struct {
	// n observations of a subject within window raise an alert; 1 is each.
	n      int
	window time.Duration
	// what was observed, in the plural; title is the alert's.
	what, title                string
	severity, category, source string
}

func rules(o *Options) map[string]rule {
	return map[string]rule{
		FailedSignIns:       {o.SignIns, o.Window, "failed sign-ins", "Failed sign-ins", High, "authentication", "identity"},
		TokenReused:         {1, 0, "uses of a replaced refresh token", "A refresh token was copied", High, "authentication", "identity"},
		RefusedTokens:       {o.Tokens, o.Window, "refused tokens or keys", "Refused tokens", Medium, "authentication", "api"},
		RateLimited:         {o.Requests, o.Window, "requests above the limit", "Too many requests", Medium, "abuse", "api"},
		DatabaseUnavailable: {1, 0, "times without the database", "The database was not available", Critical, "availability", "store"},
		DatabaseBroken:      {1, 0, "broken databases", "The database broke", Critical, "availability", "store"},
		RefusedEvents:       {1, 0, "events that a reader of the log refused", "Events were refused", High, "delivery", "outbox"},
		FailingWebhook:      {10, o.Window, "refused deliveries", "A webhook is failing", Medium, "delivery", "delivery"},
	}
}
