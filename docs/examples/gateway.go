// Command examples follows the event gateway:
//
//	go run gateway.go ws://127.0.0.1:8000 TOKEN [--live] CHANNEL…
//
// prints every event as a line of JSON. With --live it does not ask for what it missed while
// it was not connected.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// Message is what the gateway sends.
type Message struct {
	Type    string          `json:"type"`
	ID      string          `json:"id"`
	Event   string          `json:"event,omitempty"`
	Channel string          `json:"channel,omitempty"`
	Seq     int64           `json:"seq,omitempty"`
	Data    json.RawMessage `json:"data"`
}

// Stream follows channels over as many connections as it takes.
type Stream struct {
	URL, Token string
	Channels   []string
	// Live says not to ask for what was missed between connections.
	Live bool
	// Last is the id of the last event that is done with.
	Last string

	tries int
}

// Run calls do for each event, until ctx or the stream ends, or do fails.
func (s *Stream) Run(ctx context.Context, do func(Message) error) error {
	for {
		wait, err := s.connection(ctx, do)
		if wait < 0 || ctx.Err() != nil {
			return err
		}
		if wait == 0 {
			wait = min(30*time.Second, time.Second<<s.tries/2)
			wait = wait/2 + rand.N(wait/2)
			s.tries = min(s.tries+1, 10)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connection reads one connection to its end. It returns how long to wait before the next
// one: zero for as long as usual, less than that if there must be none.
func (s *Stream) connection(ctx context.Context, do func(Message) error) (time.Duration, error) {
	conn, _, err := websocket.Dial(ctx, s.URL+"/v1/ws", nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	if err := wsjson.Write(ctx, conn, map[string]any{"type": "auth", "token": s.Token}); err != nil {
		return 0, err
	}
	var told time.Duration
	for {
		var m Message
		read, cancel := context.WithTimeout(ctx, 75*time.Second) // the server pings every 30 s
		err := wsjson.Read(read, conn, &m)
		cancel()
		if err != nil {
			return pause(err, told), err
		}
		var data struct {
			Action, Status, Cursor, Code, Message string
			Resume                                struct{ Status string }
			ReconnectAfter                        int64
		}
		if m.Type != "event" {
			if err := json.Unmarshal(m.Data, &data); err != nil {
				return -1, err
			}
		}
		switch m.Type {
		case "event":
			if err := do(m); err != nil {
				return -1, err
			}
			s.Last = m.ID // now, not before: what fails comes again
		case "ping":
			if data.Cursor != "" {
				s.Last = data.Cursor // got everything up to there
			}
			err = wsjson.Write(ctx, conn, map[string]any{"type": "pong"})
		case "error":
			fmt.Fprintf(os.Stderr, "%s: %s\n", data.Code, data.Message)
			told = time.Duration(data.ReconnectAfter) * time.Millisecond
		case "response":
			if data.Action == "auth" && data.Status == "ok" {
				s.tries = 0
				ask := map[string]any{"type": "subscribe", "channels": s.Channels}
				if !s.Live && s.Last != "" {
					ask["lastEventId"] = s.Last
				}
				if s.Last == "" {
					s.Last = data.Cursor
				}
				err = wsjson.Write(ctx, conn, ask)
			}
			if data.Resume.Status == "lost" {
				fmt.Fprintln(os.Stderr, "some events are not kept any more: load everything anew")
			}
		}
		if err != nil {
			return told, err
		}
	}
}

// pause is how long to wait after the end of a connection.
func pause(err error, told time.Duration) time.Duration {
	switch code := websocket.CloseStatus(err); code {
	case 1000, 1003, 1007, 1009, 4001, 4003, 4030: // nothing is better the next time
		return -1
	case 1013:
		return max(told, 10*time.Second)
	case 4029:
		return max(told, time.Minute)
	}
	return told
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: gateway URL TOKEN [--live] CHANNEL…")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	live := func(arg string) bool { return arg == "--live" }
	s := &Stream{URL: os.Args[1], Token: os.Args[2], Live: slices.ContainsFunc(os.Args[3:], live), Channels: slices.DeleteFunc(os.Args[3:], live)}
	err := s.Run(ctx, func(m Message) error { return json.NewEncoder(os.Stdout).Encode(m) })
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "ended:", err)
		os.Exit(1)
	}
}
