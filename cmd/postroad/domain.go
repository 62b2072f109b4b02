package main

import (
	"context"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

var domainCommands = []cli.Command{
	{Name: "add", Args: "DOMAIN [--separator CHARACTER]", Short: "keep the mail of a domain here", Run: runDomainAdd, Long: `
Mail for the domain goes to the mailboxes of its users, to its aliases and lists, and is refused (550 5.1.1) for everybody else. The domains of
local.domains in the configuration are kept here, too. One of relay.domains is refused: its mail is relayed on.

    postroad domain add example.net
    postroad alias add @example.net alice@example.net   # a catch-all: whatever nobody has`},
	{Name: "set", Args: "DOMAIN --separator CHARACTER", Short: "change how the domain's addresses are read", Run: runDomainSet, Long: `
The separator parts a user's name from a detail that is ignored: with "+", mail for alice+news@example.net is alice's. "" is none.

    postroad domain set example.net --separator -`},
	{Name: "list", Args: "[--json]", Short: "list the domains", Run: runDomainList, Long: `
Lists the domains that were added, and those that local.domains in the configuration of the node that is asked has.

    postroad domain list`},
	{Name: "import", Args: "FILE [--replace]", Short: "add domains from a file", Run: runDomainImport, Long: `
The file is CSV with a first line domain,separator, or JSON with objects of these members. An empty separator is the default, "none" is none.

    postroad domain import domains.csv`},
	{Name: "export", Args: "[FILE] [--format csv|json]",
		Short: "write the domains into a file that import reads", Run: runDomainExport, Long: `
Without FILE to standard output. Domains that only the configuration has are not in it.

    postroad domain export domains.csv`},
	{Name: "remove", Args: "DOMAIN [--all]", Short: "keep a domain's mail here no longer", Run: runDomainRemove, Long: `
It is refused while there are users or aliases in the domain, unless --all is given.

    postroad domain remove example.net`},
}

// changeDomain makes one change of a domain and says what it did.
func changeDomain(ctx context.Context, c *cli.Console, args []string, verb, did string) error {
	var request api.DomainRequest
	fs := c.Flags()
	if verb == "remove" {
		fs.BoolVar(&request.All, "all", false,
			"also while there are users and aliases in it, which get no mail any more")
	} else {
		fs.Func("separator", "the `CHARACTER` after which a detail begins (default +); none: \"\"",
			cli.Text(&request.Separator))
	}
	change := func(client *client.Client, name string) error {
		request.Name = name
		return client.ChangeDomain(ctx, verb, request)
	}
	return cmdline.ChangeOne(c, fs, args, "domain", did, change)
}

func runDomainAdd(ctx context.Context, c *cli.Console, args []string) error {
	return changeDomain(ctx, c, args, "add", "is kept here")
}

func runDomainSet(ctx context.Context, c *cli.Console, args []string) error {
	return changeDomain(ctx, c, args, "set", "changed")
}

func runDomainRemove(ctx context.Context, c *cli.Console, args []string) error {
	return changeDomain(ctx, c, args, "remove", "removed")
}

func runDomainList(ctx context.Context, c *cli.Console, args []string) error {
	return cmdline.List(ctx, c, args, (*client.Client).AllDomains,
		func(c *cli.Console, d *api.Domain) error {
			return cmdline.About(c, d.Name, [][2]string{{"separator ", d.Separator}},
				map[string]bool{"no separator": d.Separator == "",
					"in the configuration": d.Configured})
		})
}
