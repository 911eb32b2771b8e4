package windi

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/internal/apierror"
)

// maxChannels bounds a broadcast.
const maxChannels = 1000

type broadcastReply struct {
	Result struct {
		Responses []broadcastResponse `json:"responses"`
	} `json:"result"`
}

// broadcastResponse has a result or an error.
type broadcastResponse struct {
	Result *positionReply  `json:"result,omitempty"`
	Error  *broadcastError `json:"error,omitempty"`
}

type broadcastError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// broadcast publishes the same into several channels, for administrators (chat-api.md
// §B.10). Each channel has an answer of its own.
func (c *Contract) broadcast(r *request) (reply, error) {
	var in struct {
		Channels []string `json:"channels"`
		Data     nested   `json:"data"`
	}
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	switch {
	case len(in.Channels) == 0:
		return reply{}, required("channels")
	case len(in.Channels) > maxChannels:
		return reply{}, &invalid{loc: []any{"body", "channels"}, msg: "must be at most 1000"}
	case in.Data == nil:
		return reply{}, required("data")
	}
	who, err := authorOf(r.by)
	if err != nil {
		return reply{}, err
	}
	var out broadcastReply
	for _, channel := range in.Channels {
		var one broadcastResponse
		done, err := c.publish(r.Context(), who, channel, jsontext.Value(in.Data), "body", "data")
		if err == nil {
			one.Result = &positionReply{done.position.Offset, done.position.Epoch}
		} else {
			one.Error = c.broadcastError(r, err)
		}
		out.Result.Responses = append(out.Result.Responses, one)
	}
	return reply{body: out}, nil
}

// broadcastError is an error of one channel: its HTTP status and what is wrong.
func (c *Contract) broadcastError(r *request, err error) *broadcastError {
	status, message := c.explain(err, apierror.Language(r.Header.Get("Accept-Language")))
	return &broadcastError{status, message}
}
