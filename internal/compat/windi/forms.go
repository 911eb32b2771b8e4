package windi

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/internal/chatjson"
)

// positionReply is where a publication stands in its channel; of what is not stored it is
// empty.
type positionReply struct {
	Offset uint64 `json:"offset,omitzero"`
	Epoch  string `json:"epoch,omitzero"`
}

// messageReply is the stored message; forms 2 and 3 add where it stands in the channel.
type messageReply struct {
	chatjson.FullMessage
	MessageID int64          `json:"message_id,omitempty"`
	Result    *positionReply `json:"result,omitempty"`
}

type successReply struct {
	Success bool           `json:"success"`
	Result  *positionReply `json:"result,omitempty"`
}

// publishRequest takes the three forms of chat-api.md §B.5.
func (c *Contract) publishRequest(r *request) (reply, error) {
	body, err := r.body()
	if err != nil {
		return reply{}, err
	}
	f, err := formOf(r, body)
	if err != nil {
		return reply{}, err
	}
	who, err := authorOf(r.by)
	if err != nil {
		return reply{}, err
	}
	who.key = r.Header.Get(keyHeader)
	out, err := c.publishForm(r.Context(), who, f)
	if err != nil {
		return reply{}, err
	}
	result := &positionReply{out.position.Offset, out.position.Epoch}
	if out.message == nil {
		return reply{body: successReply{true, result}}, nil
	}
	m, err := c.shown(r.Context(), who.user, out)
	if err != nil {
		return reply{}, err
	}
	answer := messageReply{FullMessage: m}
	if !f.plain {
		answer.MessageID, answer.Result = m.ID, result
	}
	return reply{body: answer, replayed: out.replayed}, nil
}

func (c *Contract) publishForm(ctx context.Context, who author, f form) (outcome, error) {
	if !f.plain {
		return c.publish(ctx, who, f.channel, f.data, f.loc...)
	}
	var in publication
	if err := decode(f.data, &in, f.loc...); err != nil {
		return outcome{}, err
	}
	_, chatID, err := parseChannel(f.channel)
	if err != nil {
		return outcome{}, err
	}
	return c.send(ctx, who, chatID, &in, f.loc)
}

// shown is a message as its sender sees it. One that was sent before may have been read.
func (c *Contract) shown(ctx context.Context, user int64, out outcome) (chatjson.FullMessage, error) {
	m, v := out.message, chatjson.Viewer{User: user}
	switch {
	case user == 0:
		return c.o.Build.PublishedMessage(m), nil
	case out.replayed:
		now, read, err := c.o.Chats.Message(ctx, user, m.ID)
		if err != nil {
			return chatjson.FullMessage{}, err
		}
		m, v.Read = &now, read
	default:
		v.Read.Own = m.Seq
	}
	return c.o.Build.FullMessage(m, v), nil
}

// form is one request to publish.
type form struct {
	channel string
	data    jsontext.Value
	loc     []any
	// plain is form 1, of messages only.
	plain bool
}

func formOf(r *request, body jsontext.Value) (form, error) {
	q := queryOf(r.Request)
	chatID, channel := q.id("chat_id"), q.values.Get("channel")
	if q.err != nil {
		return form{}, q.err
	}
	if chatID == 0 && channel == "" && q.values.Has("channel") {
		return form{}, errChannel
	}
	return parseForm(chatID, channel, body)
}

// parseForm tells the forms apart: 1 has a chat_id, 2 channel and data in the body, 3 a
// channel beside it. With the first and the last the body may be wrapped as in 2.
func parseForm(chatID int64, channel string, body jsontext.Value) (form, error) {
	var in struct {
		Channel jsontext.Value `json:"channel"`
		Data    nested         `json:"data"`
	}
	beside := chatID != 0 || channel != ""
	if err := decode(body, &in, "body"); err != nil && !beside {
		return form{}, err
	}
	f := form{channel: channel, data: body, loc: []any{"body"}, plain: chatID != 0}
	if f.plain {
		f.channel = chatChannel + decimal(chatID)
	}
	named := ""
	wrapped := in.Channel.Kind() == '"' && json.Unmarshal(in.Channel, &named) == nil && (named != "" || !beside)
	switch {
	case !wrapped && !beside:
		return form{}, &invalid{loc: []any{"query", "chat_id"}, msg: "is required, or a channel"}
	case wrapped && in.Data != nil:
		f.data, f.loc = jsontext.Value(in.Data), []any{"body", "data"}
	case !beside:
		return form{}, &invalid{loc: []any{"body", "data"}, msg: "is required"}
	default:
		named = ""
	}
	setDefault(&f.channel, named)
	if channel != "" && channel != f.channel || named != "" && named != f.channel {
		return form{}, &refusal{http.StatusBadRequest, "the request names two channels", "в запросе названы два канала"}
	}
	return f, nil
}
