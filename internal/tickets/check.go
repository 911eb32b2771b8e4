package tickets

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// checkNew normalizes a new ticket and checks what can be checked without the database.
func (s *Service) checkNew(in New) (out New, err error) {
	in.Title = strings.Join(strings.Fields(normalize(in.Title, s.o.Title)), " ")
	switch n := utf8.RuneCountInString(in.Title); {
	case n == 0:
		return in, &FieldError{"title", "must not be empty"}
	case n > s.o.Title:
		return in, &LimitError{Field: "title", Limit: s.o.Title, Unit: "characters"}
	}
	if in.Priority == "" {
		in.Priority = Normal
	}
	if !slices.Contains(priorities, in.Priority) {
		return in, &FieldError{"priority", "must be one of " + strings.Join(priorities, ", ")}
	}
	in.Text, in.Files, err = s.checkMessage(in.Text, in.Files)
	return in, err
}

// checkMessage normalizes what is to be written and checks what can be checked without the
// database.
func (s *Service) checkMessage(text string, files []File) (string, []File, error) {
	text = normalize(text, s.o.Text)
	switch {
	case utf8.RuneCountInString(text) > s.o.Text:
		return "", nil, &LimitError{Field: "text", Limit: s.o.Text, Unit: "characters"}
	case text == "" && len(files) == 0:
		return "", nil, &FieldError{"text", "must not be empty without attachments"}
	case len(files) > s.o.Files:
		return "", nil, &LimitError{Field: "attachments", Limit: s.o.Files, Unit: "files"}
	}
	out := slices.Clone(files)
	for i := range out {
		f := &out[i]
		if f.ID == "" || len(f.ID) > 64 {
			return "", nil, &FieldError{"attachments", "must name uploaded files by file_id"}
		}
		if slices.ContainsFunc(out[:i], func(other File) bool { return other.ID == f.ID }) {
			return "", nil, &FieldError{"attachments", "has a file twice"}
		}
		f.Caption = normalize(f.Caption, maxCaption)
		if utf8.RuneCountInString(f.Caption) > maxCaption {
			return "", nil, &LimitError{Field: "caption", Limit: maxCaption, Unit: "characters"}
		}
	}
	return text, out, nil
}

// maxCaption is the length of a caption, in code points (as of a message of a chat).
const maxCaption = 1024

// normalize returns text as it is stored, as chat-api.md §0.1 has it for messages: NFC,
// without control characters but line feed and tab, without white space at its end. What is
// far above limit, so that no normal form of it is within, is left as it is.
func normalize(text string, limit int) string {
	if len(text) > 64*limit {
		return text
	}
	text = norm.NFC.String(strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
	return strings.TrimRightFunc(text, unicode.IsSpace)
}

// checkChange checks what can be checked without the database, and takes a block that is
// over for none.
func (s *Service) checkChange(c *Change) error {
	switch {
	case c.Status != nil && !slices.Contains(statuses, *c.Status):
		return &FieldError{"status", "must be one of " + strings.Join(statuses, ", ")}
	case c.Priority != nil && !slices.Contains(priorities, *c.Priority):
		return &FieldError{"priority", "must be one of " + strings.Join(priorities, ", ")}
	case c.Assignee != nil && *c.Assignee < 0:
		return &FieldError{"assignee_id", "is no administrator"}
	case c.BlockedUntil != nil && *c.BlockedUntil > lastTime:
		return &FieldError{"replies_blocked_until", "is too far away"}
	}
	if c.BlockedUntil != nil && *c.BlockedUntil <= s.now() {
		c.BlockedUntil = new(int64)
	}
	return nil
}

// lastTime is the end of the year 9999, the last that RFC 3339 can write.
const lastTime = 253_402_300_799_999

// attachable replaces files by what the server knows of them. They must be owner's.
func attachable(ctx context.Context, tx Tx, owner int64, files []File) ([]File, error) {
	var out []File
	for _, f := range files {
		own, found, err := tx.Attachable(ctx, owner, f.ID)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, &FieldError{"attachments", "has a file that is no uploaded file of yours"}
		}
		own.Caption = f.Caption
		out = append(out, own)
	}
	return out, nil
}

// mayNow counts what user did in a window of time. People who do more at the very same time
// may get a few more through; who must be kept from it is not.
func (s *Service) mayNow(ctx context.Context, count func(context.Context, int64, int64) (int, int64, error), user, now int64, limit int, window time.Duration) error {
	if limit < 0 {
		return nil
	}
	n, first, err := count(ctx, user, now-window.Milliseconds())
	if err != nil || n < limit {
		return err
	}
	return &RateError{Limit: limit, Window: window, RetryAfter: max(window-time.Duration(now-first)*time.Millisecond, time.Second)}
}

// shown is how much of a message events show, in code points (webhooks.md §1.7).
const shown = 200

// beginning is as much of text as events show.
func beginning(text string) string {
	n := 0
	for i := range text {
		if n++; n > shown {
			return text[:i]
		}
	}
	return text
}
