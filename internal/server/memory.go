package server

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// garbageHeadroom is how many bytes of garbage may gather at least before it is
	// collected. A server without much state has so small a heap that the collector's
	// own measure (as much garbage as there is live data) has it run dozens of times a
	// second under load, which costs a tenth to a third of the CPU.
	garbageHeadroom = 24 << 20
	// calmBytes per second is what a server allocates at most when nothing happens;
	// garbage above calmGarbage, and above a quarter of what lives, is then given back.
	calmBytes   = 1 << 20
	calmGarbage = 4 << 20
	memoryTick  = time.Second
)

// tendMemory paces the garbage collector until ctx ends: rarely under load, and once
// more when calm returns, so that an idle server holds only what lives. With GOGC in
// the environment the operator has decided, and it does nothing.
func tendMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return
	}
	var m memory
	defer debug.SetGCPercent(debug.SetGCPercent(m.percent()))
	tick := time.NewTicker(memoryTick)
	defer tick.Stop()
	percent := 0
	for {
		if want := m.percent(); want < percent*9/10 || want > percent*11/10 {
			percent = want
			debug.SetGCPercent(percent)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if m.calm() {
			debug.FreeOSMemory()
		}
	}
}

// memory is what the runtime says of the heap.
type memory struct {
	allocated uint64 // since the process began, at the last look
}

// read returns what of the heap was live at the last collection, what it holds now,
// garbage included, and what was ever allocated; all in bytes.
func (*memory) read() (live, held, allocated uint64) {
	samples := [...]metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(samples[:])
	return samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()
}

// percent is the collector's target: garbage to be gathered, in hundredths of what lives.
func (m *memory) percent() int {
	live, _, _ := m.read()
	return int(max(100, garbageHeadroom*100/max(live, 1<<20)))
}

// calm tells whether little was allocated since the last look although garbage is left.
func (m *memory) calm() bool {
	live, held, allocated := m.read()
	before := m.allocated
	m.allocated = allocated
	return before > 0 && allocated-before < calmBytes && held > live+max(calmGarbage, live/4)
}
