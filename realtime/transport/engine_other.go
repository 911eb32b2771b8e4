//go:build !linux

package transport

import (
	"net"
	"time"

	"github.com/kuranty/kuranty/realtime"
)

// engine is not used here: every connection is a stream.
type engine struct{}

func (s *Server) poll(ln net.Listener) (net.Listener, error) { return s.filtered(ln), nil }

func (s *Server) stopAccepting() {}

func (s *Server) stopPolling() {}

func (s *Server) watch(time.Time) bool { return false }

func (s *Server) adopt(conn net.Conn, early []byte, h hello, newSession func(realtime.Conn) Session) {
	s.serveStream(conn, early, h, newSession)
}
