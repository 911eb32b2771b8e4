package api

import (
	"context"
	"net/http"

	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/privacy"
)

// ownPrivacyRoutes are the export of one's own data and the end of one's account (§C.14).
func (a *API) ownPrivacyRoutes() {
	handle(a, op{post, "/me/export", People, "Begin an export of everything of the caller", http.StatusAccepted, nil, false}, a.exportMe)
	handle(a, op{get, "/me/export/{job}", People, "Fetch the export when it is finished (application/zip)", ok, nil, false}, a.fetchMine)
	handle(a, op{del, "/me", People, "End the account, after a time in which that can be taken back", http.StatusAccepted, nil, false}, a.endMe)
	handle(a, op{get, "/me/erasure", People, "Show when the account ends", ok, nil, false}, a.myErasure)
	handle(a, op{del, "/me/erasure", People, "Keep the account after all", 0, nil, false}, a.keepMe)
}

func (a *API) exportMe(ctx context.Context, c *call, _ *struct{}) (*answer[ExportState], error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	job, err := p.RequestExport(ctx, c.User)
	if err != nil {
		return nil, err
	}
	return &answer[ExportState]{Status: http.StatusAccepted, Body: ExportState{Job: job, State: privacy.Waiting}}, nil
}

type myExportInput struct {
	Job string `path:"job" maxLength:"64"`
}

func (a *API) fetchMine(ctx context.Context, c *call, in *myExportInput) (*content, error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	archive, _, err := p.OpenExport(ctx, c.User, in.Job)
	if err != nil {
		return nil, err
	}
	return zipped(archive), nil
}

type endMeInput struct {
	Body struct {
		Password string `json:"password,omitempty" maxLength:"1024" doc:"Of accounts that have one"`
		Mode     string `json:"mode,omitempty" enum:"anonymize,erase" doc:"anonymize, which is the default, keeps messages without a name; erase removes them"`
	}
}

func (a *API) endMe(ctx context.Context, c *call, in *endMeInput) (*answer[ErasureState], error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	if err := a.o.Accounts.ConfirmPassword(ctx, c.Caller, in.Body.Password); err != nil {
		return nil, err
	}
	mode := in.Body.Mode
	if mode == "" {
		mode = privacy.Anonymize
	}
	e, err := p.RequestErasure(ctx, c.User, mode, a.o.ErasureGrace)
	if err != nil {
		return nil, err
	}
	return &answer[ErasureState]{Status: http.StatusAccepted, Body: ErasureState{e.Mode, e.State, chatjson.Stamp(e.DueAt)}}, nil
}

func (a *API) myErasure(ctx context.Context, c *call, _ *struct{}) (*body[ErasureState], error) {
	return a.erasureState(ctx, c, &UserPath{User: ID(c.User)})
}

func (a *API) keepMe(ctx context.Context, c *call, _ *struct{}) (*none, error) {
	p, err := a.privacy()
	if err != nil {
		return nil, err
	}
	return nil, p.CancelErasure(ctx, c.User)
}
