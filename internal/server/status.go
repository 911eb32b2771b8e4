package server

import (
	"context"
	"time"

	"github.com/kuranty/kuranty/internal/status"
)

// A reader of the event log that is further behind makes the component log degraded, and
// then one with an outage.
const (
	lateLog  = 5 * time.Second
	stuckLog = time.Minute
)

// probe is a component of which a function tells the state.
type probe struct {
	name string
	look func(context.Context) (status.State, string)
}

func (p probe) Name() string                                      { return p.name }
func (p probe) Status(ctx context.Context) (status.State, string) { return p.look(ctx) }

// probes look at the components of the server. What they say is for everybody to read.
func (s *Server) probes(b *backend) []status.Probe {
	return []status.Probe{
		probe{"database", func(ctx context.Context) (status.State, string) {
			if b.store.Ready() != nil && b.store.TryWrite(ctx) != nil {
				return status.MajorOutage, "The database is not available; what needs it is refused for now."
			}
			return status.Operational, ""
		}},
		probe{"broker", s.brokerState},
		probe{"log", func(context.Context) (status.State, string) {
			behind := time.Duration(0)
			for _, sink := range b.log.Stats() {
				behind = max(behind, sink.Lag)
			}
			return logState(behind)
		}},
		probe{"delivery", func(context.Context) (status.State, string) {
			if b.hooks == nil {
				return status.Operational, ""
			}
			return deliveryState(b.hooks.dispatcher.Stats())
		}},
	}
}

// probedChannel is nobody's: forgetting its past, of which there is none, only shows
// whether the broker answers.
const probedChannel = "kuranty:probe"

func (s *Server) brokerState(ctx context.Context) (status.State, string) {
	if s.broker.RemoveHistory(ctx, probedChannel) != nil {
		return status.MajorOutage, "Realtime channels are not available."
	}
	return status.Operational, ""
}

// logState is that of the event log whose slowest reader is that far behind.
func logState(behind time.Duration) (status.State, string) {
	switch {
	case behind > stuckLog:
		return status.PartialOutage, "What happens is stored, and announced when the delay is over."
	case behind > lateLog:
		return status.Degraded, "What happens is announced late."
	}
	return status.Operational, ""
}
