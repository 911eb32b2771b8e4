package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kuranty/kuranty/internal/store"
)

// onBoth runs a test on SQLite and on PostgreSQL.
func onBoth(t *testing.T, f func(*testing.T, *server)) {
	for _, driver := range []string{store.SQLite, store.Postgres} {
		t.Run(driver, func(t *testing.T) { f(t, start(t, options{driver: driver})) })
	}
}

func TestPeople(t *testing.T) {
	s := start(t, options{})
	anna, boris := s.person("Anna"), s.person("Boris")
	anna.do("PATCH", "/api/v2/me", obj{"about": "О себе", "lang": "ru", "tz": "Europe/Moscow", "privacy": obj{"email": "everyone"}}).want(200).
		is("about", "О себе", "privacy.email", "everyone", "privacy.read_receipts", true, "storage.limit", 5<<30, "presence", "offline", "last_seen_at", nil, "is_contact", false, "blocked_by_me", false)
	anna.do("GET", "/api/v2/me", nil).want(200).is("storage.used", 0, "storage.limit", 5<<30, "email", "anna1@example.org")
	boris.do("GET", fmt.Sprint("/api/v2/users/", anna.id), nil).want(200).is("name", "Anna", "username", "anna1", "about", "О себе", "kind", "human", "state", "active", "avatar", nil, "is_contact", false)
	boris.do("GET", "/api/v2/users/999", nil).refused(404, "not_found")
	boris.do("POST", "/api/v2/users/batch", obj{"ids": []any{anna.id, fmt.Sprint(boris.id), 999}}).want(200).is("users.0.id", anna.id)
	boris.do("GET", "/api/v2/users/search?q=ann", nil).want(200).is("users.0.name", "Anna", "next_cursor", nil)
	boris.do("GET", "/api/v2/users/search", nil).refused(422, "validation")

	boris.do("POST", "/api/v2/contacts/requests", obj{"user_id": anna.id}).want(204)
	anna.do("GET", "/api/v2/contacts", nil).want(200).is("contacts.0.state", "incoming", "contacts.0.user.name", "Boris")
	anna.do("POST", fmt.Sprint("/api/v2/contacts/requests/", boris.id, "/accept"), nil).want(204)
	boris.do("GET", fmt.Sprint("/api/v2/users/", anna.id), nil).want(200).is("is_contact", true)
	boris.do("DELETE", fmt.Sprint("/api/v2/contacts/", anna.id), nil).want(204)
	boris.do("POST", "/api/v2/contacts/requests", obj{"user_id": anna.id}).want(204)
	anna.do("POST", fmt.Sprint("/api/v2/contacts/requests/", boris.id, "/decline"), nil).want(204)

	anna.do("PUT", fmt.Sprint("/api/v2/blocks/", boris.id), nil).want(204)
	anna.do("GET", "/api/v2/blocks", nil).want(200).is("users.0.id", boris.id, "users.0.blocked_by_me", true)
	boris.do("POST", fmt.Sprint("/api/v2/users/", anna.id, "/messages"), obj{"client_id": "1", "text": "?"}).refused(403, "cannot_message")
	boris.do("POST", "/api/v2/chats", obj{"kind": "direct", "user_id": anna.id}).refused(403, "cannot_message")
	anna.do("DELETE", fmt.Sprint("/api/v2/blocks/", boris.id), nil).want(204)
	boris.do("POST", "/api/v2/presence/query", obj{"user_ids": []any{anna.id, 999}}).want(200).is("users.1.presence", "hidden", "users.0.user_id", anna.id)
}

func TestChats(t *testing.T) {
	onBoth(t, func(t *testing.T, s *server) {
		anna, boris, vera := s.person("Anna"), s.person("Boris"), s.person("Vera")
		first := anna.do("POST", "/api/v2/chats", obj{"kind": "direct", "user_id": boris.id}).want(201)
		first.is("kind", "direct", "title", "Boris", "companion.id", boris.id, "member_count", 2, "role", "member", "last_message", nil,
			"permissions.post", true, "unread_count", 0, "draft", nil, "muted_until", nil, "pin_order", nil, "peer_read_seq", 0)
		anna.do("POST", "/api/v2/chats", obj{"kind": "direct", "user_id": boris.id}).want(200).is("id", first.str("id"))
		anna.do("POST", "/api/v2/chats", obj{"kind": "direct"}).refused(422, "validation").is("error.details.fields.0.field", "user_id")
		group := anna.do("POST", "/api/v2/chats", obj{"kind": "group", "title": "Группа", "about": "Про", "user_ids": []any{boris.id}, "settings": obj{"who_can_post": "admins"}}).want(201)
		group.is("kind", "group", "title", "Группа", "role", "owner", "settings.who_can_post", "admins", "settings.history_for_new", "all", "companion", nil, "permissions.ban", true)
		id := group.str("id")
		path := "/api/v2/chats/" + id
		anna.do("PATCH", path, obj{"title": "Другая", "settings": obj{"who_can_post": "all", "slow_mode_s": 5}}).want(200).is("title", "Другая", "settings.slow_mode_s", 5)
		anna.do("PATCH", path, obj{"retention_days": 7}).want(200).is("title", "Другая", "about", "Про", "retention_days", 7)
		anna.do("PATCH", path, obj{"about": nil, "avatar_file_id": nil, "retention_days": nil}).want(200).is("about", nil, "avatar", nil, "retention_days", nil)
		anna.do("PATCH", path, obj{"about": strings.Repeat("a", 5000)}).refused(422, "validation")
		anna.do("PATCH", path, obj{"retention_days": -1}).refused(422, "validation")
		anna.do("PATCH", path, obj{"settings": obj{"slow_mode_s": 4000}}).refused(422, "validation")
		until := s.clock().Add(time.Hour).Format("2006-01-02T15:04:05.000Z")
		boris.do("PUT", path+"/state", obj{"muted_until": until, "pin_order": 2, "archived": true, "draft": obj{"text": "не дописал"}}).want(200).
			is("muted_until", until, "pin_order", 2, "archived", true, "draft.text", "не дописал")
		boris.do("PUT", path+"/state", obj{"pin_order": nil, "draft": nil}).want(200).is("muted_until", until, "pin_order", nil, "draft", nil, "archived", true)
		boris.do("GET", "/api/v2/chats?filter=archived", nil).want(200).is("total", 1, "chats.0.id", id)
		list := anna.do("GET", "/api/v2/chats?limit=1", nil).want(200).is("total", 2)
		anna.do("GET", "/api/v2/chats?limit=1&cursor="+list.str("next_cursor"), nil).want(200).is("next_cursor", nil)
		anna.do("GET", "/api/v2/chats?cursor=nonsense", nil).refused(422, "validation")
		vera.do("GET", path, nil).refused(404, "not_found")
		anna.do("GET", "/api/v2/me/saved", nil).want(200).is("kind", "saved", "title", nil, "companion", nil)

		anna.do("POST", path+"/clear", nil).want(204)
		boris.do("DELETE", path+"?for=all", nil).refused(403, "forbidden")
		anna.do("DELETE", path+"?for=all", nil).want(204)
		boris.do("GET", path, nil).refused(404, "not_found")
	})
}

