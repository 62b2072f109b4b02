package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/postroad/postroad/internal/admin"
)

var aliasCommands = []command{
	{name: "add", args: "ADDRESS|@DOMAIN TARGET ... [--owner ADDRESS]", short: "let an address stand for others", run: runAliasAdd, long: `
Mail for ADDRESS goes to every TARGET; @DOMAIN gets what nobody else in the domain does. With --owner the alias is a list: what it sends on carries the
owner's address as the reverse-path, and failures are reported there and not to whoever wrote to the list (RFC 5321 3.9.2).

    postroad alias add sales@example.net alice@example.net bob@example.org
    postroad alias add news@example.net alice@example.net bob@example.org --owner news-admin@example.net`},
	{name: "set", args: "ADDRESS [TARGET ...] [--add ADDRESS ...] [--remove ADDRESS ...] [--owner ADDRESS]", short: "change an alias or a list", run: runAliasSet, long: `
Targets replace those that there are; --add and --remove change some. --owner "" makes an alias of a list.

    postroad alias set news@example.net --add carol@example.com --remove bob@example.org`},
	{name: "list", args: "[--json]", short: "list the aliases and lists", run: runAliasList},
	{name: "import", args: "FILE [--replace]", short: "add aliases and lists from a file", run: runAliasImport, long: `
The file is CSV with a first line address,targets,owner, the targets parted by spaces, or JSON with objects of these members.

    postroad alias import aliases.csv --replace`},
	{name: "export", args: "[FILE] [--format csv|json]", short: "write the aliases and lists into a file that import reads", run: runAliasExport},
	{name: "remove", args: "ADDRESS|@DOMAIN", short: "remove an alias or a list", run: runAliasRemove},
}

func runAliasAdd(ctx context.Context, c *console, args []string) error {
	return changeAlias(ctx, c, args, "add", "added")
}

func runAliasSet(ctx context.Context, c *console, args []string) error {
	return changeAlias(ctx, c, args, "set", "changed")
}

// changeAlias adds or changes one alias.
func changeAlias(ctx context.Context, c *console, args []string, verb, did string) error {
	var request admin.AliasRequest
	fs := c.flags()
	fs.Func("owner", "the `ADDRESS` of whoever keeps the list", text(&request.Owner))
	if verb == "set" {
		fs.Func("add", "one more `ADDRESS`; may be repeated", more(&request.Add))
		fs.Func("remove", "an `ADDRESS` less; may be repeated", more(&request.Remove))
	}
	var n nodeFlags
	n.register(fs)
	rest, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) == 0 || verb == "add" && len(rest) == 1 {
		return usage("an address and where its mail goes are needed", "for example: "+c.path+" sales@example.net alice@example.net")
	}
	request.Name = rest[0]
	if len(rest) > 1 {
		request.Targets = rest[1:]
	}
	return withClient(&n, func(client *admin.Client) error {
		if err := client.ChangeAlias(ctx, verb, request); err != nil {
			return err
		}
		fmt.Fprintf(c.err, "%s %s\n", request.Name, did)
		return nil
	})
}

func runAliasRemove(ctx context.Context, c *console, args []string) error {
	return changeOne(c, c.flags(), args, "alias", "removed", func(client *admin.Client, name string) error {
		return client.ChangeAlias(ctx, "remove", admin.AliasRequest{Name: name})
	})
}

func runAliasList(ctx context.Context, c *console, args []string) error {
	return list(ctx, c, args, (*admin.Client).Aliases, func(a *admin.Alias) error {
		to := strings.Join(a.Targets[:min(len(a.Targets), 10)], " ")
		if more := len(a.Targets) - 10; more > 0 {
			to += fmt.Sprintf(" and %d more", more)
		}
		return c.about(a.Name, [][2]string{{"to ", to}, {"owner ", a.Owner}}, nil)
	})
}

// changeOne runs a change of what one name says, and tells what it did.
func changeOne(c *console, fs *flag.FlagSet, args []string, what, did string, change func(client *admin.Client, name string) error) error {
	var n nodeFlags
	n.register(fs)
	rest, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usage("one "+what+" is needed", "`"+c.path+" --help` has an example")
	}
	return withClient(&n, func(client *admin.Client) error {
		if err := change(client, rest[0]); err != nil {
			return err
		}
		fmt.Fprintf(c.err, "%s %s\n", rest[0], did)
		return nil
	})
}

// withClient runs do with a client of the node.
func withClient(n *nodeFlags, do func(*admin.Client) error) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	defer client.Close()
	return do(client)
}
