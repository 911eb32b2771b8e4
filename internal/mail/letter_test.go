package mail_test

import (
	"io"
	"mime"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kuranty/kuranty/internal/mail"
	"github.com/kuranty/kuranty/internal/mailtest"
)

// read returns a letter as the program of who got it shows it: its header, decoded, and
// its text.
func read(t *testing.T, data string) (header map[string]string, text string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(data, "\r\n"), "\r\n") {
		if len(line) > 78 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("a line of %d bytes: %q", len(line), line)
		}
	}
	m, err := netmail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	header = map[string]string{}
	for name, values := range m.Header {
		if len(values) != 1 {
			t.Errorf("%s: %q", name, values)
		}
		if header[name], err = new(mime.WordDecoder).DecodeHeader(values[0]); err != nil {
			t.Error(err)
		}
	}
	return header, string(body)
}

// sent sends l by a mailer with the options that change makes, and reads what has come.
func sent(t *testing.T, l mail.Letter, change func(*mail.Options)) (header map[string]string, text string) {
	t.Helper()
	s := mailtest.Start(t, mailtest.Options{})
	o := options(s, mail.None)
	if change != nil {
		change(&o)
	}
	if err := newMailer(t, o).Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	return read(t, received(t, s).Data)
}

func TestHeader(t *testing.T) {
	header, _ := sent(t, sample, nil)
	id := header["Message-Id"]
	delete(header, "Message-Id")
	want := map[string]string{
		"Date": "Fri, 27 Nov 2026 09:05:00 +0000", "From": `"Example" <noreply@example.com>`, "To": "Анна <anna@example.org>",
		"Subject": "New password for Example", "Auto-Submitted": "auto-generated", "Mime-Version": "1.0",
		"Content-Type": "text/plain; charset=utf-8", "Content-Transfer-Encoding": "quoted-printable", "Content-Language": "en",
	}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Error(diff)
	}
	another, _ := sent(t, sample, nil)
	if len(id) < 40 || !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, "@example.com>") || another["Message-Id"] == id {
		t.Errorf("ids %s and %s", id, another["Message-Id"])
	}
}

func TestTexts(t *testing.T) {
	pages := func(o *mail.Options) {
		o.ResetURL, o.VerifyURL = "https://app.example.com/reset#token={token}&a=b", "https://app.example.com/verify/{token}"
	}
	for _, tt := range []struct {
		kind    mail.Kind
		lang    string
		change  func(*mail.Options)
		subject string
		want    []string
	}{
		{mail.Reset, "", pages, "New password for Example", []string{"at Example.", "open this page:", "\r\n\r\nhttps://app.example.com/reset#token=c4n4ry-token&a=b\r\n\r\n", "until 27 November 2026, 10:00 UTC", "do nothing"}},
		{mail.Reset, "de-AT", nil, "New password for Example", []string{"enter this code", "\r\n\r\nc4n4ry-token\r\n\r\n", "until 27 November 2026, 10:00 UTC", "do nothing"}},
		{mail.Reset, "ru", pages, "Новый пароль для Example", []string{"в Example.", "откройте страницу", "\r\n\r\nhttps://app.example.com/reset#token=c4n4ry-token&a=b\r\n\r\n", "до 27.11.2026 10:00 UTC", "ничего не делайте"}},
		{mail.Reset, "ru-RU", nil, "Новый пароль для Example", []string{"введите этот код", "\r\n\r\nc4n4ry-token\r\n\r\n"}},
		{mail.Verify, "en-GB", pages, "Confirm your address for Example", []string{"open this page:", "\r\n\r\nhttps://app.example.com/verify/c4n4ry-token\r\n\r\n", "until 27 November 2026, 10:00 UTC", "do nothing"}},
		{mail.Verify, "RU", nil, "Подтвердите адрес для Example", []string{"\r\n\r\nc4n4ry-token\r\n\r\n", "до 27.11.2026 10:00 UTC", "ничего не делайте"}},
		{mail.Code, "", pages, "Your code for Example", []string{"Enter it in the application", "\r\n\r\nc4n4ry-token\r\n\r\n", "until 27 November 2026, 10:00 UTC", "do nothing"}},
		{mail.Code, "ru", pages, "Ваш код для Example", []string{"\r\n\r\nc4n4ry-token\r\n\r\n", "до 27.11.2026 10:00 UTC", "ничего не делайте"}},
		{mail.Test, "ru", nil, "Пробное письмо от Example", []string{"Тот, кто обслуживает Example"}},
		{mail.Test, "", func(o *mail.Options) { o.From = "noreply@example.com" }, "Test letter of example.com", []string{"Somebody who operates example.com"}},
	} {
		l := sample
		l.Kind, l.Lang = tt.kind, tt.lang
		header, text := sent(t, l, tt.change)
		if header["Subject"] != tt.subject {
			t.Errorf("%s in %q: subject %q, want %q", tt.kind, tt.lang, header["Subject"], tt.subject)
		}
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s in %q lacks %q:\n%s", tt.kind, tt.lang, want, text)
			}
		}
		if strings.Contains(text, "%!") || strings.Contains(text, "Анна") || strings.Contains(header["Subject"], token) {
			t.Errorf("%s in %q:\n%s", tt.kind, tt.lang, text)
		}
	}
}

