package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kuranty/kuranty/event"
)

// Phase is where maintenance is in its life.
type Phase string

// The phases; there is no way back.
const (
	Planned Phase = "planned"
	Running Phase = "running"
	Ended   Phase = "ended"
)

// Maintenance is work on the service. Times are milliseconds since 1970, 0 is never.
type Maintenance struct {
	// ID is "mnt_" and a ULID.
	ID, Title string
	// Affected are components, or whatever else people know by a name.
	Affected []string
	Phase    Phase
	// StartsAt and EndsAt are the schedule; where there is none an operator begins or ends it.
	StartsAt, EndsAt              int64
	StartedAt, EndedAt, CreatedAt int64
	// CreatedBy, StartedBy and EndedBy are actors ([event.User], [event.Service]); the last two
	// are empty if it was the schedule.
	CreatedBy, StartedBy, EndedBy string
}

const (
	// OpenShown is how much maintenance that has not ended is shown with the status.
	OpenShown = 100

	openMost      = 1000 // that has not ended
	titleMost     = 200  // characters
	affectedMost  = 20
	nameMost      = 64 // characters
	aheadMost     = 10 * 365 * 24 * time.Hour
	lateMost      = time.Minute // that a schedule may be behind the clock when it is made
	dueAtOnce     = 100
	pageLength    = 50
	pageLengthMax = 200
	idPrefix      = "mnt_"
	idLength      = len(idPrefix) + 26 // a ULID
)

var (
	// ErrNotFound means that there is no such maintenance.
	ErrNotFound = errors.New("no such maintenance")
	// ErrCursor means that a page does not begin where it was said to.
	ErrCursor = errors.New("not a cursor of maintenance")
)

// PhaseError means that maintenance is not in the phase in which this can be done.
type PhaseError struct{ Phase Phase }

func (e *PhaseError) Error() string { return "maintenance is " + string(e.Phase) }

// FieldError says what is wrong with a field; Reason completes a sentence that begins
// with its name.
type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return e.Field + " " + e.Reason }

// Plan is what is said of new maintenance.
type Plan struct {
	Title            string
	Affected         []string
	StartsAt, EndsAt int64
}

// PlanChange changes what is not nil.
type PlanChange struct {
	Title            *string
	Affected         *[]string
	StartsAt, EndsAt *int64
}

// Plan makes maintenance. If its time has come it begins at once. The error is a
// [*FieldError], or several.
func (s *Service) Plan(ctx context.Context, actor string, p Plan) (m Maintenance, err error) {
	now := s.o.Clock()
	plan := Maintenance{
		ID: idPrefix + strings.TrimPrefix(event.NewID(now), "evt_"), Title: strings.TrimSpace(p.Title), Affected: p.Affected,
		Phase: Planned, StartsAt: p.StartsAt, EndsAt: p.EndsAt, CreatedAt: now.UnixMilli(), CreatedBy: actor,
	}
	if err := plan.check(plan.CreatedAt, true); err != nil {
		return Maintenance{}, err
	}
	err = s.update(ctx, func(tx Tx) error {
		m = plan
		n, err := tx.CountOpen(ctx)
		if err != nil {
			return err
		}
		if n >= openMost {
			return &FieldError{"maintenance", fmt.Sprintf("has %d that have not ended already", openMost)}
		}
		if err := tx.AddMaintenance(ctx, &m); err != nil || m.StartsAt == 0 || m.StartsAt > m.CreatedAt {
			return err
		}
		return m.begin(ctx, tx, actor, m.CreatedAt)
	})
	return m, err
}

