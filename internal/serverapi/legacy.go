package serverapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/protocol"
)

// foreign are the methods that are known elsewhere and answered with error 104 here:
// those on maps and polls, and those of a commercial edition (server-api.md §3.13, §3.14).
var foreign = map[string]bool{
	"map_publish": true, "map_remove": true, "map_read_state": true, "map_read_stream": true, "map_stats": true,
	"map_clear": true, "shared_poll_publish": true,
	"connections": true, "update_user_status": true, "get_user_status": true, "delete_user_status": true,
	"block_user": true, "unblock_user": true, "revoke_token": true, "invalidate_user_tokens": true,
	"device_register": true, "device_update": true, "device_remove": true, "device_list": true,
	"device_topic_list": true, "device_topic_update": true, "user_topic_list": true, "user_topic_update": true,
	"send_push_notification": true, "update_push_status": true, "cancel_push": true,
}

// legacyCommand is an object of the older form (server-api.md §4).
type legacyCommand struct {
	id uint64
	command
	params []byte
}

// legacy answers a request of the older form: objects one after another, and as many
// replies, one on each line.
func (a *API) legacy(w http.ResponseWriter, r *http.Request, c *call) {
	if len(c.in) == 0 {
		a.malformed(w)
		return
	}
	c.reset(c.in)
	var commands []legacyCommand
	for !c.failed() && !c.ended() {
		command := legacyCommand{command: command{method: methods["publish"]}}
		c.object(&command)
		if command.method == nil && command.refused == nil {
			c.fail()
		}
		commands = append(commands, command)
	}
	if c.failed() {
		a.malformed(w)
		return
	}
	c.out = c.out[:0]
	for i := range commands {
		if i > 0 {
			c.out = append(c.out, '\n')
		}
		command := &commands[i]
		command.prepare(&c.decoder)
		c.out = appendCount(append(c.out, '{'), "id", command.id)
		c.out = append(command.run(r.Context(), a, "result", c.out), '}')
	}
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write(c.out) // the client may have gone
}

func (c *legacyCommand) member(d *decoder, name []byte) {
	switch string(name) {
	case "id":
		d.unsigned(&c.id, 32)
	case "method":
		c.setMethod(d)
	case "params":
		d.raw(&c.params)
	default:
		d.skip()
	}
}

// setMethod takes the method, by name or number. A number or a name that means something
// elsewhere is this command's error. With another name, neither method nor error is
// set, which is the whole request's.
func (c *legacyCommand) setMethod(d *decoder) {
	v := d.value()
	if v == nil {
		return
	}
	c.method, c.refused = nil, nil
	switch jsontext.Value(v).Kind() {
	case '"':
		name := strings.ToLower(string(unquote(v)))
		if m := methods[name]; m != nil && !m.bare {
			c.method = m
		} else if foreign[name] {
			c.refused = protocol.ErrMethodNotFound
		}
	case '0':
		number, err := strconv.ParseInt(string(v), 10, 32)
		if err != nil {
			d.fail()
		}
		c.refused = protocol.ErrMethodNotFound
		for _, m := range methodList {
			if m.number == int(number) && !m.bare {
				c.method, c.refused = m, nil
			}
		}
	default:
		d.fail()
	}
}

// prepare decodes the parameters.
func (c *legacyCommand) prepare(d *decoder) {
	if c.refused != nil {
		return
	}
	c.request = c.method.request()
	if c.params == nil && c.method.name == "info" {
		return
	}
	d.reset(c.params)
	d.object(c.request)
	if !d.ended() {
		c.refused = protocol.ErrBadRequest
	}
}