// A name adds no header and no link: a stranger chooses it, and the address (S33).
func TestS33_NamesOfUsersAreNothingButNames(t *testing.T) {
	for name, want := range map[string]string{
		"Анна Сергеевна": "Анна Сергеевна", "Jean-Luc O’Neil": "Jean-Luc O’Neil", "Анна С.": "Анна С.", "山田 太郎": "山田 太郎", "Zoë": "Zoë", "  Anna\tB ": "Anna B",
		"":                       "",
		"Anna\r\nBcc: x@evil.io": "", "Anna\nX": "Anna X", "Anna\x00": "", "Anna\u202eevil": "", "Anna\u2028B: c": "",
		"http://evil.io": "", "evil.io": "", "www.evil.io now": "", "see evil.io": "", "evil\u3002io": "", "a@evil.io": "", "Anna <x@evil.io>": "", `"Anna`: "", "a,b": "", "=?utf-8?q?a?=": "",
		strings.Repeat("я", 64): strings.Repeat("я", 64), strings.Repeat("я", 65): "", "\xff": "", "$1000!": "",
	} {
		l := sample
		l.Name = name
		header, text := sent(t, l, nil)
		to, err := netmail.ParseAddress(header["To"])
		if err != nil || to.Name != want || to.Address != "anna@example.org" {
			t.Errorf("%q: To is %q, want the name %q", name, header["To"], want)
		}
		if len(header) != 10 || strings.Contains(text, "evil") {
			t.Errorf("%q: %q\n%s", name, header, text)
		}
	}
}

func TestAddressesAddNoRecipient(t *testing.T) {
	s := mailtest.Start(t, mailtest.Options{UTF8: true})
	m := newMailer(t, options(s, mail.None))
	for _, to := range []string{
		"", "anna", "anna@example.org\r\nBcc: x@evil.io", "anna@example.org\n", "anna@example.org, x@evil.io", "Anna <anna@example.org>", "<anna@example.org>",
		"anna@example.org> SIZE=1", "a\u2028b@example.org", "\"a b\"@example.org", "anna@example.org\x00",
	} {
		l := sample
		l.To = to
		if err := m.Send(t.Context(), l); err == nil || strings.Contains(err.Error(), "example.org") {
			t.Errorf("%q: %v", to, err)
		}
	}
	if said := s.Said(); len(said) > 0 {
		t.Errorf("the server was told %q", said)
	}
}

