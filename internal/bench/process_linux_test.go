package bench

import (
	"net"
	"os"
	"testing"
	"time"
)

func TestCPUTimeGrowsWithWork(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var after time.Duration
	for start := time.Now(); time.Since(start) < 10*time.Second; {
		if after, err = cpuTime(os.Getpid()); err != nil || after-before >= 20*time.Millisecond {
			break
		}
	}
	if err != nil || after-before < 20*time.Millisecond {
		t.Errorf("CPU time grew by %v, %v", after-before, err)
	}
	if _, err := cpuTime(1 << 30); err == nil {
		t.Error("a process that cannot exist has a CPU clock")
	}
}

func TestResidentBytesFollowsAllocation(t *testing.T) {
	const size = 32 << 20
	before, err := residentBytes(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	after, err := residentBytes(os.Getpid())
	if err != nil || after-before < size*3/4 {
		t.Errorf("resident memory grew by %d after touching %d, %v", after-before, size, err)
	}
	_ = b[0]
}

func TestListenerPID(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	if got := listenerPID(addr); got != os.Getpid() {
		t.Errorf("listener of %v is process %d, want %d", addr, got, os.Getpid())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := listenerPID(addr); got != 0 {
		t.Errorf("listener of a closed port is process %d", got)
	}
}
