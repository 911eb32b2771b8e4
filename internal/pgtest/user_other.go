//go:build !unix

package pgtest

import (
	"fmt"
	"os/exec"
	"runtime"
)

// own says that servers are not started here.
func own(string) error {
	return fmt.Errorf("PostgreSQL for tests cannot be started on %s", runtime.GOOS)
}

func asUser(cmd *exec.Cmd) (*exec.Cmd, error) { return cmd, nil }
