package api_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/api"
)

// form makes a form of fields, which come in pairs, and a file.
func form(t *testing.T, name string, file []byte, fields ...string) request {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if file != nil {
		part, err := w.CreateFormFile("file", name)
		if err != nil {
			t.Fatal(err)
		}
		part.Write(file)
	}
	w.Close()
	return request{method: "POST", path: "/api/v2/files", body: b.Bytes(), header: http.Header{"Content-Type": {w.FormDataContentType()}}}
}

func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 600, 300))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFiles(t *testing.T) {
	s := start(t, options{})
	anna, boris, eve := s.person("Anna"), s.person("Boris"), s.person("Eve")
	up := anna.send(form(t, "снимок.png", picture(t), "kind", "image")).want(201)
	up.is("kind", "image", "name", "снимок.png", "mime", "image/png", "width", 600, "height", 300, "duration_ms", nil)
	id := up.str("id")
	anna.send(form(t, "a.txt", []byte("text"), "kind", "image")).refused(415, "unsupported_media")
	anna.send(form(t, "a.txt", []byte("text"), "kind", "nonsense")).refused(422, "validation")
	anna.send(form(t, "a.txt", []byte{})).refused(422, "validation").is("error.details.fields.0.field", "file")
	anna.send(form(t, "", nil, "kind", "image")).refused(422, "validation")
	anna.send(request{method: "POST", path: "/api/v2/files", body: []byte("--x\r\nbroken"), header: http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}}).refused(400, "bad_request")

	room := s.group(anna, boris)
	sent := anna.do("POST", fmt.Sprint("/api/v2/chats/", room, "/messages"), obj{"client_id": "1", "attachments": []any{obj{"file_id": id, "caption": nil}}}).want(201)
	sent.is("attachments.0.file_id", id, "attachments.0.type", "image", "attachments.0.metadata.width", 600, "text", "")
	for _, url := range []string{"url", "thumbnail_url"} {
		got := s.anonymous().do("GET", sent.str("attachments.0."+url), nil).want(200)
		if got.header.Get("Content-Type") != "image/png" || !strings.HasPrefix(got.header.Get("Cache-Control"), "private") || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%v", got.header)
		}
	}
	boris.do("GET", "/api/v2/files/"+id, nil).want(302)
	if got := boris.do("GET", "/api/v2/files/"+id, nil); s.anonymous().do("GET", got.header.Get("Location"), nil).status != 200 {
		t.Errorf("%v", got.header)
	}
	eve.do("GET", "/api/v2/files/"+id, nil).refused(404, "not_found")
	s.anonymous().do("GET", sent.str("attachments.0.url")+"x", nil).refused(404, "not_found")
	part := s.anonymous().send(request{method: "GET", path: sent.str("attachments.0.url"), header: http.Header{"Range": {"bytes=0-3"}}})
	if part.status != 206 || string(part.body) != "\x89PNG" {
		t.Errorf("%d %q", part.status, part.body)
	}

	me := form(t, "me.png", picture(t))
	me.method, me.path = "PUT", "/api/v2/me/avatar"
	avatar := anna.send(me).want(200).str("avatar.url")
	if avatar == "" {
		t.Error("no avatar")
	}
	anna.do("DELETE", "/api/v2/me/avatar", nil).want(204)
	anna.do("GET", "/api/v2/me", nil).want(200).is("avatar", nil)
	s.anonymous().do("GET", "/avatars/nothing.jpg", nil).refused(404, "not_found")
}

func TestUploadInParts(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	up := anna.do("POST", "/api/v2/files/uploads", obj{"name": "a.txt", "size": 6, "mime": "text/plain"}).want(201).is("chunk_size", 5<<20, "offset", 0)
	path := "/api/v2/files/uploads/" + up.str("upload_id")
	bytes := func(offset int, b string) request {
		return request{method: "PUT", path: fmt.Sprint(path, "?offset=", offset), body: []byte(b), header: http.Header{"Content-Type": {"application/octet-stream"}}}
	}
	anna.send(bytes(0, "abc")).want(200).is("offset", 3)
	anna.send(bytes(0, "abc")).refused(409, "upload_offset").is("error.details.offset", 3)
	anna.do("POST", path+"/complete", nil).refused(409, "upload_incomplete")
	anna.do("GET", path, nil).want(200).is("offset", 3, "size", 6)
	anna.send(bytes(3, "defg")).refused(413, "too_large")
	anna.send(bytes(3, "def")).want(200).is("offset", 6)
	anna.do("POST", path+"/complete", nil).want(201).is("name", "a.txt", "size", 6, "kind", "file")
	other := anna.do("POST", "/api/v2/files/uploads", obj{"name": "b.txt", "size": 6}).want(201)
	anna.do("DELETE", "/api/v2/files/uploads/"+other.str("upload_id"), nil).want(204)
	anna.do("POST", "/api/v2/files/uploads", obj{"name": "c.txt", "size": 26 << 20}).refused(413, "too_large")
}

