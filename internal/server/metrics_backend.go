package server

import "github.com/prometheus/client_golang/prometheus"

var (
	descDatabaseUp   = desc("database_up", "1 if the database could be reached at the last attempt.")
	descWrites       = desc("database_writes_total", "Operations stored.")
	descCommits      = desc("database_commits_total", "Transactions they were stored in.")
	descCommitTime   = desc("database_commit_seconds_total", "Time that commits took, syncing included.")
	descStatements   = desc("database_statements_total", "Statements run by write transactions.")
	descQueries      = desc("database_queries_total", "Statements run only to read.")
	descWritesBusy   = desc("database_refused_total", "Writes answered with a retryable error.")
	descUnindexed    = desc("database_unindexed", "New messages that wait for the full-text index.")
	descSinkPosition = desc("log_position", "Position up to which a sink has announced the event log.", "sink")
	descSinkBehind   = desc("log_behind", "Events that a sink has not announced yet.", "sink")
	descSinkLag      = desc("log_lag_seconds", "Age of the oldest event that a sink has not announced yet.", "sink")
	descSinkDone     = desc("log_announced_total", "Events that a sink has announced.", "sink")
	descSinkRefused  = desc("log_refused_total", "Events that a sink refused for good; they are set aside in refused_events.", "sink")
	descSinkFailures = desc("log_failures_total", "Times a sink failed and was tried again.", "sink")
	descAlerts       = desc("alerts_total", "Alerts: raised are new, folded became part of one that stood, dropped are observations that did not fit the queue.", "outcome")
	descMail         = desc("mail_total", "Letters to people: sent are those that a mail server took, failed those that none took.", "outcome")
	descMembersKept  = desc("membership_lookups_total", "Memberships looked up for subscriptions, by where they were found.", "in")
)

// backendDescriptions are the figures of what stands on the database.
var backendDescriptions = []*prometheus.Desc{
	descDatabaseUp, descWrites, descCommits, descCommitTime, descStatements, descQueries, descWritesBusy, descUnindexed,
	descSinkPosition, descSinkBehind, descSinkLag, descSinkDone, descSinkRefused, descSinkFailures, descAlerts, descMail, descMembersKept,
}

// collect reads the figures of what stands on the database.
func (b *backend) collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	up := 0.0
	if b.store.Ready() == nil {
		up = 1
	}
	gauge(descDatabaseUp, up)
	s := b.store.Stats()
	counter(descWrites, float64(s.Writes))
	counter(descCommits, float64(s.Groups))
	counter(descCommitTime, s.CommitTime.Seconds())
	counter(descStatements, float64(s.Statements))
	counter(descQueries, float64(s.Queries))
	counter(descWritesBusy, float64(s.Refused))
	gauge(descUnindexed, float64(s.Unindexed))
	for _, k := range b.log.Stats() {
		gauge(descSinkPosition, float64(k.Position), k.Sink)
		gauge(descSinkBehind, float64(k.Behind), k.Sink)
		gauge(descSinkLag, k.Lag.Seconds(), k.Sink)
		counter(descSinkDone, float64(k.Delivered), k.Sink)
		counter(descSinkRefused, float64(k.Refused), k.Sink)
		counter(descSinkFailures, float64(k.Failures), k.Sink)
	}
	a := b.alerts.Stats()
	counter(descAlerts, float64(a.Raised), "raised")
	counter(descAlerts, float64(a.Folded), "folded")
	counter(descAlerts, float64(a.Dropped), "dropped")
	counter(descMail, float64(b.letters.sent.Load()), "sent")
	counter(descMail, float64(b.letters.failed.Load()), "failed")
	known, asked := b.channels.Lookups()
	counter(descMembersKept, float64(known), "memory")
	counter(descMembersKept, float64(asked), "database")
	if b.hooks != nil {
		collectWebhooks(out, b.hooks.dispatcher)
		counter(descPanics, float64(b.hooks.panics.Load()), "webhooks")
	}
}
