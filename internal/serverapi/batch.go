package serverapi

import (
	"context"

	"github.com/kuranty/kuranty/protocol"
)

// batchRequest is several calls in one request (server-api.md §3.12).
type batchRequest struct {
	commands []command
	parallel bool
}

// command is one call of a batch or of the older form; refused is set instead of what
// it asks for.
type command struct {
	method  *method
	request request
	refused *protocol.Error
}

func (r *batchRequest) member(d *decoder, name []byte) {
	switch string(name) {
	case "commands":
		r.take(d)
	case "parallel":
		d.flag(&r.parallel)
	default:
		d.skip()
	}
}

func (r *batchRequest) take(d *decoder) {
	if d.null() || !d.json.Enter('[') {
		return
	}
	r.commands = make([]command, 0, 16)
	for d.json.More(']') {
		r.commands = append(r.commands, command{})
		c := &r.commands[len(r.commands)-1]
		if d.null() {
			c.refused = protocol.ErrBadRequest
			continue
		}
		if d.object(c); c.request == nil {
			c.refused = protocol.ErrMethodNotFound
		}
	}
}

// member takes a call of the method name.
func (c *command) member(d *decoder, name []byte) {
	m := methods[string(name)]
	if m == nil || m.bare {
		d.skip()
		return
	}
	if d.null() {
		return
	}
	if c.method != nil && c.method != m {
		c.refused = protocol.ErrBadRequest // which one, it does not say
	}
	c.method, c.request = m, d.request(m)
	d.object(c.request)
}

// run carries the command out and appends a reply to dst, without the braces around it;
// the result is named key.
func (c *command) run(ctx context.Context, a *API, key string, dst []byte) []byte {
	if c.refused != nil {
		return appendError(dst, c.refused)
	}
	start := len(dst)
	dst, err := a.run(ctx, c.method, c.request, appendKey(dst, key))
	if err != nil {
		return appendError(dst[:start], a.refusal(c.method, err, nil))
	}
	return dst
}

// key names the result of the command.
func (c *command) key() string {
	if c.method == nil {
		return ""
	}
	return c.method.name
}

func (r *batchRequest) run(ctx context.Context, a *API, dst []byte) ([]byte, error) {
	if len(r.commands) == 0 {
		return append(dst, "{}"...), nil
	}
	dst = append(dst, `{"replies":[`...)
	if r.parallel {
		replies := make([][]byte, len(r.commands))
		a.each(len(replies), parallelLimit, func(i int) {
			replies[i] = appendError([]byte{'{'}, protocol.ErrInternal) // unless we get further
			c := &r.commands[i]
			replies[i] = c.run(ctx, a, c.key(), []byte{'{'})
		})
		for _, reply := range replies {
			dst = append(append(dst, reply...), "},"...)
		}
	} else {
		for i := range r.commands {
			c := &r.commands[i]
			dst = append(c.run(ctx, a, c.key(), append(dst, '{')), "},"...)
		}
	}
	dst[len(dst)-1] = ']'
	return append(dst, '}'), nil
}
