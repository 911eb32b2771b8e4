package server

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/analytics"
	"github.com/kuranty/kuranty/internal/config"
)

// newAnalytics returns the service that keeps metrics and makes reports.
func (s *Server) newAnalytics(b *backend) *analytics.Service {
	a := &s.cfg.Analytics
	o := analytics.Options{
		Store: b.store.Analytics(), Source: newSource(s, b), Server: s.nodeName(), Interval: a.SampleInterval, Announced: announced(a),
		Raw: a.RawRetention, Minutes: a.MinuteRetention, Hours: a.HourRetention, Reports: a.ReportRetention, Logger: s.log,
	}
	if o.Interval == 0 {
		o.Interval = -1
	}
	return analytics.New(o)
}

// announced are the samples that events tell of; in the configuration "none" is none.
func announced(a *config.Analytics) []string {
	if len(a.Events) == 1 && a.Events[0] == config.NoSamples {
		return []string{}
	}
	if len(a.Events) == 0 {
		return nil
	}
	return a.Events
}

// source tells analytics of this server, from what /metrics knows.
type source struct {
	s       *Server
	b       *backend
	process *prometheus.Registry
}

func newSource(s *Server, b *backend) *source {
	p := prometheus.NewRegistry()
	p.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &source{s, b, p}
}

// tally counts messages that this process has stored.
type tally struct{ messages atomic.Uint64 }

func (t *tally) count(events []event.Event) {
	for i := range events {
		if events[i].Type == event.MessageCreated {
			t.messages.Add(1)
		}
	}
}

// Read implements [analytics.Source].
func (o *source) Read(ctx context.Context) ([]analytics.Reading, error) {
	n, t := o.s.node.Stats(), o.s.transport.Stats()
	d := o.b.store.Stats()
	size, err := o.b.store.Size(ctx)
	if err != nil {
		return nil, fmt.Errorf("measure database: %w", err)
	}
	var lag, behind float64
	for _, k := range o.b.log.Stats() {
		lag, behind = max(lag, k.Lag.Seconds()), max(behind, float64(k.Behind))
	}
	var refused uint64
	for _, v := range t.Refused {
		refused += v
	}
	gauge := func(name, unit string, v float64) analytics.Reading {
		return analytics.Reading{Name: name, Unit: unit, Value: v}
	}
	rate := func(name string, v uint64) analytics.Reading {
		return analytics.Reading{Name: name, Unit: "1/s", Value: float64(v), Rate: true}
	}
	list := []analytics.Reading{
		gauge("connections", "", float64(n.Sessions)),
		gauge("users", "", float64(n.Users)),
		gauge("subscriptions", "", float64(n.Subscriptions)),
		gauge("channels", "", float64(n.Channels)),
		gauge("queue_bytes", "bytes", float64(n.QueuedBytes)),
		rate("messages_per_second", o.b.tally.messages.Load()),
		rate("publications_per_second", n.Publications),
		rate("deliveries_per_second", n.Deliveries),
		rate("connects_per_second", n.Connects),
		rate("refused_per_second", refused),
		rate("database_writes_per_second", d.Writes),
		gauge("database_bytes", "bytes", float64(size)),
		gauge("log_lag_seconds", "s", lag),
		gauge("log_behind", "", behind),
		gauge("goroutines", "", float64(runtime.NumGoroutine())),
	}
	return append(list, o.resources()...), nil
}

// resources are what the process uses, as far as the system tells.
func (o *source) resources() (list []analytics.Reading) {
	families, err := o.process.Gather()
	if err != nil {
		return nil // /metrics says so
	}
	for _, f := range families {
		if len(f.GetMetric()) == 0 {
			continue
		}
		m := f.GetMetric()[0]
		switch f.GetName() {
		case "process_cpu_seconds_total": // a hundredth of a core is a percent
			list = append(list, analytics.Reading{Name: "cpu_usage", Unit: "percent", Value: 100 * m.GetCounter().GetValue(), Rate: true})
		case "process_resident_memory_bytes":
			list = append(list, analytics.Reading{Name: "memory_bytes", Unit: "bytes", Value: m.GetGauge().GetValue()})
		}
	}
	return list
}
