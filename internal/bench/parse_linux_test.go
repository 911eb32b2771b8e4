package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// stampedBy feeds a client the bytes of stream in pieces of size bytes and returns
// the numbers of the publications it reported.
func stampedBy(t *testing.T, stream []byte, size int) (numbers []int64, err error) {
	t.Helper()
	l := &loop{}
	cl := &client{upgraded: true, stamped: func(n, _ int64) { numbers = append(numbers, n) }, c: &conn{l: l, fd: -1}}
	for piece := range slices.Chunk(stream, size) {
		cl.data(cl.c, piece)
	}
	return numbers, l.err
}

func TestClientReadsFramesHoweverTheyAreCut(t *testing.T) {
	var stream []byte
	var want []int64
	add := func(n int64) { want = append(want, n) }
	for _, size := range []int{minPayload, 100, 300, 70_000} { // all three forms of length
		stream = pushFrames(stream, floorChannel, firstNumber+int64(len(want)), now(), size, 2)
		add(firstNumber + int64(len(want)))
		add(firstNumber + int64(len(want)))
	}
	// Two publications and a ping in one frame.
	two := pushFrames(nil, floorChannel, firstNumber+8, now(), 60, 1)[2:]
	text := slices.Concat(two, []byte("\n{}\n"), pushFrames(nil, floorChannel, firstNumber+9, now(), 60, 1)[2:])
	stream = append(appendHead(stream, opText, false, len(text)), text...)
	add(firstNumber + 8)
	add(firstNumber + 9)

	for _, size := range []int{1, 2, 3, 7, 149, 150, 151, 4096, len(stream)} {
		got, err := stampedBy(t, stream, size)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("in pieces of %d: publications %v, %v; want %v", size, got, err, want)
		}
	}
}

func TestFloorFrameHasTheLengthOfTheTable(t *testing.T) {
	if got := len(pushFrames(nil, floorChannel, firstNumber, now(), 100, 1)); got != 150 {
		t.Errorf("frame of a 100-byte publication has %d bytes, want 150", got)
	}
}

