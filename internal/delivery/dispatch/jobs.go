package dispatch

import (
	"context"
	"slices"
	"time"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/delivery"
)

const (
	// jobStep is how many deliveries a job queues at once, at most.
	jobStep = 100
	// jobLogStep is how many events of the log a job looks at, at once.
	jobLogStep = 500
)

// runJobs queues deliveries anew as jobs want it, until ctx ends.
func (s *sending) runJobs(ctx context.Context) {
	for {
		select {
		case <-s.jobs:
		case <-ctx.Done():
			return
		}
		jobs, err := s.o.Store.Jobs(ctx)
		s.report(ctx, "read jobs", err)
		for i := range jobs {
			s.report(ctx, "run job", s.runJob(ctx, &jobs[i]))
		}
	}
}

// runJob goes on with a job as far as its webhook has room.
func (s *sending) runJob(ctx context.Context, j *Job) error {
	for j.State == JobRunning && ctx.Err() == nil {
		s.mu.Lock()
		l := s.lanes[j.Webhook]
		room := 0
		if l != nil {
			room = l.jobRoom(time.Now())
		}
		s.mu.Unlock()
		var err error
		switch {
		case l == nil:
			j.State, j.Error = JobFailed, "the webhook was removed"
		case room <= 0:
			return nil
		case j.Kind == JobRecover:
			err = s.recoverSome(ctx, j, room)
		default:
			err = s.replaySome(ctx, j, room)
		}
		if err != nil {
			return err
		}
		j.UpdatedAt = time.Now().UTC()
		running, err := s.o.Store.SaveJob(ctx, j)
		if err != nil || !running {
			return err
		}
	}
	return nil
}

// recoverSome queues up to limit of the next failed deliveries.
func (s *sending) recoverSome(ctx context.Context, j *Job, limit int) error {
	ids, err := s.o.Store.Failed(ctx, j, limit)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		j.State = JobDone
		return nil
	}
	now := time.Now().UTC()
	queued := 0
	err = s.o.Store.Record(ctx, nil, ids, func(b *Batch) error {
		b.Job, queued = j.ID, 0
		for _, d := range b.Deliveries {
			if d.Requeue(now, delivery.TriggerRecover, false) {
				queued++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	j.At = ids[len(ids)-1]
	j.Matched += len(ids)
	j.Queued += queued
	s.queued(j.Webhook, queued)
	return nil
}

// replaySome makes up to limit deliveries of the next events of the log.
func (s *sending) replaySome(ctx context.Context, j *Job, limit int) error {
	events, err := s.o.Store.Log(ctx, j, jobLogStep)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		j.State = JobDone
		return nil
	}
	w, ok := s.webhook(j.Webhook)
	if !ok {
		return nil // found out next time
	}
	matcher, err := delivery.NewMatcher(&w)
	if err != nil {
		return err
	}
	index := delivery.NewIndex([]*delivery.Matcher{matcher})
	now := time.Now().UTC()
	var matched []Matched
	for i := range events {
		j.At = events[i].Pos
		if !j.wants(events[i].Type) {
			continue
		}
		kept, ids := s.wanted(index, &events[i])
		if len(ids) == 0 {
			continue
		}
		d := delivery.New(j.Webhook, kept.ID, kept.Type, delivery.TriggerReplay, delivery.Accept, now)
		matched = append(matched, Matched{Event: kept, Deliveries: []*delivery.Delivery{&d}})
		if len(matched) >= limit {
			break
		}
	}
	if len(matched) == 0 {
		return nil
	}
	queued, err := s.o.Store.Replay(ctx, j, now, matched)
	if err != nil {
		return err
	}
	j.Matched += len(matched)
	j.Queued += queued
	s.queued(j.Webhook, queued)
	return nil
}

// wants tells whether a job is for events of a type.
func (j *Job) wants(typ string) bool {
	return len(j.EventTypes) == 0 || slices.ContainsFunc(j.EventTypes, func(pattern string) bool {
		return pattern == typ || event.Matches(pattern, typ)
	})
}

// webhook returns a webhook as it is now.
func (s *sending) webhook(id int64) (w delivery.Webhook, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[id]
	if l == nil {
		return w, false
	}
	return l.w, true
}

// queued notes that deliveries of a webhook are due that were queued in the database.
func (s *sending) queued(webhook int64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[webhook]; l != nil && n > 0 {
		l.waiting.Due += n
		l.stir(time.Now())
		signal(s.wake)
	}
}
