package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// unbuffered makes a terminal give keys at once, without showing them; Ctrl+C stays what it
// is. What is no terminal is left alone. The error is errBackground for a terminal that is
// another's now.
func unbuffered(f *os.File) (restore func(), terminal bool, err error) {
	fd := int(f.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {}, false, nil //nolint:nilerr // no terminal
	}
	if owner, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && owner != unix.Getpgrp() {
		return nil, true, errBackground
	}
	raw := *was
	raw.Lflag &^= unix.ICANON | unix.ECHO
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, false, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, was) }, true, nil
}
