package api

import (
	"context"
	"net/http"
	"time"

	"github.com/kuranty/kuranty/internal/chat"
	"github.com/kuranty/kuranty/internal/chatjson"
	"github.com/kuranty/kuranty/internal/tickets"
)

// Scopes of keys for tickets.
const (
	ticketsRead  = "tickets:read"
	ticketsWrite = "tickets:write"
)

// ticketRoutes are support tickets: people see and write in their own, operators in all.
func (a *API) ticketRoutes() {
	handle(a, op{post, "/tickets", AnyoneOr(ticketsWrite), "Open a ticket", created, nil, true}, a.openTicket)
	handle(a, op{get, "/tickets", AnyoneOr(ticketsRead), "List tickets, the newest first", ok, nil, false}, a.listTickets)
	handle(a, op{get, "/tickets/{id}", AnyoneOr(ticketsRead), "Show a ticket and what is written in it", ok, nil, false}, a.getTicket)
	handle(a, op{post, "/tickets/{id}/messages", AnyoneOr(ticketsWrite), "Reply to a ticket", created, nil, true}, a.replyToTicket)
	handle(a, op{patch, "/tickets/{id}", AnyoneOr(ticketsWrite), "Change a ticket, for operators", ok, nil, false}, a.changeTicket)
}

// tickets returns the service, if tickets are on.
func (a *API) tickets() (*tickets.Service, error) { return enabled(a.o.Tickets) }

// asker is the caller to tickets, whose operators have a scope.
func (c *call) asker(scope string) tickets.Caller {
	return tickets.Caller{User: c.User, Operator: c.sees(scope), Actor: c.Actor()}
}

// Ticket is a ticket.
type Ticket struct {
	ID           int64   `json:"id"`
	UserID       int64   `json:"user_id" doc:"Who it belongs to"`
	Title        string  `json:"title"`
	Status       string  `json:"status" enum:"open,pending,answered,closed"`
	Priority     string  `json:"priority" enum:"low,normal,high,urgent"`
	AssigneeID   *int64  `json:"assignee_id" doc:"The administrator who takes care of it"`
	BlockedUntil *string `json:"replies_blocked_until" format:"date-time" doc:"Until when its owner cannot reply"`
	MessageCount int     `json:"message_count"`
	CreatedAt    string  `json:"created_at" format:"date-time"`
	UpdatedAt    string  `json:"updated_at" format:"date-time"`
	ClosedAt     *string `json:"closed_at" format:"date-time"`
}

// TicketMessage is what somebody wrote in a ticket.
type TicketMessage struct {
	ID          int64                 `json:"id"`
	TicketID    int64                 `json:"ticket_id"`
	AuthorID    *int64                `json:"author_id" doc:"null for a service"`
	IsFromAdmin bool                  `json:"is_from_admin" doc:"An operator wrote it, not the ticket's owner"`
	Text        string                `json:"text"`
	Attachments []chatjson.Attachment `json:"attachments"`
	CreatedAt   string                `json:"created_at" format:"date-time"`
}

// TicketThread is a ticket with its messages, the newest of them, in order.
type TicketThread struct {
	Ticket
	Messages  []TicketMessage `json:"messages"`
	HasBefore bool            `json:"has_before" doc:"There are earlier messages"`
}

// TicketReply is a message that was added, and the status the ticket has then.
type TicketReply struct {
	TicketMessage
	Status string `json:"status" enum:"open,pending,answered,closed"`
}

// TicketList is a page of tickets, by the cursor if there are more.
type TicketList struct {
	Tickets    []Ticket `json:"tickets"`
	NextCursor *string  `json:"next_cursor"`
}

func (a *API) ticket(t *tickets.Ticket) Ticket {
	out := Ticket{
		ID: t.ID, UserID: t.User, Title: t.Title, Status: t.Status, Priority: t.Priority, MessageCount: t.Messages,
		CreatedAt: chatjson.Stamp(t.CreatedAt), UpdatedAt: chatjson.Stamp(t.UpdatedAt), ClosedAt: chatjson.OptStamp(t.ClosedAt),
	}
	if t.Assignee != 0 {
		out.AssigneeID = &t.Assignee
	}
	if t.BlockedUntil > a.o.Clock().UnixMilli() {
		out.BlockedUntil = chatjson.OptStamp(t.BlockedUntil)
	}
	return out
}

func (a *API) ticketMessage(m *tickets.Message) TicketMessage {
	out := TicketMessage{
		ID: m.ID, TicketID: m.Ticket, IsFromAdmin: m.FromOperator, Text: m.Text,
		Attachments: make([]chatjson.Attachment, len(m.Files)), CreatedAt: chatjson.Stamp(m.CreatedAt),
	}
	if m.Author != 0 {
		out.AuthorID = &m.Author
	}
	for i, f := range m.Files {
		out.Attachments[i] = a.json.Attachment(&chat.Attachment{
			ID: f.ID, Caption: f.Caption, Kind: f.Kind, Name: f.Name, MIME: f.MIME, Size: f.Size, SHA256: f.SHA256,
			Width: f.Width, Height: f.Height, Duration: f.DurationMS, Blurhash: f.Blurhash, Thumb: f.Thumb,
		})
	}
	return out
}

func (a *API) thread(th *tickets.Thread) TicketThread {
	out := TicketThread{Ticket: a.ticket(&th.Ticket), Messages: make([]TicketMessage, len(th.Messages)), HasBefore: th.Before}
	for i := range th.Messages {
		out.Messages[i] = a.ticketMessage(&th.Messages[i])
	}
	return out
}

