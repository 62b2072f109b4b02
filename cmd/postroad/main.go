// Command postroad is the mail transfer agent: the node itself (serve), a demonstration of it, and
// what an operator does with a running node. It is the only place that knows which concrete parts
// work together.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/postroad/postroad/internal/admin"
	"github.com/postroad/postroad/internal/config"
)

// command is one row of the command line: a command, or a group of them.
type command struct {
	name  string
	args  string // what follows the name in the usage line
	short string // one line for the overview
	long  string // what a newcomer wants to know, with an example
	run   func(ctx context.Context, c *console, args []string) error
	sub   []command // of a group, which has no run
}

// commands are in the order in which a newcomer meets them. It is a function because run's help
// refers to it.
func commands() []command {
	return []command{
		{name: "serve", args: "[--config FILE]", short: "run a node", run: runServe, long: serveHelp},
		{name: "demo", args: "[--nodes N] [--messages N] [--watch] [--keep]", short: "relay real mail on this machine and count what arrives", run: runDemo, long: demoHelp},
		{name: "config", short: "check and explain the configuration", sub: configCommands},
		{name: "queue", short: "look at and move what waits in the queue", sub: queueCommands},
		{name: "suspend", args: suspendArgs, short: "keep a domain, a site, a tenant or a campaign from being tried", run: runSuspend, long: suspendHelp},
		{name: "resume", args: resumeArgs, short: "let what was suspended go on", run: runSuspend, long: resumeHelp},
		{name: "trace", args: "ID ... | --recipient ADDRESS [--sender ADDRESS] [--since TIME] [--json]", short: "show the journey of a message", run: runTrace, long: traceHelp},
		{name: "cluster", short: "several nodes that keep each other's mail", sub: clusterCommands},
		{name: "user", short: "users, who log in, send, and have mailboxes", sub: userCommands},
		{name: "domain", short: "domains whose mail is kept here", sub: domainCommands},
		{name: "alias", short: "addresses that stand for others, and lists", sub: aliasCommands},
		{name: "mailbox", short: "look at mailboxes, export and import their messages", sub: mailboxCommands},
		{name: "bench", short: "load a mail server and check what it did", sub: benchCommands},
		{name: "version", args: "[--json]", short: "print the version", run: runVersion},
	}
}

const serveHelp = `
Runs until SIGINT or SIGTERM; then it finishes what is in flight. SIGHUP reads the configuration again. Without a file: data in
./postroad-data, relaying for this machine on 127.0.0.1:2525, submission on 127.0.0.1:2587, POP3 on 127.0.0.1:2110, health and metrics on 127.0.0.1:8025.

    postroad serve --config /etc/postroad/postroad.toml`

// exitStatus ends the process with a status whose reason was told before.
type exitStatus int

func (exitStatus) Error() string { return "" }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	out := bufio.NewWriter(os.Stdout)
	c := &console{in: os.Stdin, out: out, err: os.Stderr}
	status := c.exit(dispatch(ctx, c, commands(), "postroad", os.Args[1:]))
	if err := out.Flush(); err != nil && status == 0 {
		status = c.exit(err)
	}
	os.Exit(status)
}

// dispatch finds the command that args name and runs it.
func dispatch(ctx context.Context, c *console, rows []command, path string, args []string) error {
	if len(args) == 0 {
		overview(c.err, rows, path)
		return usage("no command", "")
	}
	name, rest := args[0], args[1:]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		if len(rest) > 0 {
			return dispatch(ctx, c, rows, path, append(rest, "--help"))
		}
		overview(c.out, rows, path)
		return nil
	}
	for _, row := range rows {
		switch {
		case row.name != name:
		case row.run == nil:
			return dispatch(ctx, c, row.sub, path+" "+name, rest)
		default:
			c.command, c.path = row, path+" "+name
			return row.run(ctx, c, rest)
		}
	}
	return usage(fmt.Sprintf("%q is no command of `%s`", name, path), "`"+path+" help` lists them")
}

// overview lists commands.
func overview(w io.Writer, rows []command, path string) {
	fmt.Fprintf(w, "Usage: %s COMMAND ...\n\n", path)
	for _, row := range rows {
		fmt.Fprintf(w, "  %-10s %s\n", row.name, row.short)
	}
	fmt.Fprintf(w, "\n`%s COMMAND --help` explains one.\n", path)
}

// console is where a command reads and writes. Data goes to out, messages for people to err.
type console struct {
	in      io.Reader
	out     io.Writer
	err     io.Writer
	command command // the row that is running
	path    string  // its full name
}

// errHelp says that help was asked for and given.
var errHelp = errors.New("help was given")

func usage(message, hint string) error {
	return &admin.Error{Exit: admin.ExitUsage, Message: message, Hint: hint}
}

// exit tells people of an error and returns the exit status (sysexits.h).
func (c *console) exit(err error) int {
	if err == nil || errors.Is(err, errHelp) {
		return 0
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	err = placed(c.command.name, err)
	fmt.Fprintln(c.err, "postroad: "+strings.ReplaceAll(err.Error(), "\n", "\n  "))
	var e *admin.Error
	var problems config.Problems
	switch {
	case errors.As(err, &e):
		return e.Exit
	case errors.As(err, &problems):
		return admin.ExitConfig
	}
	return admin.ExitSoftware
}

// flags returns the flag set of the running command. Its help is the command's.
func (c *console) flags() *flag.FlagSet {
	fs := flag.NewFlagSet(c.path, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // parse reports
	return fs
}

// parse reads flags wherever they stand among the arguments, and returns the others.
func (c *console) parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	twice, asTheyWere := onceEach(fs)
	for {
		err := fs.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			asTheyWere()
			c.help(fs)
			return nil, errHelp
		}
		if *twice != "" {
			return nil, usage(
				"--"+*twice+" is given twice, and takes one value",
				"give it once; run the command for each value, where several are meant",
			)
		}
		if err != nil {
			return nil, usage(strings.Replace(err.Error(), " -", " --", 1), "`"+c.path+" --help` lists the flags")
		}
		if fs.NArg() == 0 {
			return rest, nil
		}
		ended := len(args) > fs.NArg() && args[len(args)-fs.NArg()-1] == "--"
		if ended {
			return append(rest, fs.Args()...), nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

// noMore refuses arguments that a command does not take.
func noMore(rest []string) error {
	if len(rest) > 0 {
		return usage(fmt.Sprintf("%q is one argument too many", rest[0]), "")
	}
	return nil
}

func (c *console) help(fs *flag.FlagSet) {
	fmt.Fprintf(c.out, "Usage: %s %s\n\n%s.\n", c.path, c.command.args, sentenceCase(c.command.short))
	if c.command.long != "" {
		fmt.Fprintf(c.out, "\n%s\n", strings.TrimSpace(c.command.long))
	}
	first := true
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprintln(c.out, "\nFlags:")
			first = false
		}
		name, text := flag.UnquoteUsage(f)
		fmt.Fprintf(c.out, "  %-24s %s\n", strings.TrimSpace("--"+f.Name+" "+name), text)
	})
}

func sentenceCase(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
