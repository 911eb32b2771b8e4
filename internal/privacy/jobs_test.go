package privacy_test

import (
	"testing"

	"github.com/kuranty/kuranty/internal/privacy"
)

func TestAskingTwiceIsAskingOnce(t *testing.T) {
	each(t, 0, func(t *testing.T, h *harness) {
		anna := h.users("anna")[0]
		first, err := h.privacy.RequestExport(t.Context(), anna)
		h.must(err)
		if again, err := h.privacy.RequestExport(t.Context(), anna); err != nil || again != first {
			t.Errorf("asked again it is job %s (%v), was %s", again, err, first)
		}
		h.work()
		if e, err := h.privacy.Export(t.Context(), anna, first); err != nil || e.State != privacy.Done || e.Size == 0 {
			t.Errorf("the export is %+v (%v), want done", e, err)
		}
	})
}
