package config

// Source is where a configuration comes from. Flags win over the environment, which
// wins over the file.
type Source struct {
	// File is the path of a YAML, JSON or TOML file; empty is none. Other endings than
	// .yaml, .yml, .json and .toml are told apart by their content.
	File string
	// Text, if not nil, is the file's content, and File only its name.
	Text []byte
	// Env holds variables as os.Environ returns them; those that begin with neither
	// KURANTY_ nor CENTRIFUGO_ are passed over.
	Env []string
	// Flags are pairs of a key and its value, as in {"http_server.port", "0"}.
	Flags [][2]string
}

// Result is a configuration that may be used.
type Result struct {
	Config *Config
	// Notes are what a person should know: translated keys, ignored ones. Each is
	// meant to be logged once.
	Notes []Note
	// Origins tells by key where each value comes from. Options of namespaces stand
	// under channel.namespaces.NAME.
	Origins map[string]Origin
}

// Origin is where a value was set: "default", "file config.json:3",
// "env KURANTY_LOG_LEVEL" or "flag --log.level".
type Origin string

// Note is something about one key that did not stop the loading.
type Note struct {
	Key    string
	Origin Origin
	Text   string
	// Warning tells notes that may surprise from those that only inform.
	Warning bool
}

// String is the note as one line.
func (n Note) String() string { return n.Key + ": " + n.Text + " (" + string(n.Origin) + ")" }

// Load reads, translates, merges and checks. The error, if any, is an [*Error] that
// lists every mistake; then there is no result.
func Load(src Source) (*Result, error) { panic("unwritten") }

// Problem is one mistake: the key, where it was set, and what is wrong with it.
type Problem struct {
	Key    string
	Origin Origin
	Text   string
}

// Error lists everything that is wrong with a configuration.
type Error struct{ Problems []Problem }

// Error has a line per problem.
func (e *Error) Error() string { panic("unwritten") }
