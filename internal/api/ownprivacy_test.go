package api_test

import (
	"fmt"
	"testing"
)

func TestS37_OneEndsOnesOwnAccount(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	anna.do("GET", "/api/v2/me/erasure", nil).refused(404, "not_found")
	anna.do("DELETE", "/api/v2/me", obj{"password": "wrong wrong wrong"}).refused(401, "invalid_credentials")
	anna.do("DELETE", "/api/v2/me", obj{"password": password, "mode": "burn"}).refused(422, "validation")
	anna.do("GET", "/api/v2/me/erasure", nil).refused(404, "not_found")

	anna.do("DELETE", "/api/v2/me", obj{"password": password, "mode": "erase"}).want(202).is("mode", "erase", "state", "waiting").len0("due_at")
	anna.do("GET", "/api/v2/me/erasure", nil).want(200).is("mode", "erase")
	anna.do("DELETE", "/api/v2/me/erasure", nil).want(204)

	job := anna.do("POST", "/api/v2/me/export", nil).want(202).is("state", "waiting").str("job")
	anna.do("GET", "/api/v2/me/export/"+job, nil).refused(409, "not_ready")
	s.person("Boris").do("GET", "/api/v2/me/export/"+job, nil).refused(404, "not_found")
}

// An account that an administrator deletes is erased like one whose owner ends it, in the
// way that its owner has asked for.
func TestS37_DeletedByAnAdministrator(t *testing.T) {
	s := start(t, options{})
	anna, boris, root := s.person("Anna"), s.person("Boris"), s.admin("Root")
	boris.do("DELETE", "/api/v2/me", obj{"password": password, "mode": "erase"}).want(202)
	for _, c := range []struct {
		user int64
		mode string
	}{{anna.id, "anonymize"}, {boris.id, "erase"}} {
		path := fmt.Sprintf("/api/v2/admin/users/%d", c.user)
		root.do("DELETE", path, nil).want(204)
		root.do("GET", path+"/erasure", nil).want(200).is("mode", c.mode, "state", "waiting", "due_at", "2026-05-01T12:00:00.000Z")
		root.do("DELETE", path, nil).refused(404, "not_found")
	}
	root.do("DELETE", fmt.Sprintf("/api/v2/admin/users/%d", root.id), nil).refused(409, "last_admin")
	root.do("GET", fmt.Sprintf("/api/v2/admin/users/%d/erasure", root.id), nil).refused(404, "not_found")
}
