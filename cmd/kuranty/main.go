// Command kuranty is a realtime server with a chat backend, and the commands to try, operate and measure it.
//
// kuranty demo shows what it does, kuranty serve runs it for an application; kuranty
// --help lists the rest. It exits with 0 when it did what was asked, 1 when that was
// not possible, and 2 when the command line or the configuration is wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"github.com/kuranty/kuranty/internal/bench"
	"github.com/kuranty/kuranty/internal/config"
)

// cli is the command line.
type cli struct {
	globals

	Serve serveCmd `cmd:"" help:"Run the server."`
	Demo  demoCmd  `cmd:"" help:"Run a server that lets everybody on this machine in, with a page to try it."`

	Token      tokenCmd      `cmd:"" help:"Make and inspect the tokens with which clients connect."`
	Publish    publishCmd    `cmd:"" help:"Publish into a channel."`
	Subscribe  subscribeCmd  `cmd:"" help:"Print what is published into a channel, as it comes."`
	History    historyCmd    `cmd:"" help:"Print what a channel remembers."`
	Presence   presenceCmd   `cmd:"" help:"Print who is subscribed to a channel."`
	Channels   channelsCmd   `cmd:"" help:"Print the channels that have subscribers."`
	Disconnect disconnectCmd `cmd:"" help:"Close the connections of a user."`

	User    userCmd    `cmd:"" help:"Make, list and change accounts."`
	Chat    chatCmd    `cmd:"" help:"Look at chats, change who is in them, send and read."`
	Key     keyCmd     `cmd:"" help:"Make, list and revoke API keys."`
	Payment paymentCmd `cmd:"" help:"Store, complete and list transactions of money, and show balances."`
	Trust   trustCmd   `cmd:"" help:"Look at identities and their verifications, and decide these."`
	Ticket  ticketCmd  `cmd:"" help:"Look at support tickets, answer and change them."`
	Admin   adminCmd   `cmd:"" help:"The first administrator, notices, statistics, the audit log, exports and erasures."`

	Events  eventsCmd  `cmd:"" help:"Look at what happens, and tell of what happens in your own services."`
	Tail    tailCmd    `cmd:"" help:"Print events as they happen."`
	Webhook webhookCmd `cmd:"" help:"Tell other servers of events, and see whether they got them."`
	Listen  listenCmd  `cmd:"" help:"Get webhooks on this machine, without a public address."`
	Trigger triggerCmd `cmd:"" help:"Append a sample of an event, to see what becomes of it."`
	Alert   alertCmd   `cmd:"" help:"Look at what should be looked at, acknowledge and resolve it."`
	Scan    scanCmd    `cmd:"" help:"Hold the server against what it promises."`
	Status  statusCmd  `cmd:"" help:"How the server is, and its maintenance."`
	Metric  metricCmd  `cmd:"" help:"Store and look at what is measured."`
	Report  reportCmd  `cmd:"" help:"Have reports made, on performance, usage, security and trust."`

	DB     dbCmd     `cmd:"" name:"db" help:"Look at the database, bring its schema up to date, check it."`
	Backup backupCmd `cmd:"" help:"Back the database and the files up, and restore them."`
	Seed   seedCmd   `cmd:"" help:"Fill a database with people to try things with."`

	Mail        mailCmd        `cmd:"" help:"See whether letters to people are sent."`
	Config      configCmd      `cmd:"" help:"Check, show, document and begin a configuration."`
	APIKey      apiKeyCmd      `cmd:"" name:"api-key" help:"Print the key of the server API, for your backend."`
	Selftest    selftestCmd    `cmd:"" help:"Try a running server: connect, publish, history, presence, recovery, and a chat."`
	Healthcheck healthcheckCmd `cmd:"" help:"Succeed if the server is ready for clients."`
	Bench       bench.Command  `cmd:"" help:"Measure this server, or any that speaks the protocol."`
	BenchFill   benchFillCmd   `cmd:"" hidden:""`
	BenchSends  benchSendsCmd  `cmd:"" hidden:""`
	BenchDue    benchDueCmd    `cmd:"" hidden:""`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

const about = `Kuranty: realtime channels for any application.

Start with "kuranty demo" and open the address it prints. Every key of the configuration is a flag too, as in --http_server.port 9000; "kuranty config docs" lists them.`

// usageError is a mistake of who typed the command; it exits with 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run runs the command of args and returns the process's exit code.
func run(args []string, stdout, stderr io.Writer) int {
	err := command(args, stdout, stderr)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "kuranty: %v\n", err)
	var usage usageError
	var wrong *config.Error
	if errors.As(err, &usage) || errors.As(err, &wrong) {
		return 2
	}
	return 1
}

func command(args []string, stdout, stderr io.Writer) error {
	args, flags, err := splitFlags(args)
	if err != nil {
		return usageError{err}
	}
	c := cli{globals: globals{flags: flags, stdout: stdout, stderr: stderr}}
	parser, err := newParser(&c)
	if err != nil {
		return fmt.Errorf("command line: %w", err)
	}
	switch { // as people try first
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help":
		args = append(args[1:], "--help")
	case args[0] == "--version":
		args[0] = "version"
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		return usageError{fmt.Errorf("%w; see %s --help", err, reached(err))}
	}
	ctx.BindTo(context.Background(), (*context.Context)(nil))
	return ctx.Run(&c.globals)
}

// reached is the command up to which the arguments were understood.
func reached(err error) string {
	name := "kuranty"
	var wrong *kong.ParseError
	if errors.As(err, &wrong) {
		for _, p := range wrong.Context.Path {
			if p.Command != nil {
				name += " " + p.Command.Name
			}
		}
	}
	return name
}

func newParser(c *cli) (*kong.Kong, error) {
	return kong.New(c, kong.Name("kuranty"), kong.Description(about),
		kong.Writers(c.stdout, c.stderr), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
}
