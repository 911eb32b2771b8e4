package files

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// Link is what a signed address says. It opens one variant of one file.
type Link struct {
	ID, Variant string
	// User is whom it was made for: access is decided anew when he opens it. Zero
	// is whoever holds it, for messages that many receive.
	User int64
	// Expires is when it ends, a whole second.
	Expires time.Time
}

// URL returns the address of a variant of a file, without a host, and when it ends. The
// caller has checked that user may read the file. Addresses made shortly one after
// the other are the same.
func (s *Service) URL(id, variant string, user int64) (string, time.Time) {
	step := max(1, int64(s.o.LinkTTL/time.Second)/24)
	end := s.o.Clock().Add(s.o.LinkTTL).Unix()
	l := Link{ID: id, Variant: variant, User: user, Expires: time.Unix(end-end%step, 0).UTC()}
	query := "e=" + strconv.FormatInt(l.Expires.Unix(), 10)
	if user != 0 {
		query += "&u=" + strconv.FormatInt(user, 10)
	}
	return s.o.Path + "/" + id + "/" + variant + "?" + query + "&s=" + base64.RawURLEncoding.EncodeToString(s.sign(l)), l.Expires
}

// Verify returns what an address made by [Service.URL] says, or [ErrLink] if it was not,
// was changed, or has expired. The file may be gone all the same.
func (s *Service) Verify(u *url.URL) (Link, error) {
	l, signature, ok := parseLink(u)
	if !ok || !hmac.Equal(signature, s.sign(l)) || !s.o.Clock().Before(l.Expires) {
		return Link{}, ErrLink
	}
	return l, nil
}

// sign covers everything a link says; the first line keeps the signature from being one
// of anything else that is signed with the same secret.
func (s *Service) sign(l Link) []byte {
	mac := hmac.New(sha256.New, s.o.Secret)
	fmt.Fprintf(mac, "kuranty file link 1\n%s\n%s\n%d\n%d\n", l.ID, l.Variant, l.User, l.Expires.Unix())
	return mac.Sum(nil)
}

// parseLink reads an address strictly: each thing said once, in one way of writing it.
func parseLink(u *url.URL) (l Link, signature []byte, ok bool) {
	dir, variant := path.Split(u.Path)
	l.ID, l.Variant = path.Base(dir), variant
	if !validID("f_", l.ID) || variant != Original && variant != Thumb {
		return Link{}, nil, false
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(query["e"]) != 1 || len(query["s"]) != 1 || len(query["u"]) > 1 {
		return Link{}, nil, false
	}
	end, ok := number64(query.Get("e"))
	if !ok {
		return Link{}, nil, false
	}
	l.Expires = time.Unix(end, 0).UTC()
	if query.Has("u") {
		if l.User, ok = number64(query.Get("u")); !ok {
			return Link{}, nil, false
		}
	}
	signature, err = base64.RawURLEncoding.Strict().DecodeString(query.Get("s"))
	return l, signature, err == nil && !strings.ContainsAny(query.Get("s"), "\r\n")
}

// number64 reads a positive number as it is written here.
func number64(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == s
}
