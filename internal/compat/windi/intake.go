package windi

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/protocol"
)

// ClientPublish carries out what a connection of user publishes into a channel
// (chat-api.md §B.6). Nothing of data reaches others as it is: it becomes a message, a
// mark or a notice by the same rules as a request would.
//
// Errors wrap the protocol's: [protocol.ErrPermissionDenied] for who is no member or may
// not do that, [protocol.ErrBadRequest] for data that cannot be taken, and
// [protocol.ErrTooManyRequests]; what they wrap beside it is the chat service's own.
// Others are failures of the server.
func (c *Contract) ClientPublish(ctx context.Context, user int64, channel string, data []byte) error {
	if _, ok := chatOf(channel); !ok {
		return protocol.ErrPermissionDenied
	}
	caller, err := c.o.Accounts.UserCaller(ctx, user)
	if err != nil {
		return asProtocol(err)
	}
	if err := checkJSON(data); err != nil {
		return asProtocol(err)
	}
	_, err = c.publish(ctx, author{user: user, admin: caller.Admin()}, channel, jsontext.Value(data), "data")
	return asProtocol(err)
}

// ServerPublish looks at what the server API publishes into a channel, as [Options.Guard]
// says (chat-api.md §B.10). handled is true if it was a message, and has been stored: then
// place is where it stands in the channel, and it must not be published once more, being
// announced like any other. Otherwise, without an error, it is to be published as it is.
// Errors are those of [Contract.ClientPublish].
func (c *Contract) ServerPublish(ctx context.Context, channel string, data []byte) (place protocol.StreamPosition, handled bool, err error) {
	id, ok := chatOf(channel)
	if !ok || c.o.Guard == GuardAllow {
		return place, false, nil
	}
	sender, message := head(data)
	if !message {
		return place, false, nil
	}
	if c.o.Guard == GuardDeny {
		return place, false, protocol.ErrPermissionDenied
	}
	if sender == 0 {
		return place, false, nil
	}
	// Of nobody in this chat: passed on, whatever it holds, and not stored.
	if _, _, err := c.o.Chats.Membership(ctx, sender, id); errors.Is(err, chat.ErrNotFound) {
		return place, false, nil
	} else if err != nil {
		return place, false, asProtocol(err)
	}
	var in publication
	if err := decode(data, &in, "data"); err != nil {
		return place, false, asProtocol(err)
	}
	out, err := c.send(ctx, author{admin: true}, id, &in, []any{"data"})
	if errors.Is(err, chat.ErrNotFound) {
		return place, false, nil // they left the chat just now
	}
	if err != nil {
		return place, false, asProtocol(err)
	}
	return out.position, true, nil
}

// head tells whether data is an object of type "message", and whose, which is 0 if it does
// not say so.
func head(data []byte) (sender int64, message bool) {
	var h struct {
		Type   jsontext.Value `json:"type"`
		Sender jsontext.Value `json:"sender_id"`
	}
	if checkJSON(data) != nil || decode(data, &h) != nil || string(h.Type) != `"message"` {
		return 0, false
	}
	return (&publication{SenderID: h.Sender}).sender(), true
}

// asProtocol adds to an error what the client protocol says of it. Failures of the server
// stay what they are.
func asProtocol(err error) error {
	if err == nil {
		return nil
	}
	for _, k := range kinds {
		if k.is(err) {
			return fmt.Errorf("%w: %w", k.code, err)
		}
	}
	return err
}

// kinds tell whose fault an error is (chat-api.md §B.6).
var kinds = []struct {
	code *protocol.Error
	is   func(error) bool
}{
	{protocol.ErrTooManyRequests, isA[*chat.RateError]},
	{protocol.ErrBadRequest, func(err error) bool {
		return isA[*invalid](err) || isA[*chat.FieldError](err) || isA[*chat.LimitError](err) || isA[*chat.ConflictError](err)
	}},
	{protocol.ErrPermissionDenied, func(err error) bool {
		return isA[*chat.SlowModeError](err) || slices.ContainsFunc([]error{
			chat.ErrNotFound, chat.ErrForbidden, chat.ErrCannotMessage, chat.ErrBanned, identity.ErrUnauthorized, identity.ErrSuspended,
		}, func(denied error) bool { return errors.Is(err, denied) })
	}},
}

func isA[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
