package server

import (
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// figures reads the counters of the parts when Prometheus asks; nothing is counted
// twice, and nothing on the way of a message knows of metrics (guarantees.md R42).
type figures struct{ s *Server }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("kuranty_"+name, help, labels, nil)
}

var (
	descBuild         = desc("build_info", "Version of the server; always 1.", "version", "go")
	descConnections   = desc("connections", "Open client connections.")
	descUsers         = desc("users", "Distinct users connected.")
	descSubscriptions = desc("subscriptions", "Subscriptions of all connections.")
	descChannels      = desc("channels", "Channels with subscribers.")
	descQueue         = desc("queue_bytes", "Bytes waiting for clients' sockets.")
	descConnects      = desc("connects_total", "Clients let in.")
	descPublications  = desc("publications_total", "Publications accepted.")
	descDeliveries    = desc("deliveries_total", "Publications handed to connections.")
	descRecoveries    = desc("recoveries_total", "Recoveries by whether they were complete.", "recovered")
	descInsufficient  = desc("insufficient_state_closes_total", "Connections told that they missed a publication (code 3010 or 2500).")
	descSlow          = desc("slow_closes_total", "Connections closed because they did not read (code 3008).")
	descAccepted      = desc("accepted_total", "WebSocket connections accepted.")
	descRefused       = desc("refused_total", "Connections refused, by reason.", "reason")
	descPanics        = desc("panics_total", "Panics contained, by where.", "in")
	descAPI           = desc("api_calls_total", "Server API calls, by method and outcome: ok, or the error's code.", "method", "outcome")
	descAPIRefused    = desc("api_refused_total", "Server API requests refused before any call, by reason.", "reason")
)

// Describe implements [prometheus.Collector].
func (figures) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descBuild, descConnections, descUsers, descSubscriptions, descChannels, descQueue, descConnects, descPublications,
		descDeliveries, descRecoveries, descInsufficient, descSlow, descAccepted, descRefused, descPanics, descAPI, descAPIRefused,
	} {
		out <- d
	}
	for _, d := range slices.Concat(backendDescriptions, webhookDescriptions) {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (f figures) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	n := f.s.node.Stats()
	gauge(descBuild, 1, f.s.o.Version, runtime.Version())
	gauge(descConnections, n.Sessions)
	gauge(descUsers, n.Users)
	gauge(descSubscriptions, n.Subscriptions)
	gauge(descChannels, n.Channels)
	gauge(descQueue, n.QueuedBytes)
	counter(descConnects, n.Connects)
	counter(descPublications, n.Publications)
	counter(descDeliveries, n.Deliveries)
	counter(descRecoveries, n.RecoveredTrue, "true")
	counter(descRecoveries, n.RecoveredFalse, "false")
	counter(descInsufficient, n.InsufficientState)
	counter(descSlow, n.SlowCloses)

	t := f.s.transport.Stats()
	counter(descAccepted, t.Accepted)
	for reason, v := range t.Refused {
		counter(descRefused, v, reason)
	}
	counter(descPanics, n.Panics, "session")
	counter(descPanics, t.Panics, "connection")
	counter(descPanics, f.s.front.panics.Load(), "request")
	if f.s.backend != nil {
		f.s.backend.collect(out)
	}
	if f.s.api == nil {
		return
	}
	a := f.s.api.Stats()
	for _, c := range a.Calls {
		outcome := "ok"
		if c.Code != 0 {
			outcome = strconv.Itoa(int(c.Code))
		}
		counter(descAPI, c.Count, c.Method, outcome)
	}
	counter(descAPIRefused, a.Unauthorized, "unauthorized")
	counter(descAPIRefused, a.Malformed, "malformed")
	counter(descAPIRefused, a.TooLarge, "too_large")
	counter(descPanics, a.Panics, "api")
}

// metricsHandler serves the figures of this server and of its process.
func (s *Server) metricsHandler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(figures{s}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.backend != nil {
		r.MustRegister(s.backend.gateway.Collectors()...)
		if h := s.backend.hooks; h != nil {
			r.MustRegister(h.figures.collectors()...)
		}
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError)})
}
