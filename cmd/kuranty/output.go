package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// say prints a line.
func (s *session) say(format string, a ...any) error {
	_, err := fmt.Fprintf(s.stdout, format+"\n", a...)
	return err
}

// list prints what was listed: rows of a table, or the objects themselves.
func (s *session) list(header string, objects []json.RawMessage, row func(json.RawMessage) ([]any, error)) error {
	if s.json {
		return printLines(s.stdout, objects)
	}
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, strings.ReplaceAll(header, " ", "\t")); err != nil {
		return err
	}
	for _, o := range objects {
		cells, err := row(o)
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		for i, c := range cells {
			if i > 0 {
				_, _ = fmt.Fprint(w, "\t") // errors are kept until Flush
			}
			_, _ = fmt.Fprint(w, plain(fmt.Sprint(c)))
		}
		_, _ = fmt.Fprintln(w)
	}
	return w.Flush()
}

// plain is text without what would move a terminal's cursor or break a table: others may
// have written it.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r) && !unicode.Is(unicode.Cf, r):
			return '\uFFFD'
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, text)
}

// harmless is JSON with all escaped that would move a terminal's cursor, or turn the
// direction of the text around it; JSON itself lets some of that stand (guarantees.md S33).
func harmless(text []byte) []byte {
	moves := func(r rune) bool { return r >= 0x7f && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) }
	if !bytes.ContainsFunc(text, moves) {
		return text
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		if moves(r) {
			_, _ = fmt.Fprintf(&b, `\u%04x`, r) // a buffer takes everything
		} else {
			_, _ = b.WriteRune(r)
		}
	}
	return b.Bytes()
}

// show prints an object.
func (s *session) show(object json.RawMessage) error {
	if s.json {
		return printLines(s.stdout, []json.RawMessage{bytes.TrimSpace(object)})
	}
	return printIndented(s.stdout, bytes.TrimSpace(object))
}

// read reads an object for who prints it in words, or shows it as it is if that is what
// was asked for.
func (s *session) read(object json.RawMessage, v any) (shown bool, err error) {
	if s.json {
		return true, s.show(object)
	}
	if err := json.Unmarshal(object, v); err != nil {
		return false, fmt.Errorf("read answer: %w", err)
	}
	return false, nil
}

// day is a time of an answer, to the minute and here.
func day(stamp *string) string {
	if stamp == nil {
		return "-"
	}
	t, err := time.Parse(time.RFC3339, *stamp)
	if err != nil {
		return *stamp
	}
	return t.Local().Format("2006-01-02 15:04")
}

// count is n of what.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return *s
}

// secret is the flag of a password, which is never an argument: others on the machine
// see those, and the shell keeps them.
type secret string

// Validate implements kong's check.
func (p secret) Validate() error {
	if p != "" && p != "-" {
		return errors.New("a password is not given on the command line, where others see it: give --password=- and write it to the input, or leave the flag out to have one made")
	}
	return nil
}

// read returns the first line of the input, or makes a password; made tells which.
func (p secret) read() (password string, made bool, err error) {
	if p == "" {
		return strings.ToLower(rand.Text()[:20]), true, nil
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", false, fmt.Errorf("read password: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", false, usageError{errors.New("the input has no password")}
	}
	return line, false, nil
}

// sayPassword prints a password that was made. It is nowhere else.
func (s *session) sayPassword(password string, made bool) error {
	if !made {
		return nil
	}
	return s.say("password: %s", password)
}

// most is how many things are listed at most.
type most int

// Validate implements kong's check.
func (n most) Validate() error {
	if n < 1 {
		return errors.New("must be 1 or more")
	}
	return nil
}

// confirmed is the flag of commands that cannot be taken back.
type confirmed struct {
	Yes bool `help:"Do it; without this flag nothing happens."`
}

// check refuses to do what, unless it was confirmed.
func (c *confirmed) check(what string) error {
	if c.Yes {
		return nil
	}
	return usageError{fmt.Errorf("this would %s, which cannot be taken back; repeat it with --yes", what)}
}
