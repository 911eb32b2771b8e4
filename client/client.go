// Package client is what the backend of an application uses to talk to a Kuranty server:
// its server API ([Client.Publish], [Client.Presence], [Client.History] and so on), the
// tokens with which users connect and subscribe ([Client.ConnectionToken]), and the names
// of the channels of chat ([ChatChannel]).
//
//	c, err := client.New("http://127.0.0.1:8000", client.Options{APIKey: key, TokenSecret: secret})
//	…
//	_, err = c.Publish(ctx, "news:today", map[string]string{"text": "hello"})
//
// The API is Centrifugo's, so it works with such a server too. What a server refuses is
// an [*Error] with a code, a key it does not take is [ErrUnauthorized], any other status
// is a [*StatusError]; keys and tokens are in no error.
//
// A [Client] is safe for concurrent use, starts no goroutines and needs no closing. A
// call ends with its context, at the latest after the timeout of its HTTP client. It is
// never repeated here: who repeats a publication gives it a key with [IdempotencyKey].
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
	"time"
)

const (
	// DefaultTimeout bounds a call, from dial to the last byte of the answer.
	DefaultTimeout = 30 * time.Second
	// answerLimit bounds what is read of one answer, in bytes.
	answerLimit = 64 << 20
	// excerpt bounds what an error repeats of an answer that is not the API's, in bytes.
	excerpt = 200
)

// Options say how a [Client] reaches its server. What the methods in use do not need may
// be left out.
type Options struct {
	// APIKey opens the server API (http_api.key of the server).
	APIKey string
	// APIPath is where the API is on the server; empty means "/api".
	APIPath string
	// TokenSecret signs tokens, with HS256 (client.token.hmac_secret_key of the server).
	TokenSecret string
	// Issuer and Audience are put into tokens; they are needed if the server checks them.
	// An empty Issuer is left out, an empty Audience means "kuranty".
	Issuer, Audience string
	// HTTPClient makes the requests; nil means one that gives up after [DefaultTimeout].
	// Redirects are not followed, whatever it says: they would take the key elsewhere.
	HTTPClient *http.Client
}

// Client talks to one server.
type Client struct {
	o    Options
	api  *url.URL
	http http.Client
}

// New returns a client of the server at baseURL, such as http://127.0.0.1:8000; a path in
// it comes before that of the API. It connects to nothing yet. The error is about an
// address that cannot be one.
func New(baseURL string, o Options) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("client: the server's address must look like http://127.0.0.1:8000") // not repeated, it may hold a password
	}
	c := &Client{o: o, api: u.JoinPath(cmp.Or(o.APIPath, "/api"))}
	if c.http.Timeout = DefaultTimeout; o.HTTPClient != nil {
		c.http = *o.HTTPClient
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Call calls a method of the server API that has no method here, with params encoded as
// JSON, and decodes its result into result unless that is nil.
//
// The error is an [*Error] if the server refused, [ErrUnauthorized] or a [*StatusError];
// otherwise there was no answer, or none that could be read, and the call may or may not
// have taken effect.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	body, err := encode(params)
	if err != nil {
		return fmt.Errorf("client: encode parameters of %s: %w", method, err)
	}
	answer, err := c.post(ctx, method, body)
	if err != nil {
		return fmt.Errorf("client: %s: %w", method, err)
	}
	var envelope struct {
		Error  *Error          `json:"error"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(answer, &envelope); err != nil {
		return fmt.Errorf("client: read answer to %s: %w", method, err)
	}
	switch {
	case envelope.Error != nil:
		return fmt.Errorf("client: %s: %w", method, envelope.Error)
	case result == nil:
		return nil
	case envelope.Result == nil:
		return fmt.Errorf("client: read answer to %s: there is no result in it", method)
	}
	if err := json.Unmarshal(envelope.Result, result); err != nil {
		return fmt.Errorf("client: read answer to %s: %w", method, err)
	}
	return nil
}

// post returns the body of an answer with status 200.
func (c *Client) post(ctx context.Context, method string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api.JoinPath(url.PathEscape(method)).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.o.APIKey != "" {
		req.Header.Set("X-API-Key", c.o.APIKey)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if wrapped := new(url.Error); errors.As(err, &wrapped) {
			err = wrapped.Err // the address says nothing new
		}
		return nil, fmt.Errorf("reach %s: %w", c.api.Host, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, ErrUnauthorized
	case resp.StatusCode != http.StatusOK:
		return nil, newStatusError(resp, answer)
	case err != nil:
		return nil, fmt.Errorf("read answer of %s: %w", c.api.Host, err)
	case len(answer) > answerLimit:
		return nil, fmt.Errorf("the answer is longer than %d bytes", answerLimit)
	}
	return answer, nil
}

// encode is v as JSON, without the escapes that are meant for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// line is the beginning of an answer, for a message of one line.
func line(answer []byte) string {
	first, _, _ := strings.Cut(strings.TrimSpace(string(answer[:min(len(answer), excerpt)])), "\n")
	return strings.ToValidUTF8(first, "�")
}
