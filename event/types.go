package event

// The types of events. Those of messages and rooms are the gateway's documented names
// (event-gateway.md §5): a room is a chat.
const (
	MessageCreated  = "message.created"
	MessageUpdated  = "message.updated"
	MessageDeleted  = "message.deleted"
	MessageReaction = "message.reaction"
	MessagePinned   = "message.pinned"

	RoomCreated       = "room.created"
	RoomUpdated       = "room.updated"
	RoomDeleted       = "room.deleted"
	RoomMemberJoined  = "room.member.joined"
	RoomMemberLeft    = "room.member.left"
	RoomMemberUpdated = "room.member.updated"

	// UserNotice is one user's own news: its payload names it.
	UserNotice    = "user.notice"
	UserCreated   = "user.created"
	UserUpdated   = "user.updated"
	UserSuspended = "user.suspended"
	UserDeleted   = "user.deleted"

	SessionRevoked = "session.revoked"
	TokenCreated   = "token.created"
	TokenRevoked   = "token.revoked"

	SystemNotice = "system.notice"
)
