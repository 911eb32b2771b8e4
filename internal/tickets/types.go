package tickets

// States of a ticket.
const (
	// Open waits for an operator, Answered for its owner, Pending for something else.
	Open     = "open"
	Answered = "answered"
	Pending  = "pending"
	Closed   = "closed"
)

// Priorities of a ticket.
const (
	Low    = "low"
	Normal = "normal"
	High   = "high"
	Urgent = "urgent"
)

var (
	statuses   = []string{Open, Pending, Answered, Closed}
	priorities = []string{Low, Normal, High, Urgent}
)

// Ticket is a question and what became of it. Times are in milliseconds since 1970, 0 is
// never.
type Ticket struct {
	ID int64
	// User is who it belongs to.
	User                    int64
	Title, Status, Priority string
	// Assignee is the operator who takes care of it, 0 for none.
	Assignee int64
	// BlockedUntil is until when its owner cannot reply; it may have passed.
	BlockedUntil                   int64
	CreatedAt, UpdatedAt, ClosedAt int64
	// Messages counts its messages.
	Messages int
}

// Message is what somebody wrote in a ticket.
type Message struct {
	ID, Ticket int64
	// Author is the account of who wrote it, 0 for a service.
	Author int64
	// FromOperator tells that an operator wrote it, not the ticket's owner.
	FromOperator bool
	Text         string
	Files        []File
	CreatedAt    int64
}

// File is an uploaded file in a message. To attach one, ID and Caption are enough.
type File struct {
	ID, Caption, Kind, Name, MIME, SHA256, Blurhash string

	Size          int64
	Width, Height int
	DurationMS    int64
	// Thumb tells that there is a smaller picture.
	Thumb bool
}

// Caller is who asks.
type Caller struct {
	// User is the account, 0 for a service.
	User int64
	// Operator tells that everybody's tickets are the caller's to see, and to change.
	Operator bool
	// Actor is the caller as events name it.
	Actor string
}

// sees is whose tickets the caller sees: 0 is everybody's, and below 0 nobody's.
func (c *Caller) sees() int64 {
	switch {
	case c.Operator:
		return 0
	case c.User == 0:
		return -1
	}
	return c.User
}

// New is a ticket to be made.
type New struct {
	// User is who it belongs to; 0 is the caller. Only operators make tickets for others.
	User int64
	// Title and Text are what is asked. Text may be empty if there are files, which its
	// owner has uploaded.
	Title, Text string
	// Priority is [Normal] if empty.
	Priority string
	Files    []File
}

// Change is a change by an operator; what is nil stays.
type Change struct {
	Status, Priority *string
	// Assignee is an administrator, 0 for nobody.
	Assignee *int64
	// BlockedUntil is in milliseconds since 1970; 0 lets the owner reply.
	BlockedUntil *int64
}

// Query selects tickets, the newest first. Empty fields select all.
type Query struct {
	Status, Priority string
	User, Assignee   int64
	// Cursor is [Page.Next] of the page before.
	Cursor string
	// Limit is 1 to 200; zero means 50.
	Limit int
}

// Page is a page of tickets.
type Page struct {
	Tickets []Ticket
	// Next is the cursor of the next page, empty on the last.
	Next string
}

// Thread is a ticket with its messages in order: the newest, or those before one.
type Thread struct {
	Ticket   Ticket
	Messages []Message
	// Before tells that there are earlier ones.
	Before bool
}
