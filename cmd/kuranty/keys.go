package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// errBackground means that a command runs behind others at its terminal, where it would be
// stopped if it read.
var errBackground = errors.New("in the background")

// pressed returns the keys pressed on a terminal as they are pressed, or else the first letter
// of each line of the input. restore gives the terminal back. The channel is closed when
// the input ends; until then its goroutine reads, which nothing ends but the process. Who runs in the
// background has no keys.
func pressed(in *os.File) (keys <-chan rune, restore func(), err error) {
	restore, terminal, err := unbuffered(in)
	if errors.Is(err, errBackground) {
		return nil, func() {}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("set up the terminal: %w", err)
	}
	out := make(chan rune)
	read := readLetters
	if terminal {
		read = readKeys
	}
	go func() {
		defer close(out)
		read(in, func(key rune) { out <- key })
	}()
	return out, restore, nil
}

// readKeys gives each key to press.
func readKeys(in io.Reader, press func(rune)) {
	for r := bufio.NewReader(in); ; {
		key, _, err := r.ReadRune()
		if err != nil {
			return
		}
		if key > ' ' {
			press(key)
		}
	}
}

// readLetters gives the first letter of each line to press.
func readLetters(in io.Reader, press func(rune)) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		for _, key := range strings.TrimSpace(lines.Text()) {
			press(key)
			break
		}
	}
}
