package config

import (
	"regexp"
	"time"
)

// Analytics say what is sampled of this server and how long metrics and reports are kept.
type Analytics struct {
	SampleInterval  time.Duration `key:"sample_interval" default:"10s" zero:"keep" doc:"Time between samples of this server; 0 takes none."`
	Events          []string      `key:"events" doc:"Samples that analytics.metric.updated tells of, by name; empty is connections, messages_per_second, cpu_usage and memory_bytes, * is all and none is none. What services push is always told."`
	RawRetention    time.Duration `key:"raw_retention" default:"24h" doc:"Time that values are kept as they came, at least 2h; what is pushed may be half as old."`
	MinuteRetention time.Duration `key:"minute_retention" default:"720h" doc:"Time that they are kept by the minute, as long as raw_retention or longer."`
	HourRetention   time.Duration `key:"hour_retention" default:"17520h" doc:"Time that they are kept by the hour, as long as minute_retention or longer."`
	ReportRetention time.Duration `key:"report_retention" default:"720h" doc:"Time that reports are kept."`
}

// NoSamples stands alone in analytics.events for no sample at all.
const NoSamples = "none"

var sampleName = regexp.MustCompile(`^([a-z][a-z_]*|\*)$`)

func (l *loader) checkAnalytics(a *Analytics) {
	const prefix = "analytics."
	if a.SampleInterval > 0 && a.SampleInterval < time.Second {
		l.wrong(prefix+"sample_interval", "must be 0 or at least 1s")
	}
	for _, name := range a.Events {
		switch {
		case !sampleName.MatchString(name):
			l.wrong(prefix+"events", "%q must be the name of a sample, as in connections, or * or none", name)
		case name == NoSamples && len(a.Events) > 1:
			l.wrong(prefix+"events", "none must stand alone")
		}
	}
	if a.RawRetention < 2*time.Hour {
		l.wrong(prefix+"raw_retention", "must be at least 2h")
	}
	if a.MinuteRetention < a.RawRetention {
		l.wrong(prefix+"minute_retention", "must be at least analytics.raw_retention (%s)", showDuration(a.RawRetention))
	}
	if a.HourRetention < a.MinuteRetention {
		l.wrong(prefix+"hour_retention", "must be at least analytics.minute_retention (%s)", showDuration(a.MinuteRetention))
	}
}
