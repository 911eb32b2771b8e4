package servertest_test

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/servertest"
)

// A disk that was full for a while is an alert, once there is room to store it.
func TestAFullDiskBecomesAnAlert(t *testing.T) {
	disk := smallDisk(t, 64)
	in := servertest.Start(t, servertest.DataDir(filepath.Join(disk, "data")))
	empty := fillUp(t, disk)
	refused := func() bool {
		return call(t, in, in.APIKey, http.MethodPost, "/alerts", map[string]string{"title": "x", "severity": "low"}).status == http.StatusServiceUnavailable
	}
	until(t, "a write is refused", refused)
	full := time.Now()
	until(t, "the server has looked, as it does every second", func() bool { return refused() && time.Since(full) > 1500*time.Millisecond })
	empty()
	if a := alertOf(t, in, "database_unavailable", "database", 1); a.Severity != "critical" || a.Metadata["error"] == "" {
		t.Errorf("%+v", a)
	}
}
