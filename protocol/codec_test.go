package protocol_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kuranty/kuranty/protocol"
)

// examples are the exchanges that client-protocol.md shows, and one of everything
// about which it has a rule for omission.
var examples = []struct {
	name  string
	json  string
	reply *protocol.Reply
	cmd   *protocol.Command
}{
	{name: "connect", json: `{"id":1,"connect":{"token":"eyJ…","name":"js"}}`, cmd: &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{Token: "eyJ…", Name: "js"}}},
	{
		name: "connect again", json: `{"id":1,"connect":{"data":null,"subs":{"#42":{"recover":true,"epoch":"kQxA","offset":7},"a\"b":{}},"headers":{"a":"","b":"1"}}}`,
		cmd: &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{
			Data: protocol.Raw("null"), Headers: map[string]string{"a": "", "b": "1"},
			Subs: map[string]*protocol.SubscribeRequest{"a\"b": {}, "#42": {Recover: true, Epoch: "kQxA", Offset: 7}},
		}},
	},
	{
		name: "subscribe", json: `{"id":2,"subscribe":{"channel":"chat:1","recoverable":true,"flag":1}}`,
		cmd: &protocol.Command{ID: 2, Subscribe: &protocol.SubscribeRequest{Channel: "chat:1", Recoverable: true, Flag: protocol.FlagChannelID}},
	},
	{
		name: "filter", json: `{"id":2,"subscribe":{"channel":"c","tf":{"op":"and","nodes":[{"key":"k","cmp":"in","vals":["","a"]},{}]},"type":-1}}`,
		cmd: &protocol.Command{ID: 2, Subscribe: &protocol.SubscribeRequest{Channel: "c", Type: -1, TF: &protocol.FilterNode{Op: "and", Nodes: []*protocol.FilterNode{{Key: "k", Cmp: "in", Vals: []string{"", "a"}}, {}}}}},
	},
	{
		name: "publish", json: `{"id":5,"publish":{"channel":"x","data":{"a":[1,"}"]}}}`,
		cmd: &protocol.Command{ID: 5, Publish: &protocol.PublishRequest{Channel: "x", Data: protocol.Raw(`{"a":[1,"}"]}`)}},
	},
	{name: "pong", json: `{}`, cmd: &protocol.Command{}},
	{name: "send", json: `{"send":{"data":0}}`, cmd: &protocol.Command{Send: &protocol.SendRequest{Data: protocol.Raw("0")}}},

	{name: "ping", json: `{}`, reply: &protocol.Reply{}},
	{name: "unsubscribed", json: `{"id":5,"unsubscribe":{}}`, reply: &protocol.Reply{ID: 5, Unsubscribe: &protocol.UnsubscribeResult{}}},
	{name: "error", json: `{"id":5,"error":{"code":100,"message":"internal server error","temporary":true}}`, reply: &protocol.Reply{ID: 5, Error: protocol.ErrInternal}},
	{
		name: "connected", json: `{"id":1,"connect":{"client":"8f1e","version":"6.9.1 OSS","subs":{"#42":{"recoverable":true,"epoch":"kQxA","offset":7,"positioned":true}},"ping":25,"pong":true}}`,
		reply: &protocol.Reply{ID: 1, Connect: &protocol.ConnectResult{
			Client: "8f1e", Version: "6.9.1 OSS", Ping: 25, Pong: true,
			Subs: map[string]*protocol.SubscribeResult{"#42": {Recoverable: true, Positioned: true, Epoch: "kQxA", Offset: 7}},
		}},
	},
	{
		name: "recovered", json: `{"id":7,"subscribe":{"recoverable":true,"epoch":"kQxA","publications":[{"data":{"n":4},"offset":4},{"data":{"n":5},"offset":5}],"recovered":true,"offset":3,"positioned":true,"was_recovering":true}}`,
		reply: &protocol.Reply{ID: 7, Subscribe: &protocol.SubscribeResult{
			Recoverable: true, Epoch: "kQxA", Recovered: true, Offset: 3, Positioned: true, WasRecovering: true,
			Publications: []*protocol.Publication{{Data: protocol.Raw(`{"n":4}`), Offset: 4}, {Data: protocol.Raw(`{"n":5}`), Offset: 5}},
		}},
	},
	{name: "no presence", json: `{"id":3,"presence":{"presence":{}}}`, reply: &protocol.Reply{ID: 3, Presence: &protocol.PresenceResult{}}},
	{
		name: "presence", json: `{"id":3,"presence":{"presence":{"a":{"user":"","client":"a"},"b":{"user":"u","client":"","conn_info":{},"chan_info":null}}}}`,
		reply: &protocol.Reply{ID: 3, Presence: &protocol.PresenceResult{Presence: map[string]*protocol.ClientInfo{
			"b": {User: "u", ConnInfo: protocol.Raw("{}"), ChanInfo: protocol.Raw("null")}, "a": {Client: "a"},
		}}},
	},
	{name: "presence stats", json: `{"id":3,"presence_stats":{"num_clients":0,"num_users":0}}`, reply: &protocol.Reply{ID: 3, PresenceStats: &protocol.PresenceStatsResult{}}},
	{name: "no history", json: `{"id":3,"history":{"publications":[],"epoch":"","offset":0}}`, reply: &protocol.Reply{ID: 3, History: &protocol.HistoryResult{}}},
	{
		name: "publication", json: `{"push":{"channel":"news","pub":{"data":{"a":1},"info":{"user":"u","client":"c"},"offset":18446744073709551615,"tags":{"a":"b"},"score":-9223372036854775808}}}`,
		reply: &protocol.Reply{Push: &protocol.Push{Channel: "news", Pub: &protocol.Publication{
			Data: protocol.Raw(`{"a":1}`), Info: &protocol.ClientInfo{User: "u", Client: "c"}, Offset: 1<<64 - 1, Tags: map[string]string{"a": "b"}, Score: -1 << 63,
		}}},
	},
	{name: "disconnect", json: `{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}`, reply: &protocol.Reply{Push: &protocol.Push{Disconnect: &protocol.DisconnectPush{Code: 3001, Reason: "shutdown"}}}},
}

