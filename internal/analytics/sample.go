package analytics

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
)

// Source tells of this server.
type Source interface {
	Read(ctx context.Context) ([]Reading, error)
}

// Reading is what a source tells.
type Reading struct {
	Name, Unit string
	Value      float64
	// Rate says that Value only grows while the process lives, and that how much it grew
	// in a second is what is stored.
	Rate bool
}

// reading is a reading of a time, in milliseconds.
type reading struct {
	value float64
	at    int64
}

// Sample stores what the source tells now. What is a rate is stored from the second time
// on. It is for one caller at a time.
func (s *Service) Sample(ctx context.Context) error {
	readings, err := s.o.Source.Read(ctx)
	if err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	now := s.now()
	var list []accepted
	for _, r := range readings {
		value, ok := s.value(&r, now)
		if !ok || math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		a, wrong := s.check(Value{Name: r.Name, Unit: r.Unit, Value: value, At: now, Metadata: map[string]any{"server": s.o.Server}}, now)
		if len(wrong) > 0 {
			return fmt.Errorf("sample %s: %w", r.Name, wrong[0])
		}
		a.announce = s.announces(r.Name)
		list = append(list, a)
	}
	if len(list) == 0 {
		return nil
	}
	return s.put(ctx, "", list)
}

// value is what is stored of a reading, if anything is yet.
func (s *Service) value(r *Reading, now int64) (value float64, ok bool) {
	if !r.Rate {
		return r.Value, true
	}
	before, known := s.before[r.Name]
	s.before[r.Name] = reading{r.Value, now}
	if !known || now <= before.at || r.Value < before.value {
		return 0, false
	}
	return (r.Value - before.value) / float64(now-before.at) * 1000, true
}

// begin looks at what rates are counted from, so that the first sample has them.
func (s *Service) begin(ctx context.Context) error {
	readings, err := s.o.Source.Read(ctx)
	now := s.now()
	for i := range readings {
		s.value(&readings[i], now)
	}
	return err
}

// contained turns a panic of do into its error (guarantees.md R35).
func contained(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}
