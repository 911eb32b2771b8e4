package server

import (
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/status"
)

func TestStateOfTheLog(t *testing.T) {
	for behind, want := range map[time.Duration]status.State{
		0: status.Operational, 5 * time.Second: status.Operational, 6 * time.Second: status.Degraded,
		time.Minute: status.Degraded, 2 * time.Minute: status.PartialOutage,
	} {
		state, detail := logState(behind)
		if state != want || (detail == "") != (want == status.Operational) {
			t.Errorf("%v behind: %s, %q", behind, state, detail)
		}
	}
}
