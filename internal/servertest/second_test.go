package servertest_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/servertest"
)

// A second server on the same data folder gives up within 2 s and names the folder; the
// first is not disturbed.
func TestR08_ASecondServerIsRefused(t *testing.T) {
	p := servertest.Binary(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, servertest.Build(t), "serve", "--data-dir", p.DataDir, "--http_server.port=0").CombinedOutput()
	if err == nil || ctx.Err() != nil || !strings.Contains(string(out), p.DataDir) {
		t.Errorf("the second server ended with %v (%v):\n%s", err, ctx.Err(), out)
	}
	if status, answer, err := newCaller(t, p.URL, "").do("GET", "/readyz", ""); err != nil || status != 200 {
		t.Errorf("the first server answers %d %s, %v", status, answer, err)
	}
}
