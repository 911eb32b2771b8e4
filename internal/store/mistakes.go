//go:build !planted

package store

import "context"

// Mistakes that a build with the tag planted makes on purpose, so that the ledger test
// can show that it notices each (see mistakes_planted.go). This build makes none, and
// the compiler removes every trace of these calls.

// heldBack is what a planted mistake keeps in a transaction.
type heldBack struct{} //nolint:unused // the other build has fields in it

func mistakenlyAnswered(_ *Store, _ *Tx, _ func())                              {}
func mistakenlyKept() bool                                                      { return false }
func mistakenlyLate(_ *Tx, _ any) bool                                          { return false }
func mistakenlyAfter(_ context.Context, _ *Store, _ *Tx) error                  { return nil }
func mistakenlyOpened(_ context.Context, _ *Store) error                        { return nil }
func mistakenlyInserted(query string) string                                    { return query }
func mistakenlyNumbered(_ context.Context, _ *Tx, _ int64) (pos int64, e error) { return 0, nil }
