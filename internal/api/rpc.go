package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kuranty/kuranty/internal/apierror"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/identity"
)

// CallError is the error of a call over a connection: the HTTP status that the operation
// would have answered, and the code (chat-api.md §C.10).
type CallError struct {
	Status int
	Code   string
}

func (e *CallError) Error() string { return fmt.Sprintf("%s (%d)", e.Code, e.Status) }

// Temporary tells whether the same call may succeed later.
func (e *CallError) Temporary() bool { return e.Status == 429 || e.Status == 503 }

// Serves tells whether there is a call of that name.
func (a *API) Serves(method string) bool {
	_, known := a.procedures[method]
	return known
}

// procedure is a call that clients make over their connection. Its parameters are the
// members of the path, the query and the body of the operation in one object.
type procedure struct {
	schema *huma.Schema
	run    func(ctx context.Context, c *call, params []byte) (any, error)
}

// maxParams bounds the parameters of a call, in bytes.
const maxParams = 1 << 20

// RPC runs a call of a user and returns its result, which is that of the operation of the
// same name: chat.send, chat.edit, chat.delete, chat.react, chat.read, chat.delivered,
// chat.typing, chat.changes and presence.query. Calls count as requests of the user. The
// error is always a [*CallError].
func (a *API) RPC(ctx context.Context, user int64, method string, data []byte) (result []byte, err error) {
	c := &call{Caller: identity.Caller{User: user}, lang: apierror.English}
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("panic", "where", "rpc "+method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			result, err = nil, callError(apierror.New(apierror.Internal, nil))
		}
	}()
	out, err := a.run(ctx, c, method, data)
	if err != nil {
		e := apierror.From(err)
		if e.Code == apierror.Internal {
			a.log.Error("call failed", "method", method, "user", user, "error", err)
		}
		return nil, callError(e)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		a.log.Error("encode result", "method", method, "error", err)
		return nil, callError(apierror.New(apierror.Internal, err))
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func callError(e *apierror.Error) *CallError {
	return &CallError{e.Status(apierror.C), string(e.Code)}
}

func (a *API) run(ctx context.Context, c *call, method string, data []byte) (any, error) {
	p, known := a.procedures[method]
	if !known {
		return nil, apierror.New(apierror.NotFound, nil)
	}
	if err := a.perUser.take(decimal(c.User)); err != nil {
		return nil, err
	}
	if len(data) > maxParams {
		return nil, apierror.New(apierror.TooLarge, nil)
	}
	var parsed any
	if err := unmarshal(data, &parsed); err != nil {
		return nil, apierror.New(apierror.BadRequest, err)
	}
	res := new(huma.ValidateResult)
	huma.Validate(a.huma.OpenAPI().Components.Schemas, p.schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, parsed, res)
	if len(res.Errors) > 0 {
		return nil, refusal(422, res.Errors)
	}
	return p.run(ctx, c, data)
}

// procedureOf makes a procedure; run gets the decoded parameters.
func procedureOf[P any](a *API, run func(context.Context, *call, *P) (any, error)) procedure {
	return procedure{
		schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[P](), false, ""),
		run: func(ctx context.Context, c *call, params []byte) (any, error) {
			var p P
			if err := json.Unmarshal(params, &p); err != nil {
				return nil, apierror.New(apierror.BadRequest, err)
			}
			return run(ctx, c, &p)
		},
	}
}

// The parameters of calls.
type (
	sendCall struct {
		Chat ID `json:"chat_id,omitempty"`
		User ID `json:"user_id,omitempty"`
		Sending
	}
	editCall struct {
		Message ID `json:"message_id"`
		Editing
	}
	deleteCall struct {
		Message ID     `json:"message_id,omitempty"`
		IDs     []ID   `json:"ids,omitempty" maxItems:"100"`
		For     string `json:"for,omitempty" enum:"all,me"`
	}
	reactCall struct {
		Message ID     `json:"message_id"`
		Emoji   string `json:"emoji" maxLength:"100"`
		Action  string `json:"action,omitempty" enum:"add,remove"`
	}
	markCall struct {
		Chat ID    `json:"chat_id"`
		Seq  int64 `json:"seq" minimum:"0"`
	}
	typingCall struct {
		Chat   ID   `json:"chat_id"`
		Typing bool `json:"typing"`
	}
	changesCall struct {
		Chat  ID    `json:"chat_id"`
		Since int64 `json:"since_event_seq,omitempty" minimum:"0"`
		Limit int   `json:"limit,omitempty" minimum:"0" maximum:"200"`
	}
	presenceCall struct {
		Users []ID `json:"user_ids" maxItems:"200"`
	}
)

