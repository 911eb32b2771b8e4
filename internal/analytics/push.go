package analytics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kuranty/kuranty/event"
)

// The bounds of what is pushed: values at once and their magnitude, whose sums stay finite;
// lengths in characters, of metadata in bytes of JSON.
const (
	MaxBatch     = 500
	maxMagnitude = 1e100
	maxUnit      = 32
	maxServer    = 128
	maxMetadata  = 4 << 10
)

// ahead is how far the clock of a service may be ahead of ours.
const ahead = 5 * time.Minute

// past is how old a value may be that is pushed: what it changes is computed anew from the
// values around it, which must still be there.
func (s *Service) past() time.Duration { return s.o.Raw / 2 }

var namePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:/-]{0,127}$`)

// storable tells whether a database can look for a text.
func storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) })
}

// accepted is a value that may be stored.
type accepted struct {
	Value

	server   string
	metadata string
	announce bool
}

// check makes what may be stored of a value. The errors name its fields.
func (s *Service) check(v Value, now int64) (accepted, []*FieldError) {
	var wrong []*FieldError
	refuse := func(field, format string, args ...any) {
		wrong = append(wrong, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	switch {
	case v.Name == "":
		refuse("name", "is required")
	case !namePattern.MatchString(v.Name):
		refuse("name", "must be 1 to 128 of letters, digits, _ . : / and -, and begin with a letter")
	}
	if math.IsNaN(v.Value) || math.Abs(v.Value) > maxMagnitude {
		refuse("value", "must be a number of at most 1e100")
	}
	if utf8.RuneCountInString(v.Unit) > maxUnit || !printable(v.Unit) {
		refuse("unit", "must be at most %d characters that can be printed", maxUnit)
	}
	a := accepted{Value: v, announce: true}
	if a.At == 0 {
		a.At = now
	}
	if a.At < now-s.past().Milliseconds() || a.At > now+ahead.Milliseconds() {
		refuse("timestamp", "must be at most %s ago and %s ahead", brief(s.past()), brief(ahead))
	}
	if server, given := v.Metadata["server"]; given && server != nil {
		text, isText := server.(string)
		if !isText || utf8.RuneCountInString(text) > maxServer || !printable(text) {
			refuse("metadata.server", "must be a text of at most %d characters that can be printed", maxServer)
		}
		a.server = text
	}
	a.metadata = "{}"
	if len(v.Metadata) > 0 {
		b, err := json.Marshal(v.Metadata)
		if err != nil || len(b) > maxMetadata {
			refuse("metadata", "must be a JSON object of at most %d bytes", maxMetadata)
		}
		a.metadata = string(b)
	}
	return a, wrong
}

// brief writes a time without the parts that are zero.
func brief(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Push stores up to [MaxBatch] values of a service, all or none. The error has a
// [*FieldError] for each that is wrong, named as "metrics[2].value", or "value" if there is
// one value only. Of two values of a series at the same time the later counts; the same
// value again changes nothing and is not announced again.
func (s *Service) Push(ctx context.Context, by string, values []Value) error {
	switch {
	case len(values) == 0:
		return &FieldError{"metrics", "is required"}
	case len(values) > MaxBatch:
		return &FieldError{"metrics", fmt.Sprintf("must be at most %d", MaxBatch)}
	}
	now := s.now()
	list := make([]accepted, len(values))
	var errs []error
	for i, v := range values {
		a, wrong := s.check(v, now)
		for _, e := range wrong {
			if len(values) > 1 {
				e.Field = fmt.Sprintf("metrics[%d].%s", i, e.Field)
			}
			errs = append(errs, e)
		}
		list[i] = a
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.put(ctx, by, list)
}

// put stores values in one order for all, so that nobody waits for each other.
func (s *Service) put(ctx context.Context, by string, list []accepted) error {
	slices.SortStableFunc(list, func(a, b accepted) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		if c := strings.Compare(a.server, b.server); c != 0 {
			return c
		}
		return int(min(max(a.At-b.At, -1), 1))
	})
	return s.store.Update(ctx, func(tx Tx) error {
		ids, err := seriesOf(ctx, tx, list)
		if err != nil {
			return err
		}
		for i := range list {
			if err := putOne(ctx, tx, by, ids[i], &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// seriesOf finds the series of values, and makes what there is not yet.
func seriesOf(ctx context.Context, tx Tx, list []accepted) (ids []int64, err error) {
	ids = make([]int64, len(list))
	there := -1 // how many there are; -1 as long as others may add some
	for i := range list {
		v := &list[i]
		if i > 0 && list[i-1].Name == v.Name && list[i-1].server == v.server {
			ids[i] = ids[i-1]
			continue
		}
		if ids[i], err = tx.FindSeries(ctx, v.Name, v.server); err != nil {
			return nil, err
		}
		if ids[i] == 0 && there < 0 {
			if err := tx.LockSeries(ctx); err != nil {
				return nil, err
			}
			if there, err = tx.CountSeries(ctx); err != nil {
				return nil, err
			}
			if ids[i], err = tx.FindSeries(ctx, v.Name, v.server); err != nil { // meanwhile
				return nil, err
			}
		}
		if ids[i] != 0 {
			continue
		}
		if there++; there > MaxSeries {
			return nil, &FieldError{"name", fmt.Sprintf("would be one of more than %d series; a name on a server is one", MaxSeries)}
		}
		if ids[i], err = tx.AddSeries(ctx, v.Name, v.server); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// putOne stores a value and announces it if it is new.
func putOne(ctx context.Context, tx Tx, by string, id int64, v *accepted) error {
	changed, err := tx.PutPoint(ctx, id, v.At, v.Value.Value)
	if err != nil || !changed {
		return err
	}
	if err := tx.Tell(ctx, id, v.Unit, v.metadata, v.Value.Value, v.At); err != nil {
		return err
	}
	if err := tx.Change(ctx, id, minute, v.At-v.At%minute); err != nil {
		return err
	}
	if !v.announce {
		return nil
	}
	e, err := event.New(event.MetricUpdated, time.UnixMilli(v.At), event.Metric{
		Name: v.Name, Value: v.Value.Value, Unit: v.Unit, Timestamp: time.UnixMilli(v.At).UTC(), Metadata: v.Metadata,
	})
	if err != nil {
		return err
	}
	e.Actor = by
	return tx.Append(ctx, e)
}
