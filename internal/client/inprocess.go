package client

import (
	"bytes"
	"io"
	"net/http"
)

// inProcess carries requests to a handler in this process.
type inProcess struct{ handler http.Handler }

// RoundTrip implements [http.RoundTripper]. The reply is kept in memory.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	// What a server would have read from the wire.
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.Host = r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := &recorded{header: make(http.Header)}
	t.handler.ServeHTTP(out, in)
	if out.status == 0 {
		out.WriteHeader(http.StatusOK)
	}
	return &http.Response{
		StatusCode: out.status, Status: http.StatusText(out.status), Header: out.sent, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(&out.body), ContentLength: int64(out.body.Len()),
	}, nil
}

// recorded is a reply as a handler writes it.
type recorded struct {
	header, sent http.Header
	status       int
	body         bytes.Buffer
}

func (r *recorded) Header() http.Header { return r.header }

func (r *recorded) WriteHeader(status int) {
	if r.status == 0 {
		r.status, r.sent = status, r.header.Clone()
	}
}

func (r *recorded) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}
