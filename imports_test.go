// The tests of the module as a whole: what each package may import, and that
// each says what it is.
package kuranty_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/kuranty/kuranty"

// domain are the packages of rules: they know events and each other's nothing,
// neither SQL nor HTTP.
var domain = []string{
	"internal/identity", "internal/chat", "internal/tickets", "internal/payments",
	"internal/trust", "internal/analytics", "internal/alerts", "internal/status",
}

// allowed states which packages of this module a package may import. It is the
// architecture: a change here needs its reason here. Packages that do not exist
// yet are listed so that they start in their place.
var allowed = map[string][]string{
	// Libraries others may import; they must build without the server.
	"protocol":             {},
	"event":                {},
	"webhook":              {},
	"client":               {}, // a backend's side of the server API: any server that speaks it, so it knows none of ours
	"realtime":             {"protocol"},
	"realtime/transport":   {"realtime", "protocol"},
	"realtime/redisbroker": {"realtime", "protocol"},
	"realtime/brokertest":  {"realtime", "protocol"}, // states a contract, so it sees what the contract is about: publications too

	// Rules: who may do what. No SQL, no HTTP handlers.
	"internal/search":    {},                                                                // the one analyzer: texts in, lexemes out
	"internal/files":     {},                                                                // bytes of users; who may read them is asked through an interface
	"internal/identity":  {"event", "internal/search"},                                      // names are found by the analyzer's folding
	"internal/chat":      {"event", "internal/search"},                                      // the rules of search are rules
	"internal/privacy":   {"event", "internal/chat", "internal/files", "internal/identity"}, // what the law asks is asked of all of them
	"internal/tickets":   {"event"},
	"internal/payments":  {"event"},
	"internal/trust":     {"event"},
	"internal/analytics": {"event"},
	"internal/alerts":    {"event"},
	"internal/status":    {"event"},
	"internal/proxy":     {"protocol"},
	"internal/policy":    {"realtime", "protocol", "internal/chat", "internal/identity", "internal/proxy"},

	// The event log and its readers. They meet SQL only through interfaces of their own.
	"internal/outbox":   {"event"},
	"internal/gateway":  {"event", "protocol", "realtime", "realtime/transport"}, // its connections are carried by the same sockets; who callers are is asked through an interface
	"internal/delivery": {"event", "webhook"},
	"internal/store": slices.Concat(
		[]string{
			"event", "internal/outbox", "internal/gateway", "internal/delivery", "internal/files", "internal/search", "internal/privacy",
			"webhook", "internal/webhooks", "internal/delivery/dispatch", "internal/seal", // webhooks, and what of them is sealed
			"internal/store/gather", // how SQLite writes its log
		}, domain),
	"internal/store/gather":      {},                                                                                                  // below SQLite
	"internal/seal":              {},                                                                                                  // bytes in, bytes out
	"internal/delivery/egress":   {},                                                                                                  // one request to a stranger's server: what is sent, and to whom, is others' business
	"internal/delivery/dispatch": {"event", "webhook", "internal/delivery", "internal/delivery/egress"},                               // the rules, applied; storage is asked through an interface
	"internal/webhooks":          {"event", "webhook", "internal/delivery", "internal/delivery/dispatch", "internal/delivery/egress"}, // what owners can do; storage and sending are asked through interfaces
	// The channels of chat: what of the log is published where, and who may be there.
	"internal/channels": {"realtime", "protocol", "event", "internal/chat", "internal/identity"},

	// Surfaces.
	// One JSON and one table of errors for all contracts.
	"internal/chatjson": {"event", "internal/chat"},
	"internal/apierror": {"internal/alerts", "internal/analytics", "internal/chat", "internal/files", "internal/identity", "internal/payments", "internal/privacy", "internal/status", "internal/store", "internal/tickets", "internal/trust"}, // whose errors it has words for
	"internal/api": slices.Concat(
		[]string{"realtime", "event", "internal/gateway", "internal/delivery", "internal/apierror", "internal/chatjson", "internal/files", "internal/search", "internal/privacy"}, domain),
	"internal/eventapi":        {"event", "webhook", "internal/gateway", "internal/apierror"},                                                                 // the log over HTTP; who callers are the gateway knows
	"internal/webhookapi":      {"webhook", "internal/delivery", "internal/delivery/dispatch", "internal/webhooks", "internal/identity", "internal/apierror"}, // webhooks over HTTP: the rules read bodies and say what is wrong with them
	"internal/compat/chequite": {"event", "internal/chat", "internal/identity", "internal/apierror"},                                                          // renders what the channels carry
	"internal/compat/windi": {
		"realtime", "protocol", // takes what clients publish, with the protocol's errors
		"internal/chat", "internal/identity", "internal/apierror", "internal/chatjson", "internal/files",
	},
	"internal/serverapi":   {"realtime", "protocol", "internal/identity"},
	"internal/asyncapi":    {"event"},               // describes the gateway by the catalogue
	"internal/bench":       {"protocol", "webhook"}, // measures any server, so it must not know ours; checks signatures as receivers do
	"internal/client":      {"protocol"},            // any server, as bench
	"internal/webui":       {},
	"internal/webui/build": {}, // the bundler runs before anything else can be built
	"internal/mail":        {}, // letters in, SMTP out; who is written to, and why, is others' business
	"internal/config":      {}, // the file's shape in plain types; server turns it into options

	// Composition.
	"internal/server":     {"*"},
	"internal/servertest": {"internal/server", "internal/config"},
	"internal/seed":       {"internal/chat", "internal/files", "internal/identity"}, // speaks to the domain as people would
	"internal/pgtest":     {},                                                       // a real PostgreSQL for tests
	"internal/storetest":  {"internal/pgtest", "internal/store"},                    // databases for tests
	"internal/mailtest":   {},                                                       // a mail server for tests
	"internal/clocktest":  {},                                                       // clocks that somebody sets, for tests
	// Its commands call a running server (client), make and check tokens (identity) and
	// webhooks (webhook), look at, back up and restore a database whose server may be down (store),
	// and try the mail server (mail).
	"cmd/kuranty":   {"internal/server", "internal/config", "internal/bench", "internal/client", "internal/identity", "internal/mail", "internal/store", "protocol", "webhook"},
	"docs/examples": {}, // what others write against the gateway, so it knows nothing of ours
}

