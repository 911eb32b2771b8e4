//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user as whom the server runs, nil for the current one.
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("group of user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses root, and there is no user postgres or nobody")
}

// own gives dir to the server's user.
func own(dir string) error {
	who, err := account()
	if err != nil || who == nil {
		return err
	}
	if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
		return fmt.Errorf("give the data folder to the server's user: %w", err)
	}
	return nil
}

// asUser makes cmd run as the server's user and in a session of its own, where an
// interrupt typed at the terminal does not reach it.
func asUser(cmd *exec.Cmd) (*exec.Cmd, error) {
	who, err := account()
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setsid: true}
	return cmd, nil
}
