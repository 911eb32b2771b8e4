package windi

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/internal/chat"
)

// Families of channels (chat-api.md §0.5); ids are decimal without leading zeros.
const (
	chatChannel   = "chat:"
	userChannel   = "user:"
	systemChannel = "system:notifications"
)

// errChannel means that there is no such channel.
var errChannel = errors.New("expected 'chat:id' or 'user:id'")

// parseChannel returns the family of a channel and the id in its name, 0 in that of
// [systemChannel].
func parseChannel(name string) (family string, id int64, err error) {
	if name == systemChannel {
		return systemChannel, 0, nil
	}
	for _, family := range []string{chatChannel, userChannel} {
		if rest, ok := strings.CutPrefix(name, family); ok {
			if id, ok := parseID(rest); ok {
				return family, id, nil
			}
		}
	}
	return "", 0, errChannel
}

// chatOf returns the chat whose channel it is.
func chatOf(channel string) (id int64, ok bool) {
	family, id, err := parseChannel(channel)
	return id, err == nil && family == chatChannel
}

// maySubscribe returns nil if user may subscribe to a channel, [errChannel] if there is
// none of that name, and else [chat.ErrNotFound] or what went wrong.
func (c *Contract) maySubscribe(ctx context.Context, user int64, channel string) error {
	family, id, err := parseChannel(channel)
	switch {
	case err != nil:
		return err
	case family == chatChannel:
		_, _, err := c.o.Chats.Membership(ctx, user, id)
		return err
	case family == userChannel && id != user:
		return chat.ErrNotFound
	}
	return nil
}

func decimal(id int64) string { return strconv.FormatInt(id, 10) }
