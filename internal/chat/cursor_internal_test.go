package chat

import "testing"

// FuzzCursor takes texts that no page has returned for no cursor, and returns what it
// takes as it was.
func FuzzCursor(f *testing.F) {
	for _, text := range []string{"", "x", cursor(1, 2, 3), cursor(-1, 0, 1<<62), cursor(1), cursor(1, 2, 3, 4), "W10", "WzEgMiAzXQ==", "WzAxIDIgM10"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var a, b, c int64
		if openCursor(text, &a, &b, &c) {
			if again := cursor(a, b, c); again != text {
				t.Errorf("%q was read as %q", text, again)
			}
		} else if a != 0 || b != 0 || c != 0 {
			t.Errorf("%q is no cursor but left %d, %d, %d", text, a, b, c)
		}
	})
}

func TestCursorsKeepPlaces(t *testing.T) {
	for _, at := range [][2]int64{{0, 0}, {-1, 1}, {NotPinned, 1 << 52}} {
		var a, b int64
		if !openCursor(cursor(at[0], at[1]), &a, &b) || a != at[0] || b != at[1] {
			t.Errorf("the cursor of %v is read as %d, %d", at, a, b)
		}
	}
}