// ticketFile is an uploaded file to be attached.
type ticketFile struct {
	FileID  string        `json:"file_id" maxLength:"64"`
	Caption maybe[string] `json:"caption,omitempty"`
}

func ticketFiles(list []ticketFile) []tickets.File {
	out := make([]tickets.File, len(list))
	for i, f := range list {
		out[i] = tickets.File{ID: f.FileID, Caption: f.Caption.value}
	}
	return out
}

type openTicketInput struct {
	Body struct {
		Title       string       `json:"title" doc:"One line of at most 200 characters"`
		Text        string       `json:"text,omitempty" doc:"At most 4,000 characters; needed without attachments"`
		Priority    string       `json:"priority,omitempty" enum:"low,normal,high,urgent" doc:"normal if not given"`
		Attachments []ticketFile `json:"attachments,omitempty" doc:"Files that its owner has uploaded"`
		User        ID           `json:"user_id,omitempty" doc:"Who it belongs to, for operators; services must say"`
	}
}

func (a *API) openTicket(ctx context.Context, c *call, in *openTicketInput) (*answer[TicketThread], error) {
	s, err := a.tickets()
	if err != nil {
		return nil, err
	}
	b := &in.Body
	th, err := s.Open(ctx, c.asker(ticketsWrite), tickets.New{
		User: int64(b.User), Title: b.Title, Text: b.Text, Priority: b.Priority, Files: ticketFiles(b.Attachments),
	})
	if err != nil {
		return nil, err
	}
	return &answer[TicketThread]{Status: http.StatusCreated, Body: a.thread(&th)}, nil
}

type ticketsInput struct {
	Status   string `query:"status" enum:"open,pending,answered,closed"`
	Priority string `query:"priority" enum:"low,normal,high,urgent"`
	User     ID     `query:"user_id" doc:"Tickets of this person"`
	Assignee ID     `query:"assignee_id" doc:"Tickets that this administrator takes care of"`
	Limit    int    `query:"limit" minimum:"0" maximum:"200" doc:"50 if not given"`
	Cursor   string `query:"cursor" maxLength:"400"`
}

func (a *API) listTickets(ctx context.Context, c *call, in *ticketsInput) (*body[TicketList], error) {
	s, err := a.tickets()
	if err != nil {
		return nil, err
	}
	p, err := s.List(ctx, c.asker(ticketsRead), tickets.Query{
		Status: in.Status, Priority: in.Priority, User: int64(in.User), Assignee: int64(in.Assignee), Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := TicketList{make([]Ticket, len(p.Tickets)), optional(p.Next)}
	for i := range p.Tickets {
		out.Tickets[i] = a.ticket(&p.Tickets[i])
	}
	return reply(out), nil
}

// TicketPath names a ticket. It is exported for the library, which looks into no other embedded fields.
type TicketPath struct {
	Ticket ID `path:"id" doc:"The ticket's id"`
}

type getTicketInput struct {
	TicketPath
	Before ID  `query:"before" doc:"Messages before this one"`
	Limit  int `query:"limit" minimum:"0" maximum:"200" doc:"Most messages; 100 if not given"`
}

func (a *API) getTicket(ctx context.Context, c *call, in *getTicketInput) (*body[TicketThread], error) {
	s, err := a.tickets()
	if err != nil {
		return nil, err
	}
	th, err := s.Thread(ctx, c.asker(ticketsRead), int64(in.Ticket), int64(in.Before), in.Limit)
	if err != nil {
		return nil, err
	}
	return reply(a.thread(&th)), nil
}

type replyToTicketInput struct {
	TicketPath
	Body struct {
		Text        string       `json:"text,omitempty" doc:"At most 4,000 characters; needed without attachments"`
		Attachments []ticketFile `json:"attachments,omitempty" doc:"Files that the caller has uploaded"`
	}
}

func (a *API) replyToTicket(ctx context.Context, c *call, in *replyToTicketInput) (*answer[TicketReply], error) {
	s, err := a.tickets()
	if err != nil {
		return nil, err
	}
	t, m, err := s.Reply(ctx, c.asker(ticketsWrite), int64(in.Ticket), in.Body.Text, ticketFiles(in.Body.Attachments))
	if err != nil {
		return nil, err
	}
	return &answer[TicketReply]{Status: http.StatusCreated, Body: TicketReply{a.ticketMessage(&m), t.Status}}, nil
}

type changeTicketInput struct {
	TicketPath
	Body struct {
		Status       *string          `json:"status,omitempty" enum:"open,pending,answered,closed"`
		Priority     *string          `json:"priority,omitempty" enum:"low,normal,high,urgent"`
		Assignee     maybe[ID]        `json:"assignee_id,omitempty" doc:"An administrator; null is nobody"`
		BlockedUntil maybe[time.Time] `json:"replies_blocked_until,omitempty" doc:"Its owner cannot reply until then; null or a time that is over lets them"`
	}
}

func (a *API) changeTicket(ctx context.Context, c *call, in *changeTicketInput) (*body[Ticket], error) {
	s, err := a.tickets()
	if err != nil {
		return nil, err
	}
	b := &in.Body
	change := tickets.Change{Status: b.Status, Priority: b.Priority, BlockedUntil: given(&b.BlockedUntil)}
	if id := b.Assignee.pointer(); id != nil {
		change.Assignee = (*int64)(id)
	}
	t, err := s.Change(ctx, c.asker(ticketsWrite), int64(in.Ticket), change)
	if err != nil {
		return nil, err
	}
	return reply(a.ticket(&t)), nil
}
