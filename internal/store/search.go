package store

import (
	"context"

	"github.com/kuranty/kuranty/internal/chat"
)

// Index implements chat's sending.
func (tx chatTx) Index(context.Context, *chat.Message) error { return nil }

// Unindex implements chat's sending.
func (tx chatTx) Unindex(context.Context, *chat.Message) error { return nil }