// Change changes planned maintenance. The error is [ErrNotFound], a [*PhaseError] if it has
// begun, or about a field.
func (s *Service) Change(ctx context.Context, id string, c PlanChange) (m Maintenance, err error) {
	err = s.withLocked(ctx, id, func(tx Tx, found Maintenance) error {
		m = found
		if m.Phase != Planned {
			return &PhaseError{m.Phase}
		}
		set(&m.StartsAt, c.StartsAt)
		set(&m.EndsAt, c.EndsAt)
		set(&m.Title, c.Title)
		set(&m.Affected, c.Affected)
		m.Title = strings.TrimSpace(m.Title)
		if err := m.check(s.now(), c.StartsAt != nil || c.EndsAt != nil); err != nil {
			return err
		}
		return tx.SaveMaintenance(ctx, &m)
	})
	return m, err
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Start begins planned maintenance, whatever its schedule. What is under way already is
// left as it is. The error is [ErrNotFound], a [*PhaseError] if it has ended, or about the
// scheduled end.
func (s *Service) Start(ctx context.Context, actor, id string) (m Maintenance, err error) {
	err = s.withLocked(ctx, id, func(tx Tx, found Maintenance) error {
		m = found
		now := s.now()
		switch {
		case m.Phase == Running:
			return nil
		case m.Phase == Ended:
			return &PhaseError{m.Phase}
		case m.EndsAt != 0 && m.EndsAt <= now:
			return &FieldError{"ends_at", "has passed; change it first"}
		}
		return m.begin(ctx, tx, actor, now)
	})
	return m, err
}

// End ends maintenance that is under way, whatever its schedule. What has ended already is
// left as it is. The error is [ErrNotFound], or a [*PhaseError] if it has not begun.
func (s *Service) End(ctx context.Context, actor, id string) (m Maintenance, err error) {
	err = s.withLocked(ctx, id, func(tx Tx, found Maintenance) error {
		m = found
		switch m.Phase {
		case Ended:
			return nil
		case Planned:
			return &PhaseError{m.Phase}
		}
		return m.finish(ctx, tx, actor, s.now())
	})
	return m, err
}

// Cancel removes planned maintenance. The error is [ErrNotFound], or a [*PhaseError] if it
// has begun.
func (s *Service) Cancel(ctx context.Context, id string) error {
	return s.withLocked(ctx, id, func(tx Tx, m Maintenance) error {
		if m.Phase != Planned {
			return &PhaseError{m.Phase}
		}
		return tx.RemoveMaintenance(ctx, id)
	})
}

// Maintenance returns one, or [ErrNotFound].
func (s *Service) Maintenance(ctx context.Context, id string) (m Maintenance, err error) {
	if !isID(id) {
		return Maintenance{}, ErrNotFound
	}
	err = s.o.Store.View(ctx, func(tx Tx) error {
		m, err = tx.Maintenance(ctx, id)
		return err
	})
	return m, err
}

// Query selects maintenance.
type Query struct {
	// Phase, if not empty, is the only one.
	Phase Phase
	// Cursor is a page's Next; Limit is at most 200, zero means 50.
	Cursor string
	Limit  int
}

// Page is a part of what was asked for, the newest first. Next is empty at the end.
type Page struct {
	Maintenance []Maintenance
	Next        string
}

// List returns a page. The error is [ErrCursor].
func (s *Service) List(ctx context.Context, q Query) (p Page, err error) {
	if q.Cursor != "" && !isID(q.Cursor) {
		return Page{}, ErrCursor
	}
	limit := min(q.Limit, pageLengthMax)
	if limit <= 0 {
		limit = pageLength
	}
	err = s.o.Store.View(ctx, func(tx Tx) error {
		p.Maintenance, err = tx.ListMaintenance(ctx, q.Phase, q.Cursor, limit+1)
		return err
	})
	if err == nil && len(p.Maintenance) > limit {
		p.Maintenance = p.Maintenance[:limit]
		p.Next = p.Maintenance[limit-1].ID
	}
	return p, err
}

// isID tells whether text can be an id. Whatever else somebody gives is not asked for.
func isID(text string) bool {
	rest, ok := strings.CutPrefix(text, idPrefix)
	return ok && len(text) == idLength && strings.Trim(rest, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}

// withLocked changes one maintenance, which is [ErrNotFound] if it is not there.
func (s *Service) withLocked(ctx context.Context, id string, f func(Tx, Maintenance) error) error {
	if !isID(id) {
		return ErrNotFound
	}
	return s.update(ctx, func(tx Tx) error {
		m, err := tx.LockMaintenance(ctx, id)
		if err != nil {
			return err
		}
		return f(tx, m)
	})
}

// update changes maintenance, and what is shown of it.
func (s *Service) update(ctx context.Context, f func(Tx) error) error {
	if err := s.o.Store.Update(ctx, f); err != nil {
		return err
	}
	version := s.shown()
	_, open, err := s.read(ctx)
	if err != nil { // the change is stored, and the next sample shows it
		s.o.Logger.Debug("maintenance is shown later", "error", err)
		return nil
	}
	s.show(open, version)
	return nil
}

// keepSchedule begins and ends what is due.
func (s *Service) keepSchedule(ctx context.Context, now int64) {
	var due []string
	err := s.o.Store.View(ctx, func(tx Tx) (err error) {
		due, err = tx.DueMaintenance(ctx, now, dueAtOnce)
		return err
	})
	for _, id := range due {
		err = errors.Join(err, s.o.Store.Update(ctx, func(tx Tx) error { return s.byClock(ctx, tx, id, now) }))
	}
	if err != nil && ctx.Err() == nil {
		s.o.Logger.Debug("maintenance was not begun or ended; it is tried again", "error", err)
	}
}

// byClock begins or ends maintenance if it still is due: another process may have been
// faster, or an operator.
func (s *Service) byClock(ctx context.Context, tx Tx, id string, now int64) error {
	m, err := tx.LockMaintenance(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case m.Phase == Planned && m.StartsAt != 0 && m.StartsAt <= now:
		return m.begin(ctx, tx, "", now)
	case m.Phase == Running && m.EndsAt != 0 && m.EndsAt <= now:
		return m.finish(ctx, tx, "", now)
	}
	return nil
}

// begin makes planned maintenance, which is locked, one under way.
func (m *Maintenance) begin(ctx context.Context, tx Tx, actor string, now int64) error {
	m.Phase, m.StartedAt, m.StartedBy = Running, now, actor
	return m.store(ctx, tx, event.MaintenanceStart, actor, now, event.Maintenance{
		ID: m.ID, Title: m.Title, ScheduledEnd: scheduled(m.EndsAt), Affected: m.Affected, StartedAt: time.UnixMilli(now).UTC(),
	})
}

// finish ends maintenance under way, which is locked.
func (m *Maintenance) finish(ctx context.Context, tx Tx, actor string, now int64) error {
	m.Phase, m.EndedAt, m.EndedBy = Ended, now, actor
	return m.store(ctx, tx, event.MaintenanceEnd, actor, now, event.EndedMaintenance{
		ID: m.ID, Title: m.Title, ScheduledEnd: scheduled(m.EndsAt), Affected: m.Affected, EndedAt: time.UnixMilli(now).UTC(),
	})
}

func (m *Maintenance) store(ctx context.Context, tx Tx, typ, actor string, now int64, payload any) error {
	if err := tx.SaveMaintenance(ctx, m); err != nil {
		return err
	}
	e, err := event.New(typ, time.UnixMilli(now), payload)
	if err != nil {
		return err
	}
	e.Actor = actor
	return tx.Append(ctx, e)
}

func scheduled(at int64) *time.Time {
	if at == 0 {
		return nil
	}
	t := time.UnixMilli(at).UTC()
	return &t
}

// check says what is wrong, of the schedule only if that is new.
func (m *Maintenance) check(now int64, schedule bool) error {
	wrong := []error{checkName("title", m.Title, titleMost)}
	if len(m.Affected) > affectedMost {
		wrong = append(wrong, &FieldError{"affected", fmt.Sprintf("must be at most %d names", affectedMost)})
	} else {
		for i, name := range m.Affected {
			wrong = append(wrong, checkName("affected", name, nameMost))
			if slices.Contains(m.Affected[:i], name) {
				wrong = append(wrong, &FieldError{"affected", "must not have a name twice"})
			}
		}
	}
	if schedule {
		wrong = append(wrong, m.checkSchedule(now))
	}
	return errors.Join(wrong...)
}

func (m *Maintenance) checkSchedule(now int64) error {
	last := now + aheadMost.Milliseconds()
	switch {
	case m.StartsAt != 0 && m.StartsAt < now-lateMost.Milliseconds():
		return &FieldError{"starts_at", "must not have passed"}
	case m.StartsAt > last:
		return &FieldError{"starts_at", "must be within ten years"}
	case m.EndsAt != 0 && m.EndsAt <= max(m.StartsAt, now):
		return &FieldError{"ends_at", "must be after starts_at and in the future"}
	case m.EndsAt > last:
		return &FieldError{"ends_at", "must be within ten years"}
	}
	return nil
}

// checkName checks a line of text.
func checkName(field, text string, most int) error {
	switch {
	case strings.TrimSpace(text) == "":
		return &FieldError{field, "must not be empty"}
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return &FieldError{field, "must be one line of text"}
	case utf8.RuneCountInString(text) > most:
		return &FieldError{field, fmt.Sprintf("must be at most %d characters", most)}
	}
	return nil
}
