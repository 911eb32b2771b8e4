package chat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/kuranty/kuranty/event"
)

const (
	maxMetadata = 2 << 10
	// mentionAllMembers is from how many members on only owner and admins may address all.
	mentionAllMembers = 20
)

// Sending is a message to be sent.
type Sending struct {
	// ClientID makes repetitions harmless: the same sender, chat and id is the same
	// message for ever. Empty sends anew each time.
	ClientID string
	Text     string
	// Files are uploaded files of the sender by ID, or, if configured, files elsewhere.
	Files    []Attachment
	ReplyTo  int64
	Mentions []int64
	// MentionAll addresses every member; Silent is passed on to clients.
	MentionAll, Silent bool
	// Metadata is a JSON object of at most 2 KiB, returned as it is, or nil.
	Metadata json.RawMessage
	Forward  *Forward
	// Unlimited is not counted among what the sender may send in a time: a service sends
	// it, which no rate bounds.
	Unlimited bool
	// words are what the index is to keep of Text.
	words string
	// copied says that the content is that of a message the sender sees: its files are
	// somebody else's perhaps, and it calls nobody.
	copied bool
}

// postTx is what sending needs.
type postTx interface {
	// Post takes the next numbers of a chat for a message of user, who must be an active
	// member (else [ErrNotFound]), and moves the member's watermarks to it. LastSentAt
	// of the member returned is the time before.
	Post(ctx context.Context, chat, user, now int64) (Posted, error)
	// PostSystem takes the next numbers for a system message. Of the chat it returns what
	// [Posted] has.
	PostSystem(ctx context.Context, chat, now int64) (Chat, error)
	// AddMessage stores m and returns its id. stored is false, and nothing was stored, if
	// its client id was used before.
	AddMessage(ctx context.Context, m *Message, hash string) (id int64, stored bool, err error)
	// Sent returns the message a member once sent with a client id, and the hash of its content.
	Sent(ctx context.Context, chat, user int64, clientID string) (Message, string, error)
	// Writable returns whether user may write to the other person of a direct chat.
	Writable(ctx context.Context, user, other int64) (bool, error)
	// Reveal shows a direct chat in both lists again, and returns from whom it was hidden.
	Reveal(ctx context.Context, chat int64) ([]int64, error)
	// Quoted returns the message of a chat that user answers.
	Quoted(ctx context.Context, chat, user, message int64) (Quote, error)
	// Attachable returns the uploaded files of user with those ids, in their order.
	Attachable(ctx context.Context, user int64, ids []string) ([]Attachment, error)
	// Attach ties files to a message.
	Attach(ctx context.Context, message int64, ids []string) error
	// Mentionable returns those of the users and user names who are active members, but
	// not except.
	Mentionable(ctx context.Context, chat, except int64, users []int64, names []string) (map[int64]string, error)
	// AddMentions remembers who was mentioned in a message; user 0 is everybody.
	AddMentions(ctx context.Context, m *Message, users []int64) error
}

// Posted is a chat and its member after [postTx.Post]. Of the chat it has what sending
// needs: kind and pair, numbers, time, settings and the number of members.
type Posted struct {
	Chat   Chat
	Member Member
	Sender Person
}

// MessagePayload is the payload of events about a message.
type MessagePayload struct {
	Message Message `json:"message"`
	// By is who changed it, if not its sender.
	By int64 `json:"by,omitempty"`
	// Changes names what an edit changed.
	Changes []string `json:"changes,omitempty"`
}

// errReplayed says that the client id was used before.
var errReplayed = errors.New("sent before")

// Send sends a message to a chat. replayed says that the same sender had sent it before
// with this client id: it is returned as it is now. The errors are [ErrNotFound],
// [ErrForbidden], [ErrCannotMessage], [*SlowModeError], [*RateError], [*LimitError],
// [*FieldError] and [*ConflictError]; after any of them nothing is stored.
func (s *Service) Send(ctx context.Context, user, chat int64, in Sending) (m Message, replayed bool, err error) {
	if in, err = s.checkSending(in); err != nil {
		return Message{}, false, err
	}
	now := s.o.Clock()
	hash := in.hash()
	in.words = s.store.Words(in.Text)
	if !in.Unlimited {
		err = s.mayPostNow(user, chat, now)
	}
	if err == nil {
		err = s.store.Update(ctx, func(tx Tx) error {
			m, err = s.post(ctx, tx, user, chat, in, hash)
			return err
		})
	}
	// Who has waited for the database for too long does not wait for it again (guarantees.md R25).
	if err != nil && in.ClientID != "" && !errors.Is(err, context.DeadlineExceeded) {
		// Whatever forbids a new message, one that was acknowledged stays acknowledged.
		if sent, ok, lookErr := s.sentBefore(ctx, user, chat, in.ClientID, hash); ok || errors.Is(err, errReplayed) {
			return sent, ok && lookErr == nil, lookErr
		}
	}
	if err != nil {
		return Message{}, false, err
	}
	return m, false, nil
}