func TestLinesAreNeverTooLong(t *testing.T) {
	l := sample
	l.Token, l.Name = strings.Repeat("я", 1000), strings.Repeat("ж", 64)
	header, text := sent(t, l, func(o *mail.Options) { o.From = strings.Repeat("Пример ", 40) + "<noreply@example.com>" })
	if !strings.Contains(text, l.Token) || !strings.Contains(header["Subject"], strings.Repeat("Пример ", 39)) {
		t.Errorf("%q\n%s", header, text)
	}
	// A token that is a line with a dot does not end the letter.
	l.Token = ".\r\n.\r\nQUIT"
	if _, text := sent(t, l, nil); !strings.Contains(text, "QUIT") || !strings.Contains(text, "do nothing") {
		t.Error(text)
	}
}

func TestLettersThatThereAreNot(t *testing.T) {
	l := sample
	l.Kind = "greeting"
	s := mailtest.Start(t, mailtest.Options{})
	if err := newMailer(t, options(s, mail.None)).Send(t.Context(), l); err == nil || !strings.Contains(err.Error(), `"greeting"`) {
		t.Error(err)
	}
}

func TestOptionsThatAreWrong(t *testing.T) {
	good := mail.Options{Host: "mail.example.com", From: "a@example.com"}
	if m := newMailer(t, good); m.String() != "mail.example.com:587 (encrypted by STARTTLS)" {
		t.Error(m)
	}
	for security, want := range map[mail.Security]string{mail.TLS: "mail.example.com:465 (encrypted by TLS)", mail.None: "mail.example.com:25 (not encrypted)"} {
		o := good
		o.Security = security
		if m := newMailer(t, o); m.String() != want {
			t.Error(m)
		}
	}
	for want, change := range map[string]func(*mail.Options){
		"mail.host: ":       func(o *mail.Options) { o.Host = "" },
		"mail.tls: ":        func(o *mail.Options) { o.Security = "ssl" },
		"mail.from: ":       func(o *mail.Options) { o.From = "" },
		"mail.from: \"a@я":  func(o *mail.Options) { o.From = "a@я.рф" },
		"mail.from: \"=?ut": func(o *mail.Options) { o.From = "=?utf-8?q?a=0d=0aBcc?= <a@example.com>" },
		"mail.reset_url: ":  func(o *mail.Options) { o.ResetURL = "https://example.com" },
		"mail.verify_url: ": func(o *mail.Options) { o.VerifyURL = "https://example.com/{Token}" },
	} {
		o := good
		change(&o)
		if _, err := mail.New(o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Whatever users and the configuration say, a letter has the headers it should and one
// recipient, and its text is what was written.
func FuzzLetter(f *testing.F) {
	f.Add("Анна", "anna@example.org", "ru", "token", "Example <a@example.com>")
	f.Add("a\r\nBcc: x", "x@y\r\n", "en", ".\r\n", "=?utf-8?q?=0a?= <a@example.com>")
	f.Fuzz(func(t *testing.T, name, to, lang, secret, from string) {
		m, err := mail.New(mail.Options{Host: "localhost", From: from})
		if err != nil {
			return
		}
		recipient, text, err := m.Write(&mail.Letter{Kind: mail.Verify, To: to, Name: name, Lang: lang, Token: secret, Expires: sample.Expires})
		if err != nil {
			return
		}
		if recipient != to || strings.ContainsAny(to, "\r\n<> ") {
			t.Fatalf("recipient %q of %q", recipient, to)
		}
		r, err := netmail.ReadMessage(strings.NewReader(string(text)))
		if err != nil || len(r.Header) != 10 {
			t.Fatalf("%v: %q", err, text)
		}
		if list, err := r.Header.AddressList("To"); err != nil || len(list) != 1 || list[0].Address != to {
			t.Fatalf("To %q of %q: %v", r.Header.Get("To"), to, err)
		}
		if utf8.ValidString(secret) && !strings.ContainsAny(secret, "\r\n") {
			if body, err := io.ReadAll(quotedprintable.NewReader(r.Body)); err != nil || !strings.Contains(string(body), secret) {
				t.Fatalf("%q not in %q: %v", secret, body, err)
			}
		}
	})
}
