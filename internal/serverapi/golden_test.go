package serverapi_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/serverapi"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

var update = flag.Bool("update", false, "write what the API answers into testdata")

var (
	epochs  = regexp.MustCompile(`"epoch":"[A-Z0-9]{8}"`)
	uids    = regexp.MustCompile(`"uid":"[^"]+"`)
	uptimes = regexp.MustCompile(`"uptime":\d+,`)
)

// TestGolden plays each file of testdata against a node of its own. A line "> METHOD
// BODY" is a request (to the older form if the method is a dot; the two characters \n
// are a line feed; a ! before the method asks for errors as status), the line after
// it the answer, its status first unless that is 200. EPOCH stands for the last epoch
// seen, and what differs from run to run.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(script))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want := strings.Split(string(script), "\n")
			for i, line := range strings.Split(got, "\n") {
				if i >= len(want) || line != want[i] {
					t.Fatalf("%s:%d: the API answers\n%s", file, i+1, line)
				}
			}
		})
	}
}

// play returns the script with the answers that the API gives.
func play(t *testing.T, script string) string {
	presence := realtime.NewMemoryPresence()
	for _, info := range []*protocol.ClientInfo{
		{Client: "c1", User: "ann", ConnInfo: protocol.Raw(`{"name": "Ann"}`)},
		{Client: "c2", User: "ann"},
		{Client: "c3", ChanInfo: protocol.Raw("{\n\"a\":1}")},
	} {
		if err := presence.Add(t.Context(), "chat:room", info); err != nil {
			t.Fatal(err)
		}
	}
	if err := presence.Add(t.Context(), "chat:binary", &protocol.ClientInfo{Client: "c1", ConnInfo: protocol.Raw("\xff")}); err != nil {
		t.Fatal(err)
	}
	node := newNode(t, presence)
	connect(t, node, "ann", "chat:1", "chat:2", "news")
	connect(t, node, "bob", "chat:1")
	api := newAPI(t, node, serverapi.Options{RPC: rpc})

	epoch := ""
	var out []string
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		call, isCall := strings.CutPrefix(line, "> ")
		if strings.HasPrefix(line, "< ") {
			continue
		}
		out = append(out, line)
		if !isCall {
			continue
		}
		name, body, _ := strings.Cut(call, " ")
		mode := ""
		if strings.HasPrefix(name, "!") {
			name, mode = name[1:], "transport"
		}
		path := "/api/" + name
		if name == "." {
			path = "/api"
		}
		body = strings.ReplaceAll(strings.ReplaceAll(body, `\n`, "\n"), "EPOCH", epoch)
		w := post(api, path, body, "X-Centrifugo-Error-Mode", mode)
		answer := w.Body.String()
		if w.Code == http.StatusOK && w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: Content-Type is %s", line, w.Header().Get("Content-Type"))
		}
		if seen := epochs.FindAllString(answer, -1); len(seen) > 0 {
			epoch = seen[len(seen)-1][len(`"epoch":"`):]
			epoch = epoch[:len(epoch)-1]
		}
		answer = epochs.ReplaceAllString(answer, `"epoch":"EPOCH"`)
		answer = uids.ReplaceAllString(answer, `"uid":"UID"`)
		answer = uptimes.ReplaceAllString(answer, "")
		answer = strings.ReplaceAll(answer, "\n", `\n`)
		if w.Code != http.StatusOK {
			answer = fmt.Sprint(w.Code, " ", answer)
		}
		out = append(out, "< "+answer)
	}
	return strings.Join(out, "\n") + "\n"
}
