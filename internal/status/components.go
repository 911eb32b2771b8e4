package status

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kuranty/kuranty/event"
)

// State is how a component is, or the whole.
type State string

// The states, from the best to the worst (event-gateway.md §5.1).
const (
	Operational   State = "operational"
	Degraded      State = "degraded"
	PartialOutage State = "partial_outage"
	MajorOutage   State = "major_outage"
)

var states = []State{Operational, Degraded, PartialOutage, MajorOutage}

// rank is 0 for the best state. What is no state is as bad as can be.
func (s State) rank() int {
	if i := slices.Index(states, s); i >= 0 {
		return i
	}
	return len(states) - 1
}

// Probe looks at a component.
type Probe interface {
	// Name is a word of a-z, 0-9 and _.
	Name() string
	// Status returns the state, and one of a few sentences for everybody to read, empty if
	// there is nothing to say. A component that the rest can do without is never worse than
	// [PartialOutage]. It returns soon after ctx has ended.
	Status(ctx context.Context) (State, string)
}

// Component is a part of the service.
type Component struct {
	Name   string
	State  State
	Detail string
	// Since is when it was first seen in that state, in milliseconds since 1970.
	Since int64
}

// Overall is the state of the whole: that of its worst component.
func Overall(all []Component) State {
	worst := 0
	for _, c := range all {
		worst = max(worst, c.State.rank())
	}
	return states[worst]
}

const (
	// patience bounds a look at a component, and the exchange with the database after it.
	patience = 2 * time.Second
	// pendingMost bounds the changes that wait for the database; the last then takes the
	// place of the one before.
	pendingMost = 64
)

// watched is a component with the state that counts, and the last look if it was another.
type watched struct {
	Component
	other bool
	last  State
	seen  int64 // when last was seen first
}

// change is how all components were at a moment.
type change struct {
	all []Component
	at  int64
}

// Sample looks at the components once, announces what has changed, and begins and ends
// what maintenance is due. Run calls it; it is not for two callers at once.
func (s *Service) Sample(ctx context.Context) {
	if !s.begun { // goes on from what was last announced, be it by another process
		s.begun = true
		stored, _, err := s.read(ctx)
		if err == nil {
			s.resume(stored)
		}
	}
	states, details := s.look(ctx)
	now := s.now()
	changed := false
	for i := range s.watched {
		changed = s.watched[i].see(states[i], details[i], now) || changed
	}
	if changed {
		if len(s.pending) == pendingMost {
			s.pending = s.pending[:pendingMost-1]
		}
		s.pending = append(s.pending, change{s.settled(nil), now})
	}
	s.exchange(ctx, now)
}

func (s *Service) resume(stored []Component) {
	for i := range s.watched {
		w := &s.watched[i]
		if c := find(stored, w.Name); c != nil {
			w.Component = *c
		}
	}
}

// look asks all probes at once.
func (s *Service) look(ctx context.Context) ([]State, []string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	states, details := make([]State, len(s.o.Probes)), make([]string, len(s.o.Probes))
	var all sync.WaitGroup
	for i, p := range s.o.Probes {
		all.Go(func() { states[i], details[i] = p.Status(ctx) })
	}
	all.Wait()
	return states, details
}

// see takes a look into account and tells whether the state changed. Two looks in a row
// that are worse than what counts make the better of them count, two that are better the
// worse of them: what held for both.
func (w *watched) see(state State, detail string, now int64) (changed bool) {
	state = states[state.rank()]
	if state == w.State {
		w.other, w.Detail = false, detail
		return false
	}
	worse := state.rank() > w.State.rank()
	if !w.other || worse != (w.last.rank() > w.State.rank()) {
		w.other, w.last, w.seen = true, state, now
		return false
	}
	held := min(state.rank(), w.last.rank())
	if !worse {
		held = max(state.rank(), w.last.rank())
	}
	w.State, w.Since, w.Detail = states[held], w.seen, detail
	if state != w.last {
		w.last, w.seen = state, now
	}
	w.other = state != w.State
	return true
}

