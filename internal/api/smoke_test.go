package api_test

import "testing"

func TestSmoke(t *testing.T) {
	s := start(t, options{})
	anna, boris := s.person("Anna"), s.person("Boris")
	anna.do("GET", "/api/v2/me", nil).want(200).is("name", "Anna")
	room := anna.do("POST", "/api/v2/chats", obj{"kind": "direct", "user_id": boris.id}).want(201)
	id := room.str("id")
	anna.do("POST", "/api/v2/chats/"+id+"/messages", obj{"client_id": "1", "text": "Привет"}).want(201).is("text", "Привет", "status", "sent")
	boris.do("GET", "/api/v2/chats/"+id+"/messages", nil).want(200)
	boris.do("GET", "/api/v2/chats", nil).want(200).is("chats.0.unread_count", 1)
	t.Log(s.log.String())
}
