//go:build !linux

package bench

import (
	"context"
	"io"
	"net/netip"
	"os/exec"
	"time"
)

type loop struct {
	progress int
	err      error
}

type conn struct {
	l    *loop
	open bool
}

func newLoop() (*loop, error) { return nil, ErrUnsupported }

func (l *loop) close()         {}
func (l *loop) fail(err error) { l.err = err }

func (l *loop) step(context.Context, time.Duration) error  { return ErrUnsupported }
func (l *loop) every(time.Duration, func()) (*conn, error) { return nil, ErrUnsupported }
func (l *loop) dial(netip.AddrPort, netip.Addr, handler) (*conn, error) {
	return nil, ErrUnsupported
}

func (c *conn) write([]byte) {}
func (c *conn) close()       {}

func cpuTime(int) (time.Duration, error)    { return 0, ErrUnsupported }
func residentBytes(int) (int64, error)      { return 0, ErrUnsupported }
func listenerPID(netip.AddrPort) int        { return 0 }
func raiseFileLimit(int) error              { return ErrUnsupported }
func serveFloor(io.Reader, io.Writer) error { return ErrUnsupported }
func asServer(*exec.Cmd, string) error      { return ErrUnsupported }
