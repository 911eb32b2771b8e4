package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kuranty/kuranty/internal/mailtest"
	"github.com/kuranty/kuranty/internal/servertest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"watched": main, "receiver": receiver, "mailbox": mailbox})
}

// receiver is a server that gets webhooks: receiver PORT. It keeps the last request in the
// files headers and body, and answers with the status in the file answer.
func receiver() {
	keep := func(name, text string) {
		if err := errors.Join(os.WriteFile(name+".new", []byte(text), 0o600), os.Rename(name+".new", name)); err != nil {
			panic(err)
		}
	}
	var mu sync.Mutex
	err := http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost { // whether it is there
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		lines := "POST " + r.URL.Path + " HTTP/1.1\n"
		for _, name := range slices.Sorted(maps.Keys(r.Header)) {
			lines += strings.ToLower(name) + ": " + r.Header.Get(name) + "\n"
		}
		keep("body", string(body))
		keep("headers", lines)
		answer, err := os.ReadFile("answer")
		status, wrong := strconv.Atoi(strings.TrimSpace(string(answer)))
		if err != nil || wrong != nil {
			status = http.StatusOK
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "that is %d", status)
	}))
	panic(err)
}

// mailbox is a mail server: mailbox PORT USERNAME PASSWORD. It keeps the last letter in the file
// letter, and its certificate in cert.pem.
func mailbox() {
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	s, err := mailtest.Listen(mailtest.Options{Port: port, STARTTLS: true, Username: os.Args[2], Password: os.Args[3]})
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile("cert.pem", s.CertPEM, 0o600); err != nil {
		panic(err)
	}
	for l := range s.Letters {
		if err := os.WriteFile("letter", []byte(strings.ReplaceAll(l.Data, "\r\n", "\n")), 0o600); err != nil {
			panic(err)
		}
	}
}

// The scripts read like sessions at a terminal. In them kuranty is the program as it is shipped,
// which starts five times as fast as one with the race detector; watched is one that has it if
// the tests do, for commands that do several things at a time.
func TestScripts(t *testing.T) {
	shipped := filepath.Dir(servertest.Build(t))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_GOLDEN") != "",
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"until": until, "keep": keep},
		Setup: func(env *testscript.Env) error {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			env.Setenv("PATH", shipped+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Vars = append(env.Vars, "FREE_PORT="+strconv.Itoa(ln.Addr().(*net.TCPAddr).Port),
				"GORACE=atexit_sleep_ms=0") // a second for each command otherwise
			return ln.Close()
		},
	})
}

// until repeats a command until what it prints matches: until REGEXP COMMAND ARG…
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP COMMAND ARG…")
	}
	want := regexp.MustCompile(args[0])
	var printed string
	for late := time.Now().Add(2 * time.Minute); time.Now().Before(late); {
		_ = ts.Exec(args[1], args[2:]...) // failing at first is why it is repeated
		printed = ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if want.MatchString(printed) {
			return
		}
		<-time.After(20 * time.Millisecond) // another process is waited for
	}
	ts.Fatalf("%v never printed %s, at last\n%s", args[1:], args[0], printed)
}

// keep sets a variable to what the first group of a regular expression matches in the
// last output: keep NAME REGEXP
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME REGEXP")
	}
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) < 2 {
		ts.Fatalf("%s does not match the output", args[1])
	}
	ts.Setenv(args[0], found[1])
}
