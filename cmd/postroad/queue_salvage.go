package main

import (
	"context"
	"fmt"
	"net"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/node/offline"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

const salvageHelp = `
For a node that has stopped with exit status 70 because its cluster went on without mail that it has: other nodes' disks were rolled back. Works on
its data directory, while it does not run, and needs the other nodes to run. It puts the messages that only this node has into the cluster
again, as they were: senders, recipients, delivery notices asked for, content, due times; what was held stays held. What became of them meanwhile
cannot be known, so each next attempt is logged with possible_duplicate=yes. Messages of mailboxes are written to files (--save DIR, else
"salvaged" in the data directory), for "postroad mailbox import"; changes of users and settings are named. Each is printed, a line each.
Then the node is ready to take over what the cluster has: start it. Interrupted, the command is run again, and goes on.

    postroad queue salvage --config /etc/postroad/postroad.toml --list
    postroad queue salvage --config /etc/postroad/postroad.toml

--list changes nothing. --to is the cluster port of a node that runs, when all addresses have changed.`

func runQueueSalvage(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	var named cmdline.File
	named.Register(fs, "the configuration `FILE` of the node that has stopped")
	var o offline.SalvageOptions
	fs.BoolVar(&o.List, "list", false, "say what would be put in again, and change nothing")
	fs.StringVar(
		&o.To,
		"to",
		"",
		"the cluster address `HOST:PORT` of a node that runs, when those known here are old",
	)
	fs.StringVar(&o.Save, "save", "", "the `DIR` for messages of mailboxes, a file each")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	if o.To != "" {
		if host, port, err := net.SplitHostPort(o.To); err != nil || host == "" || port == "" {
			return cli.Usage(
				fmt.Sprintf("%q is not HOST:PORT", o.To),
				"give the address of a node's cluster port, as in mx1.example.net:7025",
			)
		}
	}
	cfg, _, err := loadOffline(c, &named)
	if err != nil {
		return err
	}
	err = stopped.salvage(
		ctx,
		cfg,
		o,
		func(line string) { fmt.Fprintln(c.Out, line) },
		func(line string) { fmt.Fprintln(c.Err, line) },
	)
	if err == nil && !o.List {
		fmt.Fprintf(c.Err, "start it with `%s`\n", named.Serve())
	}
	return err
}
