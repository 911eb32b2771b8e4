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
	if !ok || c.o.Guard == GuardAllow || !isMessage(data) {
		return place, false, nil
	}
	if c.o.Guard == GuardDeny {
		return place, false, protocol.ErrPermissionDenied
	}
	var in publication
	if err := decode(data, &in, "data"); err != nil {
		return place, false, asProtocol(err)
	}
	if in.sender() == 0 {
		return place, false, nil
	}
	out, err := c.send(ctx, author{admin: true}, id, &in, []any{"data"})
	if errors.Is(err, chat.ErrNotFound) {
		return place, false, nil // of nobody in this chat: passed on, not stored
	}
	if err != nil {
		return place, false, asProtocol(err)
	}
	return out.position, true, nil
}

// isMessage tells whether data is an object of type "message".
func isMessage(data []byte) bool {
	var head struct {
		Type jsontext.Value `json:"type"`
	}
	return checkJSON(data) == nil && decode(data, &head) == nil && string(head.Type) == `"message"`
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
