package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kuranty/kuranty/event"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/privacy"
)

// adminPrivacyRoutes are statistics, the audit log, and other people's exports, erasures
// and legal holds (§C.14).
func (a *API) adminPrivacyRoutes() {
	handle(a, op{get, "/admin/stats", Admins, "Count people, chats and messages", ok, nil, false}, a.stats)
	handle(a, op{get, "/admin/audit", Admins, "List what administrators did", ok, nil, false}, a.audit)
	handle(a, op{post, "/admin/users/{id}/export", FreshAdmins, "Begin an export of what a person may see", http.StatusAccepted, nil, false}, a.beginExport)
	handle(a, op{get, "/admin/users/{id}/export/{job}", Admins, "Ask how far an export is", ok, nil, false}, a.exportState)
	handle(a, op{get, "/admin/users/{id}/export/{job}/archive", FreshAdmins, "Fetch a finished export (application/zip)", ok, nil, false}, a.fetchExport)
	handle(a, op{post, "/admin/users/{id}/erasure", FreshAdmins, "Have a person erased", http.StatusAccepted, nil, false}, a.eraseAccount)
	handle(a, op{get, "/admin/users/{id}/erasure", Admins, "Show an erasure that waits or is under way", ok, nil, false}, a.erasureState)
	handle(a, op{del, "/admin/users/{id}/erasure", FreshAdmins, "Take an erasure back before it has begun", 0, nil, false}, a.keepAccount)
	handle(a, op{post, "/admin/users/{id}/hold", FreshAdmins, "Set or lift a legal hold on a person", 0, nil, false}, a.holdAccount)
	handle(a, op{post, "/admin/chats/{id}/hold", FreshAdmins, "Set or lift a legal hold on a chat", 0, nil, false}, a.holdRoom)
}

// privacy returns the service of that name, or the error that it is switched off.
func (a *API) privacy() (*privacy.Service, error) { return enabled(a.o.Privacy) }

// onRecord puts on record what an administrator is about to do to a person.
func (a *API) onRecord(ctx context.Context, c *call, action string, user ID, data any) (*privacy.Service, error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	if _, err := a.o.Accounts.Account(ctx, int64(user)); err != nil {
		return nil, err
	}
	return p, p.Audit(ctx, privacy.Entry{Actor: c.Actor(), Action: action, Target: event.User(int64(user)), IP: c.address}, data)
}

// Statistics count what there is. They may be a minute old.
type Statistics struct {
	Users struct {
		Active      int64 `json:"active"`
		Bots        int64 `json:"bots"`
		Suspended   int64 `json:"suspended"`
		Deleted     int64 `json:"deleted"`
		ActiveDay   int64 `json:"active_day" doc:"Seen in the last 24 hours"`
		ActiveWeek  int64 `json:"active_week"`
		ActiveMonth int64 `json:"active_month" doc:"Seen in the last 30 days"`
	} `json:"users"`
	Chats struct {
		Direct int64 `json:"direct"`
		Groups int64 `json:"groups"`
		Saved  int64 `json:"saved"`
	} `json:"chats"`
	Messages      int64          `json:"messages"`
	Files         int64          `json:"files"`
	FileBytes     int64          `json:"file_bytes"`
	DatabaseBytes int64          `json:"database_bytes"`
	Days          []DayCount     `json:"days" doc:"The last days of UTC, today last"`
	CountedAt     string         `json:"counted_at" format:"date-time"`
	Server        map[string]any `json:"server,omitempty"`
}

// DayCount counts one day.
type DayCount struct {
	Day      string `json:"day" format:"date"`
	Messages int64  `json:"messages"`
	Users    int64  `json:"users" doc:"New accounts"`
}

type statsInput struct {
	Days int `query:"days" minimum:"0" maximum:"366" doc:"30 if not given"`
}

func (a *API) stats(ctx context.Context, _ *call, in *statsInput) (*body[Statistics], error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	n, err := p.Statistics(ctx, in.Days)
	if err != nil {
		return nil, err
	}
	var out Statistics
	u, c := &out.Users, &out.Chats
	u.Active, u.Bots, u.Suspended, u.Deleted = n.Users, n.Bots, n.Suspended, n.Deleted
	u.ActiveDay, u.ActiveWeek, u.ActiveMonth = n.ActiveDay, n.ActiveWeek, n.ActiveMonth
	c.Direct, c.Groups, c.Saved = n.Direct, n.Groups, n.Saved
	out.Messages, out.Files, out.FileBytes, out.DatabaseBytes = n.Messages, n.Files, n.FileBytes, n.DatabaseBytes
	out.CountedAt = chatjson.Stamp(n.At)
	out.Days = make([]DayCount, len(n.Days))
	for i, d := range n.Days {
		out.Days[i] = DayCount{time.UnixMilli(d.Day).UTC().Format(time.DateOnly), d.Messages, d.Users}
	}
	if a.o.Stats != nil {
		out.Server, err = a.o.Stats(ctx)
	}
	return reply(out), err
}

// AuditEntry is one thing that an administrator did.
type AuditEntry struct {
	ID     int64           `json:"id"`
	At     string          `json:"at" format:"date-time"`
	Actor  string          `json:"actor"`
	Action string          `json:"action"`
	Target string          `json:"target"`
	Data   json.RawMessage `json:"data,omitempty"`
	IP     *string         `json:"ip"`
}

// AuditLog is a page of the audit log, the newest first.
type AuditLog struct {
	Entries    []AuditEntry `json:"entries"`
	NextCursor *string      `json:"next_cursor"`
}

type auditInput struct {
	Actor  string `query:"actor" maxLength:"100" doc:"As user:42"`
	Action string `query:"action" maxLength:"100"`
	Target string `query:"target" maxLength:"100" doc:"As user:42 or chat:7"`
	Limit  int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor string `query:"cursor" maxLength:"400"`
}

