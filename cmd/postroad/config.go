package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

var configCommands = []cli.Command{
	{Name: "check", Args: "[--config FILE]", Short: "say what is wrong with a configuration", Run: runConfigCheck, Long: `
Reads the file as serve would, and the certificates, token and password files that it names, without starting anything.
Each problem is one line: file, line, column, key, what is wrong, what to write instead. The exit status is 0 or 78. What works and is hardly
meant, such as a relay that is open to everybody, is a warning, which changes no exit status. Without a file it looks at
/etc/postroad/postroad.toml, and says so.

    postroad config check --config /etc/postroad/postroad.toml`},
	{Name: "show", Args: "[--config FILE] [--node NODE]",
		Short: "print the values in force, defaults included", Run: runConfigShow, Long: `
Prints a whole configuration file: your values, what was pushed, and the defaults of all that you left out. Its first line says which file that
is: without --config the one that serve would take. With --node it prints what a running node has in force, and a comment after each value says where it stands; with --version N the text of a
version that was pushed.

    postroad config show
    postroad config show --node /var/lib/postroad`},
	{Name: "reload", Args: "[--config FILE] [--node all]",
		Short: "have a running node, or all, read the configuration again", Run: runConfigReload, Long: `
Does what SIGHUP does, and says what changed. With --node all each node of the cluster reads its own file.
A file that is wrong changes nothing: the exit status is 78, and 75 if a node does not answer.

    postroad config reload
    postroad config reload --node all`},
	{Name: "push", Args: "FILE [--dry-run] [--note TEXT] [--seen N] [--json]",
		Short: "give the sections that nodes share to all of them", Run: runConfigPush,
		Long: pushHelp},
	{Name: "history", Args: "[--json]",
		Short: "list what was pushed, and which nodes have it in force",
		Run:   runConfigHistory, Long: configHistoryHelp},
	{Name: "diff", Args: "[N [M] | FILE] [--json]",
		Short: "show what differs between what was pushed",
		Run:   runConfigDiff, Long: configDiffHelp},
	{Name: "rollback", Args: "N [--note TEXT] [--json]",
		Short: "push version N again, as a new version",
		Run:   runConfigPush, Long: configRollbackHelp},
	{Name: "reference", Short: "print the page that explains every key (docs/configuration.md)",
		Run: runConfigReference, Long: `
The page is of this version of the program: keys, defaults, and what a reload changes.

    postroad config reference | less`},
}

// loadConfig reads the configuration that the arguments name: with --config, or as the only
// argument. show may name a running node instead, and then there is none.
func loadConfig(
	c *cli.Console, args []string, n *cmdline.Node,
) (cfg *config.Config, file string, err error) {
	fs := c.Flags()
	n.Config.Register(fs, "the configuration `FILE`")
	if c.Command.Name == "show" {
		fs.StringVar(&n.Node, "node", "",
			"a running node: `PATH` of its socket or data directory, or HOST:PORT")
		fs.Uint64Var(&n.Version, "version", 0, "the text of version `N`, as it was pushed")
	}
	rest, err := c.Parse(fs, args)
	if err != nil {
		return nil, "", err
	}
	if !n.Config.Given && len(rest) > 0 {
		n.Config.Path, n.Config.Given, rest = rest[0], true, rest[1:]
	}
	if err := cli.NoMore(rest); err != nil || n.Node != "" || n.Version > 0 {
		return nil, "", err
	}
	file = n.Config.Name()
	if cfg, err = config.Load(file); err != nil {
		return nil, "", cmdline.ConfigError(err)
	}
	return cfg, file, nil
}

func runConfigCheck(_ context.Context, c *cli.Console, args []string) error {
	cfg, file, err := loadConfig(c, args, new(cmdline.Node))
	if err != nil {
		return err
	}
	if err := cfg.CheckFiles(file); err != nil {
		return cmdline.ConfigError(err)
	}
	for _, w := range cfg.Warnings(file) {
		fmt.Fprintf(c.Err, "warning: %v\n", w)
	}
	fmt.Fprintf(c.Err, "%s is good\n", cmp.Or(file, "the embedded default"))
	return nil
}

func runConfigShow(ctx context.Context, c *cli.Console, args []string) error {
	var n cmdline.Node
	cfg, file, err := loadConfig(c, args, &n)
	if err != nil {
		return err
	}
	if cfg == nil {
		return showOf(ctx, c, &n)
	}
	_, err = fmt.Fprintf(c.Out, "# %s\n\n%s", cmp.Or(file, "The embedded default."), cfg.Show())
	return err
}

func runConfigReload(ctx context.Context, c *cli.Console, args []string) error {
	var n cmdline.Node
	fs := c.Flags()
	n.Register(fs)
	asJSON := fs.Bool("json", false, "print the answer as JSON")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	request := api.ReloadRequest{All: n.Node == "all"}
	if request.All {
		n.Node = ""
	}
	return cmdline.WithClient(&n, func(client *client.Client) error {
		a, err := client.Reload(ctx, request)
		if a == nil {
			return err
		}
		if *asJSON {
			raw, bad := json.Marshal(a)
			return errors.Join(bad, c.Line(raw), err)
		}
		for i := range a.Nodes {
			fmt.Fprintln(c.Out, cli.Clean(a.Nodes[i].String()))
		}
		return err
	})
}

func runConfigReference(_ context.Context, c *cli.Console, args []string) error {
	rest, err := c.Parse(c.Flags(), args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	page, err := config.Reference()
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.Out, page)
	return err
}
