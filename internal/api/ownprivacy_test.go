package api_test

import "testing"

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