func TestGroups(t *testing.T) {
	s := start(t, options{})
	anna, boris, vera := s.person("Anna"), s.person("Boris"), s.person("Vera")
	path := fmt.Sprint("/api/v2/chats/", s.group(anna, boris))
	group := obj{"kind": "group", "title": "x", "user_ids": []any{777, boris.id, 999}}
	anna.do("POST", "/api/v2/chats", group).refused(422, "validation").is("error.details.fields.0.field", "user_ids", "error.details.user_ids.0", 777, "error.details.user_ids.1", 999)
	if made := anna.do("POST", "/api/v2/chats", obj{"kind": "group", "title": "x", "user_ids": []any{boris.id}}).want(201); made.len("not_added") != 0 || !strings.Contains(string(made.body), `"not_added":[]`) {
		t.Errorf("%s", made.body)
	}
	anna.do("GET", path+"/members", nil).want(200).is("total", 2, "members.0.role", "owner", "members.0.user.name", "Anna", "members.1.user.name", "Boris")
	anna.do("GET", path+"/members?q=bor&role=member", nil).want(200).is("total", 1)
	anna.do("POST", path+"/members", obj{"user_ids": []any{vera.id, boris.id, 999}}).want(200).is("added.0", vera.id, "not_added.0.user_id", boris.id, "not_added.0.reason", "member", "not_added.1.reason", "unknown")
	anna.do("PATCH", fmt.Sprint(path, "/members/", vera.id), obj{"role": "admin"}).want(204)
	anna.do("PATCH", fmt.Sprint(path, "/members/", vera.id), obj{"role": "owner"}).refused(422, "validation")
	vera.do("DELETE", fmt.Sprint(path, "/members/", boris.id, "?ban=true"), nil).want(204)
	vera.do("GET", path+"/bans", nil).want(200).is("users.0.name", "Boris")
	boris.do("GET", path, nil).refused(404, "not_found")

	anna.do("POST", path+"/invites", obj{"needs_approval": true}).refused(422, "validation").is("error.details.fields.0.field", "needs_approval")
	in := anna.do("POST", path+"/invites", obj{"expires_in": 3600, "max_uses": 1}).want(201).is("max_uses", 1, "uses", 0)
	if !strings.HasPrefix(in.str("url"), s.url) || !strings.HasSuffix(in.str("url"), in.str("id")) {
		t.Errorf("%s", in.body)
	}
	boris.do("POST", "/api/v2/invites/"+in.str("id")+"/join", nil).refused(403, "banned")
	vera.do("DELETE", fmt.Sprint(path, "/bans/", boris.id), nil).want(204)
	boris.do("GET", "/api/v2/invites/"+in.str("id"), nil).want(200).is("chat.title", "Группа", "chat.member_count", 2)
	boris.do("POST", "/api/v2/invites/"+in.str("id")+"/join", nil).want(200).is("title", "Группа", "role", "member")
	s.person("Gena").do("POST", "/api/v2/invites/"+in.str("id")+"/join", nil).refused(404, "not_found")
	listed := anna.do("GET", path+"/invites", nil).want(200)
	if listed.len("invites") > 0 {
		anna.do("DELETE", path+"/invites/"+listed.str("invites.0.id"), nil).want(204)
	}
	made := anna.do("POST", path+"/invites", nil).want(201)
	if listed := anna.do("GET", path+"/invites", nil).want(200); listed.str("invites.0.url") != "<nil>" || strings.Contains(string(listed.body), made.str("id")) {
		t.Errorf("the secret of an invitation is shown again: %s", listed.body)
	}

	anna.do("DELETE", path+"/members/me", nil).refused(409, "owner_must_transfer")
	anna.do("POST", path+"/transfer", obj{"user_id": vera.id}).want(204)
	anna.do("DELETE", path+"/members/me", nil).want(204)
	vera.do("GET", path, nil).want(200).is("role", "owner", "member_count", 2)
}
