package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

var aliasCommands = []cli.Command{
	{Name: "add", Args: "ADDRESS|@DOMAIN TARGET|@DOMAIN ... [--owner ADDRESS]", Short: "let an address stand for others", Run: runAliasAdd, Long: `
Mail for ADDRESS goes to every TARGET. @DOMAIN TARGET makes a catch-all: TARGET gets the mail for all addresses of the domain that nobody has.
@OLD @NEW makes the domain OLD another name for NEW: mail for anybody@OLD goes where mail for anybody@NEW does, and only users and aliases of OLD
itself come before that. With --owner the alias is a list: what it sends on carries the
owner's address as the reverse-path, and failures are reported there and not to whoever wrote to the list (RFC 5321 3.9.2).

    postroad alias add sales@example.net alice@example.net bob@example.org
    postroad alias add @old.example @new.example
    postroad alias add news@example.net alice@example.net bob@example.org --owner news-admin@example.net`},
	{Name: "set", Args: "ADDRESS [TARGET ...] [--add ADDRESS ...] [--remove ADDRESS ...] [--owner ADDRESS]", Short: "change an alias or a list", Run: runAliasSet, Long: `
Targets replace those that there are; --add and --remove change some. --owner "" makes an alias of a list.

    postroad alias set news@example.net --add carol@example.com --remove bob@example.org`},
	{Name: "list", Args: "[--json]", Short: "list the aliases and lists", Run: runAliasList, Long: `
A line each, with ten targets at the most; "alias show" has all of one.

    postroad alias list --json`},
	{Name: "show", Args: "ADDRESS|@DOMAIN [--json]", Short: "show an alias or a list with all its targets", Run: runAliasShow, Long: `
The targets are shown as they were given, a line each. A domain's catch-all has the domain's name with an @.

    postroad alias show news@example.net`},
	{Name: "import", Args: "FILE [--replace]", Short: "add aliases and lists from a file", Run: runAliasImport, Long: `
The file is CSV with a first line address,targets,owner, the targets parted by spaces, or JSON with objects of these members.

    postroad alias import aliases.csv --replace`},
	{Name: "export", Args: "[FILE] [--format csv|json]",
		Short: "write the aliases and lists into a file that import reads", Run: runAliasExport, Long: `
Without FILE to standard output. A file that is there is not written over.

    postroad alias export aliases.csv`},
	{Name: "remove", Args: "ADDRESS|@DOMAIN", Short: "remove an alias or a list", Run: runAliasRemove, Long: `
Mail for the address is refused (550 5.1.1) from then on, unless the domain has a catch-all.

    postroad alias remove sales@example.net`},
}

func runAliasAdd(ctx context.Context, c *cli.Console, args []string) error {
	return changeAlias(ctx, c, args, "add", "added")
}

func runAliasSet(ctx context.Context, c *cli.Console, args []string) error {
	return changeAlias(ctx, c, args, "set", "changed")
}

// changeAlias adds or changes one alias.
func changeAlias(ctx context.Context, c *cli.Console, args []string, verb, did string) error {
	var request api.AliasRequest
	fs := c.Flags()
	fs.Func("owner", "the `ADDRESS` of whoever keeps the list", cli.Text(&request.Owner))
	if verb == "set" {
		fs.Func("add", "one more `ADDRESS`; may be repeated", cli.More(&request.Add))
		fs.Func("remove", "an `ADDRESS` less; may be repeated", cli.More(&request.Remove))
	}
	var n cmdline.Node
	n.Register(fs)
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) == 0 || verb == "add" && len(rest) == 1 {
		return cli.Usage("an address and where its mail goes are needed",
			"for example: "+c.Path+" sales@example.net alice@example.net")
	}
	request.Name = rest[0]
	if len(rest) > 1 {
		request.Targets = rest[1:]
	}
	return cmdline.WithClient(&n, func(client *client.Client) error {
		if err := client.ChangeAlias(ctx, verb, request); err != nil {
			return err
		}
		fmt.Fprintf(c.Err, "%s %s\n", request.Name, did)
		return nil
	})
}

func runAliasRemove(ctx context.Context, c *cli.Console, args []string) error {
	return cmdline.ChangeOne(c, c.Flags(), args, "alias", "removed",
		func(client *client.Client, name string) error {
			return client.ChangeAlias(ctx, "remove", api.AliasRequest{Name: name})
		})
}

func runAliasList(ctx context.Context, c *cli.Console, args []string) error {
	line := func(c *cli.Console, a *api.Alias) error {
		to := strings.Join(a.Targets[:min(len(a.Targets), 10)], " ")
		if more := len(a.Targets) - 10; more > 0 {
			to += fmt.Sprintf(" and %d more", more)
		}
		return cmdline.About(c, a.Name, [][2]string{{"to ", to}, {"owner ", a.Owner}}, nil)
	}
	return cmdline.List(ctx, c, args, (*client.Client).Aliases, line)
}

func runAliasShow(ctx context.Context, c *cli.Console, args []string) error {
	return show(ctx, c, args, "alias", (*client.Client).Alias,
		func(c *cli.Console, a *api.Alias) error {
			rows := [][2]string{{"name", a.Name}, {"owner", a.Owner}}
			for _, to := range a.Targets {
				rows = append(rows, [2]string{"to", to})
			}
			return c.Rows(append(rows, [2]string{"created", cli.Time(a.Created.Time)},
				[2]string{"changed", cli.Time(a.Changed.Time)}))
		})
}