// mayPostNow checks the rates of the sender and the chat.
func (s *Service) mayPostNow(user, chat int64, now time.Time) error {
	if err := s.rates.send.take(user, now); err != nil {
		return err
	}
	return s.rates.chat.take(chat, now)
}

// sentBefore looks for the message of a client id; ok says that there is one.
func (s *Service) sentBefore(ctx context.Context, user, chat int64, clientID, hash string) (m Message, ok bool, err error) {
	var was string
	err = s.store.View(ctx, func(tx Tx) error {
		m, was, err = tx.Sent(ctx, chat, user, clientID)
		return err
	})
	switch {
	case err != nil:
		return Message{}, false, err
	case was != hash:
		return Message{}, true, &ConflictError{Message: m.ID}
	}
	return m, true, nil
}

// checkSending normalizes what is to be sent and checks what can be checked without the chat.
func (s *Service) checkSending(in Sending) (Sending, error) {
	var err error
	if in.Text, err = s.text(in.Text); err != nil {
		return in, err
	}
	switch {
	case in.Text == "" && len(in.Files) == 0:
		return in, &FieldError{"text", "must not be empty without attachments"}
	case in.ClientID != "" && !validClientID(in.ClientID):
		return in, &FieldError{"client_id", "must be 1 to 100 printable ASCII characters"}
	case len(in.Mentions) > s.o.Sizes.Mentions:
		return in, &LimitError{Field: "mentions", Got: len(in.Mentions), Limit: s.o.Sizes.Mentions, Unit: "people"}
	case len(in.Metadata) > maxMetadata:
		return in, &LimitError{Field: "metadata", Got: len(in.Metadata), Limit: maxMetadata, Unit: "bytes"}
	case in.Metadata != nil && (in.Metadata[0] != '{' || !json.Valid(in.Metadata)):
		return in, &FieldError{"metadata", "must be a JSON object"}
	}
	in.Files = slices.Clone(in.Files)
	return in, s.checkFiles(in.Files)
}

// checkFiles checks what can be checked of files without looking for them.
func (s *Service) checkFiles(files []Attachment) error {
	if len(files) > s.o.Sizes.Attachments {
		return &LimitError{Field: "attachments", Got: len(files), Limit: s.o.Sizes.Attachments, Unit: "files"}
	}
	for i := range files {
		if err := s.checkAttachment(&files[i]); err != nil {
			return err
		}
	}
	return nil
}

