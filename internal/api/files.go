package api

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/files"
)

// File is an uploaded file (chat-api.md §C.8).
type File struct {
	ID           string  `json:"id"`
	Kind         string  `json:"kind" enum:"file,image,voice,video,avatar"`
	Name         string  `json:"name"`
	MIME         string  `json:"mime"`
	Size         int64   `json:"size"`
	SHA256       string  `json:"sha256"`
	Width        *int    `json:"width"`
	Height       *int    `json:"height"`
	DurationMS   *int64  `json:"duration_ms"`
	Blurhash     *string `json:"blurhash"`
	URL          string  `json:"url"`
	ThumbURL     *string `json:"thumb_url"`
	URLExpiresAt *string `json:"url_expires_at" format:"date-time"`
}

func (a *API) file(f *files.File) File {
	out := File{
		ID: f.ID, Kind: f.Kind, Name: f.Name, MIME: f.MIME, Size: f.Size, SHA256: f.SHA256, Blurhash: optional(f.Blurhash),
	}
	if f.Width != 0 {
		out.Width, out.Height = &f.Width, &f.Height
	}
	if f.DurationMS != 0 {
		out.DurationMS = &f.DurationMS
	}
	if f.Kind == files.KindAvatar {
		url, thumb := a.o.Links.Avatar(f.ID)
		out.URL, out.ThumbURL = url, &thumb
		return out
	}
	url, expires := a.o.Links.File(f.ID, files.Original)
	out.URL, out.URLExpiresAt = url, chatjson.OptStamp(millis(expires))
	if f.ThumbKey != "" {
		thumb, _ := a.o.Links.File(f.ID, files.Thumb)
		out.ThumbURL = &thumb
	}
	return out
}

// formInput takes a form as it comes: its file is not held in memory, nor in a folder
// other than that of the files.
type formInput struct{ r *http.Request }

// Resolve is called by the library with the request.
func (in *formInput) Resolve(ctx huma.Context) []error {
	in.r, _ = humago.Unwrap(ctx)
	return nil
}

// maxKind bounds the part "kind" of a form, in bytes.
const maxKind = 16

// file returns the part "file" of the form and what the part "kind" before it says.
func (in *formInput) file() (part *multipart.Part, kind string, err error) {
	form, err := in.r.MultipartReader()
	if err != nil {
		return nil, "", apierror.New(apierror.UnsupportedMedia, err)
	}
	for range 10 {
		part, err := form.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			return nil, "", apierror.NewField("file", apierror.Required)
		case err != nil:
			return nil, "", formError(err)
		case part.FormName() == "file":
			return part, kind, nil
		case part.FormName() == "kind":
			b, err := io.ReadAll(io.LimitReader(part, maxKind))
			if err != nil {
				return nil, "", formError(err)
			}
			kind = string(b)
		}
	}
	return nil, "", apierror.NewField("file", apierror.Required)
}

// formError is that of a form that is too large, or broken off, or none.
func formError(err error) error {
	var size *http.MaxBytesError
	if errors.As(err, &size) {
		return err
	}
	return apierror.New(apierror.BadRequest, err)
}

func (a *API) upload(ctx context.Context, c *call, in *formInput) (*answer[File], error) {
	if a.o.Files == nil {
		return nil, errNoFiles
	}
	if err := a.o.Chats.MayUpload(c.User); err != nil {
		return nil, err
	}
	part, kind, err := in.file()
	if err != nil {
		return nil, err
	}
	f, err := a.o.Files.Upload(ctx, c.User, part.FileName(), kind, part)
	if err != nil {
		return nil, err
	}
	return &answer[File]{Status: http.StatusCreated, Body: a.file(&f)}, nil
}

type beginUploadInput struct {
	Body struct {
		Name string `json:"name" maxLength:"1024"`
		Size int64  `json:"size" minimum:"1" doc:"Bytes"`
		MIME string `json:"mime,omitempty" maxLength:"255" doc:"Not asked: the content decides"`
	}
}

// Upload is a file that arrives in parts.
type Upload struct {
	ID        string `json:"upload_id"`
	ChunkSize int64  `json:"chunk_size" doc:"The most bytes of one part"`
	Size      int64  `json:"size"`
	Offset    int64  `json:"offset" doc:"Where the next part begins"`
}

func (a *API) upLoad(u *files.Upload) Upload {
	return Upload{u.ID, a.o.Files.ChunkBytes(), u.Size, u.Received}
}

