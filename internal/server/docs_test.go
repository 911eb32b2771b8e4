package server_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kuranty/kuranty/internal/servertest"
)

// R17 asks for three sentences in the documentation.
func TestR17_R42_DocumentationOfOperations(t *testing.T) {
	in := servertest.Start(t, servertest.Config(chat))
	publish(t, in.URL, in.APIKey, "chat:1", `1`)
	_, channels := get(t, in.URL+"/metrics")
	_, chats := get(t, servertest.Start(t).URL+"/metrics")
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	// That of a circuit is there for webhooks that have failed.
	served := names(`(?m)^# TYPE (kuranty_\w+)`, channels+chats+"# TYPE kuranty_webhook_circuit_state gauge\n")
	rows := regexp.MustCompile("(?m)^\\| `kuranty_[^|]*").FindAllString(string(page), -1)
	documented := names("`(kuranty_\\w+)", strings.Join(rows, ""))
	if !slices.Equal(served, documented) {
		t.Errorf("served     %q\ndocumented %q", served, documented)
	}
	for _, sentence := range []string{ // R17
		"A publish ack on a channel with history means: appended to history and handed to the broker.",
		"Without history delivery is at most once.",
		"With the memory engine history does not survive a crash.",
	} {
		if !strings.Contains(strings.Join(strings.Fields(string(page)), " "), sentence) {
			t.Errorf("docs/operations.md lacks %q", sentence)
		}
	}
}

// names returns the first groups of all matches, sorted, each once.
func names(pattern, text string) []string {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found[m[1]] = true
	}
	return slices.Sorted(maps.Keys(found))
}
