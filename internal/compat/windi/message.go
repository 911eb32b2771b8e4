package windi

import (
	"encoding/json"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/kuranty/kuranty/internal/chat"
)

// publication is what is published into a chat or to everybody. Who sent it and when is
// not among its fields: whatever a client says of that is not looked at.
type publication struct {
	Type            string  `json:"type"`
	Content         *string `json:"content"`
	Text            *string `json:"text"`
	Attachments     nested  `json:"attachments"`
	ClientMessageID string  `json:"client_message_id"`
	ClientID        string  `json:"client_id"`
	ReplyToID       number  `json:"reply_to_id"`
	Metadata        nested  `json:"metadata"`
	IsTyping        *flag   `json:"is_typing"`
	MessageID       number  `json:"message_id"`
	Seq             number  `json:"seq"`
	Level           string  `json:"level"`
	StartsAt        moment  `json:"starts_at"`
	EndsAt          moment  `json:"ends_at"`
	// SenderID counts only where a service publishes for somebody.
	SenderID jsontext.Value `json:"sender_id"`
}

// lastSecond is the last of the year 9999, after which RFC 3339 has no times. Milliseconds
// given for seconds are above it.
const lastSecond = 253_402_300_799

// moment is a time in milliseconds since 1970, given as seconds or as RFC 3339; 0 is
// absent.
type moment int64

// UnmarshalJSONFrom implements [jsonv2.UnmarshalerFrom].
func (m *moment) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		var text string
		if err := jsonv2.UnmarshalDecode(d, &text); err != nil {
			return err
		}
		at, err := time.Parse(time.RFC3339, text)
		if err != nil || at.UnixMilli() <= 0 {
			return errValue("must be a time as in RFC 3339, or in seconds since 1970")
		}
		*m = moment(at.UnixMilli())
		return nil
	}
	var n number
	if err := n.UnmarshalJSONFrom(d); err != nil || n > lastSecond {
		return errValue("must be a time as in RFC 3339, or in seconds since 1970")
	}
	*m = moment(n) * 1000
	return nil
}

// sender is who a service names as the sender, 0 if nobody.
func (p *publication) sender() int64 {
	var n number
	if len(p.SenderID) == 0 || jsonv2.Unmarshal(p.SenderID, &n) != nil {
		return 0
	}
	return int64(n)
}

// text is the content under either of its names.
func (p *publication) text(loc []any) (string, error) {
	switch {
	case p.Content == nil && p.Text == nil:
		return "", nil
	case p.Content == nil:
		return *p.Text, nil
	case p.Text != nil && *p.Text != *p.Content:
		return "", &invalid{loc: at(loc, "text"), msg: "differs from content"}
	}
	return *p.Content, nil
}

// sending is the message of a publication.
func (p *publication) sending(loc []any) (in chat.Sending, err error) {
	if in.Text, err = p.text(loc); err != nil {
		return in, err
	}
	in.ClientID = p.ClientMessageID
	if p.ClientID != "" {
		if in.ClientID != "" && in.ClientID != p.ClientID {
			return in, &invalid{loc: at(loc, "client_id"), msg: "differs from client_message_id"}
		}
		in.ClientID = p.ClientID
	}
	in.ReplyTo = int64(p.ReplyToID)
	if p.Metadata != nil {
		in.Metadata = json.RawMessage(p.Metadata)
	}
	in.Files, err = p.files(at(loc, "attachments"))
	return in, err
}

// attachment is an uploaded file, or one elsewhere.
type attachment struct {
	ID       string `json:"id"`
	FileID   string `json:"file_id"`
	Type     string `json:"type"`
	Filename string `json:"filename"`
	MIMEType string `json:"mime_type"`
	Size     number `json:"size"`
	URL      string `json:"url"`
	Caption  string `json:"caption"`
}

func (p *publication) files(loc []any) ([]chat.Attachment, error) {
	if p.Attachments == nil {
		return nil, nil
	}
	var list []jsontext.Value
	if err := jsonv2.Unmarshal(p.Attachments, &list); err != nil {
		return nil, &invalid{loc: loc, msg: "must be a list", code: badRequest}
	}
	var files []chat.Attachment
	for i, v := range list {
		var a attachment
		if err := decode(v, &a, at(loc, i)...); err != nil {
			return nil, err
		}
		f := chat.Attachment{ID: a.FileID, Caption: a.Caption}
		setDefault(&f.ID, a.ID)
		if f.ID == "" {
			f.Kind, f.Name, f.MIME, f.Size, f.URL = a.Type, a.Filename, a.MIMEType, int64(a.Size), a.URL
		}
		files = append(files, f)
	}
	return files, nil
}

// at is the place of something below loc.
func at(loc []any, below ...any) []any { return append(slices.Clone(loc), below...) }
