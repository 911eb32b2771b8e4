package identity

import (
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/kuranty/kuranty/internal/search"
)

// Lengths in characters (chat-api.md §0.11).
const (
	maxName     = 100
	maxAbout    = 512
	maxEmail    = 254 // RFC 5321 §4.5.3.1.3, less the brackets
	maxExternal = 255
	maxPicture  = 2048
)

var (
	usernamePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,30}[a-z0-9]$`)
	langPattern     = regexp.MustCompile(`^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8}){0,3}$`)
	allDigits       = regexp.MustCompile(`^[0-9]+$`)
)

// cleanText is s as text is kept (chat-api.md §0.1): NFC, without control characters but
// line breaks and tabs, without white space at its ends.
func cleanText(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, norm.NFC.String(strings.ToValidUTF8(s, "\uFFFD"))))
}

// cleanLine is cleanText of something that has one line.
func cleanLine(s string) string {
	return strings.Join(strings.Fields(cleanText(s)), " ")
}

func nameField(s string) (string, error) {
	s = cleanLine(s)
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return "", &FieldError{"name", "required"}
	case n > maxName:
		return "", &FieldError{"name", "too_long"}
	}
	return s, nil
}

func aboutField(s string) (string, error) {
	s = cleanText(s)
	if utf8.RuneCountInString(s) > maxAbout {
		return "", &FieldError{"about", "too_long"}
	}
	return s, nil
}

// usernameField takes 3 to 32 of a-z, 0-9, ".", "_" and "-", which does not look like a
// number: ids are numbers. Empty is no username.
func usernameField(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if s != "" && (!usernamePattern.MatchString(s) || allDigits.MatchString(s)) {
		return "", &FieldError{"username", "invalid"}
	}
	return s, nil
}

// emailField takes an address without a display name. Empty is none.
func emailField(s string) (string, error) {
	s = strings.ToLower(norm.NFC.String(strings.TrimSpace(s)))
	if s == "" {
		return "", nil
	}
	if len(s) > maxEmail {
		return "", &FieldError{"email", "too_long"}
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || strings.ContainsAny(s, " \"\\()<>,;:[]") || strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return "", &FieldError{"email", "invalid"}
	}
	return s, nil
}

// emailDomain returns what stands after the @.
func emailDomain(email string) string { return email[strings.LastIndexByte(email, '@')+1:] }

func langField(s string) (string, error) {
	if s != "" && !langPattern.MatchString(s) {
		return "", &FieldError{"lang", "invalid"}
	}
	return s, nil
}

func tzField(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if _, err := time.LoadLocation(s); err != nil || s == "Local" || len(s) > 64 {
		return "", &FieldError{"tz", "invalid"}
	}
	return s, nil
}

func externalField(s string) (string, error) {
	switch {
	case s == "":
		return "", &FieldError{"external_id", "required"}
	case len(s) > maxExternal:
		return "", &FieldError{"external_id", "too_long"}
	case !utf8.ValidString(s) || strings.IndexFunc(s, unicode.IsControl) >= 0:
		return "", &FieldError{"external_id", "invalid"}
	}
	return s, nil
}

// pictureField takes an https address. Empty is none.
func pictureField(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || len(s) > maxPicture {
		return "", &FieldError{"picture", "invalid"}
	}
	return s, nil
}

func oneOf(field, value string, values ...string) error {
	for _, v := range values {
		if v == value {
			return nil
		}
	}
	return &FieldError{field, "invalid"}
}

func (p Privacy) check() error {
	for _, err := range []error{
		oneOf("privacy.last_seen", p.LastSeen, Everyone, Contacts, Nobody),
		oneOf("privacy.email", p.Email, "", Everyone, Contacts, Self),
		oneOf("privacy.who_can_message", p.WhoCanMessage, Everyone, Contacts),
		oneOf("privacy.who_can_add", p.WhoCanAdd, Everyone, Contacts),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// SearchName is what an account is found by: name and username in lower case, ё as е.
func (a *Account) SearchName() string { return search.Fold(a.Name + " " + a.Username) }

// cut shortens what a client says of itself to n characters.
func cut(s string, n int) string {
	s = cleanLine(s)
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
