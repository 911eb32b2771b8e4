package protocol_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/protocol"
)

var (
	payload = protocol.Raw(`{"id":123456,"from":"alice","text":"` + strings.Repeat("x", 100-38) + `"}`)
	formats = []protocol.Format{protocol.JSON, protocol.Protobuf}
)

var benchReplies = map[string]*protocol.Reply{
	"publish": {ID: 5, Publish: &protocol.PublishResult{}},
	"subscribe": {ID: 7, Subscribe: &protocol.SubscribeResult{
		Recoverable: true, Epoch: "kQxA", Recovered: true, Offset: 3, Positioned: true, WasRecovering: true,
		Publications: []*protocol.Publication{{Data: payload, Offset: 4}, {Data: payload, Offset: 5}},
	}},
	"connect": {ID: 1, Connect: &protocol.ConnectResult{
		Client: "8f1ecb4d-8a7c-4b0e-9a39-0d2d8b4f4c11", Version: "1.0.0", Ping: 25, Pong: true,
		Subs: map[string]*protocol.SubscribeResult{"#42": {Recoverable: true, Positioned: true, Epoch: "kQxA", Offset: 7}, "#43": {}},
	}},
	"push": {Push: &protocol.Push{Channel: "chat:1", Pub: &protocol.Publication{Data: payload, Offset: 12}}},
}

var benchCommands = map[string]*protocol.Command{
	"publish":   {ID: 5, Publish: &protocol.PublishRequest{Channel: "chat:1", Data: payload}},
	"subscribe": {ID: 7, Subscribe: &protocol.SubscribeRequest{Channel: "chat:1", Recover: true, Epoch: "kQxA", Offset: 3, Recoverable: true, Flag: 1}},
	"connect":   {ID: 1, Connect: &protocol.ConnectRequest{Token: strings.Repeat("t", 150), Name: "js"}},
}

func BenchmarkAppendPublication(b *testing.B) {
	pub := &protocol.Publication{Data: payload, Offset: 12}
	for _, f := range formats {
		b.Run(fmt.Sprintf("format=%v", f), func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 1024)
			for b.Loop() {
				protocol.AppendPublication(buf, f, "chat:1", pub)
			}
		})
	}
}

func BenchmarkAppendReply(b *testing.B) {
	for name, r := range benchReplies {
		for _, f := range formats {
			b.Run(fmt.Sprintf("reply=%s/format=%v", name, f), func(b *testing.B) {
				b.ReportAllocs()
				buf := make([]byte, 0, 1024)
				for b.Loop() {
					protocol.AppendReply(buf, f, r)
				}
			})
		}
	}
}

func BenchmarkAppendCommand(b *testing.B) {
	for name, c := range benchCommands {
		for _, f := range formats {
			b.Run(fmt.Sprintf("command=%s/format=%v", name, f), func(b *testing.B) {
				b.ReportAllocs()
				buf := make([]byte, 0, 1024)
				for b.Loop() {
					protocol.AppendCommand(buf, f, c)
				}
			})
		}
	}
}

func BenchmarkCommandDecoder(b *testing.B) {
	for name, c := range benchCommands {
		for _, f := range formats {
			b.Run(fmt.Sprintf("command=%s/format=%v", name, f), func(b *testing.B) {
				b.ReportAllocs()
				frame := protocol.AppendCommand(nil, f, c)
				var got protocol.Command
				for b.Loop() {
					d := protocol.NewCommandDecoder(f, frame)
					if err := d.Next(&got); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkReplyDecoder(b *testing.B) {
	for name, r := range benchReplies {
		for _, f := range formats {
			b.Run(fmt.Sprintf("reply=%s/format=%v", name, f), func(b *testing.B) {
				b.ReportAllocs()
				frame := protocol.AppendReply(nil, f, r)
				var got protocol.Reply
				for b.Loop() {
					d := protocol.NewReplyDecoder(f, frame)
					if err := d.Next(&got); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkValidJSON(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if !protocol.ValidJSON(payload) {
			b.Fatal("not valid")
		}
	}
}