// hash is what a repetition must agree in: text, files, reply (chat-api.md §C.4).
func (in *Sending) hash() string {
	b := append(strconv.AppendInt(nil, in.ReplyTo, 10), 0)
	b = append(strconv.AppendQuote(b, in.Text), 0)
	for _, f := range in.Files {
		b = strconv.AppendQuote(strconv.AppendQuote(b, f.ID), f.URL)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// post stores the message and the event that announces it.
func (s *Service) post(ctx context.Context, tx Tx, user, chat int64, in Sending, hash string) (Message, error) {
	p, err := tx.Post(ctx, chat, user, s.now())
	if err != nil {
		return Message{}, err
	}
	if err := s.mayPost(ctx, tx, &p); err != nil {
		return Message{}, err
	}
	m := Message{
		Chat: chat, Seq: p.Chat.LastSeq, Type: TextMessage, Sender: p.Sender, Text: in.Text, ClientID: in.ClientID,
		Metadata: in.Metadata, Silent: in.Silent, Forward: in.Forward,
		CreatedAt: p.Chat.LastMessageAt, Version: 1, EventSeq: p.Chat.LastEventSeq,
	}
	if in.ReplyTo != 0 {
		q, err := tx.Quoted(ctx, chat, user, in.ReplyTo)
		if errors.Is(err, ErrNotFound) {
			return Message{}, &FieldError{"reply_to_id", "is no message of this chat"}
		} else if err != nil {
			return Message{}, err
		}
		m.ReplyTo = &q
	}
	mentioned, err := s.fill(ctx, tx, &p, &m, &in)
	if err != nil {
		return Message{}, err
	}
	id, stored, err := tx.AddMessage(ctx, &m, hash)
	if err != nil {
		return Message{}, err
	}
	if !stored {
		return Message{}, errReplayed
	}
	m.ID = id
	if err := s.follow(ctx, tx, &m, in.words, mentioned); err != nil {
		return Message{}, err
	}
	return m, s.announce(ctx, tx, event.MessageCreated, chat, m.EventSeq, m.ID, user, MessagePayload{Message: m})
}

// fill fills in the files of m and whom it mentions, and returns those to tell.
func (s *Service) fill(ctx context.Context, tx Tx, p *Posted, m *Message, in *Sending) (mentioned []int64, err error) {
	if in.copied {
		m.Files = in.Files
		return nil, nil
	}
	if m.Files, err = s.attachable(ctx, tx, p.Sender.ID, in.Files); err != nil {
		return nil, err
	}
	return s.mentioned(ctx, tx, p, m, in.Mentions, in.MentionAll)
}

// follow stores what hangs on a message: its files, mentions and index entries.
func (s *Service) follow(ctx context.Context, tx Tx, m *Message, words string, mentioned []int64) error {
	if ids := fileIDs(m.Files); len(ids) > 0 {
		if err := tx.Attach(ctx, m.ID, ids); err != nil {
			return err
		}
	}
	if err := tx.Index(ctx, m, words); err != nil {
		return err
	}
	return s.mention(ctx, tx, m, mentioned)
}

// mention remembers who was mentioned in a message, and tells who was by name. A message to
// everybody is remembered once, however large the chat is.
func (s *Service) mention(ctx context.Context, tx Tx, m *Message, users []int64) error {
	mentioned := users
	if m.MentionAll {
		mentioned = []int64{everybody}
	}
	if len(mentioned) == 0 {
		return nil
	}
	if err := tx.AddMentions(ctx, m, mentioned); err != nil {
		return err
	}
	for _, user := range users {
		err := s.notify(ctx, tx, user, "mention", m.ID, m.Sender.ID, MentionData{
			Chat: m.Chat, Message: m.ID, Seq: m.Seq, Sender: m.Sender.ID, SenderName: m.Sender.Name, Excerpt: Excerpt(m.Text, excerptLength),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// everybody stands for all members among those whom a message mentions.
const everybody = 0

// excerptLength is how much of a message notices and quotes show, in code points.
const excerptLength = 120

// MentionData is the data of the notice "mention".
type MentionData struct {
	Chat       int64  `json:"chat_id"`
	Message    int64  `json:"message_id"`
	Seq        int64  `json:"seq"`
	Sender     int64  `json:"sender_id"`
	SenderName string `json:"sender_name"`
	Excerpt    string `json:"excerpt"`
}

// mayPost checks the rules of the chat for a new message, and shows a direct chat to
// both.
func (s *Service) mayPost(ctx context.Context, tx Tx, p *Posted) error {
	if err := s.mayWrite(ctx, tx, &p.Chat, &p.Member); err != nil {
		return err
	}
	switch p.Chat.Kind {
	case Direct:
		return s.reveal(ctx, tx, p.Chat.ID, p.Member.User)
	case Group:
		if p.Member.Role != Plain {
			return nil
		}
		slow := int64(p.Chat.Settings.SlowMode) * 1000
		// Who wrote in a future that was taken back does not wait for it (guarantees.md R28).
		if since := s.now() - p.Member.LastSentAt; since >= 0 && since < slow {
			return &SlowModeError{RetryAfter: time.Duration(slow-since) * time.Millisecond}
		}
	}
	return nil
}

// reveal shows a direct chat in both lists and tells those from whom it was hidden.
func (s *Service) reveal(ctx context.Context, tx Tx, chat, by int64) error {
	hidden, err := tx.Reveal(ctx, chat)
	if err != nil {
		return err
	}
	for _, user := range hidden {
		if err := s.notify(ctx, tx, user, "chat_added", 0, by, ChatAdded{chat}); err != nil {
			return err
		}
	}
	return nil
}

// mayWrite checks whether a member may write in the chat at all.
func (s *Service) mayWrite(ctx context.Context, tx postTx, c *Chat, m *Member) error {
	switch c.Kind {
	case Direct:
		ok, err := tx.Writable(ctx, m.User, c.Companion(m.User))
		if err == nil && !ok {
			err = ErrCannotMessage
		}
		return err
	case Group:
		if m.Role == Plain && c.Settings.WhoCanPost == Admins {
			return ErrForbidden
		}
	}
	return nil
}

// attachable replaces files that the sender uploaded by what the server knows of them.
func (s *Service) attachable(ctx context.Context, tx Tx, user int64, files []Attachment) ([]Attachment, error) {
	ids := fileIDs(files)
	if len(ids) == 0 {
		return files, nil
	}
	own, err := tx.Attachable(ctx, user, ids)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(files)
	for i := range out {
		if out[i].ID == "" {
			continue
		}
		at := slices.IndexFunc(own, func(f Attachment) bool { return f.ID == out[i].ID })
		if at < 0 {
			return nil, &FieldError{"attachments", fmt.Sprintf("%q is no uploaded file of yours", out[i].ID)}
		}
		caption := out[i].Caption
		out[i] = own[at]
		out[i].Caption = caption
	}
	return out, nil
}

// fileIDs are the ids of the uploaded ones among files.
func fileIDs(files []Attachment) (ids []string) {
	for _, f := range files {
		if f.ID != "" {
			ids = append(ids, f.ID)
		}
	}
	return ids
}
