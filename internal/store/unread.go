package store

// What is unread (chat-api.md §0.7), of a chat called c for its member i, counted
// without reading messages: all after a number, less the exceptions, which have indexes.
// It may come to more than [chat.MaxUnread].
//
// A member's own messages are never above read_seq, because sending moves it, but where
// the member has marked the chat unread further back. There messages are counted one by
// one, and not more than matter: the mark may be at the first of a million.
const (
	readUpTo = `(CASE WHEN i.manual_unread_seq > 0 AND i.manual_unread_seq <= i.read_seq THEN i.manual_unread_seq - 1 ELSE i.read_seq END)`
	seenFrom = `(CASE WHEN i.visible_from_seq >= c.purged_below_seq THEN i.visible_from_seq ELSE c.purged_below_seq - 1 END)`

	// unreadAfter is the number after which messages count.
	unreadAfter = `(CASE WHEN ` + readUpTo + ` > ` + seenFrom + ` THEN ` + readUpTo + ` ELSE ` + seenFrom + ` END)`

	notHidden = `NOT EXISTS (SELECT 1 FROM message_hidden AS h WHERE h.user_id = i.user_id AND h.chat_id = x.chat_id AND h.seq = x.seq)`

	unreadCount = `(CASE WHEN c.last_seq <= ` + unreadAfter + ` THEN 0
	WHEN i.manual_unread_seq > 0 THEN (SELECT count(*) FROM (SELECT 1 FROM messages AS x WHERE x.chat_id = c.id AND x.seq > ` + unreadAfter + `
		AND x.sender_id <> i.user_id AND x.deleted_at = 0 AND x.message_type <> 'system' AND ` + notHidden + ` LIMIT 1000) AS counted)
	ELSE c.last_seq - ` + unreadAfter + `
	- (SELECT count(*) FROM messages AS x WHERE x.chat_id = c.id AND x.seq > ` + unreadAfter + ` AND (x.deleted_at > 0 OR x.message_type = 'system'))
	- (SELECT count(*) FROM message_hidden AS h JOIN messages AS x ON x.chat_id = h.chat_id AND x.seq = h.seq
		WHERE h.user_id = i.user_id AND h.chat_id = c.id AND h.seq > ` + unreadAfter + ` AND x.deleted_at = 0 AND x.message_type <> 'system') END)`

	// A message to everybody has one mention, of user 0: not one for each member.
	unreadMentions = `(CASE WHEN c.last_seq <= ` + unreadAfter + ` THEN 0 ELSE
		(SELECT count(*) FROM mentions AS x WHERE x.user_id IN (i.user_id, 0) AND x.chat_id = c.id AND x.seq > ` + unreadAfter + ` AND ` + notHidden + `
			AND (x.user_id > 0 OR NOT EXISTS (SELECT 1 FROM messages AS o WHERE o.id = x.message_id AND o.sender_id = i.user_id))) END)`
)
