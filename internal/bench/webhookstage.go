package bench

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/kuranty/kuranty/webhook"
)

// unwanted is a type of events that no webhook wants, wanted(i) what webhook i wants.
const unwanted = "bench.unwanted"

func wanted(i int) string { return "bench.wanted_" + strconv.Itoa(i) }

// webhookConfig is a configuration whose webhooks may reach this machine. Everything else is
// the default.
func webhookConfig(storage map[string]any, webhooks int) map[string]any {
	types := []any{unwanted}
	for i := range webhooks {
		types = append(types, wanted(i))
	}
	return map[string]any{
		"storage":  storage,
		"http_api": map[string]any{"key": chatKey},
		"events":   map[string]any{"types": types},
		"webhooks": map[string]any{"allow_http": true, "allow_networks": []any{"127.0.0.0/8"}},
	}
}

// correspondence is a server whose webhooks are received here, and who tells it of events.
type correspondence struct {
	server    server
	receivers *receivers
	teller    *teller
}

// prepare starts a server on the data in a folder and makes webhooks, each for the events of
// its own type.
func (w *Webhook) prepare(ctx context.Context, data string, storage map[string]any, webhooks int) (*correspondence, error) {
	r, err := listenReceivers(webhooks)
	if err != nil {
		return nil, err
	}
	c := &correspondence{server: server{key: chatKey}, receivers: r}
	c.teller = newTeller(&c.server, r.tally)
	if err := c.server.start(ctx, data, webhookConfig(storage, webhooks)); err != nil {
		r.close()
		return nil, err
	}
	for i, url := range r.urls {
		if err := c.server.register(ctx, i, url, r.secret); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *correspondence) close() {
	c.teller.close()
	c.receivers.release() // so that no attempt lasts
	c.server.close()
	c.receivers.close()
}

// register makes the webhook number i.
func (s *server) register(ctx context.Context, i int, url string, secret webhook.Secret) error {
	var made struct {
		ID int64 `json:"id"`
	}
	err := s.rest(ctx, http.MethodPost, "/webhooks", s.key, map[string]any{
		"name": "Receiver " + strconv.Itoa(i), "url": url, "event_type": wanted(i), "secret": secret.Reveal(),
	}, &made)
	if err != nil {
		return fmt.Errorf("make webhook %d: %w", i, err)
	}
	return nil
}
