package gateway

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kuranty/kuranty/event"
)

// metrics are the gateway's (event-gateway.md §14).
type metrics struct {
	connections                 *prometheus.GaugeVec
	auth, inbound, outbound     *prometheus.CounterVec
	closes, errors              *prometheus.CounterVec
	fanout                      prometheus.Histogram
	readers                     prometheus.Gauge
	replayed                    prometheus.Counter
	outLive, outReplay, inKnown map[string]prometheus.Counter
}

// frameTypes are the types of messages that are counted by name.
var frameTypes = []string{"auth", "subscribe", "unsubscribe", "ping", "pong", "resume", "ack", "list"}

func newMetrics(channels []string) *metrics {
	const ns, sub = "kuranty", "gateway"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: name, Help: help}, labels)
	}
	m := &metrics{
		connections: gauge("connections", "Connections of the event gateway.", "state"),
		auth:        counter("auth_total", "Authentications by result.", "result", "reason"),
		inbound:     counter("messages_in_total", "Messages from clients.", "type"),
		outbound:    counter("events_out_total", "Events sent to clients.", "channel", "mode"),
		closes:      counter("closes_total", "Connections closed by the gateway.", "code"),
		errors:      counter("errors_total", "Errors told to clients.", "code"),
		fanout: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Subsystem: sub, Name: "fanout_seconds", Help: "From when an event happened until it was written to all live connections.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5},
		}),
		readers:  prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Subsystem: sub, Name: "log_readers", Help: "Connections that read the log because they are behind."}),
		replayed: prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Subsystem: sub, Name: "replay_events_total", Help: "Events of the past that were asked for."}),
		outLive:  make(map[string]prometheus.Counter), outReplay: make(map[string]prometheus.Counter), inKnown: make(map[string]prometheus.Counter),
	}
	for _, ch := range channels {
		m.outLive[ch], m.outReplay[ch] = m.outbound.WithLabelValues(ch, "live"), m.outbound.WithLabelValues(ch, "replay")
	}
	for _, state := range []string{"new", "open"} { // so that they are there before the first
		m.connections.WithLabelValues(state)
	}
	m.auth.WithLabelValues("ok", "")
	m.closes.WithLabelValues(itoa(closeRestart))
	m.errors.WithLabelValues(codeInternal)
	for _, typ := range append(slices.Clone(frameTypes), "other") {
		m.inKnown[typ] = m.inbound.WithLabelValues(typ)
	}
	return m
}

func (m *metrics) in(typ string) {
	c := m.inKnown[typ]
	if c == nil {
		c = m.inKnown["other"]
	}
	c.Inc()
}

func (m *metrics) out(channel, mode string) {
	if mode == "live" {
		m.outLive[channel].Inc()
	} else {
		m.outReplay[channel].Inc()
	}
}

// Collectors are the metrics to register.
func (g *Gateway) Collectors() []prometheus.Collector {
	m := g.metrics
	return []prometheus.Collector{
		m.connections,
		subscriptions{g},
		m.auth, m.inbound, m.outbound, m.closes, m.errors, m.fanout, m.readers, m.replayed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "kuranty", Subsystem: "gateway", Name: "buffer_bytes", Help: "Bytes that wait to be sent.",
		}, g.buffered),
	}
}

// subscriptions counts the subscriptions to something of each channel when it is asked.
type subscriptions struct{ g *Gateway }

var subscribedTo = prometheus.NewDesc("kuranty_gateway_subscriptions", "Subscriptions that bring events of a channel.", []string{"channel"}, nil)

// Describe implements prometheus.Collector.
func (subscriptions) Describe(out chan<- *prometheus.Desc) { out <- subscribedTo }

// Collect implements prometheus.Collector.
func (c subscriptions) Collect(out chan<- prometheus.Metric) {
	count := make(map[string]int)
	for _, s := range c.g.hub.all() {
		s.mu.Lock()
		for _, sub := range s.subs {
			last := ""
			for _, k := range sub.kinds { // in the order of channels
				if k.Channel != last {
					last = k.Channel
					count[last]++
				}
			}
		}
		s.mu.Unlock()
	}
	for i := range event.Channels {
		name := event.Channels[i].Name
		out <- prometheus.MustNewConstMetric(subscribedTo, prometheus.GaugeValue, float64(count[name]), name)
	}
}
