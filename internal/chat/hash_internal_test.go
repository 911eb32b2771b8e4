package chat

import "testing"

// The hash of a content is stored with it: what a message of an older version was sent with
// must have the same one, or its repetition would be a conflict.
func TestTheHashOfAContentStays(t *testing.T) {
	in := Sending{ReplyTo: 7, Text: "Привет, \"мир\"\n\u200b😀 \x00", Files: []Attachment{{ID: "f1", URL: "https://files.example/é"}}}
	if got, want := in.hash(), "01d9d73fc33286884744c1852780e233"; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}
