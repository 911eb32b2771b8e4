package analytics

import (
	"context"
	"fmt"
	"time"
)

// Steps of points, in milliseconds. A step of 0 is one value as it came.
const (
	raw    = int64(0)
	minute = int64(time.Minute / time.Millisecond)
	hour   = 60 * minute
)

// Point is what the values of a time make together. At is when that time begins.
type Point struct {
	At int64
	// N is how many values there are, Total their sum.
	N                      int64
	Total, Least, Greatest float64
	// Last is the value that came last, at LastAt.
	Last   float64
	LastAt int64
}

// add makes q a part of p.
func (p *Point) add(q *Point) {
	if p.N == 0 {
		at := p.At
		*p = *q
		p.At = at
		return
	}
	p.N, p.Total = p.N+q.N, p.Total+q.Total
	p.Least, p.Greatest = min(p.Least, q.Least), max(p.Greatest, q.Greatest)
	if q.LastAt >= p.LastAt {
		p.Last, p.LastAt = q.Last, q.LastAt
	}
}

// The ways to make one number of the values of a time.
const (
	Average = "avg"
	Minimum = "min"
	Maximum = "max"
	Sum     = "sum"
	Last    = "last"
)

// Value is the number that an aggregate makes of a point.
func (p *Point) Value(aggregate string) float64 {
	switch aggregate {
	case Minimum:
		return p.Least
	case Maximum:
		return p.Greatest
	case Sum:
		return p.Total
	case Last:
		return p.Last
	}
	return p.Total / float64(p.N)
}

// PointsQuery asks for the past of a metric. Times are in milliseconds since 1970.
type PointsQuery struct {
	Name string
	// Server is of which, empty of all together.
	Server string
	// From and To are the time, both with it; zero is an hour before To, and now.
	From, To int64
	// Step is how much time a point is of; zero chooses one.
	Step time.Duration
}

// maxPoints is how many points there may be between From and To.
const maxPoints = 10_000

// steps are what is chosen from if no step is given, so that there are up to 500 points.
var steps = []time.Duration{
	10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// lastTime is the year 9999, the end of what times are written with four digits.
const lastTime = 253_402_300_799_999

// settle fills in what was not given, and lets From begin with a point.
func (q *PointsQuery) settle(now int64) error {
	if q.To == 0 {
		q.To = now
	}
	if q.From == 0 {
		q.From = q.To - hour
	}
	switch {
	case q.From < 0 || q.From > lastTime:
		return &FieldError{"from", "must be between 1970 and 9999"}
	case q.To < 0 || q.To > lastTime:
		return &FieldError{"to", "must be between 1970 and 9999"}
	case q.From >= q.To:
		return &FieldError{"from", "must be before to"}
	}
	span := q.To - q.From
	if q.Step == 0 {
		q.Step = steps[len(steps)-1]
		for _, step := range steps {
			if span/step.Milliseconds() <= 500 {
				q.Step = step
				break
			}
		}
	}
	every := q.Step.Milliseconds()
	switch {
	case q.Step < time.Second || q.Step > 366*24*time.Hour || q.Step%time.Second != 0:
		return &FieldError{"step", "must be whole seconds, from 1 s to 366 days"}
	case span/every >= maxPoints:
		return &FieldError{"step", fmt.Sprintf("must be longer, for there would be more than %d points", maxPoints)}
	}
	q.From -= q.From % every
	return nil
}

// Points returns the points of a metric in order, those without values left out, and the
// query with what was not given filled in. A metric that is not known has none. The
// error is a [*FieldError].
func (s *Service) Points(ctx context.Context, q PointsQuery) (list []Point, settled PointsQuery, err error) {
	if err := q.settle(s.now()); err != nil {
		return nil, q, err
	}
	if !storable(q.Name) || !storable(q.Server) {
		return nil, q, nil
	}
	every := q.Step.Milliseconds()
	err = s.store.View(ctx, func(tx Tx) error {
		list = nil
		parts, err := s.parts(ctx, tx, q.Name, every, q.From, q.To+1)
		if err != nil {
			return err
		}
		for _, part := range parts {
			found, err := tx.Points(ctx, q.Name, q.Server, part.step, every, part.from, part.to)
			if err != nil {
				return err
			}
			for i := range found {
				if n := len(list); n > 0 && list[n-1].At == found[i].At {
					list[n-1].add(&found[i])
				} else {
					list = append(list, found[i])
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, q, fmt.Errorf("points of metric %s: %w", q.Name, err)
	}
	return list, q, nil
}

// part is a time within which points of a step are looked at.
type part struct{ step, from, to int64 }

// parts divides a time into what is read by the hour, by the minute and as it came:
// nothing finer than every needs, but what is no longer or not yet there in that step.
// A name that is empty is any metric.
func (s *Service) parts(ctx context.Context, tx Tx, name string, every, from, to int64) ([]part, error) {
	now := s.now()
	minutes, err := tx.Settled(ctx, name, minute, now-now%minute)
	if err != nil {
		return nil, err
	}
	hours, err := tx.Settled(ctx, name, hour, minutes-minutes%hour)
	if err != nil {
		return nil, err
	}
	if every%minute != 0 {
		minutes = min(minutes, upTo(now-s.o.Raw.Milliseconds(), hour))
	}
	if every%hour != 0 {
		hours = min(hours, upTo(now-s.o.Minutes.Milliseconds(), hour))
	}
	hours = min(hours, minutes-minutes%hour)
	clamp := func(at int64) int64 { return min(max(at, from), to) }
	var list []part
	for _, p := range []part{{hour, from, clamp(hours)}, {minute, clamp(hours), clamp(minutes)}, {raw, clamp(minutes), to}} {
		if p.from < p.to {
			list = append(list, p)
		}
	}
	return list, nil
}

// upTo rounds up to a step.
func upTo(at, step int64) int64 { return (at + step - 1) / step * step }