// calls are the procedures there are.
func (a *API) calls() map[string]procedure {
	return map[string]procedure{
		"chat.send":      procedureOf(a, a.callSend),
		"chat.edit":      procedureOf(a, a.callEdit),
		"chat.delete":    procedureOf(a, a.callDelete),
		"chat.react":     procedureOf(a, a.callReact),
		"chat.read":      procedureOf(a, a.callRead),
		"chat.delivered": procedureOf(a, a.callDelivered),
		"chat.typing":    procedureOf(a, a.callTyping),
		"chat.changes":   procedureOf(a, a.callChanges),
		"presence.query": procedureOf(a, a.callPresence),
	}
}

// done is the result of calls that have none.
var done = struct{}{}

func (a *API) callSend(ctx context.Context, c *call, p *sendCall) (any, error) {
	var out *answer[chatjson.Message]
	var err error
	switch {
	case (p.Chat == 0) == (p.User == 0):
		return nil, apierror.NewField("chat_id", apierror.Required)
	case p.User != 0:
		out, err = a.sendToUser(ctx, c, &sendToUserInput{UserPath: UserPath{p.User}, Body: p.Sending})
	default:
		out, err = a.send(ctx, c, &sendInput{ChatPath: ChatPath{p.Chat}, Body: p.Sending})
	}
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

func (a *API) callEdit(ctx context.Context, c *call, p *editCall) (any, error) {
	return result(a.edit(ctx, c, &editInput{MessagePath{p.Message}, p.Editing}))
}

func (a *API) callDelete(ctx context.Context, c *call, p *deleteCall) (any, error) {
	ids := numbers(p.IDs)
	if p.Message != 0 {
		ids = append(ids, int64(p.Message))
	}
	return done, a.o.Chats.Delete(ctx, c.User, ids, p.For == "all")
}

func (a *API) callReact(ctx context.Context, c *call, p *reactCall) (any, error) {
	return result(a.setReaction(ctx, c, int64(p.Message), p.Emoji, p.Action != "remove"))
}

func (a *API) callRead(ctx context.Context, c *call, p *markCall) (any, error) {
	return result(a.markRead(ctx, c, p.input()))
}

func (a *API) callDelivered(ctx context.Context, c *call, p *markCall) (any, error) {
	_, err := a.markDelivered(ctx, c, p.input())
	return done, err
}

func (p *markCall) input() *seqInput {
	in := &seqInput{ChatPath: ChatPath{p.Chat}}
	in.Body.Seq = p.Seq
	return in
}

func (a *API) callTyping(ctx context.Context, c *call, p *typingCall) (any, error) {
	return done, a.o.Typing.Set(ctx, c.User, int64(p.Chat), p.Typing)
}

func (a *API) callChanges(ctx context.Context, c *call, p *changesCall) (any, error) {
	return result(a.changes(ctx, c, &changesInput{ChatPath{p.Chat}, p.Since, p.Limit}))
}

func (a *API) callPresence(ctx context.Context, c *call, p *presenceCall) (any, error) {
	in := new(presenceInput)
	in.Body.Users = p.Users
	return result(a.presence(ctx, c, in))
}

// result is the body of an operation's answer.
func result[T any](out *body[T], err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// maxDepth bounds how deep JSON nests (guarantees.md S23).
const maxDepth = 32

var errDepth = errors.New("nested too deeply")

var errUTF8 = errors.New("not UTF-8")

// unmarshal is json.Unmarshal of what is UTF-8 and does not nest too deeply.
func unmarshal(b []byte, v any) error {
	if !utf8.Valid(b) {
		return errUTF8
	}
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return errDepth
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return json.Unmarshal(b, v)
}
