package mail

// Write is what is sent of a letter.
func (m *Mailer) Write(l *Letter) (to string, text []byte, err error) { return m.write(l) }
