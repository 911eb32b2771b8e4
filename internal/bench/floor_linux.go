package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// serveFloor is the least a server could do. Over its one control connection it is
// told, in big endian, uint32 how many sinks to accept, uint32 the length of what
// follows, and these bytes, which it writes to every sink. It ends with in.
func serveFloor(in io.Reader, out io.Writer) error {
	sinks, err := listenRaw()
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	empty, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(emptyHandler), ReadHeaderTimeout: 10 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(empty) })
	serving.Go(func() { _ = serveSinks(ctx, sinks, control) })

	name, err := unix.Getsockname(sinks)
	if err != nil {
		return fmt.Errorf("read own address: %w", err)
	}
	at := floorAddresses{Sinks: fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port), Control: control.Addr().String(), HTTP: empty.Addr().String()}
	if err := json.NewEncoder(out).Encode(at); err != nil {
		return fmt.Errorf("print addresses: %w", err)
	}
	_, _ = io.Copy(io.Discard, in)

	cancel()
	_ = unix.Shutdown(sinks, unix.SHUT_RDWR) // wakes accept
	_ = control.Close()
	_ = srv.Close()
	serving.Wait()
	return unix.Close(sinks)
}

func emptyHandler(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(r.Body); err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"result":{}}`)
}

func listenRaw() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open socket: %w", err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 4096)); err != nil {
		return 0, fmt.Errorf("listen: %w", err)
	}
	return fd, nil
}

// serveSinks obeys the control connection until it ends or ctx does.
func serveSinks(ctx context.Context, listener int, control net.Listener) error {
	ctl, err := control.Accept()
	if err != nil {
		return err
	}
	defer ctl.Close()
	defer context.AfterFunc(ctx, func() { _ = ctl.Close() })()
	var sinks []int
	defer func() {
		for _, fd := range sinks {
			_ = unix.Close(fd)
		}
	}()
	r := bufio.NewReaderSize(ctl, 64<<10)
	var head [8]byte
	var frames []byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		for range binary.BigEndian.Uint32(head[:]) {
			fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil {
				return fmt.Errorf("accept: %w", err)
			}
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
				return fmt.Errorf("set TCP_NODELAY: %w", err)
			}
			sinks = append(sinks, fd)
		}
		frames = append(frames[:0], make([]byte, binary.BigEndian.Uint32(head[4:]))...)
		if _, err := io.ReadFull(r, frames); err != nil {
			return err
		}
		for _, fd := range sinks {
			if err := writeRaw(fd, frames); err != nil {
				return err
			}
		}
	}
}

// writeRaw writes b with one non-blocking call, and waits only when the kernel does
// not take it. The Go scheduler is not told of a call that cannot block: that would
// cost more than a server needs to spend.
func writeRaw(fd int, b []byte) error {
	for len(b) > 0 {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return os.NewSyscallError("poll", err)
			}
		default:
			return os.NewSyscallError("sendto", errno)
		}
	}
	return nil
}
