package realtime

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/kuranty/kuranty/protocol"
)

// A snapshot is snapshotMagic, whose last byte is the version of the format; channels
// and idempotency results, each behind a byte that says which; snapshotEnd; and the
// SHA-256 of all that. Numbers are varints, strings have their length before
// them, times are milliseconds since 1970.
const (
	snapshotMagic   = "kuranty streams\x01"
	snapshotChannel = 1
	snapshotResult  = 2
	snapshotEnd     = 0
)

// errTruncated stands for whatever a snapshot that passed its checksum lacks.
var errTruncated = errors.New("content does not match the format")

// Save writes all streams with their epochs, versions and retained publications,
// the positions of those who bring their own, and remembered idempotency keys
// to w, for [MemoryBroker.Load] in the next process (guarantees.md R15). The broker
// accepts no publication afterwards, because a snapshot that lacks some would, once
// loaded, put others at their offsets.
func (b *MemoryBroker) Save(w io.Writer) error {
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	if _, err := io.WriteString(out, snapshotMagic); err != nil {
		return fmt.Errorf("save streams: %w", err)
	}
	var buf []byte
	for i := range b.shards {
		now, wall := b.now()
		buf = b.shards[i].save(buf[:0], now, wall)
		if _, err := out.Write(buf); err != nil {
			return fmt.Errorf("save streams: %w", err)
		}
	}
	if _, err := out.Write([]byte{snapshotEnd}); err != nil {
		return fmt.Errorf("save streams: %w", err)
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("save streams: %w", err)
	}
	return nil
}

// Load restores what [MemoryBroker.Save] wrote; it is called before anything else
// uses the broker. A damaged snapshot restores nothing and is an error. Remove the
// file before serving: loaded again after a crash, it would bring back epochs whose
// later publications are lost (guarantees.md R14).
func (b *MemoryBroker) Load(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("load streams: %w", err)
	}
	version := len(snapshotMagic) - 1
	if len(data) < len(snapshotMagic)+sha256.Size || string(data[:version]) != snapshotMagic[:version] {
		return errors.New("load streams: not a snapshot of streams")
	}
	if got := data[version]; got != snapshotMagic[version] {
		return fmt.Errorf("load streams: format version %d is not known", got)
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return errors.New("load streams: snapshot is damaged: checksum differs")
	}
	now, wall := b.now()
	in := snapshotReader{rest: body[len(snapshotMagic):], now: now, wall: wall.UnixMilli()}
	channels, results, err := in.read()
	if err != nil {
		return fmt.Errorf("load streams: snapshot is damaged: %w", err)
	}
	for name, ch := range channels {
		sh := b.shard(name)
		sh.mu.Lock()
		*sh.open(name) = ch
		sh.mu.Unlock()
	}
	slices.SortFunc(results, func(x, y namedResult) int { return cmp.Compare(x.expires, y.expires) })
	for _, result := range results {
		result.expires = min(result.expires, now+int64(idempotencyTTL))
		sh := b.shard(result.name.channel)
		sh.mu.Lock()
		if _, repeated := sh.results.byName[result.name]; !repeated {
			sh.results.put(result.name, result.remembered)
		}
		sh.mu.Unlock()
	}
	return nil
}

// save appends what has not expired; the shard takes no publication afterwards.
func (sh *memoryShard) save(dst []byte, now int64, wall time.Time) []byte {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.saved = true
	at := func(t int64) uint64 { return uint64(max(0, wall.Add(time.Duration(t-now)).UnixMilli())) }
	for name, ch := range sh.channels {
		st := ch.stream
		if st == nil || st.metaExpires <= now {
			st = &stream{}
		} else if st.expires <= now {
			st.clear()
		}
		own, ownExpires := ch.own, ch.ownExpires
		if ownExpires <= now {
			own, ownExpires = protocol.StreamPosition{}, now
		}
		if st.top.Epoch == "" && own.Offset == 0 {
			continue
		}
		dst = append(dst, snapshotChannel)
		dst = appendString(dst, name)
		dst = appendPosition(dst, own)
		dst = binary.AppendUvarint(dst, at(ownExpires))
		dst = appendPosition(dst, st.top)
		dst = binary.AppendUvarint(dst, st.version)
		dst = appendString(dst, st.versionEpoch)
		dst = binary.AppendUvarint(dst, at(st.expires))
		dst = binary.AppendUvarint(dst, at(st.metaExpires))
		dst = binary.AppendUvarint(dst, uint64(st.n))
		for i := range st.n {
			dst = appendPublication(dst, st.ring[(st.head+i)%len(st.ring)])
		}
	}
	for _, name := range sh.results.order[sh.results.oldest:] {
		if result := sh.results.byName[name]; result.expires > now {
			dst = append(dst, snapshotResult)
			dst = appendString(dst, name.channel)
			dst = appendString(dst, name.key)
			dst = appendPosition(dst, result.pos)
			dst = binary.AppendUvarint(dst, at(result.expires))
		}
	}
	return dst
}

