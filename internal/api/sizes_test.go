package api_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
)

// S23: each bound of a chat holds alone, at its exact value, as it is configured.
func TestS23_SizesHoldAtTheirValue(t *testing.T) {
	for _, sizes := range []chat.Sizes{
		{Attachments: 10, Mentions: 50, Reactions: 20, OwnReactions: 3, Title: 128, About: 512}, // the defaults
		{Attachments: 2, Mentions: 3, Reactions: 2, OwnReactions: 1, Title: 8, About: 6},
	} {
		s := start(t, options{chat: func(o *chat.Options) {
			if sizes.Title != 128 {
				o.Sizes = sizes
			}
		}})
		anna := s.person("Anna")
		group := fmt.Sprintf("/api/v2/chats/%d", s.group(anna))
		for name, limit := range map[string]int{"title": sizes.Title, "about": sizes.About} {
			anna.do("PATCH", group, obj{name: strings.Repeat("ж", limit)}).want(200)
			anna.do("PATCH", group, obj{name: strings.Repeat("ж", limit+1)}).refused(422, "validation").is("error.details.fields.0.field", name, "error.details.fields.0.limit", limit)
		}
		ids := make([]int64, sizes.Mentions+1)
		for i := range ids {
			ids[i] = int64(i + 1)
		}
		anna.do("POST", group+"/messages", obj{"client_id": "m", "text": "a", "mentions": ids[1:]}).want(201)
		anna.do("POST", group+"/messages", obj{"client_id": "n", "text": "a", "mentions": ids}).refused(422, "validation").is("error.details.fields.0.limit", sizes.Mentions)
		files := make([]obj, sizes.Attachments+1)
		for i := range files {
			files[i] = obj{"file_id": anna.send(form(t, "a.txt", []byte("text"))).want(201).str("id")}
		}
		anna.do("POST", group+"/messages", obj{"client_id": "f", "attachments": files[1:]}).want(201)
		anna.do("POST", group+"/messages", obj{"client_id": "g", "attachments": files}).refused(422, "validation").is("error.details.fields.0.limit", sizes.Attachments)

		message := anna.do("POST", group+"/messages", obj{"client_id": "r", "text": "a"}).want(201).str("id")
		for i, emoji := range []string{"👍", "😀", "😂", "😍"}[:sizes.OwnReactions+1] {
			got := anna.do("PUT", "/api/v2/messages/"+message+"/reactions/"+url.PathEscape(emoji), nil)
			if i < sizes.OwnReactions {
				got.want(200)
			} else {
				got.refused(422, "validation").is("error.details.fields.0.limit", sizes.OwnReactions)
			}
		}
	}
}

// Bytes that are no UTF-8 are no JSON, and are not stored as something else.
func TestS24_BodyMustBeUTF8(t *testing.T) {
	s := start(t, options{})
	anna := s.person("Anna")
	group := fmt.Sprintf("/api/v2/chats/%d/messages", s.group(anna))
	anna.send(request{method: "POST", path: group, body: []byte("{\"client_id\":\"1\",\"text\":\"\xff\"}"), header: map[string][]string{"Content-Type": {"application/json"}}}).refused(400, "bad_request")
}
