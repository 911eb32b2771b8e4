package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is wrapped by every decoding error.
var ErrMalformed = errors.New("malformed message")

// maxDepth is how deep JSON may nest (guarantees.md S23).
const maxDepth = 32

// limits bound what one unit may be made of.
type limits struct {
	depth    int // levels of nesting, those of payloads included
	elements int // in all lists and maps together, outside of payloads
}

// An element may take a hundred times its two bytes on the wire, so those of strangers
// are counted: no slice or map of a command becomes larger than a message may be. Replies
// carry payloads of the full depth in their own envelope, and as much as servers like.
var (
	commandLimits = limits{depth: maxDepth, elements: 4096}
	replyLimits   = limits{depth: maxDepth + 8, elements: math.MaxInt}
)

// CommandDecoder reads the commands of one transport message. A command may nest 32
// levels deep and have 4,096 elements in its lists and maps, payloads not counted.
type CommandDecoder struct{ units }

// NewCommandDecoder returns a decoder over frame, which it neither changes nor copies.
func NewCommandDecoder(f Format, frame []byte) CommandDecoder {
	return CommandDecoder{units{format: f, rest: frame}}
}

// Next decodes the next command into c, which is overwritten, with
// nothing on an error. It returns io.EOF after the last one, and an error wrapping
// [ErrMalformed] for anything that is no command, also for a frame that holds none at
// all; the error stays. The Raw fields of c alias the frame, nothing else does.
func (d *CommandDecoder) Next(c *Command) error {
	*c = Command{}
	err := d.next(c, commandLimits)
	if err != nil {
		*c = Command{}
	}
	return err
}

// ReplyDecoder reads the replies of one transport message; it is the client's side.
type ReplyDecoder struct{ units }

// NewReplyDecoder returns a decoder over frame, which it neither changes nor copies.
func NewReplyDecoder(f Format, frame []byte) ReplyDecoder {
	return ReplyDecoder{units{format: f, rest: frame}}
}

// Next decodes the next reply into r, like [CommandDecoder.Next].
func (d *ReplyDecoder) Next(r *Reply) error {
	*r = Reply{}
	err := d.next(r, replyLimits)
	if err != nil {
		*r = Reply{}
	}
	return err
}

// units cuts a transport message into its units: lines of JSON, or Protobuf messages
// after their length (client-protocol.md §2).
type units struct {
	format Format
	begun  bool
	rest   []byte
}

// next decodes the next unit into m, which is empty. It steps on only if that works.
func (u *units) next(m message, lim limits) error {
	if u.begun && len(u.rest) == 0 {
		return io.EOF
	}
	var unit, rest []byte
	var err error
	if u.format == Protobuf {
		size, n := protowire.ConsumeVarint(u.rest)
		if n < 0 || size > uint64(len(u.rest)-n) {
			return fmt.Errorf("%w: length of a unit missing or beyond its frame", ErrMalformed)
		}
		unit, rest = u.rest[n:n+int(size)], u.rest[n+int(size):]
		err = decodeProto(unit, m, lim)
	} else {
		unit, rest, _ = bytes.Cut(u.rest, lineFeed)
		err = decodeJSON(unit, m, lim)
	}
	if err != nil {
		return err
	}
	u.begun, u.rest = true, rest
	return nil
}

var lineFeed = []byte{'\n'}

// AppendReply appends one unit to dst, which holds nothing or the units before it
// of the same transport message (JSON units are separated by a line feed). Line
// breaks in JSON payloads are removed; payloads must otherwise be valid ([ValidJSON]).
// Text that is not UTF-8 gets U+FFFD for each bad byte. It allocates nothing when dst
// has room.
func AppendReply(dst []byte, f Format, r *Reply) []byte { return appendUnit(dst, f, r) }

// AppendCommand appends one unit to dst, like [AppendReply].
func AppendCommand(dst []byte, f Format, c *Command) []byte { return appendUnit(dst, f, c) }

func appendUnit(dst []byte, f Format, m message) []byte {
	if f == Protobuf {
		e := newProtoEncoder(dst)
		e.sized(m)
		return e.done()
	}
	e := newJSONEncoder(dst)
	e.object(m)
	return e.done()
}

// AppendPing appends the empty reply, like [AppendReply].
func AppendPing(dst []byte, f Format) []byte {
	if f == Protobuf {
		return append(dst, 0)
	}
	return append(appendSeparator(dst), '{', '}')
}

// ValidJSON tells whether data is exactly one JSON value in UTF-8, at most 32 levels
// deep (guarantees.md S23), so that it may be embedded into JSON messages. Objects may
// name a member twice: payloads travel as they are (server-api.md §1).
func ValidJSON(data []byte) bool { return validJSON(data, maxDepth) }