// appendPublication appends what a publication of a stream consists of; offset and
// epoch follow from its place.
func appendPublication(dst []byte, p *protocol.Publication) []byte {
	var flags byte
	if p.Info != nil {
		flags |= 1
	}
	if p.Binary {
		flags |= 2
	}
	dst = append(dst, flags)
	dst = appendString(dst, p.Data)
	if p.Info != nil {
		dst = appendString(dst, p.Info.User)
		dst = appendString(dst, p.Info.Client)
		dst = appendString(dst, p.Info.ConnInfo)
		dst = appendString(dst, p.Info.ChanInfo)
	}
	dst = binary.AppendUvarint(dst, uint64(max(0, p.Time)))
	dst = binary.AppendUvarint(dst, uint64(len(p.Tags)))
	for _, key := range slices.Sorted(maps.Keys(p.Tags)) {
		dst = appendString(dst, key)
		dst = appendString(dst, p.Tags[key])
	}
	return dst
}

func appendPosition(dst []byte, p protocol.StreamPosition) []byte {
	return appendString(binary.AppendUvarint(dst, p.Offset), p.Epoch)
}

func appendString[T string | protocol.Raw](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// snapshotReader reads the body of a snapshot. The first mistake empties it.
type snapshotReader struct {
	rest []byte
	err  error
	now  int64 // of the broker, and wall the same moment in milliseconds
	wall int64
}

type namedResult struct {
	name resultName
	remembered
}

func (r *snapshotReader) read() (map[string]memoryChannel, []namedResult, error) {
	channels := make(map[string]memoryChannel)
	var results []namedResult
	for r.err == nil {
		switch r.byte() {
		case snapshotChannel:
			name := r.string()
			channels[name] = r.channel()
		case snapshotResult:
			name := resultName{r.string(), r.string()}
			results = append(results, namedResult{name, remembered{r.position(), r.time()}})
		case snapshotEnd:
			if len(r.rest) > 0 {
				r.fail()
			}
			return channels, results, r.err
		default:
			r.fail()
		}
	}
	return nil, nil, r.err
}

func (r *snapshotReader) channel() memoryChannel {
	ch := memoryChannel{own: r.position(), ownExpires: r.time()}
	st := &stream{top: r.position(), version: r.uint(), versionEpoch: r.string(), expires: r.time(), metaExpires: r.time()}
	n := r.count()
	if uint64(n) > st.top.Offset {
		r.fail()
		return ch
	}
	st.ring, st.n = make([]*protocol.Publication, n), n
	for i := range st.ring {
		pub := r.publication()
		pub.Offset = st.top.Offset - uint64(n-1-i)
		if pub.Offset == 1 {
			pub.Epoch = st.top.Epoch
		}
		st.ring[i] = pub
	}
	if st.top.Epoch != "" {
		ch.stream = st
	}
	return ch
}

func (r *snapshotReader) publication() *protocol.Publication {
	flags := r.byte()
	pub := &protocol.Publication{Data: r.raw(), Binary: flags&2 != 0}
	if flags&1 != 0 {
		pub.Info = &protocol.ClientInfo{User: r.string(), Client: r.string(), ConnInfo: r.raw(), ChanInfo: r.raw()}
	}
	pub.Time = int64(r.uint())
	if n := r.count(); n > 0 {
		pub.Tags = make(map[string]string, n)
		for range n {
			key := r.string()
			pub.Tags[key] = r.string()
		}
	}
	return pub
}

func (r *snapshotReader) fail() { r.rest, r.err = nil, errTruncated }

func (r *snapshotReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *snapshotReader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads how many things follow, each of at least one byte.
func (r *snapshotReader) count() int {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *snapshotReader) bytes() []byte {
	n := r.count()
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *snapshotReader) string() string { return string(r.bytes()) }

func (r *snapshotReader) raw() protocol.Raw {
	if s := r.bytes(); len(s) > 0 {
		return bytes.Clone(s)
	}
	return nil
}

func (r *snapshotReader) position() protocol.StreamPosition {
	return protocol.StreamPosition{Offset: r.uint(), Epoch: r.string()}
}

// time reads a moment as the broker counts it.
func (r *snapshotReader) time() int64 {
	ms := r.uint()
	const far = math.MaxInt64 / int64(2*time.Millisecond)
	return r.now + (min(int64(min(ms, math.MaxInt64)), far+r.wall)-r.wall)*int64(time.Millisecond)
}
