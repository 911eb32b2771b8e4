package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/api"
	"github.com/kuranty/kuranty/internal/chat"
)

func TestFirstAdministratorByService(t *testing.T) {
	s := start(t, options{})
	svc := s.service()
	token := svc.do("POST", "/api/v2/admin/first-admin/token", nil).want(201).str("token")
	if len(token) != 43 {
		t.Errorf("token of %d characters", len(token))
	}
	body := map[string]any{"username": "root", "password": "long enough to be good"}
	svc.do("POST", "/api/v2/admin/first-admin", map[string]any{"username": "root", "password": "short"}).want(422)
	svc.do("POST", "/api/v2/admin/first-admin", body).want(201)
	svc.do("POST", "/api/v2/admin/first-admin", body).want(409)
	svc.do("POST", "/api/v2/admin/first-admin/token", nil).want(409)
	body["token"] = token
	s.anonymous().do("POST", "/api/v2/auth/first-admin", body).want(422) // it went with the other way
}

// An administrator acts on behalf of a member, by the rules of members, and that is put on
// record before it happens.
func TestAdministratorsActOnBehalfOfMembers(t *testing.T) {
	s := start(t, options{})
	root, ann, bob, eve := s.admin("Root"), s.person("Ann"), s.person("Bob"), s.person("Eve")
	root.do("POST", "/api/v2/admin/chats", map[string]any{"owner_id": 999, "title": "x"}).want(422)
	id := root.do("POST", "/api/v2/admin/chats", map[string]any{"owner_id": ann.id, "title": "Группа", "user_ids": []int64{bob.id}}).want(201).num("id")
	path := fmt.Sprintf("/api/v2/admin/chats/%d", id)
	root.do("POST", path+"/messages", map[string]any{"text": "hello", "sender_id": bob.id, "client_id": "once"}).want(201)
	root.do("POST", path+"/messages", map[string]any{"text": "hello", "sender_id": bob.id, "client_id": "once"}).want(200)
	root.do("POST", path+"/messages", map[string]any{"text": "hello", "sender_id": eve.id}).want(404)
	root.do("POST", path+"/messages", map[string]any{"text": "of the system"}).want(201)
	got := string(bob.do("GET", fmt.Sprintf("/api/v2/chats/%d/messages", id), nil).want(200).body)
	if strings.Count(got, `"hello"`) == 0 || !strings.Contains(got, "of the system") {
		t.Errorf("the member sees %s", got)
	}
	if got := string(root.do("GET", path+"/messages", nil).want(200).body); !strings.Contains(got, "hello") {
		t.Errorf("the administrator reads %s", got)
	}
	root.do("DELETE", path+"/members/"+fmt.Sprint(ann.id), nil).want(409) // the owner hands over first
	root.do("DELETE", path+"/members/"+fmt.Sprint(bob.id), nil).want(204)
	bob.do("GET", fmt.Sprintf("/api/v2/chats/%d", id), nil).want(404)
	record := string(root.do("GET", fmt.Sprintf("/api/v2/admin/audit?target=chat:%d", id), nil).want(200).body)
	for _, action := range []string{"chat.create", "chat.send", "chat.read", "chat.members.remove"} {
		if !strings.Contains(record, `"`+action+`"`) {
			t.Errorf("%s is not on record: %s", action, record)
		}
	}
	if strings.Contains(record, "hello") {
		t.Error("the record has the content")
	}
	root.do("DELETE", path, nil).want(204)
	root.do("GET", path, nil).want(404)
	ann.do("GET", fmt.Sprintf("/api/v2/chats/%d", id), nil).want(404)
}

func TestReadingOfAdministratorsCanBeSwitchedOff(t *testing.T) {
	s := start(t, options{api: func(o *api.Options) { o.NoAdminReads = true }})
	ann := s.person("Ann")
	v, _, err := s.chats.CreateGroup(t.Context(), ann.id, chat.NewGroup{Title: "Group"})
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/api/v2/admin/chats/%d", v.Chat.ID)
	s.service().do("GET", path, nil).want(200)
	s.service().do("GET", path+"/messages", nil).refused(403, "disabled")
}

