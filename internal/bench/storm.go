package bench

import (
	"context"
	"fmt"
	"strconv"
)

// Storm measures a reconnect storm: all clients lose their connection, miss
// publications, come back together and recover them.
type Storm struct {
	Target   `embed:""`
	Clients  int `default:"10000" help:"Clients, each subscribed to one channel with history."`
	Channels int `default:"100" help:"Channels that the clients are spread over."`
	Missed   int `default:"10" help:"Publications in each channel while the clients are away, at most 100."`
	Parallel int `default:"256" help:"Clients coming back at a time."`
	Size     int `default:"100" help:"Bytes of payload."`
}

// Measure runs the command. It fails unless every client recovers exactly what it missed.
func (st *Storm) Measure(ctx context.Context) ([]Result, error) {
	if err := checkSize(st.Size); err != nil {
		return nil, err
	}
	if st.Missed < 1 || st.Missed > 100 {
		return nil, fmt.Errorf("--missed %d: want 1 to 100, the channels keep 100 publications", st.Missed)
	}
	if err := raiseFileLimit(st.Clients); err != nil {
		return nil, err
	}
	s, err := st.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	defer l.close()
	api, err := s.callers(ctx, l, "/api/publish", 1)
	if err != nil {
		return nil, err
	}
	bar := 0.0
	if st.Clients == 10_000 && st.Missed == 10 && st.Size == 100 {
		bar = 90
	}
	number := int64(firstNumber)
	measure := fmt.Sprintf("%d clients return and recover %d publications: per client", st.Clients, st.Missed)
	results, err := st.rounds(s.pid, measure, bar, st.Clients, func() (round, error) {
		got, err := st.round(ctx, l, s, api[0], number)
		number += int64(st.Missed)
		return got, err
	})
	return results, err
}

func (st *Storm) round(ctx context.Context, l *loop, s *server, api *caller, number int64) (round, error) {
	clients := s.audience(st.Clients, st.Channels, s.history)
	if err := s.join(ctx, l, clients, 64, nil); err != nil {
		return round{}, err
	}
	if err := hangUp(ctx, l, s.pid, clients); err != nil {
		return round{}, err
	}
	if err := st.publish(ctx, l, s, api, number); err != nil {
		return round{}, err
	}
	back := make([]*client, len(clients))
	for i, cl := range clients {
		back[i] = s.newClient(strconv.Itoa(i), s.history+strconv.Itoa(i%max(st.Channels, 1)), &cl.sub.position)
	}
	got, err := timed(ctx, l, s.pid, func() error {
		return s.join(ctx, l, back, st.Parallel, func(cl *client) {
			if err := cl.sub.check(number, st.Missed); err != nil {
				l.fail(err)
			}
			cl.sub = subscribed{}
		})
	})
	if err != nil {
		return round{}, err
	}
	return got, hangUp(ctx, l, s.pid, back)
}

// publish sends the publications that the clients miss.
func (st *Storm) publish(ctx context.Context, l *loop, s *server, api *caller, number int64) error {
	total, answered := max(st.Channels, 1)*st.Missed, 0
	send := func() {
		channel, n := s.history+strconv.Itoa(answered/st.Missed), number+int64(answered%st.Missed)
		api.post(appendPublish(nil, channel, n, now(), st.Size))
	}
	api.done = func(body []byte) {
		if err := apiError(body); err != nil {
			l.fail(err)
			return
		}
		if answered++; answered < total {
			send()
		}
	}
	send()
	return l.until(ctx, func() bool { return answered == total })
}

// check tells whether the subscription recovered exactly count publications from number on.
func (s *subscribed) check(number int64, count int) error {
	if !s.Recovered || len(s.Publications) != count {
		return fmt.Errorf("recovered: %t with %d publications, want true with %d", s.Recovered, len(s.Publications), count)
	}
	for i, pub := range s.Publications {
		if n, _, _, ok := nextStamp(pub); !ok || n != number+int64(i) {
			return fmt.Errorf("recovered publication %d is %s, want number %d", i, pub, number+int64(i))
		}
	}
	return nil
}