// settled returns the components in the state that counts. Those that are announced in
// that state already have been so since then.
func (s *Service) settled(announced []Component) []Component {
	all := make([]Component, len(s.watched))
	for i := range s.watched {
		all[i] = s.watched[i].Component
		if c := find(announced, all[i].Name); c != nil && c.State == all[i].State {
			all[i].Since = c.Since
		}
	}
	return all
}

func find(all []Component, name string) *Component {
	if i := slices.IndexFunc(all, func(c Component) bool { return c.Name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

// alike tells whether all components are in the same states; one that is missing is
// operational.
func alike(a, b []Component) bool {
	covers := func(a, b []Component) bool {
		return !slices.ContainsFunc(a, func(c Component) bool {
			other := find(b, c.Name)
			return c.State != Operational && (other == nil || other.State != c.State)
		})
	}
	return covers(a, b) && covers(b, a)
}

// exchange brings what was seen to the database, and what is there to who asks.
func (s *Service) exchange(ctx context.Context, now int64) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.keepSchedule(ctx, now)
	version := s.shown()
	stored, open, err := s.read(ctx)
	leads := false
	if err == nil {
		leads, err = s.o.Store.Lead(ctx, s.holder)
	}
	if err == nil && leads {
		err = s.announce(ctx, now, stored)
	}
	if err != nil && ctx.Err() == nil {
		s.o.Logger.Debug("the status was not stored", "error", err)
	}
	all := s.settled(stored)
	if err == nil && !leads { // another process says how all is
		s.pending = nil
		if len(stored) > 0 {
			all = stored
		}
	}
	s.mu.Lock()
	s.current.State, s.current.Components, s.current.SampledAt = Overall(all), all, now
	s.mu.Unlock()
	if open != nil {
		s.show(open, version)
	}
}

// shown returns a number by which [Service.show] knows whether what was read since then is
// the newest.
func (s *Service) shown() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	return s.version
}

// show shows maintenance, unless it was read again meanwhile.
func (s *Service) show(open []Maintenance, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version == version {
		s.current.Maintenance = open
	}
}

// read reads what was announced and what maintenance has not ended.
func (s *Service) read(ctx context.Context) (stored []Component, open []Maintenance, err error) {
	err = s.o.Store.View(ctx, func(tx Tx) (err error) {
		if stored, err = tx.Components(ctx); err != nil {
			return err
		}
		open, err = tx.OpenMaintenance(ctx, OpenShown)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if open == nil {
		open = []Maintenance{}
	}
	slices.SortStableFunc(stored, func(a, b Component) int { return s.order(a.Name) - s.order(b.Name) })
	return stored, open, nil
}

// order is that of the probes; components of another version come last.
func (s *Service) order(name string) int {
	if i := slices.IndexFunc(s.o.Probes, func(p Probe) bool { return p.Name() == name }); i >= 0 {
		return i
	}
	return len(s.o.Probes)
}

// announce stores the components where they are not as they were announced, with an event
// for each change of a state since then. It does nothing if the lease is lost.
func (s *Service) announce(ctx context.Context, now int64, stored []Component) error {
	all := s.settled(stored)
	if len(s.pending) == 0 && slices.Equal(all, stored) {
		return nil
	}
	changes := append(slices.Clone(s.pending), change{all, now}) // the last is new only to who has just got the lease
	err := s.o.Store.Update(ctx, func(tx Tx) error {
		if leads, err := tx.Lead(ctx, s.holder); err != nil || !leads {
			return err
		}
		before, err := tx.Components(ctx)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if alike(before, c.all) {
				continue
			}
			e, err := c.event(Overall(before))
			if err != nil {
				return err
			}
			if err := tx.Append(ctx, e); err != nil {
				return err
			}
			before = c.all
		}
		return tx.SetComponents(ctx, all)
	})
	if err == nil {
		s.pending = nil
	}
	return err
}

func (c *change) event(previous State) (event.Event, error) {
	at := time.UnixMilli(c.at).UTC()
	p := event.Status{Status: string(Overall(c.all)), PreviousStatus: string(previous), Components: make(map[string]string, len(c.all)), ChangedAt: at}
	for _, one := range c.all {
		p.Components[one.Name] = string(one.State)
	}
	return event.New(event.StatusChanged, at, p)
}
