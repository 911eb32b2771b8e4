// Package status is how the service is: the state of its components, and maintenance that
// is planned or under way.
//
// Components are looked at every few seconds through a [Probe] each. A change counts when
// two looks in a row agree on it, so that nothing flaps. Whoever asks ([Service.Status]) is
// answered from memory, also while the database is away. Changes are announced by one
// process of those that share a database, the one that holds a lease; what happened while
// the database was away is stored, with its own time, when it is back.
//
// Maintenance begins and ends by an operator or by its schedule, and each exactly once:
// the event is stored in the transaction that changes the row, whichever process does it.
//
// [Service.Run] owns all goroutines and returns after the last has ended; everything else
// is safe for concurrent use.
package status

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Store keeps states and maintenance. What change does happens as a whole or not at all;
// it may be run again, so it has no other effects.
type Store interface {
	Update(ctx context.Context, change func(Tx) error) error
	View(ctx context.Context, read func(Tx) error) error
	// Lead takes or renews the lease for the holder, for [LeaseTime] by the clock of the
	// database, and tells whether it has it. Where one process has the database to itself
	// it always has. Resign gives the lease back.
	Lead(ctx context.Context, holder string) (bool, error)
	Resign(ctx context.Context, holder string) error
}

// LeaseTime is how long a process that does not renew the lease keeps it.
const LeaseTime = 20 * time.Second

// Tx is what a change or a reading may do.
type Tx interface {
	// Lead is [Store.Lead] as a part of the transaction: nobody takes the lease before it ends.
	Lead(ctx context.Context, holder string) (bool, error)
	// Components returns the components as they were last announced, by name; SetComponents
	// replaces them.
	Components(ctx context.Context) ([]Component, error)
	SetComponents(ctx context.Context, all []Component) error

	// Maintenance returns one, or [ErrNotFound]; LockMaintenance also keeps others from
	// changing it until the transaction ends.
	Maintenance(ctx context.Context, id string) (Maintenance, error)
	LockMaintenance(ctx context.Context, id string) (Maintenance, error)
	AddMaintenance(ctx context.Context, m *Maintenance) error
	SaveMaintenance(ctx context.Context, m *Maintenance) error
	RemoveMaintenance(ctx context.Context, id string) error
	// ListMaintenance returns up to limit with an id below one, unless that is empty, of a
	// phase, unless that is empty; the newest first.
	ListMaintenance(ctx context.Context, phase Phase, before string, limit int) ([]Maintenance, error)
	// OpenMaintenance returns up to limit that have not ended: those under way, then those
	// planned by their time, without one last.
	OpenMaintenance(ctx context.Context, limit int) ([]Maintenance, error)
	// DueMaintenance returns the ids of up to limit that are to begin or to end by the schedule.
	DueMaintenance(ctx context.Context, now int64, limit int) ([]string, error)
	// CountOpen counts those that have not ended.
	CountOpen(ctx context.Context) (int, error)
	// MaintenanceBy returns those that an actor made, began or ended.
	MaintenanceBy(ctx context.Context, actor string) ([]Maintenance, error)

	// Append adds e to the log, to be announced when the change is stored.
	Append(ctx context.Context, e event.Event) error
}

// Options configure a [Service]. Store must be given.
type Options struct {
	Store Store
	// Probes look at the components; their names differ.
	Probes []Probe
	// Every is how often they look; zero means 5 s.
	Every time.Duration
	// Clock defaults to time.Now, Logger to slog.Default().
	Clock  func() time.Time
	Logger *slog.Logger
}

// Service is the status of the service.
type Service struct {
	o      Options
	holder string

	// Of the goroutine that samples.
	watched []watched
	begun   bool
	pending []change

	mu      sync.Mutex
	current Snapshot
	// version counts readings of the maintenance that is shown.
	version uint64
}

// Snapshot is how the service is.
type Snapshot struct {
	// State is that of the worst component.
	State State
	// Components are in the order of the probes.
	Components []Component
	// Maintenance has not ended; what is under way comes first. At most [OpenShown].
	Maintenance []Maintenance
	// SampledAt is when the components were last looked at, in milliseconds since 1970; 0 is
	// never.
	SampledAt int64
}

// New returns a service. Until its components have been looked at they are operational.
func New(o Options) *Service {
	if o.Every == 0 {
		o.Every = 5 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Service{o: o, holder: rand.Text(), watched: make([]watched, len(o.Probes))}
	for i, p := range o.Probes {
		s.watched[i].Component = Component{Name: p.Name(), State: Operational, Since: s.now()}
	}
	s.current = Snapshot{State: Operational, Components: s.settled(nil)}
	return s
}

func (s *Service) now() int64 { return s.o.Clock().UnixMilli() }

// Status returns how the service is now. What it returns is the caller's.
func (s *Service) Status() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.current
	now.Components, now.Maintenance = slices.Clone(now.Components), slices.Clone(now.Maintenance)
	return now
}

// Run looks at the components, and at what maintenance is due, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(s.o.Every)
	defer tick.Stop()
	for {
		s.Sample(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer cancel()
			if err := s.o.Store.Resign(end, s.holder); err != nil { // it ends by itself
				s.o.Logger.Debug("the lease of the status was not given back", "error", err)
			}
			return nil
		}
	}
}
