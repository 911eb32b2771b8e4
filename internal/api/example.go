package api

import (
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// samples are what members of the name hold in the examples of the document.
var samples = map[string]any{
	"id": 138, "user_id": 3, "chat_id": 138, "message_id": 9001, "sender_id": 3, "by": 3, "seq": 57, "last_seq": 57, "event_seq": 91, "last_event_seq": 91,
	"name": "Анна", "sender_name": "Анна", "username": "anna", "email": "anna@example.org", "login": "anna", "password": "correct horse battery", "new": "a better one",
	"current": "correct horse battery", "title": "Проект", "about": "Пишите в любое время", "text": "Привет, @olga", "snippet": "Привет, @olga", "lang": "ru", "tz": "Europe/Moscow",
	"client_id": "01JDHM3V7Q", "emoji": "👍", "mime": "image/jpeg", "mime_type": "image/jpeg", "filename": "a.jpg", "size": 12345, "width": 800, "height": 600,
	"file_id": "f_zj4z72fmlpbr773tmlc6y3vliu", "avatar_file_id": "f_zj4z72fmlpbr773tmlc6y3vliu", "upload_id": "u_fmw3zmeksc5hzgjshtw4zjj7na", "session_id": "s_fmw3zmeksc5hzgjshtw4zjj7na",
	"sha256": "9ecff84b3264fe2998ec8aaba3ab71d0f0ca55aea41f5e97832cdebded3bd885", "blurhash": "LDTI:j]9fQ]9|co1fQo1fQfQfQfQ",
	"url": "https://chat.example.com/…", "ws_url": "wss://chat.example.com/connection/websocket", "token_type": "bearer", "expires_in": 900,
	"chunk_size": 5 << 20, "offset": 0, "length": 6, "next_cursor": nil,
}

// deepest is how far examples go into members of members.
const deepest = 4

// exampleOf makes an example of what is called name, out of its schema.
func exampleOf(r huma.Registry, name string, s *huma.Schema, depth int) any {
	for s.Ref != "" {
		s = r.SchemaFromRef(s.Ref)
	}
	if len(s.Examples) > 0 {
		return s.Examples[0]
	}
	for _, one := range s.OneOf {
		if one.Type == "null" && depth > 1 {
			return nil
		}
	}
	if len(s.OneOf) > 0 {
		return exampleOf(r, name, s.OneOf[0], depth)
	}
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	v, known := samples[name]
	switch s.Type {
	case huma.TypeString:
		if text, ok := v.(string); ok {
			return text
		}
		return exampleText(s)
	case huma.TypeInteger, huma.TypeNumber:
		if n, ok := v.(int); ok {
			return n
		}
		if s.Minimum != nil {
			return max(*s.Minimum, 1)
		}
		return 1
	case huma.TypeBoolean:
		return false
	case huma.TypeArray:
		if depth >= deepest {
			return []any{}
		}
		return []any{exampleOf(r, strings.TrimSuffix(name, "s"), s.Items, depth+1)}
	case huma.TypeObject:
		object := make(map[string]any, len(s.Properties))
		for _, member := range slices.Sorted(maps.Keys(s.Properties)) {
			if p := s.Properties[member]; depth < deepest || slices.Contains(s.Required, member) {
				object[member] = exampleOf(r, member, p, depth+1)
			}
		}
		return object
	}
	if known && s.Nullable {
		return v
	}
	return map[string]any{}
}

func exampleText(s *huma.Schema) string {
	switch s.Format {
	case "date-time":
		return "2026-11-25T12:00:00.000Z"
	case "date":
		return "2026-11-25"
	case "uri":
		return "https://chat.example.com/…"
	case "email":
		return "anna@example.org"
	}
	text := "text"
	if s.MinLength != nil {
		text += strings.Repeat("t", max(0, *s.MinLength-len(text)))
	}
	return text
}

// addExamples gives every body of JSON an example.
func addExamples(doc *huma.OpenAPI, content map[string]*huma.MediaType) {
	if m := content["application/json"]; m != nil && m.Schema != nil && m.Example == nil {
		m.Example = exampleOf(doc.Components.Schemas, "", m.Schema, 0)
	}
}
