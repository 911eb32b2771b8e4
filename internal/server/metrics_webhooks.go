package server

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kuranty/kuranty/internal/delivery"
	"github.com/kuranty/kuranty/internal/delivery/dispatch"
)

var (
	descHooksSending    = desc("webhook_sending", "1 if this process is the one that sends webhooks.")
	descHooksPending    = desc("webhook_deliveries_pending", "Deliveries that are due, waiting for a retry or being sent.")
	descHooksPaused     = desc("webhook_deliveries_paused", "Deliveries kept for disabled webhooks.")
	descHooksOldest     = desc("webhook_oldest_due_seconds", "For how long the oldest delivery has been due that nothing holds back.")
	descHooksBusy       = desc("webhook_sender_slots_busy", "Attempts under way.")
	descHooksCircuit    = desc("webhook_circuit_state", "Circuit of a webhook that has failures: 0 closed, 1 open.", "webhook")
	webhookDescriptions = []*prometheus.Desc{descHooksSending, descHooksPending, descHooksPaused, descHooksOldest, descHooksBusy, descHooksCircuit}
)

// webhookFigures count what the dispatcher tells of (spec/webhooks.md §4.18). Its label
// children are few: codes, states and types of the catalogue.
type webhookFigures struct {
	events, attempts, deliveries, disabled *prometheus.CounterVec
	lag, duration                          prometheus.Histogram
}

// newWebhookFigures returns figures that are 0 from the start, so that the first event of a
// type, or the first failure, is a change that an alert can see.
func newWebhookFigures(types []string) *webhookFigures {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kuranty_webhook_" + name, Help: help}, labels)
	}
	seconds := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	f := &webhookFigures{
		events:     counter("events_total", "Events that at least one webhook gets, by type.", "type"),
		attempts:   counter("attempts_total", "Attempts by outcome (success, failure) and error code.", "outcome", "error_code"),
		deliveries: counter("deliveries_total", "Deliveries that became final, by state.", "state"),
		disabled:   counter("disabled_total", "Webhooks that the server switched off, by reason.", "reason"),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kuranty_webhook_delivery_lag_seconds", Help: "From when a delivery was due until its attempt began.", Buckets: seconds,
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kuranty_webhook_attempt_duration_seconds", Help: "How long attempts took.", Buckets: seconds,
		}),
	}
	for _, typ := range types {
		f.events.WithLabelValues(typ)
	}
	f.attempts.WithLabelValues("success", "")
	for _, state := range []delivery.State{delivery.StateSucceeded, delivery.StateExhausted, delivery.StateCanceled} {
		f.deliveries.WithLabelValues(string(state))
	}
	for _, reason := range []delivery.Reason{
		delivery.ReasonFailures, delivery.ReasonGone, delivery.ReasonReceiver, delivery.ReasonBlocked, delivery.ReasonBacklog, delivery.ReasonExhausted,
	} {
		f.disabled.WithLabelValues(string(reason))
	}
	return f
}

func (f *webhookFigures) collectors() []prometheus.Collector {
	return []prometheus.Collector{f.events, f.attempts, f.deliveries, f.disabled, f.lag, f.duration}
}

// Matched implements [dispatch.Observer].
func (f *webhookFigures) Matched(typ string) { f.events.WithLabelValues(typ).Inc() }

// Attempted implements [dispatch.Observer].
func (f *webhookFigures) Attempted(code string, lag, took time.Duration) {
	outcome := "success"
	if code != "" {
		outcome = "failure"
	}
	f.attempts.WithLabelValues(outcome, code).Inc()
	f.lag.Observe(lag.Seconds())
	f.duration.Observe(took.Seconds())
}

// Ended implements [dispatch.Observer].
func (f *webhookFigures) Ended(state delivery.State) {
	f.deliveries.WithLabelValues(string(state)).Inc()
}

// Disabled implements [dispatch.Observer].
func (f *webhookFigures) Disabled(reason delivery.Reason) {
	f.disabled.WithLabelValues(string(reason)).Inc()
}

// collectWebhooks reads how sending stands.
func collectWebhooks(out chan<- prometheus.Metric, d *dispatch.Dispatcher) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s := d.Stats()
	sending := 0.0
	if s.Leading {
		sending = 1
	}
	gauge(descHooksSending, sending)
	gauge(descHooksPending, float64(s.Pending))
	gauge(descHooksPaused, float64(s.Paused))
	gauge(descHooksOldest, s.OldestDue.Seconds())
	gauge(descHooksBusy, float64(s.Busy))
	for id, state := range s.Circuits {
		gauge(descHooksCircuit, float64(state), strconv.FormatInt(id, 10))
	}
}
