package serverapi

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/protocol"
)

// errNotJSON refuses to show binary data in JSON; the caller sees error 100
// (server-api.md §1).
var errNotJSON = errors.New("what is stored is not JSON")

// appendQuoted appends s as a JSON string; what is not UTF-8 becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// appendKey begins a member of an object, of which dst ends with the part before it.
func appendKey(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(append(append(dst, '"'), name...), '"', ':')
}

// appendText appends a member unless it is empty; appendCount unless it is zero.
func appendText(dst []byte, name, s string) []byte {
	if s == "" {
		return dst
	}
	return appendQuoted(appendKey(dst, name), s)
}

func appendCount(dst []byte, name string, n uint64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendUint(appendKey(dst, name), n, 10)
}

// appendNumber appends a member, also if it is zero.
func appendNumber(dst []byte, name string, n int) []byte {
	return strconv.AppendInt(appendKey(dst, name), int64(n), 10)
}

// appendRaw appends a member that is JSON already, unless it is empty. Line breaks
// go: they can only be white space, and the older form ends answers with them.
func appendRaw(dst []byte, name string, raw []byte) []byte {
	if len(raw) == 0 {
		return dst
	}
	dst = appendKey(dst, name)
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 {
		return append(dst, raw...)
	}
	for _, c := range raw {
		if c != '\n' && c != '\r' {
			dst = append(dst, c)
		}
	}
	return dst
}

// appendError appends the member error.
func appendError(dst []byte, e *protocol.Error) []byte {
	return appendErrorObject(appendKey(dst, "error"), e)
}

func appendErrorObject(dst []byte, e *protocol.Error) []byte {
	dst = strconv.AppendUint(append(dst, `{"code":`...), uint64(e.Code), 10)
	return append(appendQuoted(append(dst, `,"message":`...), e.Message), '}')
}

// appendPosition appends the result of a publication.
func appendPosition(dst []byte, p protocol.StreamPosition) []byte {
	dst = appendCount(append(dst, '{'), "offset", p.Offset)
	return append(appendText(dst, "epoch", p.Epoch), '}')
}

// appendInfo appends a connection as presence and history show it.
func appendInfo(dst []byte, c *protocol.ClientInfo) ([]byte, error) {
	if len(c.ConnInfo) > 0 && !protocol.ValidJSON(c.ConnInfo) || len(c.ChanInfo) > 0 && !protocol.ValidJSON(c.ChanInfo) {
		return dst, errNotJSON
	}
	dst = appendQuoted(appendKey(append(dst, '{'), "user"), c.User)
	dst = appendQuoted(appendKey(dst, "client"), c.Client)
	dst = appendRaw(dst, "conn_info", c.ConnInfo)
	return append(appendRaw(dst, "chan_info", c.ChanInfo), '}'), nil
}

// appendPublication appends a publication as history shows it (server-api.md §3.8).
func appendPublication(dst []byte, p *protocol.Publication) ([]byte, error) {
	if p.Binary {
		return dst, errNotJSON
	}
	dst = appendRaw(append(dst, '{'), "data", p.Data)
	if p.Info != nil {
		var err error
		if dst, err = appendInfo(appendKey(dst, "info"), p.Info); err != nil {
			return dst, err
		}
	}
	dst = appendCount(dst, "offset", p.Offset)
	if len(p.Tags) > 0 {
		dst = append(appendKey(dst, "tags"), '{')
		for i, name := range slices.Sorted(maps.Keys(p.Tags)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, name), ':')
			dst = appendQuoted(dst, p.Tags[name])
		}
		dst = append(dst, '}')
	}
	return append(dst, '}'), nil
}
