package server

import "github.com/kuranty/kuranty/internal/serverapi"

// newAPI returns the server API of the node.
func (s *Server) newAPI() (*serverapi.API, error) {
	c := s.cfg.HTTPAPI
	var node serverapi.Node = s.node
	if b := s.backend; b != nil {
		node = guardedNode{s.node, b.windi.ServerPublish}
	}
	return serverapi.New(node, serverapi.Options{
		Key: c.Key, Insecure: c.Insecure, QueryKey: c.QueryKey, ErrorMode: c.ErrorMode,
		Prefix: c.HandlerPrefix, BodyBytes: c.BodySizeLimit, Logger: s.log,
	})
}