func TestExamples(t *testing.T) {
	for _, x := range examples {
		t.Run(x.name, func(t *testing.T) {
			for _, f := range []protocol.Format{protocol.JSON, protocol.Protobuf} {
				var frame []byte
				if x.cmd != nil {
					frame = protocol.AppendCommand(nil, f, x.cmd)
					if got := commands(t, f, frame); !cmp.Equal(got, []*protocol.Command{x.cmd}) {
						t.Errorf("%v: %s", f, cmp.Diff([]*protocol.Command{x.cmd}, got))
					}
				} else {
					frame = protocol.AppendReply(nil, f, x.reply)
					if got := replies(t, f, frame); !cmp.Equal(got, []*protocol.Reply{x.reply}) {
						t.Errorf("%v: %s", f, cmp.Diff([]*protocol.Reply{x.reply}, got))
					}
				}
				if f == protocol.JSON && string(frame) != x.json {
					t.Errorf("got  %s\nwant %s", frame, x.json)
				}
			}
		})
	}
}

// commands decodes all of frame.
func commands(t *testing.T, f protocol.Format, frame []byte) (cs []*protocol.Command) {
	t.Helper()
	for d := protocol.NewCommandDecoder(f, frame); ; {
		var c protocol.Command
		err := d.Next(&c)
		if errors.Is(err, io.EOF) {
			return cs
		}
		if err != nil {
			t.Fatalf("decode %v %q: %v", f, frame, err)
		}
		cs = append(cs, &c)
	}
}

// replies decodes all of frame.
func replies(t *testing.T, f protocol.Format, frame []byte) (rs []*protocol.Reply) {
	t.Helper()
	for d := protocol.NewReplyDecoder(f, frame); ; {
		var r protocol.Reply
		err := d.Next(&r)
		if errors.Is(err, io.EOF) {
			return rs
		}
		if err != nil {
			t.Fatalf("decode %v %q: %v", f, frame, err)
		}
		rs = append(rs, &r)
	}
}

