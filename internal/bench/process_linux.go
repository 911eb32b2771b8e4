package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the user and system time that process pid has used so far, ended
// threads included: its CPU clock (clock_getcpuclockid), which counts nanoseconds
// where /proc/PID/stat counts hundredths of a second.
func cpuTime(pid int) (time.Duration, error) {
	if pid < 1 || pid > 1<<22 { // the kernel's largest
		return 0, fmt.Errorf("read CPU clock of process %d: no such process", pid)
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|2, &ts); err != nil {
		return 0, fmt.Errorf("read CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// residentBytes returns the resident memory of process pid.
func residentBytes(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "Rss:" {
			kib, err := strconv.ParseInt(string(f[1]), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("read memory of process %d: no Rss line", pid)
}

// listenerPID returns the process that listens on addr, or 0 when it cannot be seen
// from here: another machine, another container, another user.
func listenerPID(addr netip.AddrPort) int {
	inode := listenInode("/proc/net/tcp", addr.Port())
	if inode == "" {
		inode = listenInode("/proc/net/tcp6", addr.Port())
	}
	if inode == "" || !isLocal(addr.Addr()) {
		return 0
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == "socket:["+inode+"]" {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			return pid
		}
	}
	return 0
}

// listenInode finds the listening socket of port in a table like /proc/net/tcp
// (proc(5): sl, local_address, rem_address, st, …, inode); state 0A is LISTEN.
func listenInode(table string, port uint16) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close()
	suffix := fmt.Sprintf(":%04X", port)
	for s := bufio.NewScanner(f); s.Scan(); {
		if col := strings.Fields(s.Text()); len(col) > 9 && col[3] == "0A" && strings.HasSuffix(col[1], suffix) {
			return col[9]
		}
	}
	return ""
}

// raiseFileLimit lifts the limit of open files as far as it goes and checks that
// need sockets fit beside the few that every process has.
func raiseFileLimit(need int) error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if lim.Cur < lim.Max {
		lim.Cur = lim.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			return fmt.Errorf("raise the limit of open files: %w", err)
		}
	}
	if uint64(need)+64 > lim.Cur {
		return fmt.Errorf("%d connections do not fit into the limit of %d open files", need, lim.Cur)
	}
	return nil
}

// isLocal tells whether addr is an address of this machine.
func isLocal(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil || !addr.Is4() {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return !errors.Is(unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr, 0))), unix.EADDRNOTAVAIL)
}