func (a *API) audit(ctx context.Context, _ *call, in *auditInput) (*body[AuditLog], error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	page, err := p.AuditLog(ctx, privacy.AuditQuery{Actor: in.Actor, Action: in.Action, Target: in.Target, Cursor: in.Cursor, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	out := AuditLog{make([]AuditEntry, len(page.Entries)), optional(page.Next)}
	for i, e := range page.Entries {
		out.Entries[i] = AuditEntry{e.ID, chatjson.Stamp(e.At), e.Actor, e.Action, e.Target, e.Data, optional(e.IP)}
	}
	return reply(out), nil
}

// ExportState is how far an export is.
type ExportState struct {
	Job       string  `json:"job"`
	State     string  `json:"state" enum:"waiting,running,done,failed"`
	Size      int64   `json:"size,omitempty"`
	ExpiresAt *string `json:"expires_at" format:"date-time"`
}

func (a *API) beginExport(ctx context.Context, c *call, in *UserPath) (*answer[ExportState], error) {
	p, err := a.onRecord(ctx, c, "user.export", in.User, nil)
	if err != nil {
		return nil, err
	}
	job, err := p.RequestExport(ctx, int64(in.User))
	if err != nil {
		return nil, err
	}
	return &answer[ExportState]{Status: http.StatusAccepted, Body: ExportState{Job: job, State: privacy.Waiting}}, nil
}

type exportInput struct {
	UserPath
	Job string `path:"job" maxLength:"64"`
}

func (a *API) exportState(ctx context.Context, _ *call, in *exportInput) (*body[ExportState], error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	e, err := p.Export(ctx, int64(in.User), in.Job)
	if err != nil {
		return nil, err
	}
	return reply(ExportState{e.Job, e.State, e.Size, chatjson.OptStamp(e.ExpiresAt)}), nil
}

func (a *API) fetchExport(ctx context.Context, c *call, in *exportInput) (*content, error) {
	p, err := a.onRecord(ctx, c, "user.export.read", in.User, nil)
	if err != nil {
		return nil, err
	}
	archive, _, err := p.OpenExport(ctx, int64(in.User), in.Job)
	if err != nil {
		return nil, err
	}
	return zipped(archive), nil
}

// zipped sends an archive and closes it.
func zipped(archive io.ReadCloser) *content {
	return &content{func(ctx huma.Context) {
		defer archive.Close()
		ctx.SetHeader("Content-Type", "application/zip")
		ctx.SetHeader("Content-Disposition", `attachment; filename="export.zip"`)
		ctx.SetHeader("Cache-Control", "no-store")
		_, _ = io.Copy(ctx.BodyWriter(), archive) // who reads has gone, nobody to tell
	}}
}

type erasureInput struct {
	UserPath
	Body struct {
		Mode  string `json:"mode" enum:"anonymize,erase"`
		Grace int64  `json:"grace_s,omitempty" minimum:"0" maximum:"31536000" doc:"Seconds until it begins; at once if not given"`
	}
}

// ErasureState is an erasure that was asked for.
type ErasureState struct {
	Mode  string `json:"mode" enum:"anonymize,erase"`
	State string `json:"state" enum:"waiting,running,done,failed,cancelled"`
	DueAt string `json:"due_at" format:"date-time" doc:"When it begins; until then it can be taken back"`
}

func (a *API) eraseAccount(ctx context.Context, c *call, in *erasureInput) (*answer[ErasureState], error) {
	p, err := a.onRecord(ctx, c, "user.erase", in.User, map[string]any{"mode": in.Body.Mode, "grace_s": in.Body.Grace})
	if err != nil {
		return nil, err
	}
	e, err := p.RequestErasure(ctx, int64(in.User), in.Body.Mode, time.Duration(in.Body.Grace)*time.Second)
	if err != nil {
		return nil, err
	}
	return &answer[ErasureState]{Status: http.StatusAccepted, Body: ErasureState{e.Mode, e.State, chatjson.Stamp(e.DueAt)}}, nil
}

func (a *API) erasureState(ctx context.Context, _ *call, in *UserPath) (*body[ErasureState], error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	e, err := p.Erasure(ctx, int64(in.User))
	if err != nil {
		return nil, err
	}
	return reply(ErasureState{e.Mode, e.State, chatjson.Stamp(e.DueAt)}), nil
}

func (a *API) keepAccount(ctx context.Context, c *call, in *UserPath) (*none, error) {
	p, err := a.onRecord(ctx, c, "user.erase.cancel", in.User, nil)
	if err != nil {
		return nil, err
	}
	return nil, p.CancelErasure(ctx, int64(in.User))
}

type heldBody struct {
	Held bool `json:"held"`
}

type holdAccountInput struct {
	UserPath
	Body heldBody
}

func (a *API) holdAccount(ctx context.Context, c *call, in *holdAccountInput) (*none, error) {
	p, err := a.onRecord(ctx, c, "user.hold", in.User, in.Body)
	if err != nil {
		return nil, err
	}
	return nil, p.HoldUser(ctx, int64(in.User), in.Body.Held)
}

type holdRoomInput struct {
	ChatPath
	Body heldBody
}

func (a *API) holdRoom(ctx context.Context, c *call, in *holdRoomInput) (*none, error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	if _, _, err := a.o.Chats.Room(ctx, int64(in.Chat)); err != nil {
		return nil, err
	}
	if err := a.record(ctx, c, "chat.hold", int64(in.Chat), in.Body); err != nil {
		return nil, err
	}
	return nil, p.HoldChat(ctx, int64(in.Chat), in.Body.Held)
}
