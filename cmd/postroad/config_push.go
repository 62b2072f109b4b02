package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

const pushHelp = `
FILE has the sections that all nodes share, such as [relay], [retry], [[route]] and [shaping] (docs/configuration.md says which), and no other; -
reads standard input. It takes the place of the whole version before: what it does not say has its default. --dry-run says what it would change.
Every node that answers merges it with its own file first; if one cannot, that node is named and nothing changes anywhere (65). A node that is away
judges when it is back. From then on a key of these sections stands in FILE, or in the file of a node that lists it in node.own. --seen N refuses the
push unless N is the version in force.

    postroad config push shared.toml --dry-run
    postroad config push shared.toml --note "longer retries"
    postroad config history
    postroad config rollback 3`

const configHistoryHelp = `
Lists the versions, the newest first: when, who, the note, and which nodes do not have it in force. The last versions are kept; "config diff" and
"config rollback" take their numbers.

    postroad config history`

const configRollbackHelp = `
Gives all nodes what version N said, as a new version on top: what came after N stays in the history. All nodes judge it first, as they do a push.

    postroad config rollback 3 --note "the new retries were too many"`

const configDiffHelp = `
Without arguments: what the last push changed. With N: from version N to the one in force; with N M: from N to M. With FILE: what a push of it would
change on the node that is asked, after all nodes have judged it (` + "`config push --dry-run`" + `).

    postroad config diff shared.toml
    postroad config diff 3 5`

// pushFlags are those of the commands about the pushed configuration.
type pushFlags struct {
	cmdline.Node
	request api.PushRequest
	json    bool
}

// parse reads the arguments, of which there are at least and at most so many.
func (p *pushFlags) parse(c *cli.Console, args []string, least, most int) ([]string, error) {
	fs := c.Flags()
	p.Register(fs)
	fs.BoolVar(&p.json, "json", false, "print one JSON object a line")
	if least > 0 {
		fs.StringVar(&p.request.Note, "note", "", "a `TEXT` for the history")
		fs.BoolVar(&p.request.Dry, "dry-run", false, "say what it would change, and change nothing")
		fs.Func("seen", "the version `N` that must be in force", func(s string) error {
			n, err := strconv.ParseUint(s, 10, 64)
			p.request.Seen = &n
			return err
		})
	}
	rest, err := c.Parse(fs, args)
	if err != nil {
		return nil, err
	}
	if len(rest) < least {
		example := " 3"
		if c.Command.Name == "push" {
			example = " shared.toml"
		}
		return nil, cli.Usage("it needs "+c.Command.Args, "for example: "+c.Path+example)
	}
	return rest, cli.NoMore(rest[min(most, len(rest)):])
}

// runConfigPush runs push and rollback.
func runConfigPush(ctx context.Context, c *cli.Console, args []string) error {
	var p pushFlags
	rest, err := p.parse(c, args, 1, 1)
	if err != nil {
		return err
	}
	if c.Command.Name == "rollback" {
		if p.request.Rollback, err = strconv.ParseUint(rest[0], 10, 64); err != nil {
			return cli.Usage(fmt.Sprintf("%q is no version", rest[0]),
				"`postroad config history` lists them")
		}
	} else if p.request.Name, p.request.Text, err = textOf(c, rest[0]); err != nil {
		return err
	}
	p.request.Who = who()
	return cmdline.WithClient(&p.Node, func(client *client.Client) error {
		a, err := client.Push(ctx, p.request)
		if a == nil {
			return err
		}
		if p.json {
			return errors.Join(c.Object(a), err)
		}
		cli.Paragraph(c.Out, a.String())
		return err
	})
}

// who is the user who asks, for the history.
func who() string {
	host, _ := os.Hostname()
	u, err := user.Current()
	if err != nil {
		return cli.Clean(host)
	}
	return cli.Clean(u.Username + "@" + host)
}

// textOf reads a file that is to be pushed; "-" is standard input.
func textOf(c *cli.Console, file string) (name, text string, err error) {
	var b []byte
	if name = cli.Clean(file); file == "-" {
		name = "standard input"
		b, err = io.ReadAll(io.LimitReader(c.In, config.MaxShared+1))
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return "", "", err
	}
	if err := config.CheckText(name, string(b)); err != nil {
		return "", "", api.Fail(api.ExitData, err.Error(), "nothing was changed on any node")
	}
	return name, string(b), nil
}

func runConfigHistory(ctx context.Context, c *cli.Console, args []string) error {
	var p pushFlags
	if _, err := p.parse(c, args, 0, 0); err != nil {
		return err
	}
	return cmdline.WithClient(&p.Node, func(client *client.Client) error {
		h, err := client.ConfigHistory(ctx)
		for i := range h.Versions {
			if p.json {
				err = errors.Join(err, c.Object(&h.Versions[i]))
			} else {
				cli.Paragraph(c.Out, h.Versions[i].String())
			}
		}
		if err == nil && len(h.Versions) == 0 && !p.json {
			fmt.Fprintln(c.Err, "no configuration was pushed yet")
		}
		return err
	})
}

func runConfigDiff(ctx context.Context, c *cli.Console, args []string) error {
	var p pushFlags
	rest, err := p.parse(c, args, 0, 2)
	if err != nil {
		return err
	}
	var file *api.PushRequest
	if len(rest) == 1 {
		if _, err := strconv.ParseUint(rest[0], 10, 64); err != nil {
			file = &api.PushRequest{Dry: true}
			if file.Name, file.Text, err = textOf(c, rest[0]); err != nil {
				return err
			}
		}
	}
	return cmdline.WithClient(&p.Node, func(client *client.Client) (err error) {
		var changes []config.Change
		if file == nil {
			changes, err = client.DiffConfig(ctx, rest)
		} else if a, failed := client.Push(ctx, *file); failed != nil {
			err = failed
		} else {
			changes = a.Changes
		}
		for i := range changes {
			if p.json {
				err = errors.Join(err, c.Object(&changes[i]))
			} else {
				fmt.Fprintln(c.Out, cli.Clean(changes[i].String()))
			}
		}
		return err
	})
}

// showOf prints the configuration of a running node, with where each value stands, or a version of
// what was pushed.
func showOf(ctx context.Context, c *cli.Console, n *cmdline.Node) error {
	return cmdline.WithClient(n, func(client *client.Client) error {
		if n.Version > 0 {
			v, err := client.ConfigVersion(ctx, n.Version)
			if err == nil {
				err = cli.Verbatim(c.Out, v.Text)
			}
			return err
		}
		s, err := client.ShowConfig(ctx)
		if err == nil {
			cli.Paragraph(c.Out, s.Text)
		}
		return err
	})
}
