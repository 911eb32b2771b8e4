package chatjson_test

import (
	"encoding/json"
	"testing"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
)

// Whether a message is read depends on whose it is and who looks (chat-api.md §0.7).
func TestReadStateOfViewers(t *testing.T) {
	mine := chat.Message{ID: 1, Seq: 5, Type: chat.TextMessage, Sender: chat.Person{ID: 7}}
	for _, c := range []struct {
		name   string
		viewer int64
		read   chat.ReadState
		status string
		isRead bool
		count  int
	}{
		{"own, unread", 7, chat.ReadState{Own: 5, Others: 4, OthersDelivered: 4}, "sent", false, 0},
		{"own, delivered", 7, chat.ReadState{Own: 5, Others: 4, OthersDelivered: 5}, "delivered", false, 0},
		{"own, read", 7, chat.ReadState{Own: 5, Others: 5}, "read", true, 1},
		{"another's, unread", 8, chat.ReadState{Own: 4, Others: 9}, "delivered", false, 0},
		{"another's, read", 8, chat.ReadState{Own: 5}, "read", true, 0},
	} {
		got := builder.FullMessage(&mine, chatjson.Viewer{User: c.viewer, Read: c.read})
		if got.Status != c.status || got.IsRead != c.isRead || got.ReadCount != c.count {
			t.Errorf("%s: %s, %v, %d", c.name, got.Status, got.IsRead, got.ReadCount)
		}
	}
	marks := []chatjson.Receipt{{UserID: 7, ReadSeq: 9}, {UserID: 8, ReadSeq: 5}, {UserID: 9, ReadSeq: 4}, {UserID: 10, ReadSeq: 6}}
	if got := builder.Message(&mine, chatjson.Viewer{User: 7, Receipts: marks, Read: chat.ReadState{Others: 6}}); got.ReadCount != 2 {
		t.Errorf("read by %d, want 2", got.ReadCount)
	}
}

func TestTombstonesShowNothing(t *testing.T) {
	m := chat.Message{
		ID: 1, Chat: 2, Seq: 3, Type: chat.TextMessage, Sender: chat.Person{ID: 7, Name: "Anna"}, Text: "тайна", DeletedAt: 9, CreatedAt: 5,
		Files: []chat.Attachment{{ID: "f_тайна"}}, Reactions: []chat.Reaction{{Emoji: "👍"}}, Entities: []chat.Entity{{Type: "mention"}}, Mentions: []int64{1},
		ReplyTo: &chat.Quote{Text: "тайна"}, Forward: &chat.Forward{Name: "тайна"}, Metadata: json.RawMessage(`{"t":"тайна"}`), System: &chat.System{Value: "тайна"}, PinnedAt: 4,
	}
	got := builder.Message(&m, chatjson.Viewer{User: 7})
	if !got.Deleted || got.Text != "" || len(got.Attachments)+len(got.Reactions)+len(got.Entities)+len(got.Mentions) != 0 || got.ReplyTo != nil || got.Forward != nil || got.System != nil || string(got.Metadata) != "null" || got.Pinned {
		t.Errorf("%+v", got)
	}
	quoting := chat.Message{Type: chat.TextMessage, ReplyTo: &chat.Quote{ID: 1, Text: "тайна", Deleted: true, HasFiles: true}}
	if q := builder.Message(&quoting, chatjson.Viewer{}).ReplyTo; q.Text != "" || q.HasFiles || !q.Deleted {
		t.Errorf("quote of a deleted message: %+v", q)
	}
}

func TestAttachments(t *testing.T) {
	m := chat.Message{Type: chat.TextMessage, Files: []chat.Attachment{
		{ID: "f_1", Kind: "image", Name: "a.jpg", MIME: "image/jpeg", Size: 5, Width: 8, Height: 6, Thumb: true, Caption: "подпись"},
		{ID: "f_2", Kind: "file", MIME: "audio/mpeg", Duration: 1500},
		{ID: "f_3", Kind: "file", MIME: "application/pdf"},
		{Kind: "location", URL: "https://maps.example/1"},
		{Kind: "unheard-of", URL: "https://example.org/"},
	}}
	got := builder.PublishedMessage(&m).Attachments
	for i, typ := range []string{"image", "audio", "document", "location", "other"} {
		if got[i].Type != typ {
			t.Errorf("attachment %d: %s, want %s", i, got[i].Type, typ)
		}
	}
	if a := got[0]; a.URL != "https://host/files/f_1/original" || *a.ThumbnailURL != "https://host/files/f_1/thumb" || *a.URLExpiresAt != "2023-11-14T22:13:20.000Z" || *a.Metadata.Width != 8 || *a.Caption != "подпись" {
		t.Errorf("%+v", a)
	}
	if a := got[3]; a.ID != nil || a.URL != "https://maps.example/1" || a.URLExpiresAt != nil || a.ThumbnailURL != nil {
		t.Errorf("%+v", a)
	}
}

func TestDeletedPeopleShowOnlyTheirName(t *testing.T) {
	p := chat.Person{ID: 7, Name: "Deleted account", Username: "anna", About: "x", Avatar: "f_1", Email: "x@example.org", State: "deleted"}
	got := builder.User(&p, chatjson.Relation{ShowsEmail: true, Status: chat.Status{LastSeen: 1}})
	if got.Username != nil || got.About != nil || got.Avatar != nil || got.Email != "" || got.Name != "Deleted account" {
		t.Errorf("%+v", got)
	}
}

func TestChatOfAMember(t *testing.T) {
	v := chat.View{
		Chat:   chat.Chat{ID: 5, Kind: chat.Group, Title: "Группа", LastSeq: 9, PurgedBelowSeq: 8},
		Member: chat.Member{User: 7, Role: chat.Owner, ReadSeq: 3, ManualUnreadSeq: 2}, Unread: 2,
	}
	got := builder.Chat(&v, chatjson.Permissions{Post: true}, nil)
	if *got.FirstUnreadSeq != 8 || !got.MarkedUnread || got.PeerReadSeq != nil || got.Settings.WhoCanAdd != "admins" || got.Settings.WhoCanPost != "all" || string(got.Draft) != "null" {
		t.Errorf("%+v", got)
	}
	v.Chat = chat.Chat{ID: 5, Kind: chat.Direct}
	v.Read = chat.ReadState{Others: 4, OthersDelivered: 6}
	friend := builder.User(&chat.Person{ID: 8, Name: "Boris", Avatar: "f_1"}, chatjson.Relation{Status: chat.Status{Hidden: true}})
	got = builder.Chat(&v, chatjson.Permissions{}, &friend)
	if *got.Title != "Boris" || got.Avatar.ThumbURL != "https://host/avatars/f_1_128" || *got.PeerReadSeq != 4 || *got.PeerDeliveredSeq != 6 || got.Companion.Presence != "hidden" {
		t.Errorf("%+v", got)
	}
}

func TestTimes(t *testing.T) {
	if got := chatjson.Stamp(1_706_110_200_123); got != "2024-01-24T15:30:00.123Z" {
		t.Error(got)
	}
	if chatjson.OptStamp(0) != nil {
		t.Error("no time is null")
	}
}