// testOnly packages are for tests; even the composition root does not import them.
var testOnly = []string{"realtime/brokertest", "internal/servertest", "internal/pgtest", "internal/mailtest"}

func TestImports(t *testing.T) {
	for dir, files := range packages(t) {
		may, known := allowed[dir]
		if !known {
			t.Errorf("package %s is not in the table of imports_test.go: say what it may import, and why", dir)
			continue
		}
		for file, imports := range files {
			for _, imp := range imports {
				in, ours := strings.CutPrefix(imp, module+"/")
				switch {
				case !ours || slices.Contains(may, in):
				case slices.Contains(may, "*") && !slices.Contains(testOnly, in) && !strings.HasPrefix(in, "cmd/"):
				default:
					t.Errorf("%s imports %s; %s may import only %q", file, in, dir, may)
				}
			}
		}
	}
}

func TestNoPackageWithoutAnIdea(t *testing.T) {
	for dir := range packages(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "types", "models", "misc"}, path.Base(dir)) {
			t.Errorf("package %s: a name that says nothing; put the code where it is used", dir)
		}
	}
}

// packages returns the module's packages as directory → file → imports. It reads
// files rather than asking the go command, so that every build tag is seen; test
// files may import what they like and are left out.
func packages(t *testing.T) map[string]map[string][]string {
	t.Helper()
	found := map[string]map[string][]string{}
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(file)
		if found[dir] == nil {
			found[dir] = map[string][]string{}
		}
		found[dir][file] = nil
		for _, spec := range parsed.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatalf("%s: import %s: %v", file, spec.Path.Value, err)
			}
			found[dir][file] = append(found[dir][file], imp)
		}
	}
	if len(found) == 0 {
		t.Fatal("no packages found")
	}
	return found
}

// goFiles lists the Go files of this module, with slashes, without those of
// other modules, test data, installed npm packages and hidden directories.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(rootFS, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := path.Base(name)
			if name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || name == "tools") {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".go") {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
