package realtime_test

import (
	"fmt"
	"testing"

	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// sponge is a connection that takes everything and keeps nothing.
type sponge struct {
	framing realtime.Framing
	session *realtime.Session
}

func (c *sponge) Framing() realtime.Framing      { return c.framing }
func (c *sponge) Peer() realtime.Peer            { return realtime.Peer{Transport: "test"} }
func (c *sponge) TryWrite(p []byte) (int, error) { return len(p), nil }
func (c *sponge) AwaitWritable()                 {}
func (c *sponge) Close(bool)                     {}
func (c *sponge) send(message string)            { c.session.Receive([]byte(message)); c.session.Flush() }

var payload = []byte(`{"text":"a message of one hundred bytes, which is about what people say to each other in a chat room"}`)

func BenchmarkBroadcast(b *testing.B) {
	for _, channel := range []string{"plain:a", "big:a"} {
		for _, subscribers := range []int{1, 1000, 10_000} {
			b.Run(fmt.Sprintf("channel=%s/subscribers=%d", channel[:len(channel)-2], subscribers), func(b *testing.B) {
				w := newWorld(b, nil)
				defer w.close()
				for range subscribers {
					c := &sponge{framing: lines{protocol.JSON}}
					c.session = w.node.NewSession(c)
					c.session.Start()
					c.send(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"` + channel + `"}}`)
				}
				before := w.node.Stats().Deliveries
				b.ReportAllocs()
				for b.Loop() {
					if _, err := w.node.Publish(b.Context(), channel, payload, realtime.PublishOptions{}); err != nil {
						b.Fatal(err)
					}
				}
				done := float64(w.node.Stats().Deliveries - before)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/done, "ns/delivery")
			})
		}
	}
}

func BenchmarkPublishNoSubscribers(b *testing.B) {
	for _, channel := range []string{"plain:a", "big:a"} {
		b.Run("channel="+channel[:len(channel)-2], func(b *testing.B) {
			w := newWorld(b, nil)
			defer w.close()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.node.Publish(b.Context(), channel, payload, realtime.PublishOptions{JSON: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPipelined is a service that publishes over its own connection.
func BenchmarkPipelined(b *testing.B) {
	w := newWorld(b, nil)
	defer w.close()
	c := &sponge{framing: lines{protocol.JSON}}
	c.session = w.node.NewSession(c)
	c.session.Start()
	c.send(`{"id":1,"connect":{}}`)
	var message string
	for i := range 64 {
		message += fmt.Sprintf(`{"id":%d,"publish":{"channel":"plain:a","data":%s}}`+"\n", i+2, payload)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.send(message)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/publish")
}

// BenchmarkConnect is a client that connects, subscribes and goes.
func BenchmarkConnect(b *testing.B) {
	w := newWorld(b, nil)
	defer w.close()
	b.ReportAllocs()
	for b.Loop() {
		c := &sponge{framing: lines{protocol.JSON}}
		c.session = w.node.NewSession(c)
		c.session.Start()
		c.send(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"big:a"}}`)
		c.session.Gone()
	}
}
