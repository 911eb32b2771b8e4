package mail

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind is what a letter is for.
type Kind string

// The kinds of letters.
const (
	Reset  Kind = "reset"  // sets a password
	Verify Kind = "verify" // proves the address of an account
	Code   Kind = "code"   // proves an address by six digits
	Test   Kind = "test"   // shows that letters arrive; has no token
)

// Letter is what is to be sent to a person.
type Letter struct {
	Kind Kind
	// To is the address, Name who has it, as the user wrote it.
	To, Name string
	// Lang is a language tag such as ru or en-GB; letters are in Russian or English.
	Lang string
	// Token is the secret of the letter, valid until Expires.
	Token   string
	Expires time.Time
}

// wording is a letter of one kind in one language.
type wording struct {
	// subject and why name the service in place of %s.
	subject, why string
	// link stands above an address, enter above the token itself.
	link, enter string
	// ends says until when, ignore what to do if one did not ask.
	ends, ignore string
}

const (
	endsEnglish = "It works once, until %s."
	endsRussian = "Действует один раз, до %s."
)

// wordings are the letters by language and kind. Nothing in them is a user's.
var wordings = map[string]map[Kind]wording{
	"en": {
		Reset: {
			subject: "New password for %s",
			why:     "Somebody, most likely you, asked to set a new password for your account at %s.",
			link:    "To set it, open this page:",
			enter:   "To set it, enter this code in the application in which you asked:",
			ends:    endsEnglish,
			ignore:  "If it was not you, do nothing: the password stays as it is. Show this letter to nobody: whoever has it can set your password.",
		},
		Verify: {
			subject: "Confirm your address for %s",
			why:     "Somebody, most likely you, gave this address for an account at %s.",
			link:    "To confirm that it is yours, open this page:",
			enter:   "To confirm that it is yours, enter this code in the application:",
			ends:    endsEnglish,
			ignore:  "If it was not you, do nothing: the address will not be confirmed.",
		},
		Code: {
			subject: "Your code for %s",
			why:     "Somebody, most likely you, asked for a code that confirms this address at %s.",
			enter:   "Enter it in the application in which you asked:",
			ends:    endsEnglish,
			ignore:  "If it was not you, do nothing, and tell the code to nobody who asks for it.",
		},
		Test: {
			subject: "Test letter of %s",
			why:     "Somebody who operates %s had this letter sent to see whether letters arrive. This one has.",
			ignore:  "If you know of no such service, somebody has mistyped an address: ignore this letter.",
		},
	},
	"ru": {
		Reset: {
			subject: "Новый пароль для %s",
			why:     "Кто-то, скорее всего вы, попросил задать новый пароль вашей учётной записи в %s.",
			link:    "Чтобы задать его, откройте страницу:",
			enter:   "Чтобы задать его, введите этот код в приложении, в котором просили:",
			ends:    endsRussian,
			ignore:  "Если это были не вы, ничего не делайте: пароль останется прежним. Никому не показывайте это письмо: с ним можно сменить ваш пароль.",
		},
		Verify: {
			subject: "Подтвердите адрес для %s",
			why:     "Кто-то, скорее всего вы, указал этот адрес для учётной записи в %s.",
			link:    "Чтобы подтвердить, что он ваш, откройте страницу:",
			enter:   "Чтобы подтвердить, что он ваш, введите этот код в приложении:",
			ends:    endsRussian,
			ignore:  "Если это были не вы, ничего не делайте: адрес не будет подтверждён.",
		},
		Code: {
			subject: "Ваш код для %s",
			why:     "Кто-то, скорее всего вы, запросил код, который подтверждает этот адрес в %s.",
			enter:   "Введите его в приложении, в котором просили:",
			ends:    endsRussian,
			ignore:  "Если это были не вы, ничего не делайте и никому не сообщайте код.",
		},
		Test: {
			subject: "Пробное письмо от %s",
			why:     "Тот, кто обслуживает %s, отправил это письмо, чтобы узнать, доходят ли письма. Это дошло.",
			ignore:  "Если вы не знаете такой службы, кто-то ошибся адресом: не обращайте внимания на это письмо.",
		},
	},
}

