package server

import "net/http"

// newAPI returns the server API of the node.
func (s *Server) newAPI() http.Handler { return http.NotFoundHandler() }
