package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/kuranty/kuranty/internal/client"
	"github.com/kuranty/kuranty/protocol"
)

// historyLimit is how much history is read: more than one run publishes.
const historyLimit = 20

// keysOf are the keys of the configuration that decide about steps.
type keysOf struct {
	subscribe, publish, history, readHistory, presence, readPresence, recovery string
}

// exam tries one channel as a client.
type exam struct {
	*selftest
	what, channel       string
	token, channelToken string
	// data is a publication that has the mark in it.
	data func(mark string) json.RawMessage
	// serverPublish publishes as the application would.
	serverPublish func(ctx context.Context, data json.RawMessage) error
	keys          keysOf // empty where the configuration must allow it

	conn       *client.Conn
	subscribed bool
	place      *protocol.SubscribeResult // of the subscription, its offset what was seen last
	latest     string                    // mark of what was received last with an offset
}

// run tries all there is; the connection stays.
func (x *exam) run() {
	if !x.step(x.what+": connect", func(ctx context.Context) (detail string, err error) {
		x.conn, err = client.Dial(ctx, x.url, x.settings.WebSocket.HandlerPrefix, x.token)
		return "", refusedToken(err, x.token != "")
	}) {
		return
	}
	x.subscribed = x.step(x.what+": subscribe", func(ctx context.Context) (string, error) {
		return x.channel, allow(x.subscribe(ctx, false), map[int]string{103: x.keys.subscribe})
	})
	if !x.subscribed {
		x.end()
		return
	}
	x.step(x.what+": publish by the client", func(ctx context.Context) (string, error) {
		mark := x.next()
		_, err := x.conn.Do(ctx, &protocol.Command{Publish: &protocol.PublishRequest{Channel: x.channel, Data: protocol.Raw(x.data(mark))}})
		if err != nil {
			return "", allow(err, map[int]string{103: x.keys.publish})
		}
		return "", x.receive(ctx, mark)
	})
	x.step(x.what+": publish by the server", func(ctx context.Context) (string, error) {
		mark := x.next()
		if err := x.serverPublish(ctx, x.data(mark)); err != nil {
			return "", err
		}
		return "", x.receive(ctx, mark)
	})
	x.step(x.what+": history", func(ctx context.Context) (string, error) {
		r, err := x.conn.Do(ctx, &protocol.Command{History: &protocol.HistoryRequest{Channel: x.channel, Limit: historyLimit, Reverse: true}})
		if err != nil {
			return "", allow(err, map[int]string{103: x.keys.readHistory, 108: x.keys.history})
		}
		var past []json.RawMessage
		for _, p := range r.History.Publications {
			past = append(past, json.RawMessage(p.Data))
		}
		return count(len(past), "publication"), x.missing(past)
	})
	x.step(x.what+": presence", func(ctx context.Context) (string, error) {
		r, err := x.conn.Do(ctx, &protocol.Command{Presence: &protocol.PresenceRequest{Channel: x.channel}})
		if err != nil {
			return x.present(0, allow(err, map[int]string{103: x.keys.readPresence}))
		}
		if _, here := r.Presence.Presence[x.conn.Client]; !here {
			return "", errors.New("the connection itself is not in it")
		}
		return x.present(len(r.Presence.Presence), nil)
	})
	x.step(x.what+": recovery after a cut", x.recovery)
}

// recovery cuts the connection, has something published meanwhile and comes back.
func (x *exam) recovery(ctx context.Context) (string, error) {
	switch {
	case !x.place.Recoverable && x.keys.recovery == "":
		return "", errors.New("the server says that the channel has no recovery")
	case !x.place.Recoverable:
		return "", skip("the configuration does not allow it: " + x.keys.recovery)
	}
	x.conn.Cut()
	mark := x.next()
	missed := x.serverPublish(ctx, x.data(mark))
	again, err := client.Dial(ctx, x.url, x.settings.WebSocket.HandlerPrefix, x.token)
	if err != nil {
		return "", fmt.Errorf("connect again: %w", err)
	}
	x.conn = again
	if err := x.subscribe(ctx, true); err != nil {
		return "", fmt.Errorf("subscribe again: %w", err)
	}
	switch {
	case missed != nil:
		return "", missed
	case !x.place.Recovered:
		return "", errors.New("the server says that not all could be restored; is the channel's history too short (history_size, history_ttl)?")
	}
	for _, p := range x.place.Publications {
		if bytes.Contains(p.Data, []byte(mark)) {
			x.latest = mark
			return count(len(x.place.Publications), "publication"), nil
		}
	}
	return "", errors.New("what was published meanwhile did not come")
}

// subscribe subscribes; again says that it was subscribed before.
func (x *exam) subscribe(ctx context.Context, again bool) error {
	req := &protocol.SubscribeRequest{Channel: x.channel, Token: x.channelToken, Recoverable: true, Positioned: true}
	if again {
		req.Recover, req.Epoch, req.Offset = true, x.place.Epoch, x.place.Offset
	}
	r, err := x.conn.Do(ctx, &protocol.Command{Subscribe: req})
	if err == nil && r.Subscribe == nil {
		err = errors.New("the server answered subscribe with something else")
	}
	if err == nil {
		x.place = r.Subscribe
	}
	return err
}

// next is a mark for the next publication.
func (x *exam) next() string { return x.mark + "." + strconv.Itoa(len(x.steps)) }

// receive waits for the publication with the mark.
func (x *exam) receive(ctx context.Context, mark string) error {
	for {
		p, err := x.conn.Publication(ctx, x.channel)
		if err != nil {
			return fmt.Errorf("published, but wait for its arrival: %w", err)
		}
		x.place.Offset = max(x.place.Offset, p.Offset)
		if bytes.Contains(p.Data, []byte(mark)) {
			if p.Offset > 0 {
				x.latest = mark
			}
			return nil
		}
	}
}

// missing is an error if the latest that was received with an offset is not in history.
func (x *exam) missing(history []json.RawMessage) error {
	has := func(data json.RawMessage) bool { return bytes.Contains(data, []byte(x.latest)) }
	if x.latest != "" && !slices.ContainsFunc(history, has) {
		return errors.New("what was published just now is not in it")
	}
	return nil
}

// present is the outcome of asking for presence.
func (x *exam) present(clients int, err error) (string, error) {
	if err != nil {
		return "", allow(err, map[int]string{108: x.keys.presence})
	}
	if clients == 0 {
		return "", errors.New("nobody is in it, but this connection is subscribed")
	}
	return fmt.Sprintf("%d connected", clients), nil
}

// end closes the connection.
func (x *exam) end() { x.conn.Cut() }

// refusedToken says what to do about a connection that was refused.
func refusedToken(err error, had bool) error {
	var refused *client.Error
	var closed *protocol.Close
	token := errors.As(err, &refused) && refused.Code == int(protocol.ErrUnauthorized.Code) ||
		errors.As(err, &closed) && (closed.Code == protocol.CloseInvalidToken.Code || closed.Code == protocol.CloseBadRequest.Code)
	switch {
	case !token:
		return err
	case had:
		return fmt.Errorf("%w: the secret is not the server's; give it with --token-secret or KURANTY_TOKEN_SECRET, or the server's folder with --data-dir", err)
	}
	return fmt.Errorf("%w: the server wants a token; give the secret to make one with --token-secret or KURANTY_TOKEN_SECRET, or the server's folder with --data-dir", err)
}
