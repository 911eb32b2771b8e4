package bench

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// position is a place in a channel's stream.
type position struct {
	Epoch  string `json:"epoch,omitempty"`
	Offset uint64 `json:"offset,omitempty"`
}

// reply is the part of a server's reply that a measure looks at.
type reply struct {
	ID    uint32 `json:"id"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Connect *struct {
		Pong bool `json:"pong"`
	} `json:"connect"`
	Subscribe *subscribed `json:"subscribe"`
}

type subscribed struct {
	position
	Recovered    bool              `json:"recovered"`
	Publications []json.RawMessage `json:"publications"`
}

// client is one WebSocket connection. It sends its greeting (connect and perhaps
// subscribe, in one frame like the JavaScript client), is ready when every command
// of it is answered, and from then on reports publications and answers pings.
type client struct {
	c       *conn
	request []byte // the upgrade
	hello   []byte // the greeting's frame
	awaited int    // replies missing until ready

	ready   func(*client)
	stamped func(n, at int64) // a publication came
	// find finds the stamp of a publication; nil is nextStamp.
	find    func(line []byte) (n, at int64, ok bool)
	replied func(line []byte) // a reply came after ready; nil ignores it
	message func(b []byte)    // takes all messages instead: the server speaks another protocol

	upgraded bool
	rest     []byte     // of a frame not yet whole
	sub      subscribed // the answer to the greeting's subscribe
}

var (
	headEnd   = []byte("\r\n\r\n")
	pongFrame = appendMasked(nil, opText, []byte("{}"))
)

func (cl *client) opened(c *conn) {
	cl.c = c
	c.write(cl.request)
}

func (cl *client) closed(c *conn, err error) {
	c.l.fail(fmt.Errorf("connection ended: %w", err))
}

func (cl *client) data(c *conn, b []byte) {
	if len(cl.rest) > 0 {
		cl.rest = append(cl.rest, b...)
		b = cl.rest
	}
	if !cl.upgraded {
		end := bytes.Index(b, headEnd)
		if end < 0 {
			cl.keep(b)
			return
		}
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 101 ")) {
			c.l.fail(fmt.Errorf("upgrade refused: %s", b[:bytes.IndexByte(b, '\r')]))
			return
		}
		cl.upgraded, b = true, b[end+len(headEnd):]
		if len(cl.hello) > 0 {
			c.write(cl.hello)
		} else {
			cl.ready(cl)
		}
	}
	for len(b) > 0 {
		op, payload, size, err := parseFrame(b)
		if err != nil {
			c.l.fail(err)
			return
		}
		if size == 0 {
			break
		}
		b = b[size:]
		switch op {
		case opPing:
			c.write(appendMasked(nil, opPong, payload))
		case opClose:
			c.l.fail(closeError(payload))
			return
		default:
			if cl.message != nil {
				cl.message(payload)
			} else {
				cl.units(payload)
			}
		}
	}
	cl.keep(b)
}

// keep holds b, the bytes of an unfinished frame, and no memory when there are none.
func (cl *client) keep(b []byte) {
	switch {
	case len(b) == 0:
		cl.rest = nil
	case len(b) != len(cl.rest): // else it is what rest holds
		cl.rest = bytes.Clone(b)
	}
}

func closeError(payload []byte) error {
	if len(payload) < 2 {
		return errors.New("the server closed the connection")
	}
	return fmt.Errorf("the server closed the connection: %d %s", int(payload[0])<<8|int(payload[1]), payload[2:])
}

// units reads the replies of one frame, one per line.
func (cl *client) units(b []byte) {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		switch {
		case len(line) == 2: // {} is a ping
			cl.c.write(pongFrame)
		case bytes.HasPrefix(line, []byte(`{"push":`)):
			n, at, _, ok := nextStamp(line)
			if cl.find != nil {
				n, at, ok = cl.find(line)
			}
			if ok {
				cl.stamped(n, at)
			} else if bytes.Contains(line, []byte(`"unsubscribe":`)) || bytes.Contains(line, []byte(`"disconnect":`)) {
				cl.c.l.fail(fmt.Errorf("the server pushed %s", line))
			}
		case cl.awaited > 0:
			cl.greeted(line)
		case cl.replied != nil:
			cl.replied(line)
		}
	}
}

func (cl *client) greeted(line []byte) {
	var r reply
	if err := json.Unmarshal(line, &r); err != nil {
		cl.c.l.fail(fmt.Errorf("read reply %q: %w", line, err))
		return
	}
	if r.Error != nil {
		cl.c.l.fail(fmt.Errorf("command %d answered with error %d: %s", r.ID, r.Error.Code, r.Error.Message))
		return
	}
	if r.Subscribe != nil {
		cl.sub = *r.Subscribe
	}
	if cl.awaited--; cl.awaited == 0 {
		cl.c.l.progress++
		cl.ready(cl)
	}
}

// greeting builds the frame of connect and, when channel is given, subscribe; with
// since it asks for what was published after that position.
func greeting(token, channel string, since *position) (frame []byte, commands int) {
	text := append([]byte(nil), `{"id":1,"connect":{`...)
	if token != "" {
		text = append(append(append(text, `"token":"`...), token...), '"')
	}
	text = append(text, `}}`...)
	commands = 1
	if channel != "" {
		text = append(append(text, "\n"+`{"id":2,"subscribe":{"channel":`...), strconv.Quote(channel)...)
		if since != nil {
			text = append(text, `,"recoverable":true,"recover":true,"epoch":`+strconv.Quote(since.Epoch)+`,"offset":`...)
			text = strconv.AppendUint(text, since.Offset, 10)
		}
		text = append(text, `}}`...)
		commands++
	}
	return appendMasked(nil, opText, text), commands
}

// token returns a connection token for user, valid for a day, or none without a
// secret (the server must then admit anonymous clients).
func token(secret, user string) string {
	if secret == "" {
		return ""
	}
	claims, _ := json.Marshal(map[string]any{"sub": user, "exp": time.Now().Add(24 * time.Hour).Unix()})
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + enc.EncodeToString(mac.Sum(nil))
}
