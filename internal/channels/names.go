package channels

import (
	"strconv"
	"strings"
)

// family is what kind of channel a name is.
type family uint8

const (
	other           family = iota
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
// without leading zeros; everything else is not of chat.
func parse(channel string) name {
	if channel == system {
		return name{family: systemChannel}
	}
	for prefix, f := range colons {
		if rest, ok := strings.CutPrefix(channel, prefix); ok {
			return named(f, rest)
		}
	}
	if rest, ok := strings.CutPrefix(channel, "user-"); ok {
		id, suffix, _ := strings.Cut(rest, "-")
		switch suffix {
		case "chats":
			return named(listChannel, id)
		case "messages":
			return named(messagesChannel, id)
		case "status":
			return named(statusChannel, id)
		}
	}
	return name{}
}

var colons = map[string]family{
	"chat:": chatChannel, "user:": userChannel, "presence:": presenceChannel, "chat.": typingChannel,
}

func named(f family, digits string) name {
	if id := userID(digits); id != 0 {
		return name{f, id}
	}
	return name{}
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
