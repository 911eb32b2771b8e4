package serverapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/serverapi"
	"github.com/kuranty/kuranty/protocol"
	"github.com/kuranty/kuranty/realtime"
)

// FuzzPublish compares what is taken out of a body with what the standard decoder takes
// out of it, wherever both accept it.
func FuzzPublish(f *testing.F) {
	seed(f, "publish")
	var channel string
	var data []byte
	var options realtime.PublishOptions
	api := newAPI(f, fake{publish: func(_ context.Context, c string, d []byte, o realtime.PublishOptions) (protocol.StreamPosition, error) {
		channel, data, options = c, d, o
		return protocol.StreamPosition{}, nil
	}}, serverapi.Options{})
	f.Fuzz(func(t *testing.T, body string) {
		w := post(api, "/api/publish", body)
		switch w.Code {
		case http.StatusOK:
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			return
		default:
			t.Fatalf("status %d", w.Code)
		}
		var want struct {
			Channel        string            `json:"channel"`
			Data           json.RawMessage   `json:"data"`
			B64Data        []byte            `json:"b64data"`
			SkipHistory    bool              `json:"skip_history"`
			Tags           map[string]string `json:"tags"`
			IdempotencyKey string            `json:"idempotency_key"`
			Version        uint64            `json:"version"`
			VersionEpoch   string            `json:"version_epoch"`
		}
		if err := json.Unmarshal([]byte(body), &want); err != nil {
			if strings.Contains(err.Error(), "illegal base64") || repeats(body) {
				return // an error of the call, or a name in another case, which is none to us
			}
			t.Fatalf("%q is taken, but %v", body, err)
		}
		if !strings.Contains(w.Body.String(), "result") || repeats(body) {
			return
		}
		if len(want.B64Data) > 0 {
			want.Data = want.B64Data
		}
		if channel != want.Channel || !bytes.Equal(data, want.Data) || options.SkipHistory != want.SkipHistory ||
			options.IdempotencyKey != want.IdempotencyKey || options.Version != want.Version ||
			options.VersionEpoch != want.VersionEpoch || len(options.Tags) != len(want.Tags) {
			t.Fatalf("%q: channel %q, data %q, %+v", body, channel, data, options)
		}
		for name, value := range want.Tags {
			if got, ok := options.Tags[name]; !ok || got != value {
				t.Fatalf("%q: tag %q is %q", body, name, got)
			}
		}
	})
}

// repeats tells whether the standard decoder could read body differently: it takes names
// in any case, so that two may be one, and merges maps.
func repeats(body string) bool {
	seen := make(map[string]bool)
	in := json.NewDecoder(strings.NewReader(body))
	for {
		token, err := in.Token()
		if err != nil {
			return false
		}
		if name, ok := token.(string); ok {
			lower := strings.ToLower(name)
			if seen[lower] || lower != name {
				return true
			}
			seen[lower] = true
		}
	}
}

// FuzzAnyMethod holds that whatever is sent, the answer is well formed.
func FuzzAnyMethod(f *testing.F) {
	seed(f, "")
	node := newNode(f, nil)
	api := newAPI(f, node, serverapi.Options{RPC: rpc})
	paths := []string{"/api", "/api/publish", "/api/broadcast", "/api/subscribe", "/api/disconnect", "/api/history", "/api/channels", "/api/batch"}
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range paths {
			w := post(api, path, body)
			switch w.Code {
			case http.StatusOK:
				for line := range strings.SplitSeq(w.Body.String(), "\n") {
					if !json.Valid([]byte(line)) && (line != "" || path != "/api") {
						t.Fatalf("%s of %q answers %q", path, body, line)
					}
				}
			case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			default:
				t.Fatalf("%s of %q: status %d", path, body, w.Code)
			}
		}
		if n := api.Stats().Panics; n > 0 {
			t.Fatalf("%q panicked", body)
		}
	})
}

// seed adds the bodies of the golden files whose name begins with prefix.
func seed(f *testing.F, prefix string) {
	files, err := filepath.Glob("testdata/" + prefix + "*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(script)) {
			if call, ok := strings.CutPrefix(line, "> "); ok {
				_, body, _ := strings.Cut(strings.TrimSuffix(call, "\n"), " ")
				f.Add(strings.ReplaceAll(body, `\n`, "\n"))
			}
		}
	}
}
