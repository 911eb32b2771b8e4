package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/kuranty/kuranty/event"
)

// Kinds of scans.
const (
	// Full asks every check, Quick those that look at the configuration only, Targeted those
	// that belong to a target.
	Full     = "full"
	Quick    = "quick"
	Targeted = "targeted"
)

// States of a scan.
const (
	Running = "running"
	Passed  = "passed"
	Found   = "findings"
	Failed  = "failed"
)

// Scan is one look at the running server.
type Scan struct {
	ID           int64
	Type, Target string
	Status       string
	// Error says why it failed.
	Error                  string
	Findings               []Finding
	StartedBy              string
	StartedAt, CompletedAt int64
}

// Finding is something that weakens what the server promises.
type Finding struct {
	// ID is that of the check; one check may find several things.
	ID       string `json:"id"`
	Severity string `json:"severity"`
	Title    string `json:"title"`
	Detail   string `json:"detail"`
	// Key is what to change in the configuration, Guarantee the line of guarantees.md.
	Key       string `json:"key,omitempty"`
	Guarantee string `json:"guarantee"`
}

// counts are the findings by severity.
func (s *Scan) counts() (n event.Findings) {
	for i := range s.Findings {
		switch s.Findings[i].Severity {
		case Critical:
			n.Critical++
		case High:
			n.High++
		case Medium:
			n.Medium++
		default:
			n.Low++
		}
	}
	return n
}

