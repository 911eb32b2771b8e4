package chat

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mentioned finds who a text names and who was named beside it, marks them in m, and
// returns those to tell.
func (s *Service) mentioned(ctx context.Context, tx postTx, p *Posted, m *Message, users []int64, all bool) ([]int64, error) {
	if all && p.Chat.Kind == Group {
		if p.Chat.MemberCount > mentionAllMembers && p.Member.Role == Plain {
			return nil, ErrForbidden
		}
		m.MentionAll = true
	}
	marks := findMentions(m.Text, s.o.Sizes.Mentions)
	if len(marks) == 0 && len(users) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(marks))
	for _, mark := range marks {
		if !slices.Contains(names, mark.name) {
			names = append(names, mark.name)
		}
	}
	members, err := tx.Mentionable(ctx, p.Chat.ID, m.Sender.ID, users, names)
	if err != nil || len(members) == 0 {
		return nil, err
	}
	byName := make(map[string]int64, len(members))
	for id, name := range members {
		m.Mentions = append(m.Mentions, id)
		if name != "" {
			byName[name] = id
		}
	}
	slices.Sort(m.Mentions)
	for _, mark := range marks {
		if id := byName[mark.name]; id != 0 {
			m.Entities = append(m.Entities, Entity{Type: "mention", Offset: mark.offset, Length: mark.length, User: id})
		}
	}
	return m.Mentions, nil
}

// mark is an "@name" in a text, in UTF-16 code units with the "@"; name is in lower case.
type mark struct {
	name           string
	offset, length int
}

// findMentions finds the "@name"s of a text: user names are letters, digits, "_", "."
// and "-", and a mention does not begin within a word, as e-mail addresses do.
func findMentions(text string, most int) []mark {
	if !strings.Contains(text, "@") {
		return nil
	}
	var marks []mark
	offset := 0
	previous := ' '
	for i := 0; i < len(text) && len(marks) < most; {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == '@' && !nameRune(previous) && previous != '@' {
			end, units := i+1, 1
			for end < len(text) {
				c, n := utf8.DecodeRuneInString(text[end:])
				if !nameRune(c) {
					break
				}
				end += n
				units += utf16Length(c)
			}
			name := strings.TrimRight(text[i+1:end], ".-")
			units -= end - i - 1 - len(name)
			if name != "" {
				marks = append(marks, mark{strings.ToLower(name), offset, units})
				end = i + 1 + len(name)
				offset += units
				i = end
				previous = 'a'
				continue
			}
		}
		offset += utf16Length(r)
		previous = r
		i += size
	}
	return marks
}

func nameRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == '.' || r == '-'
}

func utf16Length(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}

// checkAttachment checks what can be checked of a file without looking for it.
func (s *Service) checkAttachment(f *Attachment) error {
	if f.ID != "" {
		f.URL = ""
		return nil
	}
	if !s.o.ExternalAttachments {
		return &FieldError{"attachments", "needs file_id, the id of an uploaded file"}
	}
	u, err := url.Parse(f.URL)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", len(f.URL) > 2048:
		return &FieldError{"attachments", "needs file_id, or an http or https url"}
	case !slices.Contains(attachmentKinds, f.Kind):
		f.Kind = "other"
	}
	f.Name, f.MIME = Excerpt(Normalize(f.Name), 255), Excerpt(Normalize(f.MIME), 127)
	f.Size = max(f.Size, 0)
	return nil
}

// attachmentKinds are what attachments may be (chat-api.md §B.3).
var attachmentKinds = []string{"image", "video", "audio", "voice", "document", "location", "contact", "other"}