func TestFrames(t *testing.T) {
	for _, x := range []struct {
		name   string
		format protocol.Format
		frame  string
		ids    []uint32 // of the commands before the end or the fault
		broken bool
	}{
		{name: "empty", broken: true},
		{name: "lone line feed", frame: "\n", broken: true},
		{name: "one", frame: `{"id":1}`, ids: []uint32{1}},
		{name: "line feed at the end", frame: "{\"id\":1}\n", ids: []uint32{1}},
		{name: "two line feeds at the end", frame: "{\"id\":1}\n\n", ids: []uint32{1}, broken: true},
		{name: "batch", frame: "{\"id\":1}\n{}\n{\"id\":3}", ids: []uint32{1, 0, 3}},
		{name: "empty line", frame: "{\"id\":1}\n\n{\"id\":3}", ids: []uint32{1}, broken: true},
		{name: "empty first line", frame: "\n{\"id\":1}", broken: true},
		{name: "space", frame: " \t{ \"id\" : 1 } \r\n{\"id\":2}", ids: []uint32{1, 2}},
		{name: "object over lines", frame: "{\n\"id\":1}", broken: true},
		{name: "two on a line", frame: `{"id":1}{"id":2}`, broken: true},
		{name: "broken second", frame: "{\"id\":1}\n{\"id\"\n{\"id\":3}", ids: []uint32{1}, broken: true},
		{name: "array", frame: `[{"id":1}]`, broken: true},
		{name: "null", frame: `null`, broken: true},
		{name: "number", frame: `1`, broken: true},

		{name: "empty", format: protocol.Protobuf, broken: true},
		{name: "pong", format: protocol.Protobuf, frame: "\x00", ids: []uint32{0}},
		{name: "batch", format: protocol.Protobuf, frame: "\x02\x08\x01\x00\x02\x08\x03", ids: []uint32{1, 0, 3}},
		{name: "wide length", format: protocol.Protobuf, frame: "\x82\x00\x08\x01", ids: []uint32{1}},
		{name: "short unit", format: protocol.Protobuf, frame: "\x00\x03\x08\x01", ids: []uint32{0}, broken: true},
		{name: "endless length", format: protocol.Protobuf, frame: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", broken: true},
		{name: "huge length", format: protocol.Protobuf, frame: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08\x01", broken: true},
		{name: "cut length", format: protocol.Protobuf, frame: "\x80", broken: true},
		{name: "field zero", format: protocol.Protobuf, frame: "\x02\x00\x01", broken: true},
	} {
		t.Run(fmt.Sprintf("%v %s", x.format, x.name), func(t *testing.T) {
			d := protocol.NewCommandDecoder(x.format, []byte(x.frame))
			var c protocol.Command
			for _, id := range x.ids {
				if err := d.Next(&c); err != nil || c.ID != id {
					t.Fatalf("id %d, %v; want id %d", c.ID, err, id)
				}
			}
			want := io.EOF
			if x.broken {
				want = protocol.ErrMalformed
			}
			for range 2 { // and it stays so
				if err := d.Next(&c); !errors.Is(err, want) {
					t.Fatalf("%v, want %v", err, want)
				}
				if c != (protocol.Command{}) {
					t.Fatalf("an error left %+v", c)
				}
			}
		})
	}
}

func TestFramesOut(t *testing.T) {
	pub := &protocol.Publication{Data: protocol.Raw("{\r\n\"a\": \"b\"\n}")}
	for f, want := range map[protocol.Format]string{
		protocol.JSON:     "{\"id\":5,\"publish\":{}}\n{}\n{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":{\"a\": \"b\"}}}}\n{}",
		protocol.Protobuf: "\x04\x08\x05\x42\x00\x00\x16\x22\x14\x12\x01c\x22\x0f\x22\x0d{\r\n\"a\": \"b\"\n}\x00",
	} {
		frame := protocol.AppendReply(nil, f, &protocol.Reply{ID: 5, Publish: &protocol.PublishResult{}})
		frame = protocol.AppendPing(frame, f)
		frame = protocol.AppendPublication(frame, f, "c", pub)
		frame = protocol.AppendReply(frame, f, &protocol.Reply{})
		if string(frame) != want {
			t.Errorf("%v\ngot  %q\nwant %q", f, frame, want)
		}
		if got := replies(t, f, frame); len(got) != 4 {
			t.Errorf("%v: %d replies", f, len(got))
		}
	}
}

func TestCommandJSON(t *testing.T) {
	publish := func(p protocol.PublishRequest) *protocol.Command { return &protocol.Command{ID: 5, Publish: &p} }
	for in, want := range map[string]*protocol.Command{ // nil: malformed
		`{"id":5,"publish":{"channel":"a"},"later":{"x":[1,"]"]},"":0}`: publish(protocol.PublishRequest{Channel: "a"}),
		`{"publish":{"data":"x","channel":"a"},"id":5}`:                 publish(protocol.PublishRequest{Channel: "a", Data: protocol.Raw(`"x"`)}),
		`{"id":5,"publish":{"ch\u0061nnel":"\ud83d\ude00\/\"ж"}}`:       publish(protocol.PublishRequest{Channel: `😀/"ж`}),
		`{"id":5,"publish":{"data": [ 1 , 1 ] }}`:                       publish(protocol.PublishRequest{Data: protocol.Raw(`[ 1 , 1 ]`)}),
		`{"id":5,"publish":{"data":{"a":1,"a":2}}}`:                     publish(protocol.PublishRequest{Data: protocol.Raw(`{"a":1,"a":2}`)}),
		`{"id":5,"publish":{"data":""}}`:                                publish(protocol.PublishRequest{Data: protocol.Raw(`""`)}),
		`{"id":5,"publish":{"Channel":"a"}}`:                            publish(protocol.PublishRequest{}),
		`{"id":5,"publish":{"type":-2147483648}}`:                       publish(protocol.PublishRequest{Type: -1 << 31}),
		`{"id":5,"publish":{"removed":false}}`:                          publish(protocol.PublishRequest{}),
		`{"id":4294967295}`:                                             {ID: 1<<32 - 1},
		`{"id":4294967296}`:                                             nil,
		`{"id":-1}`:                                                     nil,
		`{"id":1.0}`:                                                    nil,
		`{"id":1e2}`:                                                    nil,
		`{"id":01}`:                                                     nil,
		`{"id":"1"}`:                                                    nil,
		`{"id":true}`:                                                   nil,
		`{"id":{}}`:                                                     nil,
		`{"id":nul}`:                                                    nil,
		`{"id":5,"id":5}`:                                               nil,
		`{"id":5,"\u0069d":5}`:                                          nil,
		`{"ping":{},"ping":{}}`:                                         nil,
		`{"ping":null,"ping":{}}`:                                       nil,
		`{"ping":[]}`:                                                   nil,
		`{"ping":0}`:                                                    nil,
		`{"publish":{"type":2147483648}}`:                               nil,
		`{"publish":{"type":"0"}}`:                                      nil,
		`{"publish":{"channel":5}}`:                                     nil,
		`{"publish":{"channel":["a"]}}`:                                 nil,
		`{"publish":{"removed":"true"}}`:                                nil,
		`{"publish":{"data":{"a":1,}}}`:                                 nil,
		`{"publish":{"data":}}`:                                         nil,
		`{"publish":{"data":"\x"}}`:                                     nil,
		`{"publish":{"data":"\ud83d"}}`:                                 nil,
		"{\"publish\":{\"data\":\"\xff\"}}":                             nil,
		"{\"publish\":{\"channel\":\"\xff\"}}":                          nil,
		"{\"publish\":{\"channel\":\"\t\"}}":                            nil,
		"{\"x\xff\":0}":                                                 nil,
		`{"connect":{"headers":{"a":"b","a":"c"}}}`:                     nil,
		`{"connect":{"headers":{"a":1}}}`:                               nil,
		`{"connect":{"headers":[]}}`:                                    nil,
		`{"connect":{"subs":{"a":{},"a":{}}}}`:                          nil,
		`{"connect":{"subs":{"a":[]}}}`:                                 nil,
		`{"connect":{"subs":{"a":{"offset":18446744073709551616}}}}`:    nil,
		`{"connect":{"flag":9223372036854775808}}`:                      nil,
		`{"subscribe":{"tf":{"vals":"a"}}}`:                             nil,
		`{"subscribe":{"tf":{"vals":[1]}}}`:                             nil,
		`{"subscribe":{"tf":{"nodes":{}}}}`:                             nil,
		`{"subscribe":{"tf":{"nodes":[[]]}}}`:                           nil,
		`{'id':1}`:                                                      nil, `{id:1}`: nil, `{"id" 1}`: nil, `{"id":1,}`: nil, `{,"id":1}`: nil, `{"id":1`: nil, `{"id":`: nil, `{"id`: nil, `{`: nil, `{"id":1}}`: nil, `{"id":1}]`: nil,
	} {
		d := protocol.NewCommandDecoder(protocol.JSON, []byte(in))
		var got protocol.Command
		err := d.Next(&got)
		switch {
		case want == nil && !errors.Is(err, protocol.ErrMalformed):
			t.Errorf("%s: %v, want ErrMalformed", in, err)
		case want != nil && (err != nil || !cmp.Equal(&got, want)):
			t.Errorf("%s: %v\n%s", in, err, cmp.Diff(want, &got))
		}
	}
}

// TestErrorsNameTheField: whoever writes a client wants to know.
func TestErrorsNameTheField(t *testing.T) {
	for in, want := range map[string]string{
		`{"id":"1"}`:                "malformed message: id is not an unsigned integer of 32 bits at byte 6",
		`{"publish":{"channel":1}}`: "malformed message: channel is not a string at byte 22",
		`{"id":1,"id":1}`:           "malformed message: id is given twice at byte 13",
		`{"a":tru}`:                 "malformed message: no value at byte 5",
	} {
		d := protocol.NewCommandDecoder(protocol.JSON, []byte(in))
		if err := d.Next(new(protocol.Command)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}

func TestCommandProtobuf(t *testing.T) {
	unit := func(body string) []byte { return append([]byte{byte(len(body))}, body...) }
	for in, want := range map[string]*protocol.Command{ // nil: malformed
		"\x08\x05\x08\x06":                             {ID: 6},                                                                 // the last wins
		"\x3a\x03\x0a\x01a\x3a\x03\x12\x01b":           {Publish: &protocol.PublishRequest{Channel: "a", Data: []byte("b")}},    // merged
		"\x3a\x05\x12\x01b\x12\x00":                    {Publish: &protocol.PublishRequest{}},                                   // the last wins
		"\x08\x05\xf8\x07\x01\xfa\x07\x01x\x10\x01":    {ID: 5},                                                                 // unknown fields
		"\x0b\x10\x01\x0c":                             nil,                                                                     // a group for id
		"\x08\x85\x80\x80\x80\x80\x80\x80\x80\x80\x01": {ID: 5},                                                                 // upper bits are cut
		"\x22\x02\x32\x00":                             {Connect: &protocol.ConnectRequest{Headers: map[string]string{"": ""}}}, // an empty entry
		"\x22\x02\x1a\x00":                             {Connect: &protocol.ConnectRequest{Subs: map[string]*protocol.SubscribeRequest{"": {}}}},
		"\x22\x09\x1a\x07\x12\x02\x18\x01\x0a\x01a":    {Connect: &protocol.ConnectRequest{Subs: map[string]*protocol.SubscribeRequest{"a": {Recover: true}}}}, // value before key
		"\x08":                         nil, // no value
		"\x0a\x01a":                    nil, // id of another wire type
		"\x38\x01":                     nil, // publish of another wire type
		"\x3a\x03\x0a\x01\xff":         nil, // not UTF-8
		"\x3a\x03\x0a\x05a":            nil, // beyond the message
		"\x3a\x05":                     nil, // beyond the unit
		"\x3b":                         nil, // group
		"\xf8\x07":                     nil, // unknown field without value
		"\x0f":                         nil, // wire type 7
		"\x22\x05\x32\x03\x0a\x01\xff": nil, // key not UTF-8
	} {
		d := protocol.NewCommandDecoder(protocol.Protobuf, unit(in))
		var got protocol.Command
		err := d.Next(&got)
		switch {
		case want == nil && !errors.Is(err, protocol.ErrMalformed):
			t.Errorf("%x: %v, want ErrMalformed", in, err)
		case want != nil && (err != nil || !cmp.Equal(&got, want)):
			t.Errorf("%x: %v\n%s", in, err, cmp.Diff(want, &got))
		}
	}
}

// TestStrings writes every kind of character and reads it back.
func TestStrings(t *testing.T) {
	for in, want := range map[string]string{
		"":                         `""`,
		"a/<&>\x7f":                "\"a/<&>\x7f\"",
		"\"\\\n\r\t\x00\x1f\b":     `"\"\\\n\r\t\u0000\u001f\u0008"`,
		"жя😀\u2028":                "\"жя😀\u2028\"",
		"a\xffb\xc3":               "\"a\ufffdb\ufffd\"",
		"\xed\xa0\x80":             "\"\ufffd\ufffd\ufffd\"",
		"\ufffd":                   "\"\ufffd\"",
		"0123456789abcdef\"012345": `"0123456789abcdef\"012345"`,
	} {
		r := &protocol.Reply{Push: &protocol.Push{Unsubscribe: &protocol.UnsubscribePush{Code: 1, Reason: in}}}
		if in == "" {
			r.Push.Unsubscribe = nil
			r.Push.Join = &protocol.Join{Info: &protocol.ClientInfo{User: "u"}}
		}
		if got := protocol.AppendReply(nil, protocol.JSON, r); !strings.Contains(string(got), ":"+want) {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
		for _, f := range formats {
			rs := replies(t, f, protocol.AppendReply(nil, f, r))
			if in != "" && rs[0].Push.Unsubscribe.Reason != string([]rune(in)) {
				t.Errorf("%v: %q comes back as %q", f, in, rs[0].Push.Unsubscribe.Reason)
			}
		}
	}
}

// TestOnlyPayloadsAlias: a frame may be used again once its payloads are not needed.
func TestOnlyPayloadsAlias(t *testing.T) {
	c := &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{
		Token: "token", Headers: map[string]string{"key": "value"}, Subs: map[string]*protocol.SubscribeRequest{"chan": {Epoch: "epoch", TF: &protocol.FilterNode{Vals: []string{"val"}}}},
	}}
	for _, f := range formats {
		frame := protocol.AppendCommand(nil, f, c)
		got := commands(t, f, frame)
		clear(frame)
		if !cmp.Equal(got[0], c) {
			t.Errorf("%v: %s", f, cmp.Diff(c, got[0]))
		}

		frame = protocol.AppendCommand(nil, f, &protocol.Command{Publish: &protocol.PublishRequest{Data: protocol.Raw("1234"), Key: "key"}})
		whole := string(frame)
		data := commands(t, f, frame)[0].Publish.Data
		if _ = append(data, "overwritten"...); string(frame) != whole {
			t.Errorf("%v: appending to a payload writes into the frame", f)
		}
		if i := strings.Index(whole, "1234"); &frame[i] != &data[0] {
			t.Errorf("%v: the payload was copied", f)
		}
	}
}

func TestEncodersAllocateNothing(t *testing.T) {
	buf := make([]byte, 0, 1<<10)
	pub := &protocol.Publication{Data: payload, Offset: 1}
	for _, f := range formats {
		for name, r := range benchReplies {
			if n := testing.AllocsPerRun(1000, func() { protocol.AppendReply(buf, f, r) }); n > 0 {
				t.Errorf("%v %s: %v allocations", f, name, n)
			}
		}
		if n := testing.AllocsPerRun(1000, func() { protocol.AppendPublication(buf, f, "c", pub) }); n > 0 {
			t.Errorf("%v: %v allocations", f, n)
		}
	}
}
