package servertest_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestS09_ConditionsHoldEverywhere suspends an account and tries every door with what
// let it in before, and with its password.
func TestS09_ConditionsHoldEverywhere(t *testing.T) {
	c := newCluster(t, 2)
	who := c.register()
	doors := []struct {
		name, method, path string
		in                 any
	}{
		{"contract A", "GET", "/api/get-user-info", nil},
		{"contract B", "GET", "/api/v1/users/me", nil},
		{"contract B, connection token", "POST", "/api/v1/centrifugo/token", nil},
		{"contract C", "GET", "/api/v2/me", nil},
		{"contract C, connection token", "POST", "/api/v2/auth/connection-token", map[string]any{}},
		{"upload", "POST", "/api/v2/files/uploads", map[string]any{"name": "a.txt", "size": 3, "mime": "text/plain"}},
		{"administration", "GET", "/api/v2/admin/users", nil},
	}
	for _, d := range doors[:len(doors)-1] {
		for i, l := range c.rest {
			if status, err := l.call(t.Context(), who.person, d.method, d.path, d.in, nil); err != nil {
				t.Fatalf("%s at node %d before: %d %v", d.name, i, status, err)
			}
		}
	}
	for _, node := range c.nodes {
		must(t)(connect(node.WSURL, who.realtime, nil))
	}
	c.do(operator, "PATCH", fmt.Sprintf("/api/v2/admin/users/%d", who.id), map[string]any{"state": "suspended"}, nil)
	begin := time.Now()
	refused := func(status int) bool { return status == http.StatusUnauthorized || status == http.StatusForbidden }
	for i, l := range c.rest {
		for _, d := range doors {
			until(t, fmt.Sprintf("%s at node %d refuses", d.name, i), func() bool {
				status, _ := l.call(t.Context(), who.person, d.method, d.path, d.in, nil)
				return refused(status)
			})
		}
		for _, login := range []struct {
			path string
			in   map[string]any
		}{
			{"/api/v2/auth/login", map[string]any{"login": who.name, "password": password}},
			{"/api/v1/users/login", map[string]any{"username": who.name, "password": password}},
		} {
			if status, err := l.call(t.Context(), person{}, "POST", login.path, login.in, nil); !refused(status) {
				t.Errorf("%s at node %d: %d %v", login.path, i, status, err)
			}
		}
		if conn, err := connect(c.nodes[i].WSURL, who.realtime, nil); err == nil {
			conn.Close()
			t.Errorf("node %d lets the connection token in", i)
		}
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}
