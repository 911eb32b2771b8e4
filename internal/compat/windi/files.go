package windi

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/files"
)

// maxUploads bounds the files of one request: as many as a message may have.
const maxUploads = 10

// upload stores the files of a form, to be attached to messages by their ids.
func (c *Contract) upload(r *request) (reply, error) {
	user, err := r.user()
	if err != nil {
		return reply{}, err
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return reply{}, &invalid{loc: []any{"body", "files"}, msg: "must be a form with files", code: badRequest}
	}
	out := []chatjson.Attachment{}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return reply{}, readError(err)
		}
		if part.FileName() == "" {
			continue
		}
		if len(out) == maxUploads {
			return reply{}, &invalid{loc: []any{"body", "files"}, msg: "must be at most 10"}
		}
		a, err := c.uploadPart(r, user, part)
		if err != nil {
			return reply{}, err
		}
		out = append(out, a)
	}
	if len(out) == 0 {
		return reply{}, required("files")
	}
	return reply{status: http.StatusCreated, body: out}, nil
}

func (c *Contract) uploadPart(r *request, user int64, part *multipart.Part) (chatjson.Attachment, error) {
	if err := c.o.Chats.MayUpload(user); err != nil {
		return chatjson.Attachment{}, err
	}
	f, err := c.o.Files.Upload(r.Context(), user, part.FileName(), "", part)
	if err != nil {
		return chatjson.Attachment{}, err
	}
	return c.o.Build.Attachment(attached(&f)), nil
}

// attached is a stored file as messages have it.
func attached(f *files.File) *chat.Attachment {
	return &chat.Attachment{
		ID: f.ID, Kind: f.Kind, Name: f.Name, MIME: f.MIME, Size: f.Size, Width: f.Width, Height: f.Height,
		Duration: f.DurationMS, Blurhash: f.Blurhash, SHA256: f.SHA256, Thumb: f.ThumbKey != "",
	}
}
