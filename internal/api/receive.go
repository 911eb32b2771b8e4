package api

import (
	"errors"
	"io"
	"net/http"

	"github.com/kuranty/kuranty/internal/apierror"
)

// received is the body of a request.
type received struct {
	io.ReadCloser

	ended bool
}

const (
	// unread is how much of a body that no handler wants net/http takes by itself.
	unread = 256 << 10
	// drained is how much more is taken here.
	drained = 64 << 20
)

// receive watches over the body of r. What it returns is called after the reply, and takes
// the rest of the body: many clients look for a reply only when they have sent everything,
// and would find the connection broken instead.
func receive(w http.ResponseWriter, r *http.Request) (drain func()) {
	if r.Body == nil || r.Body == http.NoBody {
		return func() {}
	}
	body := &received{ReadCloser: r.Body}
	r.Body = body
	return func() {
		// Who expects to be told to continue has sent nothing, and does not after a refusal.
		if body.ended || r.ContentLength >= 0 && r.ContentLength <= unread || r.Header.Get("Expect") != "" {
			return
		}
		if http.NewResponseController(w).Flush() == nil {
			_, _ = io.CopyN(io.Discard, body, drained) // what is longer is cut off
		}
	}
}

// Read implements [io.Reader]. A body whose end never comes, because it is broken off, late,
// or in chunks that are none (guarantees.md S26), is the client's fault.
func (b *received) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.ended = true
		if !errors.Is(err, io.EOF) {
			err = apierror.New(apierror.BadRequest, err)
		}
	}
	return n, err
}
