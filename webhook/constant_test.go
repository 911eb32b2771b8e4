package webhook_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// compared finds a signature or a secret that is compared as text, other than with a constant.
var compared = regexp.MustCompile(`(?i)(secret|signature|Reveal\(\)|\bwant|\.Sign\w*\(.*\))\s*[!=]=\s*[^"\s0-9n]|[!=]=\s*[\w.]*(Reveal\(\)|\.Sign\w*\()`)

// Signatures and secrets are compared in constant time only, here, where the server looks at
// captured requests, and in the examples for receivers.
func TestS4_SignaturesAreComparedInConstantTime(t *testing.T) {
	for _, line := range []string{`if signature == want {`, `if secret != given`, `x == s.Sign(body)`, `return w.Secret.Reveal() == text`} {
		if !compared.MatchString(line) {
			t.Errorf("%s is not found", line)
		}
	}
	looked := 0
	for _, pattern := range []string{"*.go", "../internal/webhooks/*.go", "../internal/webhookapi/*.go", "../internal/delivery/*.go", "../internal/delivery/*/*.go", "../docs/examples/webhook.*"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			looked++
			for i, line := range strings.Split(string(text), "\n") {
				if compared.MatchString(line) {
					t.Errorf("%s:%d compares %s", file, i+1, strings.TrimSpace(line))
				}
			}
		}
	}
	if looked < 30 {
		t.Errorf("only %d files", looked)
	}
	for file, word := range map[string]string{"verify.go": "hmac.Equal(", "../docs/examples/webhook.py": "hmac.compare_digest(", "../docs/examples/webhook.mjs": "timingSafeEqual(", "../docs/examples/webhook.php": "hash_equals("} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), word) {
			t.Errorf("%s does not compare with %s %v", file, word, err)
		}
	}
}
