package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/identity"
	"github.com/kuranty/kuranty/internal/privacy"
)

// firstAdmin makes the administrator that the configuration names, if there is none. Who
// starts the server at a terminal gets a token instead, with which somebody becomes the
// first one (guarantees.md S13); a log shows none.
func (s *Server) firstAdmin(ctx context.Context) error {
	if s.backend == nil || s.cfg.Auth.Mode == string(identity.External) {
		return nil
	}
	accounts := s.backend.accounts
	if f := &s.cfg.Auth.FirstAdmin; f.Username != "" {
		acc, made, err := accounts.EnsureAdmin(ctx, identity.NewAccount{Username: f.Username, Email: f.Email, Password: f.Password})
		if err != nil {
			var field *identity.FieldError
			if errors.As(err, &field) { // in words, and as a key of the configuration
				return fmt.Errorf("auth.first_admin.%s", apierror.From(err).Message(apierror.English))
			}
			return fmt.Errorf("auth.first_admin: %w", err)
		}
		if made {
			// If that fails there is only the log: the next start does not make them again.
			e := privacy.Entry{Actor: identity.Operator("config").Actor(), Action: "user.create", Target: event.User(acc.ID)}
			if err := s.backend.privacy.Audit(ctx, e, map[string]any{"role": acc.Role, "kind": acc.Kind}); err != nil {
				s.log.Warn("the first administrator is not in the audit log", "error", err)
			}
			s.log.Info("made the first administrator (auth.first_admin)", "user", acc.ID, "username", acc.Username)
		}
		return nil
	}
	token, err := accounts.FirstAdminToken(ctx)
	if err != nil {
		return fmt.Errorf("make a token for the first administrator: %w", err)
	}
	if token != "" && s.cfg.Log.Format == "json" {
		s.log.Warn("nobody is administrator yet: run kuranty admin create, or kuranty admin link")
		return nil
	}
	s.adminToken = token
	return nil
}

// welcomeAdmin tells how to become the first administrator.
func (s *Server) welcomeAdmin(b *strings.Builder, a Address) {
	if s.adminToken == "" {
		return
	}
	program, flags := cmp.Or(s.o.Command, "kuranty"), s.o.CommandFlags
	fmt.Fprintf(b, "\nNobody is administrator yet. Become it here:\n\n  %s admin create YOUR-NAME%s\n\n", program, flags)
	fmt.Fprintf(b, "or from elsewhere, once and within 24 hours, with this token:\n\n  %s\n", FirstAdminCall(a.URL(), s.adminToken))
}

// FirstAdminCall is the command line that makes the first administrator of the server at
// url with a token.
func FirstAdminCall(url, token string) string {
	return fmt.Sprintf(`curl %s/api/v2/auth/first-admin -H 'Content-Type: application/json' -d '{"token": "%s", "username": "YOUR-NAME", "password": "A-NEW-PASSWORD"}'`, url, token)
}
