package chat

// MaxEmoji and IsEmoji are tested alone.
const MaxEmoji = maxEmoji

var IsEmoji = isEmoji