// times are how letters write the end of what is valid.
var times = map[string]string{"en": "2 January 2006, 15:04 UTC", "ru": "02.01.2006 15:04 UTC"}

// write returns the recipient of l, and the letter as it goes over the wire.
func (m *Mailer) write(l *Letter) (to string, text []byte, err error) {
	// The address is not repeated: errors go to logs.
	a, err := mail.ParseAddress(l.To)
	if err != nil || a.Address != l.To || strings.ContainsFunc(l.To, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return "", nil, errors.New("the recipient is no e-mail address")
	}
	lang, _, _ := strings.Cut(strings.ToLower(l.Lang), "-")
	if wordings[lang] == nil {
		lang = "en"
	}
	w, known := wordings[lang][l.Kind]
	if !known {
		return "", nil, fmt.Errorf("there is no letter of the kind %q", l.Kind)
	}
	service := m.from.Name
	if service == "" {
		service = m.domain
	}

	var b bytes.Buffer
	header := func(name, value string) { b.WriteString(folded(name, value)) }
	header("Date", m.o.Now().UTC().Format(time.RFC1123Z))
	header("From", m.from.String())
	header("To", (&mail.Address{Name: addressee(l.Name), Address: l.To}).String())
	header("Subject", mime.BEncoding.Encode("utf-8", fmt.Sprintf(w.subject, service)))
	header("Message-ID", "<"+strings.ToLower(rand.Text())+"@"+m.domain+">")
	header("Auto-Submitted", "auto-generated") // RFC 3834: nobody's holiday notice answers it
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	header("Content-Language", lang)
	b.WriteString("\r\n")

	body := quotedprintable.NewWriter(&b)
	for i, part := range m.paragraphs(l, &w, service, times[lang]) {
		if i > 0 {
			part = "\r\n" + part
		}
		if _, err := body.Write([]byte(part + "\r\n")); err != nil {
			return "", nil, fmt.Errorf("write letter: %w", err)
		}
	}
	if err := body.Close(); err != nil {
		return "", nil, fmt.Errorf("write letter: %w", err)
	}
	return l.To, b.Bytes(), nil
}

func (m *Mailer) paragraphs(l *Letter, w *wording, service, layout string) []string {
	text := []string{fmt.Sprintf(w.why, service)}
	page := map[Kind]string{Reset: m.o.ResetURL, Verify: m.o.VerifyURL}[l.Kind]
	switch {
	case page != "":
		text = append(text, w.link, strings.ReplaceAll(page, Placeholder, url.QueryEscape(l.Token)))
	case w.enter != "":
		text = append(text, w.enter, l.Token)
	}
	if w.ends != "" {
		text = append(text, fmt.Sprintf(w.ends, l.Expires.UTC().Format(layout)))
	}
	return append(text, w.ignore)
}

// maxAddressee is how many characters of a name a letter shows at most.
const maxAddressee = 64

// onlyName is what can be nothing but a name, in any script: letters, numbers, and a dot at
// the end of a word, so that no program makes a link of it.
var onlyName = regexp.MustCompile(`^[\p{L}\p{M}\p{N}'’-]+\.?( [\p{L}\p{M}\p{N}'’-]+\.?)*$`)

// addressee is the name that a letter shows in To. Anybody can open an account with the
// address of somebody else and a name of their choice, so one that says more than a name
// is left out, and letters never repeat it in their text.
func addressee(name string) string {
	name = strings.Join(strings.Fields(name), " ")
	if utf8.RuneCountInString(name) > maxAddressee || !onlyName.MatchString(name) {
		return ""
	}
	return name
}

// maxLine is how many bytes a line of the header has at most (RFC 2047 §2), but for single
// words that are longer.
const maxLine = 76

// folded is a line of the header, on as many lines as it needs.
func folded(name, value string) string {
	var b strings.Builder
	line := name + ":"
	for word := range strings.SplitSeq(value, " ") {
		if len(line)+1+len(word) > maxLine {
			b.WriteString(line + "\r\n")
			line = ""
		}
		line += " " + word
	}
	return b.String() + line + "\r\n"
}
