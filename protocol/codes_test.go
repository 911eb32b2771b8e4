package protocol_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kuranty/kuranty/protocol"
)

func TestCloseReconnect(t *testing.T) {
	for code, want := range map[uint32]bool{
		1006: true, 3000: true, 3499: true, 3500: false, 3999: false, 4000: true, 4499: true, 4500: false, 4999: false, 5000: true,
	} {
		if got := (&protocol.Close{Code: code}).Reconnect(); got != want {
			t.Errorf("%d: %v", code, got)
		}
	}
}

// TestCodesAreErrors: they can be found in a chain by their code, whatever their text.
func TestCodesAreErrors(t *testing.T) {
	err := fmt.Errorf("subscribe: %w", &protocol.Error{Code: 103, Message: "not here"})
	if !errors.Is(err, protocol.ErrPermissionDenied) || errors.Is(err, protocol.ErrBadRequest) {
		t.Errorf("%v is not told by its code", err)
	}
	closed := fmt.Errorf("connect: %w", &protocol.Close{Code: 3500, Reason: "bad signature"})
	if !errors.Is(closed, protocol.CloseInvalidToken) || errors.Is(closed, protocol.CloseStale) || errors.Is(closed, protocol.ErrUnauthorized) {
		t.Errorf("%v is not told by its code", closed)
	}
	for got, want := range map[string]string{
		protocol.ErrTokenExpired.Error(): "109: token expired", protocol.CloseNoPong.Error(): "close 3012: no pong",
		protocol.JSON.String(): "json", protocol.Protobuf.String(): "protobuf",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
