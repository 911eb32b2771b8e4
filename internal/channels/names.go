package channels

import (
	"errors"
	"strconv"
	"strings"

	"github.com/kuranty/kuranty/protocol"
)

// family is what kind of channel a name is.
type family uint8

const (
	other           family = iota
	unknown                // of our prefixes, but none of our names
	chatChannel            // chat:{chat}
	userChannel            // user:{user}
	systemChannel          // system:notifications
	presenceChannel        // presence:{user}
	listChannel            // user-{user}-chats
	messagesChannel        // user-{chat}-messages
	statusChannel          // user-{user}-status
	typingChannel          // chat.{chat}
)

// name is a channel's name, understood.
type name struct {
	family family
	// id is that of a chat or a user, as the family says; 0 for system channels.
	id int64
}

// parse understands the name of a channel. Names match exactly and ids are decimal
// without leading zeros. Namespaces with our names are ours altogether; other names that
// only resemble ours may be channels without a namespace, see [resembles].
func parse(channel string) name {
	if channel == system {
		return name{family: systemChannel}
	}
	if namespace, id, found := strings.Cut(channel, ":"); found {
		switch namespace {
		case "chat":
			return named(chatChannel, id, unknown)
		case "user":
			return named(userChannel, id, unknown)
		case "presence":
			return named(presenceChannel, id, unknown)
		case "system":
			return name{family: unknown}
		}
		return name{}
	}
	if id, ok := strings.CutPrefix(channel, "chat."); ok {
		return named(typingChannel, id, other)
	}
	if rest, ok := strings.CutPrefix(channel, "user-"); ok {
		id, suffix, _ := strings.Cut(rest, "-")
		switch suffix {
		case "chats":
			return named(listChannel, id, other)
		case "messages":
			return named(messagesChannel, id, other)
		case "status":
			return named(statusChannel, id, other)
		}
	}
	return name{}
}

// named is the name with an id, or of the family otherwise if that is no id.
func named(f family, digits string, otherwise family) name {
	if id := userID(digits); id != 0 {
		return name{f, id}
	}
	return name{family: otherwise}
}

// resembles tells whether a name that is not of chat begins like one that is. Where the
// policy does not allow it, nobody is told that it is forbidden: there is no such channel
// (chat-api.md §0.5).
func resembles(channel string) bool {
	return strings.HasPrefix(channel, "chat.") || strings.HasPrefix(channel, "user-")
}

// unlike is the refusal err of the policy for a channel that is not of chat.
func unlike(channel string, err error) error {
	if resembles(channel) && errors.Is(err, protocol.ErrPermissionDenied) {
		return protocol.ErrUnknownChannel
	}
	return err
}

// UserID reads a user's id as connections have it; 0 is none of ours.
func UserID(user string) int64 { return userID(user) }

// userID reads a decimal id below 2^53 without sign and leading zeros; 0 is none.
func userID(s string) int64 {
	if s == "" || len(s) > 16 || s[0] < '1' || s[0] > '9' {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n >= 1<<53 {
		return 0
	}
	return n
}

// userIDs reads the ids of those users who have one.
func userIDs(users []string) []int64 {
	ids := make([]int64, 0, len(users))
	for _, user := range users {
		if id := userID(user); id != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func decimal(id int64) string { return strconv.FormatInt(id, 10) }

const system = "system:notifications"

func chatName(chat int64) string     { return "chat:" + strconv.FormatInt(chat, 10) }
func userName(user int64) string     { return "user:" + strconv.FormatInt(user, 10) }
func presenceName(user int64) string { return "presence:" + strconv.FormatInt(user, 10) }
func typingName(chat int64) string   { return "chat." + strconv.FormatInt(chat, 10) }
func messagesName(chat int64) string { return "user-" + strconv.FormatInt(chat, 10) + "-messages" }
func listName(user int64) string     { return "user-" + strconv.FormatInt(user, 10) + "-chats" }
func statusName(user int64) string   { return "user-" + strconv.FormatInt(user, 10) + "-status" }

// ListChannel is the channel of a user's list of chats in contract A.
func ListChannel(user int64) string { return listName(user) }
