package windi

import (
	"encoding/json"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// FuzzPublication reads arbitrary bodies as each of the three forms of publish. What is
// taken names one channel and has data that are one JSON value.
func FuzzPublication(f *testing.F) {
	for _, body := range []string{
		`{"content":"x","attachments":[{"file_id":"f_1"}],"metadata":{"k":1}}`, `{"channel":"chat:1","data":{"type":"typing","is_typing":"1"}}`,
		`{"channel":"chat:1","data":"{\"type\":\"read\",\"seq\":\"5\"}"}`, `{"text":"x","reply_to_id":"7","starts_at":"2024-01-24T16:54:00Z"}`,
		`{"data":null,"channel":null}`, `[]`, `{`, `{"content":null,"attachments":"[]","sender_id":[1]}`,
	} {
		f.Add(int64(1), "", []byte(body))
		f.Add(int64(0), "chat:1", []byte(body))
		f.Add(int64(0), "", []byte(body))
	}
	f.Fuzz(func(t *testing.T, chatID int64, channel string, body []byte) {
		if checkJSON(body) != nil {
			return
		}
		form, err := parseForm(max(chatID, 0), channel, jsontext.Value(body))
		if err != nil {
			return
		}
		if form.channel == "" || channel != "" && form.channel != channel || !json.Valid(form.data) {
			t.Fatalf("form %+v of %q", form, body)
		}
		if form.plain {
			if _, id, err := parseChannel(form.channel); chatID <= maxID && (err != nil || id != chatID) {
				t.Fatalf("chat %d became %s", chatID, form.channel)
			}
		}
		var in publication
		if decode(form.data, &in, form.loc...) != nil {
			return
		}
		sending, err := in.sending(form.loc)
		if err == nil && sending.Metadata != nil && !json.Valid(sending.Metadata) {
			t.Fatalf("metadata %q", sending.Metadata)
		}
		if id := in.sender(); id < 0 || id > maxID {
			t.Fatalf("sender %d", id)
		}
	})
}

// FuzzProxyRequest reads arbitrary questions of realtime servers.
func FuzzProxyRequest(f *testing.F) {
	for _, body := range []string{
		`{"client":"9336a229","transport":"websocket","data":{"token":"x"}}`, `{"user":"42","channel":"chat:1"}`, `{"user":{"user_id":42}}`,
		`{"user":{"id":"42"},"client":{"user":"7"}}`, `{"user":1e3,"data":[],"client":null}`, `[]`, `{`, `null`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := parseAsked(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("took %q", body)
		}
		if id, ok := parseID(q.user); ok && (id < 1 || id > maxID) {
			t.Fatalf("user %q", q.user)
		}
	})
}
