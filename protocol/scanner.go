package protocol

// Scanner walks once over JSON text it does not trust, for readers of requests whose
// parameters are this package's messages in other clothes. It checks everything it
// passes but duplicate names, which are its user's business. Any fault moves it to the
// end, where nothing more is found; [Scanner.Done] tells.
//
// A walk is a Kind to look at a value, and Value to take it or Enter and More to go
// through it.
type Scanner struct{ s scanner }

// NewScanner returns a scanner at the first value of text, which it neither changes nor
// copies. Values may be nested up to depth levels.
func NewScanner(text []byte, depth int) Scanner {
	sc := Scanner{scanner{buf: text, levels: depth}}
	sc.s.space()
	return sc
}

// Kind returns the first byte of the value at hand, 0 at the end.
func (sc *Scanner) Kind() byte { return sc.s.peek() }

// Value takes the value at hand as it is written, aliasing the text; nil after a fault.
func (sc *Scanner) Value() []byte {
	start := sc.s.pos
	sc.s.value()
	if sc.s.fault != "" {
		return nil
	}
	return sc.s.buf[start:sc.s.pos:sc.s.pos]
}

// Payload is Value for what is embedded into messages as it is: it may be nested as
// [ValidJSON] allows, however deep it stands itself.
func (sc *Scanner) Payload() []byte {
	levels := sc.s.levels
	sc.s.levels = maxDepth
	v := sc.Value()
	sc.s.levels = levels
	return v
}

// Enter steps into the object or array at hand, open being '{' or '['. Anything else is
// a fault.
func (sc *Scanner) Enter(open byte) bool {
	if sc.s.enter(open) {
		return true
	}
	sc.s.fail("another value expected")
	return false
}

// More steps to the next element and tells whether there is one; if not, it steps out.
// end is '}' or ']'.
func (sc *Scanner) More(end byte) bool { return sc.s.more(end) }

// Name takes the name of the member at hand as it is written, with its quotes, and steps
// to the member's value.
func (sc *Scanner) Name() []byte {
	name, _ := sc.s.quoted()
	sc.s.colon()
	return name
}

// Fail makes the text faulty, for a reason of the user's.
func (sc *Scanner) Fail() { sc.s.fail("refused") }

// Failed tells whether there was a fault.
func (sc *Scanner) Failed() bool { return sc.s.fault != "" }

// Done tells whether all of the text was taken and nothing was wrong with it; white
// space may be left.
func (sc *Scanner) Done() bool {
	if sc.Failed() {
		return false
	}
	sc.s.space()
	return sc.s.pos == len(sc.s.buf)
}
