package chat

// Live is told, after they are stored, of changes that are not events of the log: what
// is shown to who is there now and not repeated to others. Its methods do not block.
type Live interface {
	// Read and Delivered tell that a member's watermark moved; message is the newest read.
	// members is the size of the chat.
	Read(chat, user, readSeq, message int64, members int)
	Delivered(chat, user, deliveredSeq int64, members int)
	// ChatState tells that a chat changed for one user only: marks, badge, draft.
	ChatState(user, chat int64)
	// ListChanged tells that a user's list of chats looks different.
	ListChanged(user int64)
}

// nobody is the Live of a service that has none.
type nobody struct{}

func (nobody) Read(_, _, _, _ int64, _ int)   {}
func (nobody) Delivered(_, _, _ int64, _ int) {}
func (nobody) ChatState(_, _ int64)           {}
func (nobody) ListChanged(int64)              {}