func (a *API) beginUpload(ctx context.Context, c *call, in *beginUploadInput) (*answer[Upload], error) {
	if a.o.Files == nil {
		return nil, errNoFiles
	}
	if err := a.o.Chats.MayUpload(c.User); err != nil {
		return nil, err
	}
	u, err := a.o.Files.CreateUpload(ctx, c.User, in.Body.Name, in.Body.Size)
	if err != nil {
		return nil, err
	}
	return &answer[Upload]{Status: http.StatusCreated, Body: a.upLoad(&u)}, nil
}

// UploadPath names an upload. It is exported for the library, which looks into no other embedded fields.
type UploadPath struct {
	ID string `path:"id"`
}

func (a *API) getUpload(ctx context.Context, c *call, in *UploadPath) (*body[Upload], error) {
	if a.o.Files == nil {
		return nil, errNoFiles
	}
	u, err := a.o.Files.Offset(ctx, c.User, in.ID)
	if err != nil {
		return nil, err
	}
	return reply(a.upLoad(&u)), nil
}

// Offset is where an upload continues.
type Offset struct {
	Offset int64 `json:"offset"`
}

// partInput takes the body as it comes: a part is not held in memory.
type partInput struct {
	UploadPath
	Offset int64 `query:"offset" required:"true" minimum:"0"`

	content io.Reader
}

// Resolve is called by the library with the request.
func (in *partInput) Resolve(ctx huma.Context) []error {
	in.content = ctx.BodyReader()
	return nil
}

func (a *API) putPart(ctx context.Context, c *call, in *partInput) (*body[Offset], error) {
	if a.o.Files == nil {
		return nil, errNoFiles
	}
	n, err := a.o.Files.PutChunk(ctx, c.User, in.ID, in.Offset, in.content)
	if err != nil {
		return nil, err
	}
	return reply(Offset{n}), nil
}

func (a *API) completeUpload(ctx context.Context, c *call, in *UploadPath) (*answer[File], error) {
	if a.o.Files == nil {
		return nil, errNoFiles
	}
	f, err := a.o.Files.Complete(ctx, c.User, in.ID)
	if err != nil {
		return nil, err
	}
	return &answer[File]{Status: http.StatusCreated, Body: a.file(&f)}, nil
}

func (a *API) abortUpload(ctx context.Context, c *call, in *UploadPath) (*none, error) {
	if a.o.Files == nil {
		return nil, errNoFiles
	}
	return nil, a.o.Files.Abort(ctx, c.User, in.ID)
}

type filePath struct {
	ID string `path:"id"`
}

// redirect answers with an address elsewhere.
type redirect struct {
	Status   int
	Location string `header:"Location"`
}

func (a *API) getFile(ctx context.Context, c *call, in *filePath) (*redirect, error) {
	if a.o.Files == nil {
		return nil, errNoFiles
	}
	f, err := a.o.Files.Get(ctx, c.User, in.ID)
	if err != nil {
		return nil, err
	}
	if f.Kind == files.KindAvatar {
		url, _ := a.o.Links.Avatar(f.ID)
		return &redirect{http.StatusFound, url}, nil
	}
	url, _ := a.o.Files.URL(f.ID, files.Original, c.User)
	return &redirect{http.StatusFound, url}, nil
}

type variantPath struct {
	ID      string `path:"id"`
	Variant string `path:"variant" enum:"original,thumb"`
}

// content answers with bytes.
type content struct {
	Body func(huma.Context)
}

// openFile serves the bytes that a signed address names.
func (a *API) openFile(ctx context.Context, c *call, _ *variantPath) (*content, error) {
	if a.o.Files == nil {
		return nil, errNoFiles
	}
	link, err := a.o.Files.Verify(c.r.URL)
	if err != nil {
		return nil, err
	}
	rc, f, err := a.o.Files.OpenLink(ctx, link)
	if err != nil {
		return nil, err
	}
	return serve(f, rc), nil
}

func serve(f files.File, rc io.ReadSeekCloser) *content {
	return &content{func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		files.Serve(w, r, f, rc)
	}}
}

// serveAvatar answers with the avatar that the path names, to anybody (chat-api.md §C.8).
func (a *API) serveAvatar(w http.ResponseWriter, r *http.Request) {
	err := files.ErrNotFound
	if a.o.Files != nil {
		var rc io.ReadSeekCloser
		var f files.File
		if rc, f, err = a.o.Files.OpenAvatar(r.PathValue("name")); err == nil {
			files.Serve(w, r, f, rc)
			return
		}
	}
	e := apierror.From(err)
	if e.Code == apierror.Internal {
		a.log.Error("open avatar", "request_id", callOf(r.Context()).id, "error", err)
	}
	e.Write(w, r, apierror.C)
}
