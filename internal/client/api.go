// Package client speaks to a running server for the command line: its API over HTTP
// ([API]) and the client protocol over WebSocket, as a subscriber ([Subscribe]) or command
// by command ([Conn]).
//
// Errors are meant for people: they say what went wrong and what to do about it, and
// never contain keys or tokens. The package starts goroutines only within [Subscribe],
// which waits for them.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// ErrNothing means that the server serves nothing at the address of the API that was called.
var ErrNothing = errors.New("nothing")

// Error is a refusal of the server API (server-api.md §1) or of the client protocol.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Error says what the code means.
func (e *Error) Error() string {
	text := fmt.Sprintf("the server answered error %d, %s", e.Code, e.Message)
	if hint := hints[e.Code]; hint != "" {
		text += ": " + hint
	}
	return text
}

// hints explain codes of API and client protocol to who typed a command.
var hints = map[int]string{
	101: "the token was not accepted",
	102: "the configuration has no namespace of that name (the text before the first colon of a channel)",
	103: "the configuration does not allow it, the token is not for this channel, or the user is not in the chat it belongs to",
	107: "check the channel's name, and whether its namespace limits the form of data",
	108: "the channel's options do not have this feature (presence; or history_size and history_ttl)",
	109: "the token is past its expiry; make a new one with kuranty token create",
	112: "the position is not one of this stream any more",
}

// answerLimit bounds what is read of one answer, in bytes.
const answerLimit = 64 << 20

// API calls the server API. It is safe for concurrent use.
type API struct {
	// URL is the server's address, as http://127.0.0.1:8000; a path in it comes before
	// Prefix, which is where the API is ("/api" if empty).
	URL, Prefix string
	// Key is the API key.
	Key string
}

// Call calls method with params, which are encoded as JSON, and decodes the result into
// result unless that is nil. The error is an [*Error] if the server refused.
func (a *API) Call(ctx context.Context, method string, params, result any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("encode parameters of %s: %w", method, err)
	}
	u, err := address(a.URL, cmp.Or(a.Prefix, "/api"), method)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call %s: %w", a.URL, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if a.Key != "" {
		req.Header.Set("X-API-Key", a.Key)
	}
	status, answer, err := do(req)
	if err != nil {
		return err
	}
	switch status {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return errors.New("the server refused the API key: give its key with --api-key or KURANTY_API_KEY, or its folder with --data-dir")
	case http.StatusNotFound:
		return fmt.Errorf("%w at %s: is that a Kuranty server, and its API enabled?", ErrNothing, u)
	default:
		return fmt.Errorf("the server answered %d to %s: %s", status, method, firstLine(answer))
	}
	var envelope struct {
		Error  *Error          `json:"error"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(answer, &envelope); err != nil {
		return fmt.Errorf("read answer of %s: %w", a.URL, err)
	}
	if envelope.Error != nil {
		return envelope.Error
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(envelope.Result, result); err != nil {
		return fmt.Errorf("read answer of %s: %w", a.URL, err)
	}
	return nil
}

// Healthy returns nil if the server at base is ready for clients.
func Healthy(ctx context.Context, base string) error { return Check(ctx, base, "/readyz") }

// Check returns nil if a path of health checks answers that all is well; the error is
// [ErrNothing] if there is no such path.
func Check(ctx context.Context, base, path string) error {
	u, err := address(base, path)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", base, err)
	}
	status, answer, err := do(req)
	if err != nil {
		return err
	}
	switch {
	case status == http.StatusNotFound:
		return fmt.Errorf("%w at %s: is that a Kuranty server, and health.enabled true?", ErrNothing, u)
	case status != http.StatusOK:
		return fmt.Errorf("the server at %s is not ready: %d %s", base, status, firstLine(answer))
	}
	return nil
}

// address returns the URL of a path on the server at base.
func address(base string, path ...string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is no address of a server; it looks like http://127.0.0.1:8000", base)
	}
	return u.JoinPath(path...), nil
}

var httpClient = &http.Client{Timeout: 30 * time.Second}

// do returns the status and body of the answer to req.
func do(req *http.Request) (int, []byte, error) {
	resp, err := httpClient.Do(req)
	if err != nil {
		return 0, nil, unreachable(req.URL, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return 0, nil, unreachable(req.URL, err)
	}
	return resp.StatusCode, answer, nil
}

// unreachable explains why there is no answer from u.
func unreachable(u *url.URL, err error) error {
	server := u.Scheme + "://" + u.Host
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no server at %s: start one with kuranty serve, or say where it is with --url (kuranty webhook: --server)", server)
	}
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		err = wrapped.Err // without the address, whose query may hold a secret
	}
	return fmt.Errorf("reach %s: %w", server, err)
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}