func TestClientReportsWhatEndsIt(t *testing.T) {
	frame := func(op byte, text string) []byte { return append(appendHead(nil, op, false, len(text)), text...) }
	for _, c := range []struct {
		name, want string
		stream     []byte
	}{
		{"close frame", "3001 shutdown", frame(opClose, "\x0b\xb9shutdown")},
		{"empty close frame", "closed the connection", frame(opClose, "")},
		{"unsubscribe push", "unsubscribe", frame(opText, `{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"x"}}}`)},
		{"masked frame", "malformed", []byte{0x81, 0x80, 0, 0, 0, 0}},
		{"fragment", "malformed", []byte{0x01, 0x01, 'x'}},
		{"impossible length", "malformed", []byte{0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0}},
	} {
		if _, err := stampedBy(t, c.stream, len(c.stream)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(pushFrames(nil, floorChannel, firstNumber, 1, 100, 2))
	f.Add([]byte{0x81, 126, 0, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		op, payload, size, err := parseFrame(b)
		if err != nil {
			if !errors.Is(err, errFrame) {
				t.Fatalf("error %v does not wrap errFrame", err)
			}
			return
		}
		if size == 0 {
			return
		}
		if size > len(b) || len(payload) > size {
			t.Fatalf("frame of %d bytes with payload of %d in %d bytes", size, len(payload), len(b))
		}
		again := append(appendHead(nil, op, false, len(payload)), payload...)
		if _, got, _, err := parseFrame(again); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("payload %q came back as %q, %v", payload, got, err)
		}
		for p := payload; ; {
			n, at, rest, ok := nextStamp(p)
			if !ok {
				break
			}
			if n < 0 || at < 0 || len(rest) >= len(p) {
				t.Fatalf("stamp %d, %d leaves %d of %d bytes", n, at, len(rest), len(p))
			}
			p = rest
		}
	})
}

func TestMaskedFrame(t *testing.T) {
	frame := appendMasked(nil, opText, []byte("{}"))
	mask := frame[2:6]
	if got := []byte{frame[6] ^ mask[0], frame[7] ^ mask[1]}; string(got) != "{}" || frame[1] != 0x82 {
		t.Errorf("frame % x unmasks to %q", frame, got)
	}
}

func TestParseResponse(t *testing.T) {
	for _, c := range []struct {
		name, in, body string
		whole, fails   bool
	}{
		{name: "head not yet whole", in: "HTTP/1.1 200 OK\r\nContent-Le"},
		{name: "body not yet whole", in: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", body: "ab"},
		{name: "whole", in: "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", body: "ab", whole: true},
		{name: "created", in: "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nab", body: "ab", whole: true},
		{name: "chunks not yet over", in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", body: "2\r\nab\r\n"},
		{name: "chunks", in: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", body: "2\r\nab\r\n0\r\n\r\n", whole: true},
		{name: "refused", in: "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", fails: true},
		{name: "bad length", in: "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", fails: true},
	} {
		body, whole, err := parseResponse([]byte(c.in))
		if string(body) != c.body || whole != c.whole || (err != nil) != c.fails {
			t.Errorf("%s: %q, %t, %v; want %q, %t, failure %t", c.name, body, whole, err, c.body, c.whole, c.fails)
		}
	}
}

func FuzzParseResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"))
	f.Add([]byte("HTTP/1.1 500 Oops\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if body, _, err := parseResponse(b); err == nil && len(body) > len(b) {
			t.Fatal("a body longer than its response")
		}
	})
}

func TestReadyAddress(t *testing.T) {
	for line, want := range map[string]string{
		`{"level":"INFO","msg":"ready","address":"127.0.0.1:41234"}`: "127.0.0.1:41234",
		`{"level":"INFO","msg":"starting","address":"127.0.0.1:1"}`:  "",
		`"ready" but no JSON`: "",
	} {
		if got := readyAddress(line); got != want {
			t.Errorf("readyAddress(%s) = %q, want %q", line, got, want)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for _, c := range []struct {
		sample []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 50, 0},
		{[]time.Duration{7}, 50, 7},
		{[]time.Duration{7}, 99, 7},
		{[]time.Duration{4, 1, 3, 2}, 50, 2},
		{[]time.Duration{4, 1, 3, 2}, 51, 3},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 99.1, 100},
		{hundred, 100, 100},
		{hundred, 0, 1},
	} {
		if got := percentile(c.sample, c.p); got != c.want {
			t.Errorf("percentile(%d values, %g) = %d, want %d", len(c.sample), c.p, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %g, want %g", c.values, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %g, want NaN", got)
	}
}

func TestResultIsJudgedByTheMedianOfItsRatios(t *testing.T) {
	r := newResult("m", "µs", []float64{10, 30, 11}, []float64{10, 10, 10}, 1.15)
	if r.Ratio != 1.1 || r.RatioMax != 3 || r.Floor != 10 || r.Met == nil || !*r.Met {
		t.Errorf("ratio %g (max %g), floor %g, met %v", r.Ratio, r.RatioMax, r.Floor, r.Met)
	}
	if r := newResult("m", "µs", []float64{3, 3, 1}, nil, 2); r.Met == nil || *r.Met || r.Value != 3 {
		t.Errorf("value %g, met %v", r.Value, r.Met)
	}
	if r := newResult("m", "µs", nil, nil, 2); r.Met != nil {
		t.Error("a measure without values has a verdict")
	}
}

func TestRecoveredExactlyWhatWasMissed(t *testing.T) {
	pub := func(n int64) json.RawMessage { return appendPayload(nil, n, 1, 100) }
	for _, c := range []struct {
		name string
		sub  subscribed
		ok   bool
	}{
		{"all", subscribed{Recovered: true, Publications: rawList(pub(7), pub(8))}, true},
		{"not recovered", subscribed{Publications: rawList(pub(7), pub(8))}, false},
		{"one lost", subscribed{Recovered: true, Publications: rawList(pub(7))}, false},
		{"one twice", subscribed{Recovered: true, Publications: rawList(pub(7), pub(7))}, false},
		{"one too many", subscribed{Recovered: true, Publications: rawList(pub(7), pub(8), pub(9))}, false},
	} {
		if err := c.sub.check(7, 2); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRigNoticesWhatWasNotPublishedOrCameTwice(t *testing.T) {
	for _, c := range []struct {
		name   string
		comes  []int64
		failed bool
		free   int
	}{
		{"one of two deliveries", []int64{0}, false, 0},
		{"both", []int64{0, 0}, false, 1},
		{"one too many", []int64{0, 0, 0}, true, 1},
		{"not yet published", []int64{1}, true, 0},
		{"of an earlier round", []int64{-1}, true, 0},
	} {
		r := &rig{
			l: &loop{}, fan: 2, group: 1, number: firstNumber, first: firstNumber, send: func(int, int64, int64) {},
			counts: make([]int, 2), slotOf: make([]int, 2), left: make([]int, 1), free: []int{0},
		}
		r.launch(2)
		for _, n := range c.comes {
			r.stamped(firstNumber+n, now())
		}
		if (r.l.err != nil) != c.failed || len(r.free) != c.free {
			t.Errorf("%s: %v, %d free slots; want failure %t, %d", c.name, r.l.err, len(r.free), c.failed, c.free)
		}
	}
}

func rawList(items ...json.RawMessage) []json.RawMessage { return items }

func BenchmarkClientReads(b *testing.B) {
	frame := pushFrames(nil, floorChannel, firstNumber, now(), 100, 1)
	cl := &client{upgraded: true, stamped: func(int64, int64) {}, c: &conn{l: &loop{}, fd: -1}}
	b.ReportAllocs()
	for b.Loop() {
		cl.data(cl.c, frame)
	}
}
