package server

import (
	"context"
	"errors"
	"log/slog"

	"github.com/kuranty/kuranty/internal/config"
	"github.com/kuranty/kuranty/internal/store"
)

// FillDeliveries gives each webhook in the database of a configuration n deliveries that are
// due, with payloads of about size bytes: `kuranty bench webhook` measures the server with
// them. No server may have the data folder.
func FillDeliveries(ctx context.Context, c *config.Config, n, size int) (err error) {
	dir, err := OpenDataDir(c.Storage.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	o := StoreOptions(c, dir.Path())
	o.Logger = slog.New(slog.DiscardHandler)
	st, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return st.FillDeliveries(ctx, n, size)
}
