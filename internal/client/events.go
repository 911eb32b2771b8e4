package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Beginning is the id of no event: after it is all that is kept.
const Beginning = "evt_00000000000000000000000000"

// EventsOptions say what [Events] follows.
type EventsOptions struct {
	// URL is the server's address, as http://127.0.0.1:8000, Key an API key that may read.
	URL, Key string
	// Query has channels, events and filter, as in GET /v1/events/stream.
	Query url.Values
	// LastEventID, if not empty, is the event after which to begin, or [Beginning].
	LastEventID string
	// Event takes each event, as JSON; an error from it ends the stream.
	Event func(typ string, event []byte) error
	// Notice, if not nil, takes what a person should know: interruptions and losses.
	Notice func(string)
}

// eventsSilence is how long a stream may say nothing: the server says something every 30 s.
const eventsSilence = 100 * time.Second

// Events follows the event log until ctx ends, when it returns nil. A lost connection is
// made again and goes on after the last event. What cannot be mended by another attempt is
// returned.
func Events(ctx context.Context, o EventsOptions) error {
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	return persist(ctx, o.Notice, o.follow)
}

// follow makes one connection and reads it to its end.
func (o *EventsOptions) follow(ctx context.Context) (connected bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u, err := address(o.URL, "/v1/events/stream")
	if err != nil {
		return false, errFinal{err}
	}
	u.RawQuery = o.Query.Encode()
	if o.LastEventID == Beginning {
		u.RawQuery += "&onLost=earliest"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return false, errFinal{fmt.Errorf("call %s: %w", o.URL, err)}
	}
	req.Header.Set("X-API-Key", o.Key)
	req.Header.Set("Accept", "text/event-stream")
	if o.LastEventID != "" {
		req.Header.Set("Last-Event-ID", o.LastEventID)
	}
	late := time.AfterFunc(dialTimeout, cancel)
	defer late.Stop()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, unreachable(u, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		err := refused(resp.StatusCode, u.Scheme+"://"+u.Host+u.Path, text)
		if resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
			return false, err
		}
		return false, errFinal{err}
	}
	return true, o.read(resp.Body, func() { late.Reset(eventsSilence) })
}

// read reads a stream to its end; alive is called for whatever comes.
func (o *EventsOptions) read(body io.Reader, alive func()) error {
	in := bufio.NewScanner(body)
	in.Buffer(nil, 4<<20)
	var id, name string
	var data []byte
	for in.Scan() {
		alive()
		field, value, _ := bytes.Cut(in.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "id":
			id = string(value)
		case "event":
			name = string(value)
		case "data":
			data = append(data, value...)
		}
		if len(in.Bytes()) > 0 || len(data) == 0 {
			continue
		}
		if err := o.take(name, data); err != nil {
			return err
		}
		if id != "" {
			o.LastEventID = id
		}
		id, name, data = "", "", data[:0]
	}
	if err := in.Err(); err != nil {
		return err
	}
	return errors.New("the server closed the stream")
}

// take takes what the stream says.
func (o *EventsOptions) take(name string, data []byte) error {
	switch name {
	case "error":
		var p struct{ Code, Message, Reason string }
		_ = json.Unmarshal(data, &p)
		text := strings.ToLower(p.Message)
		if p.Reason != "" {
			text += " (" + p.Reason + ")"
		}
		if p.Code == "4001" {
			return errFinal{errors.New(text)}
		}
		return errors.New(text)
	case "lost":
		if o.LastEventID == Beginning { // nothing was missed
			return nil
		}
		o.Notice("events that were missed are not kept any more; going on with new ones")
		return nil
	}
	if err := o.Event(name, data); err != nil {
		return errFinal{err}
	}
	return nil
}