// Targets are what a targeted scan may name: areas, checks and guarantees. A key of the
// configuration, or the beginning of one, is a target as well.
func Targets() (list []string) {
	for i := range checks {
		list = append(list, checks[i].area, checks[i].guarantee, checks[i].id)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// aimed tells whether a check belongs to a target.
func (c *check) aimed(target string) bool {
	return target == c.area || strings.EqualFold(target, c.guarantee) || target == c.id || under(c.key, target) ||
		slices.ContainsFunc(c.keys, func(k string) bool { return under(k, target) || under(target, k) })
}

// under tells whether a key of the configuration is the target, or in the section that is.
func under(key, target string) bool {
	return key != "" && target != "" && (key == target || strings.HasPrefix(key, target+"."))
}

// named tells whether a target is a name of checks, not a key of the configuration.
func named(target string) bool {
	return slices.ContainsFunc(Targets(), func(t string) bool { return strings.EqualFold(t, target) })
}

// chosen are the checks of a scan.
func chosen(kind, target string) (list []*check) {
	for i := range checks {
		c := &checks[i]
		if kind == Full || kind == Quick && !c.deep || kind == Targeted && c.aimed(target) {
			list = append(list, c)
		}
	}
	return list
}

const (
	// scanLimit bounds a scan; one that is running for longer than lostAfter was cut off.
	scanLimit = 15 * time.Second
	lostAfter = time.Minute
	// maxFindings bounds what one check finds.
	maxFindings = 100
)

// Scan looks at the running server and returns what it found; it takes seconds at most,
// and goes on if ctx ends. The error is a [*FieldError] or the storage's; a scan that could not
// look is no error, but failed.
func (s *Service) Scan(ctx context.Context, by, kind, target string) (Scan, error) {
	asked := chosen(kind, target)
	switch {
	case kind != Full && kind != Quick && kind != Targeted:
		return Scan{}, &FieldError{"type", "must be full, quick or targeted"}
	case kind != Targeted && target != "":
		return Scan{}, &FieldError{"target", "is for scans of the type targeted"}
	case kind == Targeted && target == "":
		return Scan{}, &FieldError{"target", "is required"}
	case len(asked) == 0:
		return Scan{}, &FieldError{"target", "must be a key of the configuration, or one of " + strings.Join(Targets(), ", ")}
	}
	now := s.now()
	scan := Scan{Type: kind, Target: target, Status: Running, StartedBy: by, StartedAt: now}
	err := s.store.Update(ctx, func(tx Tx) error {
		if err := tx.AddScan(ctx, &scan); err != nil {
			return err
		}
		return appended(ctx, tx, func() (event.Event, error) {
			e, err := event.New(event.ScanStarted, time.UnixMilli(now), event.Scan{
				ID: ScanName(scan.ID), ScanType: kind, Target: target, StartedBy: who(by), StartedAt: time.UnixMilli(now).UTC(),
			})
			e.Actor = by
			return e, err
		})
	})
	if err != nil {
		return Scan{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), scanLimit)
	defer cancel()
	deep := slices.ContainsFunc(asked, func(c *check) bool { return c.deep })
	if scan.Findings, err = s.look(ctx, asked, deep); kind == Targeted && !named(target) {
		scan.Findings = slices.DeleteFunc(scan.Findings, func(f Finding) bool { return !under(f.Key, target) })
	}
	if err != nil {
		s.log.Error("a scan failed", "scan", ScanName(scan.ID), "error", err)
		scan.Error = "what was to be looked at could not be read"
	}
	return s.complete(ctx, scan)
}

// look asks checks. A panic of one is an error of the scan (guarantees.md R35).
func (s *Service) look(ctx context.Context, asked []*check, deep bool) (findings []Finding, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if s.o.Inspect == nil {
		return nil, errors.New("there is nothing to look at the server with")
	}
	f, err := s.o.Inspect.Inspect(ctx, deep)
	if err != nil {
		return nil, err
	}
	now := s.now()
	for _, c := range asked {
		list := c.look(f, now)
		for i, one := range list {
			if i == maxFindings {
				one.detail = fmt.Sprintf("and %d more", len(list)-i)
			}
			findings = append(findings, Finding{c.id, c.severity, c.title, one.detail, cmp.Or(one.key, c.key), c.guarantee})
			if i == maxFindings {
				break
			}
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return ranks[b.Severity] - ranks[a.Severity] })
	if len(f.Unknown) > 0 {
		err = fmt.Errorf("not looked at: %s", strings.Join(f.Unknown, "; "))
	}
	return findings, err
}

// complete stores how a scan ended, unless another node has done that.
func (s *Service) complete(ctx context.Context, scan Scan) (Scan, error) {
	now := s.now()
	scan.CompletedAt = max(now, scan.StartedAt)
	switch {
	case scan.Error != "":
		scan.Status = Failed
	case len(scan.Findings) > 0:
		scan.Status = Found
	default:
		scan.Status = Passed
	}
	err := s.store.Update(ctx, func(tx Tx) error {
		was, err := tx.LockScan(ctx, scan.ID)
		if err != nil {
			return err
		}
		if was.Status != Running {
			scan = was
			return nil
		}
		if err := tx.SaveScan(ctx, &scan); err != nil {
			return err
		}
		return appended(ctx, tx, func() (event.Event, error) {
			e, err := event.New(event.ScanCompleted, time.UnixMilli(now), event.CompletedScan{
				ID: ScanName(scan.ID), ScanType: scan.Type, Status: scan.Status, Findings: scan.counts(), CompletedAt: time.UnixMilli(scan.CompletedAt).UTC(),
			})
			e.Actor = scan.StartedBy
			return e, err
		})
	})
	return scan, err
}

// endScans ends scans whose process ended before they did.
func (s *Service) endScans(ctx context.Context) error {
	var lost []int64
	err := s.store.View(ctx, func(tx Tx) (err error) {
		lost, err = tx.Unfinished(ctx, s.now()-lostAfter.Milliseconds())
		return err
	})
	for _, id := range lost {
		if err != nil {
			return err
		}
		var scan Scan
		if scan, err = s.GetScan(ctx, id); err == nil {
			scan.Error = "the server stopped before the scan was done"
			_, err = s.complete(ctx, scan)
		}
	}
	return err
}

// GetScan returns a scan, or [ErrNotFound].
func (s *Service) GetScan(ctx context.Context, id int64) (scan Scan, err error) {
	err = s.store.View(ctx, func(tx Tx) error {
		scan, err = tx.Scan(ctx, id)
		return err
	})
	return scan, err
}

// Scans returns a page of scans, the newest first, and the cursor of the next one, which
// is empty at the end.
func (s *Service) Scans(ctx context.Context, cursor string, limit int) (list []Scan, next string, err error) {
	from, err := below(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = pageSize(limit)
	err = s.store.View(ctx, func(tx Tx) error {
		list, err = tx.Scans(ctx, from, limit+1)
		return err
	})
	list, next = page(list, limit, func(s *Scan) int64 { return s.ID })
	return list, next, err
}
