package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"
)

// hanging measures whether receivers that never answer delay the others, on two servers at
// the same time, so that what else goes on here meets both: at one all receivers answer.
func (w *Webhook) hanging(ctx context.Context) ([]Result, error) {
	names := [2]string{"answering", "hanging"}
	var both [2]*correspondence
	for i, name := range names {
		c, err := w.prepare(ctx, filepath.Join(w.Folder, name), nil, w.Endpoints)
		if err != nil {
			return nil, err
		}
		defer c.close()
		both[i] = c
	}
	both[1].receivers.hang(w.Hanging)
	v := w.slowly()
	v.to = func(i int) (string, bool) { i %= w.Endpoints; return wanted(i), i >= w.Hanging }
	v.events *= turns
	var with, without []float64
	for i := range w.Rounds + 1 {
		var got [2]told
		g, ctx := errgroup.WithContext(ctx)
		for k, c := range both {
			g.Go(func() (err error) {
				if got[k], err = c.teller.produce(ctx, v); err != nil {
					return fmt.Errorf("%s: %w", names[k], err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		if i > 0 {
			without, with = append(without, milliseconds(got[0].P99)), append(with, milliseconds(got[1].P99))
		}
	}
	lateBar, ratioBar := 2000.0, 1.1
	if w.Endpoints != 100 || w.Hanging != 10 || w.Rate != 500 {
		lateBar, ratioBar = 0, 0
	}
	shape := fmt.Sprintf("%d webhooks, %d events/s, %d receivers hang: first attempt of the others, p99", w.Endpoints, w.Rate, w.Hanging)
	return []Result{
		newResult(shape, "ms", with, nil, lateBar, "from when the request was written that tells of the event"),
		newResult("the same against a server all of whose receivers answer", "ms", with, without, ratioBar,
			fmt.Sprintf("largest of the rounds %.1f and %.1f ms; load average %s", slices.Max(with), slices.Max(without), loadAverage())),
	}, nil
}
