package files

import "io"

// Watch makes f see each step on the disk: "sync" of a file or folder, "rename".
func Watch(s *Service, f func(step, name string)) { s.disk.done = f }

// Read reads an image within bounds and writes what it becomes.
func (b Bounds) Read(data []byte, mime string, w io.Writer) (width, height int, err error) {
	p, err := b.picture(data, mime)
	if err != nil {
		return 0, 0, err
	}
	return p.width, p.height, p.full(w)
}

// FillDecoders takes every place an image could have.
func FillDecoders(s *Service) (free func()) {
	for range cap(s.waiting) {
		s.waiting <- struct{}{}
	}
	return func() {
		for range cap(s.waiting) {
			<-s.waiting
		}
	}
}

// CleanName is seen by tests.
var CleanName = cleanName
