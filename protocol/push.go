package protocol

import (
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// AppendPublication appends, as one unit like [AppendReply], the reply that pushes
// pub to the subscribers of channel. It allocates nothing when dst has room.
func AppendPublication(dst []byte, f Format, channel string, pub *Publication) []byte {
	plain := pub.plain() && channel != ""
	switch {
	case f == Protobuf && plain && utf8.ValidString(channel):
		return appendPlainProto(dst, channel, pub)
	case f == Protobuf:
		e := newProtoEncoder(dst)
		unit := e.open()
		e.tag(4, protowire.BytesType) // Reply.push
		push := e.open()
		e.str(2, "", &channel)        // Push.channel
		e.tag(4, protowire.BytesType) // Push.pub
		e.sized(pub)
		e.close(push)
		e.close(unit)
		return e.done()
	case plain:
		return appendPlainJSON(dst, channel, pub)
	default:
		e := newJSONEncoder(dst)
		e.buf = append(e.buf, `{"push":{`...)
		e.str(2, "channel", &channel)
		e.key("pub")
		e.object(pub)
		e.buf = append(e.buf, '}', '}')
		return e.done()
	}
}

// plain tells whether a publication has data and perhaps an offset, and nothing else:
// most have, so these are written without a visit to every field.
func (m *Publication) plain() bool {
	return len(m.Data) > 0 && m.Info == nil && len(m.Tags) == 0 && !m.Delta && m.Time == 0 &&
		m.Channel == "" && m.Key == "" && !m.Removed && m.Score == 0 && m.Epoch == "" &&
		len(m.PrevData) == 0 && m.Version == 0
}

func appendPlainJSON(dst []byte, channel string, pub *Publication) []byte {
	dst = append(appendSeparator(dst), `{"push":{"channel":`...)
	dst = appendString(dst, channel)
	dst = append(dst, `,"pub":{"data":`...)
	dst = appendPayload(dst, pub.Data)
	if pub.Offset != 0 {
		dst = strconv.AppendUint(append(dst, `,"offset":`...), pub.Offset, 10)
	}
	return append(dst, '}', '}', '}')
}

// Tags of the fields a plain publication needs; each is one byte.
const (
	tagReplyPush   = 4<<3 | byte(protowire.BytesType)
	tagPushChannel = 2<<3 | byte(protowire.BytesType)
	tagPushPub     = 4<<3 | byte(protowire.BytesType)
	tagPubData     = 4<<3 | byte(protowire.BytesType)
	tagPubOffset   = 6<<3 | byte(protowire.VarintType)
)

func appendPlainProto(dst []byte, channel string, pub *Publication) []byte {
	size := 1 + protowire.SizeBytes(len(pub.Data))
	if pub.Offset != 0 {
		size += 1 + protowire.SizeVarint(pub.Offset)
	}
	push := 1 + protowire.SizeBytes(len(channel)) + 1 + protowire.SizeBytes(size)
	dst = protowire.AppendVarint(dst, uint64(1+protowire.SizeBytes(push)))
	dst = protowire.AppendVarint(append(dst, tagReplyPush), uint64(push))
	dst = protowire.AppendString(append(dst, tagPushChannel), channel)
	dst = protowire.AppendVarint(append(dst, tagPushPub), uint64(size))
	dst = protowire.AppendBytes(append(dst, tagPubData), pub.Data)
	if pub.Offset != 0 {
		dst = protowire.AppendVarint(append(dst, tagPubOffset), pub.Offset)
	}
	return dst
}
