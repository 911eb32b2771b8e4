package protocol_test

import (
	"errors"
	"io"
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
	{name: "connect again", json: `{"id":1,"connect":{"data":null,"subs":{"#42":{"recover":true,"epoch":"kQxA","offset":7},"a\"b":{}},"headers":{"a":"","b":"1"}}}`,
		cmd: &protocol.Command{ID: 1, Connect: &protocol.ConnectRequest{
			Data: protocol.Raw("null"), Headers: map[string]string{"a": "", "b": "1"},
			Subs: map[string]*protocol.SubscribeRequest{"a\"b": {}, "#42": {Recover: true, Epoch: "kQxA", Offset: 7}},
		}}},
	{name: "subscribe", json: `{"id":2,"subscribe":{"channel":"chat:1","recoverable":true,"flag":1}}`,
		cmd: &protocol.Command{ID: 2, Subscribe: &protocol.SubscribeRequest{Channel: "chat:1", Recoverable: true, Flag: protocol.FlagChannelID}}},
	{name: "filter", json: `{"id":2,"subscribe":{"channel":"c","tf":{"op":"and","nodes":[{"key":"k","cmp":"in","vals":["","a"]},{}]},"type":-1}}`,
		cmd: &protocol.Command{ID: 2, Subscribe: &protocol.SubscribeRequest{Channel: "c", Type: -1, TF: &protocol.FilterNode{Op: "and", Nodes: []*protocol.FilterNode{{Key: "k", Cmp: "in", Vals: []string{"", "a"}}, {}}}}}},
	{name: "publish", json: `{"id":5,"publish":{"channel":"x","data":{"a":[1,"}"]}}}`,
		cmd: &protocol.Command{ID: 5, Publish: &protocol.PublishRequest{Channel: "x", Data: protocol.Raw(`{"a":[1,"}"]}`)}}},
	{name: "pong", json: `{}`, cmd: &protocol.Command{}},
	{name: "send", json: `{"send":{"data":0}}`, cmd: &protocol.Command{Send: &protocol.SendRequest{Data: protocol.Raw("0")}}},

	{name: "ping", json: `{}`, reply: &protocol.Reply{}},
	{name: "unsubscribed", json: `{"id":5,"unsubscribe":{}}`, reply: &protocol.Reply{ID: 5, Unsubscribe: &protocol.UnsubscribeResult{}}},
	{name: "error", json: `{"id":5,"error":{"code":100,"message":"internal server error","temporary":true}}`, reply: &protocol.Reply{ID: 5, Error: protocol.ErrInternal}},
	{name: "connected", json: `{"id":1,"connect":{"client":"8f1e","version":"6.9.1 OSS","subs":{"#42":{"recoverable":true,"epoch":"kQxA","offset":7,"positioned":true}},"ping":25,"pong":true}}`,
		reply: &protocol.Reply{ID: 1, Connect: &protocol.ConnectResult{
			Client: "8f1e", Version: "6.9.1 OSS", Ping: 25, Pong: true,
			Subs: map[string]*protocol.SubscribeResult{"#42": {Recoverable: true, Positioned: true, Epoch: "kQxA", Offset: 7}},
		}}},
	{name: "recovered", json: `{"id":7,"subscribe":{"recoverable":true,"epoch":"kQxA","publications":[{"data":{"n":4},"offset":4},{"data":{"n":5},"offset":5}],"recovered":true,"offset":3,"positioned":true,"was_recovering":true}}`,
		reply: &protocol.Reply{ID: 7, Subscribe: &protocol.SubscribeResult{
			Recoverable: true, Epoch: "kQxA", Recovered: true, Offset: 3, Positioned: true, WasRecovering: true,
			Publications: []*protocol.Publication{{Data: protocol.Raw(`{"n":4}`), Offset: 4}, {Data: protocol.Raw(`{"n":5}`), Offset: 5}},
		}}},
	{name: "no presence", json: `{"id":3,"presence":{"presence":{}}}`, reply: &protocol.Reply{ID: 3, Presence: &protocol.PresenceResult{}}},
	{name: "presence", json: `{"id":3,"presence":{"presence":{"a":{"user":"","client":"a"},"b":{"user":"u","client":"","conn_info":{},"chan_info":null}}}}`,
		reply: &protocol.Reply{ID: 3, Presence: &protocol.PresenceResult{Presence: map[string]*protocol.ClientInfo{
			"b": {User: "u", ConnInfo: protocol.Raw("{}"), ChanInfo: protocol.Raw("null")}, "a": {Client: "a"},
		}}}},
	{name: "presence stats", json: `{"id":3,"presence_stats":{"num_clients":0,"num_users":0}}`, reply: &protocol.Reply{ID: 3, PresenceStats: &protocol.PresenceStatsResult{}}},
	{name: "no history", json: `{"id":3,"history":{"publications":[],"epoch":"","offset":0}}`, reply: &protocol.Reply{ID: 3, History: &protocol.HistoryResult{}}},
	{name: "publication", json: `{"push":{"channel":"news","pub":{"data":{"a":1},"info":{"user":"u","client":"c"},"offset":18446744073709551615,"tags":{"a":"b"},"score":-9223372036854775808}}}`,
		reply: &protocol.Reply{Push: &protocol.Push{Channel: "news", Pub: &protocol.Publication{
			Data: protocol.Raw(`{"a":1}`), Info: &protocol.ClientInfo{User: "u", Client: "c"}, Offset: 1<<64 - 1, Tags: map[string]string{"a": "b"}, Score: -1 << 63,
		}}}},
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