func TestUploadsAreBounded(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.UploadBytes = 1000 }})
	anna := s.person("Anna")
	anna.send(form(t, "a.txt", bytes.Repeat([]byte("a"), 500))).want(201)
	anna.send(form(t, "a.txt", bytes.Repeat([]byte("a"), 1000))).refused(413, "too_large")
}

func TestAdministration(t *testing.T) {
	s := start(t, options{})
	anna, root := s.person("Anna"), s.admin("Root")
	root.do("GET", "/api/v2/admin/users?limit=1", nil).want(200).is("users.0.name", "Anna", "next_after", anna.id)
	root.do("POST", "/api/v2/admin/users", obj{"name": "Бот", "username": "bot", "kind": "bot"}).want(201).is("kind", "bot")
	root.do("PUT", "/api/v2/admin/users/external/42", obj{"name": "Внешний"}).want(201).is("external_id", "42")
	root.do("PUT", "/api/v2/admin/users/external/42", obj{"name": "Другой"}).want(200).is("name", "Другой")
	user := fmt.Sprint("/api/v2/admin/users/", anna.id)
	root.do("GET", user, nil).want(200).is("email", "anna1@example.org")
	root.do("PATCH", user, obj{"state": "suspended"}).want(200).is("state", "suspended")
	anna.do("GET", "/api/v2/me", nil).refused(403, "suspended")
	root.do("PATCH", user, obj{"state": "active"}).want(200).is("state", "active")
	token := root.do("POST", user+"/reset", nil).want(201).str("token")
	s.anonymous().do("POST", "/api/v2/auth/password/reset", obj{"token": token, "new": "brand new password"}).want(204)
	root.do("PATCH", fmt.Sprint("/api/v2/admin/users/", root.id), obj{"role": "user"}).refused(409, "last_admin")
	made := root.do("POST", "/api/v2/admin/keys", obj{"name": "CI", "scopes": []string{"read:*"}, "expires_in": 3600}).want(201)
	if !strings.HasPrefix(made.str("key"), "kur_") || strings.Contains(string(root.do("GET", "/api/v2/admin/keys", nil).want(200).body), made.str("key")) {
		t.Errorf("%s", made.body)
	}
	(&person{s: s, token: made.str("key")}).do("GET", "/api/v2/admin/users", nil).refused(403, "forbidden")
	root.do("DELETE", "/api/v2/admin/keys/"+made.str("id"), nil).want(204)
	(&person{s: s, token: made.str("key")}).do("GET", "/api/v2/admin/users", nil).refused(401, "unauthorized")
	root.do("POST", "/api/v2/admin/notices", obj{"content": "Работы", "level": "warning", "starts_at": "2026-05-02T00:00:00Z", "ends_at": nil}).want(201).is("level", "warning", "type", "system", "event_seq", 1, "starts_at", "2026-05-02T00:00:00.000Z")
	root.do("POST", "/api/v2/admin/notices", obj{"content": ""}).refused(422, "validation")
}

// What is sensitive needs a login of the last 15 minutes (guarantees.md S20).
func TestS20_SensitiveNeedsAFreshLogin(t *testing.T) {
	s := start(t, options{accounts: longTokens})
	root := s.admin("Root")
	root.do("POST", "/api/v2/admin/keys", obj{"name": "CI"}).want(201)
	s.advance(freshLogin + 1e9)
	root.do("GET", "/api/v2/admin/keys", nil).want(200)
	root.do("POST", "/api/v2/admin/keys", obj{"name": "CI"}).refused(403, "login_too_old")
	s.service().do("POST", "/api/v2/admin/keys", obj{"name": "CI"}).want(201)
}
