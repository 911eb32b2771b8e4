package server

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/sync/errgroup"
)

// Handler answers requests without a listener, for a command that works on the data
// folder while no server runs. The server is then not run, but closed.
func (s *Server) Handler() http.Handler { return s.front }

// Chat tells whether the contracts of chat are served.
func (s *Server) Chat() bool { return s.backend != nil }

// Close gives up what [New] took, of a server that is not run.
func (s *Server) Close() error { return errors.Join(s.backend.close(), s.dir.Close()) }

// Work does exports and erasures and makes reports that wait, until ctx ends, for who asked
// for one of a server that is not run.
func (s *Server) Work(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.backend.privacy.Run(ctx) })
	g.Go(func() error { return s.backend.analytics.Work(ctx) })
	return g.Wait()
}
