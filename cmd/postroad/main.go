// Command postroad is the mail transfer agent: the node itself (serve), a demonstration of it, and
// what an operator does with a running node. It holds the command line and nothing else, a file a
// command; package node is what runs.
package main

import (
	"bufio"
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/postroad/postroad/bench/command"
	"github.com/postroad/postroad/bench/demo"
	"github.com/postroad/postroad/internal/cli"
	dkim "github.com/postroad/postroad/signing/command"
)

// commands are in the order in which a newcomer meets them. It is a function because run's help
// refers to it.
func commands() []cli.Command {
	return []cli.Command{
		{Name: "serve", Args: "[--config FILE]", Short: "run a node", Run: runServe,
			Long: serveHelp},
		{Name: "demo", Args: "[--nodes N] [--messages N] [--watch] [--keep]",
			Short: "relay real mail on this machine and count what arrives", Run: demo.Run,
			Long: demo.Help},
		{Name: "config", Short: "check and explain the configuration", Sub: configCommands},
		{Name: "queue", Short: "look at and move what waits in the queue", Sub: queueCommands},
		{Name: "suspend", Args: suspendArgs,
			Short: "keep a domain, a site, a tenant or a campaign from being tried",
			Run:   runSuspend, Long: suspendHelp, Sub: suspendCommands},
		{Name: "resume", Args: resumeArgs, Short: "let what was suspended go on", Run: runSuspend,
			Long: resumeHelp},
		{Name: "trace",
			Args:  "ID ... | --recipient ADDRESS [--sender ADDRESS] [--since TIME] [--json]",
			Short: "show the journey of a message", Run: runTrace, Long: traceHelp},
		{Name: "cluster", Short: "several nodes that keep each other's mail", Sub: clusterCommands},
		{Name: "user", Short: "users, who log in, send, and have mailboxes", Sub: userCommands},
		{Name: "domain", Short: "domains whose mail is kept here", Sub: domainCommands},
		{Name: "dkim", Short: "keys with which mail is signed", Sub: dkim.Commands},
		{Name: "alias", Short: "addresses that stand for others, and lists", Sub: aliasCommands},
		{Name: "mailbox", Short: "look at mailboxes, export and import their messages",
			Sub: mailboxCommands},
		{Name: "bench", Short: "load a mail server and check what it did", Sub: command.Commands},
		{Name: "version", Args: "[--json]", Short: "print the version", Run: runVersion,
			Long: versionHelp},
		cli.CompletionCommand("postroad", commands),
		cli.ManCommand("postroad", "mail relay and mail server of one node or several", commands),
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	out := bufio.NewWriter(os.Stdout)
	c := &cli.Console{In: os.Stdin, Out: out, Err: os.Stderr}
	status := runLine(ctx, c, os.Args[1:])
	if err := out.Flush(); err != nil && status == 0 {
		status = c.Exit(placed(c.Command.Name, err))
	}
	os.Exit(status)
}

// runLine runs the command that args name, and returns its exit status.
func runLine(ctx context.Context, c *cli.Console, args []string) int {
	if len(args) > 0 && args[0] == "--version" {
		args = append([]string{"version"}, args[1:]...)
	}
	err := cli.Dispatch(ctx, c, commands(), "postroad", args)
	return c.Exit(placed(c.Command.Name, err))
}
