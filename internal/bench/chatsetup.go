package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// person is somebody who has logged in.
type person struct {
	ID                int64
	Token, Connection string
}

// rest makes a call that is not measured, and decodes the reply into out.
func (s *server) rest(ctx context.Context, method, path, token string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.host+path, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Close = true // so that no goroutine stays behind
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode > 299 {
		return fmt.Errorf("%s %s: the API answered %s: %.300s", method, path, resp.Status, reply)
	}
	if err := json.Unmarshal(reply, out); err != nil {
		return fmt.Errorf("%s %s: read reply: %w", method, path, err)
	}
	return nil
}

// login logs somebody in.
func (s *server) login(ctx context.Context, username, password string) (person, error) {
	var reply struct {
		Access     string `json:"access_token"`
		Connection string `json:"centrifugo_token"`
		User       struct {
			ID int64 `json:"id"`
		} `json:"user"`
	}
	err := s.rest(ctx, http.MethodPost, "/api/v2/auth/login", "", map[string]any{"login": username, "password": password}, &reply)
	return person{reply.User.ID, reply.Access, reply.Connection}, err
}

// people makes n accounts, as an administrator, because strangers may not register so
// many, and logs them in.
func (s *server) people(ctx context.Context, n int) ([]person, error) {
	people := make([]person, n)
	run, password := strings.ToLower(rand.Text()[:8]), rand.Text()
	for i := range people {
		name := "bench-" + run + "-" + strconv.Itoa(i)
		var made struct{}
		err := s.rest(ctx, http.MethodPost, "/api/v2/admin/users", s.key, map[string]any{"name": name, "username": name, "password": password}, &made)
		if err != nil {
			return nil, err
		}
		if people[i], err = s.login(ctx, name, password); err != nil {
			return nil, err
		}
	}
	return people, nil
}

// group makes a group of owner and users.
func (s *server) group(ctx context.Context, owner person, title string, users []int64) (int64, error) {
	var reply struct {
		ID int64 `json:"id"`
	}
	err := s.rest(ctx, http.MethodPost, "/api/v2/chats", owner.Token, map[string]any{"kind": "group", "title": title, "user_ids": users}, &reply)
	return reply.ID, err
}

// metric returns a counter of the server, 0 if it is not there.
func (s *server) metric(ctx context.Context, name string) (float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.host+"/metrics", http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("read metrics: there is no %s", name)
}
