package identity_test

import (
	"errors"
	"testing"

	"github.com/kuranty/kuranty/internal/identity"
)

func TestS10_GraveThingsNeedThePassword(t *testing.T) {
	each(t, nil, func(t *testing.T, h *harness) {
		ctx := t.Context()
		by := identity.Caller{User: h.register("anna").Account.ID}
		if err := h.ConfirmPassword(ctx, by, goodPassword); err != nil {
			t.Errorf("the right password is %v", err)
		}
		if err := h.ConfirmPassword(ctx, identity.Operator("x"), ""); !errors.Is(err, identity.ErrForbidden) {
			t.Errorf("of a service it is %v", err)
		}
		var limited *identity.LimitedError
		tries := 0
		for ; tries < 30; tries++ {
			err := h.ConfirmPassword(ctx, by, "wrong")
			if errors.As(err, &limited) {
				break
			}
			if !errors.Is(err, identity.ErrInvalidCredentials) {
				t.Fatalf("a wrong password is %v", err)
			}
		}
		if limited == nil || tries < 3 || tries > 10 {
			t.Errorf("guessing ended after %d tries", tries)
		}
		if err := h.ConfirmPassword(ctx, by, goodPassword); !errors.As(err, &limited) {
			t.Errorf("after too many guesses the right password is %v", err)
		}
	})
}
