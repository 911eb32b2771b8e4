package config

import "time"

// Alerts say how much of what looks like an attack is worth telling the operator.
type Alerts struct {
	FailedSignIns int           `key:"failed_sign_ins" default:"10" doc:"Failed sign-ins of one account, or from one address, within window that raise an alert; at most 1000, as the other two."`
	RefusedTokens int           `key:"refused_tokens" default:"50" doc:"Forged, expired or revoked tokens and keys from one address within window that raise an alert."`
	RateLimited   int           `key:"rate_limited" default:"200" doc:"Requests of one user or address refused within window, because there were too many, that raise an alert."`
	Window        time.Duration `key:"window" default:"5m" doc:"Time in which they are counted."`
	Retention     time.Duration `key:"retention" default:"2160h" doc:"Time an alert is kept after it last changed, and a scan after it began."`
}

// mostCounted bounds what is remembered of each user and address.
const mostCounted = 1000

func (l *loader) checkAlerts(a *Alerts) {
	l.checkRange("alerts.failed_sign_ins", a.FailedSignIns, 1, mostCounted)
	l.checkRange("alerts.refused_tokens", a.RefusedTokens, 1, mostCounted)
	l.checkRange("alerts.rate_limited", a.RateLimited, 1, mostCounted)
}
