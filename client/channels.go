package client

import "strconv"

// NotificationsChannel is followed by every user that is logged in.
const NotificationsChannel = "system:notifications"

// The functions below name the channels of a server with chat; ids are those of its
// chats and users, above 0.

// ChatChannel is what happens in a chat: chat:7. Its members may subscribe.
func ChatChannel(chat int64) string { return named("chat:", chat, "") }

// UserChannel is what concerns one user, who alone may subscribe: user:42.
func UserChannel(user int64) string { return named("user:", user, "") }

// PresenceChannel tells whether a user is there: presence:42.
func PresenceChannel(user int64) string { return named("presence:", user, "") }

// The channels of the Chequite contract carry JSON in a JSON string.

// ChequiteChatsChannel is the list of a user's chats: user-42-chats.
func ChequiteChatsChannel(user int64) string { return named("user-", user, "-chats") }

// ChequiteMessagesChannel is the new messages of a chat, in spite of its name:
// user-7-messages.
func ChequiteMessagesChannel(chat int64) string { return named("user-", chat, "-messages") }

// ChequiteStatusChannel tells whether a user is there: user-42-status.
func ChequiteStatusChannel(user int64) string { return named("user-", user, "-status") }

// ChequiteTypingChannel tells who is typing in a chat: chat.7.
func ChequiteTypingChannel(chat int64) string { return named("chat.", chat, "") }

func named(before string, id int64, after string) string {
	return before + strconv.FormatInt(id, 10) + after
}