func TestAdministratorsListChats(t *testing.T) {
	s := start(t, options{})
	root, ann, bob := s.admin("Root"), s.person("Ann"), s.person("Bob")
	for i := range 3 {
		if _, _, err := s.chats.CreateGroup(t.Context(), ann.id, chat.NewGroup{Title: fmt.Sprint("Group ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.chats.SendToUser(t.Context(), ann.id, bob.id, chat.Sending{Text: "a secret"}); err != nil {
		t.Fatal(err)
	}
	page := root.do("GET", "/api/v2/admin/chats?limit=2", nil).want(200)
	next := page.num("next_after")
	rest := string(root.do("GET", fmt.Sprintf("/api/v2/admin/chats?limit=50&after=%d", next), nil).want(200).body)
	if !strings.Contains(rest, "Group 2") || strings.Contains(rest, "Group 1") || strings.Contains(rest, "secret") {
		t.Errorf("the second page is %s", rest)
	}
	of := string(root.do("GET", fmt.Sprintf("/api/v2/admin/chats?user_id=%d", bob.id), nil).want(200).body)
	if strings.Contains(of, "Group") || !strings.Contains(of, fmt.Sprintf(`"user_ids":[%d,%d]`, ann.id, bob.id)) {
		t.Errorf("chats of Bob are %s", of)
	}
	if kinds := string(root.do("GET", "/api/v2/admin/chats?kind=direct", nil).want(200).body); strings.Contains(kinds, "Group") {
		t.Errorf("direct chats are %s", kinds)
	}
}

func TestWhatAdministratorsDoToPeopleIsOnRecord(t *testing.T) {
	s := start(t, options{})
	root := s.admin("Root")
	id := root.do("POST", "/api/v2/admin/users", map[string]any{"name": "Ann", "username": "ann"}).want(201).num("id")
	path := fmt.Sprintf("/api/v2/admin/users/%d", id)
	root.do("PATCH", path, map[string]any{"role": "admin", "state": "suspended", "password": "a secret of hers"}).want(200)
	root.do("PATCH", path, map[string]any{"state": "active"}).want(200)
	root.do("POST", path+"/reset", nil).want(201)
	root.do("POST", path+"/token", nil).want(201)
	root.do("POST", path+"/hold", map[string]any{"held": true}).want(204)
	root.do("DELETE", path, nil).refused(409, "legal_hold")
	root.do("POST", path+"/hold", map[string]any{"held": false}).want(204)
	root.do("DELETE", path, nil).want(204)
	record := string(root.do("GET", fmt.Sprintf("/api/v2/admin/audit?target=user:%d", id), nil).want(200).body)
	for _, action := range []string{"user.create", "user.password", "user.role", "user.suspend", "user.unsuspend", "user.reset", "user.token", "user.delete"} {
		if strings.Count(record, `"`+action+`"`) != 1 {
			t.Errorf("%s is not on record once: %s", action, record)
		}
	}
	if strings.Contains(record, "secret of hers") || strings.Contains(record, "ann") {
		t.Errorf("the record has a password or a name: %s", record)
	}

	key := root.do("POST", "/api/v2/admin/keys", map[string]any{"name": "billing"}).want(201)
	root.do("DELETE", "/api/v2/admin/keys/"+key.str("id"), nil).want(204)
	root.do("POST", "/api/v2/admin/notices", map[string]any{"content": "Works"}).want(201)
	root.do("POST", "/api/v2/admin/invites", nil).want(201)
	for _, status := range []int{201, 200} {
		root.do("PUT", "/api/v2/admin/users/external/u-9", map[string]any{"name": "Bob"}).want(status)
	}
	record = string(root.do("GET", "/api/v2/admin/audit", nil).want(200).body)
	for _, action := range []string{"key.create", "key.revoke", "notice.send", "invite.create", "user.update"} {
		if strings.Count(record, `"`+action+`"`) != 1 {
			t.Errorf("%s is not on record once: %s", action, record)
		}
	}
	if strings.Contains(record, key.str("key")) {
		t.Error("the record has the key")
	}
}
