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
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// restPrefix is where our own contract is.
const restPrefix = "/api/v2"

// RefusedError is an error reply of our own contract (chat-api.md §0.10), or of that of
// webhooks (spec/webhooks.md §1.2), which has no codes.
type RefusedError struct {
	Status        int
	Code, Message string
	// Fields say what is wrong with which field.
	Fields []string
}

func (e *RefusedError) Error() string {
	if len(e.Fields) == 0 {
		text := strings.TrimSuffix(e.Message, ".") // a sentence, but here it ends one
		if e.Code == "forbidden" {
			text += "; a key needs the scope admin"
		}
		first, n := utf8.DecodeRuneInString(text)
		return string(unicode.ToLower(first)) + text[n:]
	}
	return strings.Join(e.Fields, "; ")
}

// REST calls our own contract, /api/v2, with an API key or for a person. It is safe for concurrent use.
type REST struct {
	// URL is the server's address, as http://127.0.0.1:8000.
	URL string
	// Key is the API key. Token, if not empty, is the access token of a person, in its place.
	Key, Token string
	// Prefix is where the operations are; empty means /api/v2.
	Prefix string
	// Handler, if not nil, answers in the place of the server at URL.
	Handler http.Handler
}

// restTimeout bounds a call, an export being fetched included.
const restTimeout = 5 * time.Minute

// Call calls an operation with a body, which is encoded as JSON unless it is nil, and
// decodes the reply into result unless that is nil. The error is a [*RefusedError] if the
// server refused.
func (r *REST) Call(ctx context.Context, method, path string, in, result any) error {
	reply, err := r.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer reply.Close()
	text, err := io.ReadAll(io.LimitReader(reply, answerLimit))
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", r.URL, err)
	}
	if result == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("read answer of %s: %w", r.URL, err)
	}
	return nil
}

// Fetch writes the body of a reply to w.
func (r *REST) Fetch(ctx context.Context, path string, w io.Writer) (int64, error) {
	reply, err := r.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return 0, err
	}
	defer reply.Close()
	n, err := io.Copy(w, reply)
	if err != nil {
		return n, fmt.Errorf("read answer of %s: %w", r.URL, err)
	}
	return n, nil
}

// open returns the body of a reply of success.
func (r *REST) open(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	path, query, _ := strings.Cut(path, "?")
	u, err := address(r.URL, cmp.Or(r.Prefix, restPrefix), path)
	if err != nil {
		return nil, err
	}
	u.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", r.URL, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case r.Token != "":
		req.Header.Set("Authorization", "Bearer "+r.Token)
	case r.Key != "":
		req.Header.Set("X-API-Key", r.Key)
	}
	c := &http.Client{Timeout: restTimeout}
	if r.Handler != nil {
		c.Transport = inProcess{r.Handler}
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, unreachable(u, err)
	}
	if resp.StatusCode < 300 {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, unreachable(u, err)
	}
	return nil, refused(resp.StatusCode, u.String(), text)
}

var errKey = errors.New("the server refused the API key: give its key with --api-key or KURANTY_API_KEY, or its folder with --data-dir")

// refused is what an error reply means.
func refused(status int, url string, text []byte) error {
	var envelope struct {
		Error struct {
			Code, Message string
			Details       struct {
				Fields []struct{ Field, Message string }
			}
		}
	}
	if json.Unmarshal(text, &envelope) != nil || envelope.Error.Code == "" {
		if e := detailed(status, text); e != nil {
			return e
		}
		if status == http.StatusNotFound {
			return fmt.Errorf("%w at %s: is that a Kuranty server, and chat enabled (chat.enabled)?", ErrNothing, url)
		}
		return fmt.Errorf("the server answered %d: %s", status, firstLine(text))
	}
	if status == http.StatusUnauthorized {
		return errKey
	}
	e := &RefusedError{Status: status, Code: envelope.Error.Code, Message: envelope.Error.Message}
	for _, f := range envelope.Error.Details.Fields {
		if !strings.HasPrefix(f.Message, f.Field+" ") {
			f.Message = f.Field + ": " + f.Message
		}
		e.Fields = append(e.Fields, f.Message)
	}
	return e
}

// detailed is what a reply of the contract of webhooks means: it has a text, or a list with
// an entry for each field that is wrong. It is nil if the reply is not of that form.
func detailed(status int, text []byte) error {
	var reply struct{ Detail json.RawMessage }
	var list []struct {
		Loc []any
		Msg string
	}
	e := &RefusedError{Status: status}
	// What is of another form stays empty.
	_ = json.Unmarshal(text, &reply)
	_ = json.Unmarshal(reply.Detail, &list)
	_ = json.Unmarshal(reply.Detail, &e.Message)
	switch {
	case len(list) > 0:
		e.Message = "invalid"
	case e.Message == "":
		return nil
	case status == http.StatusUnauthorized:
		return errKey
	case status == http.StatusForbidden:
		e.Message += "; a key needs webhooks:read to look, webhooks:write to change and webhooks:deliveries to send again"
	}
	for _, wrong := range list {
		var names []string
		for _, part := range wrong.Loc[min(1, len(wrong.Loc)):] { // the first says where: body, query or path
			names = append(names, fmt.Sprint(part))
		}
		message := strings.TrimPrefix(wrong.Msg, "Value error, ")
		if len(names) > 0 {
			message = strings.Join(names, ".") + ": " + message
		}
		e.Fields = append(e.Fields, message)
	}
	return e
}
