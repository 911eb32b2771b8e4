package channels

import (
	"fmt"
	"time"
)

// Understood is a channel's name as it is understood: its family and id.
func Understood(channel string) string {
	n := parse(channel)
	text := [...]string{
		other: "other", unknown: "unknown", chatChannel: "chat", userChannel: "user", systemChannel: "system",
		presenceChannel: "presence", listChannel: "list", messagesChannel: "messages", statusChannel: "status", typingChannel: "typing",
	}[n.family]
	if n.family == other || n.family == unknown {
		return text
	}
	return fmt.Sprintf("%s %d", text, n.id)
}

// Retention is how much of a channel's past is recovered.
func (c *Channels) Retention(channel string) (size int, ttl time.Duration) {
	return c.retention(parse(channel))
}

// Windows is how many windows are in memory.
func (c *Channels) Windows() int {
	c.streams.mu.Lock()
	defer c.streams.mu.Unlock()
	return len(c.streams.kept)
}

// GiveUp forgets what is in memory of the past.
func (c *Channels) GiveUp() { c.streams.giveUpAll() }

// Refusal is what a client is told of an error of the chat service.
func Refusal(err error) error { return refusal(err) }
