package protocol

import "errors"

// ErrMalformed is wrapped by every decoding error.
var ErrMalformed = errors.New("malformed message")

// CommandDecoder reads the commands of one transport message.
type CommandDecoder struct {
	format Format
	rest   []byte
}

// NewCommandDecoder returns a decoder over frame, which it neither changes nor copies.
func NewCommandDecoder(f Format, frame []byte) CommandDecoder {
	return CommandDecoder{format: f, rest: frame}
}

// Next decodes the next command into c, which is overwritten. It returns io.EOF
// after the last one, and an error wrapping [ErrMalformed] for anything that is no
// command, also for a frame that holds none at all. The Raw fields of c alias the frame.
func (d *CommandDecoder) Next(c *Command) error { panic("unwritten") }

// ReplyDecoder reads the replies of one transport message; it is the client's side.
type ReplyDecoder struct {
	format Format
	rest   []byte
}

// NewReplyDecoder returns a decoder over frame, which it neither changes nor copies.
func NewReplyDecoder(f Format, frame []byte) ReplyDecoder {
	return ReplyDecoder{format: f, rest: frame}
}

// Next decodes the next reply into r, like [CommandDecoder.Next].
func (d *ReplyDecoder) Next(r *Reply) error { panic("unwritten") }

// AppendReply appends one unit to dst, which holds nothing or the units before it
// of the same transport message (JSON units are separated by a line feed). Line
// breaks in JSON payloads are removed; payloads must otherwise be valid ([ValidJSON]).
func AppendReply(dst []byte, f Format, r *Reply) []byte { panic("unwritten") }

// AppendCommand appends one unit to dst, like [AppendReply].
func AppendCommand(dst []byte, f Format, c *Command) []byte { panic("unwritten") }

// AppendPublication appends, as one unit like [AppendReply], the reply that pushes
// pub to the subscribers of channel. It allocates nothing when dst has room.
func AppendPublication(dst []byte, f Format, channel string, pub *Publication) []byte {
	panic("unwritten")
}

// AppendPing appends the empty reply, like [AppendReply].
func AppendPing(dst []byte, f Format) []byte { panic("unwritten") }

// ValidJSON tells whether data is exactly one JSON value, at most 32 levels deep
// (guarantees.md S23), so that it may be embedded into JSON messages.
func ValidJSON(data []byte) bool { panic("unwritten") }
