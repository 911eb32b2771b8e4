package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// deflater compresses messages, each on its own (RFC 7692 §7.1.1).
type deflater struct {
	minSize int
	writers sync.Pool
}

// newDeflater returns a deflater for messages of at least minSize bytes.
func newDeflater(level, minSize int) (*deflater, error) {
	if _, err := flate.NewWriter(nil, level); err != nil {
		return nil, fmt.Errorf("compression level %d: %w", level, err)
	}
	d := &deflater{minSize: minSize}
	d.writers.New = func() any {
		w, _ := flate.NewWriter(nil, level) // the level was checked above
		return w
	}
	return d, nil
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keepBuffer = 64 << 10

// releaseBuffer gives b back, unless it is too large to keep.
func releaseBuffer(b *bytes.Buffer) {
	if b.Cap() <= keepBuffer {
		b.Reset()
		buffers.Put(b)
	}
}

// flushTail ends what a flushed writer wrote; senders leave it away and receivers
// add it (RFC 7692 §7.2.1). finalBlock ends the stream for the reader.
const (
	flushTail  = "\x00\x00\xff\xff"
	finalBlock = "\x01\x00\x00\xff\xff"
)

// appendFrame appends units as one compressed message.
func (d *deflater) appendFrame(dst []byte, op byte, units []byte) []byte {
	w := d.writers.Get().(*flate.Writer)
	b := buffers.Get().(*bytes.Buffer)
	defer d.writers.Put(w)
	defer releaseBuffer(b)
	w.Reset(b)
	_, err := w.Write(units)
	if err = errors.Join(err, w.Flush()); err != nil { // a buffer takes everything
		return append(appendHead(dst, op, len(units)), units...)
	}
	packed := bytes.TrimSuffix(b.Bytes(), []byte(flushTail))
	return append(appendHead(dst, op|rsv1, len(packed)), packed...)
}

var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

var errInflatedTooBig = errors.New("inflated message too big")

// inflate returns the inflated message, which goes to releaseBuffer after use. It gives
// up, with errInflatedTooBig, as soon as there is more than limit bytes of it.
func inflate(packed []byte, limit int) (*bytes.Buffer, error) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	src := io.MultiReader(bytes.NewReader(packed), bytes.NewReader([]byte(flushTail+finalBlock)))
	if err := r.(flate.Resetter).Reset(src, nil); err != nil {
		return nil, fmt.Errorf("reset inflater: %w", err)
	}
	b := buffers.Get().(*bytes.Buffer)
	n, err := b.ReadFrom(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		err = fmt.Errorf("inflate message: %w", err)
	case n > int64(limit):
		err = errInflatedTooBig
	default:
		return b, nil
	}
	releaseBuffer(b)
	return nil, err
}
