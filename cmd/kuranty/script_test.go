package main

import (
	"net"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kuranty": main})
}

// The scripts read like sessions at a terminal.
func TestScripts(t *testing.T) {
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
	for late := time.Now().Add(30 * time.Second); time.Now().Before(late); {
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
