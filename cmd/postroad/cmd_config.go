package main

import (
	"context"
	"fmt"
	"io"

	"github.com/postroad/postroad/internal/config"
)

var configCommands = []command{
	{name: "check", args: "[--config FILE]", short: "say what is wrong with a configuration", run: runConfigCheck, long: `
Reads the file as serve would, and the certificates, token and password files that it names, without starting anything.
Each problem is one line: file, line, column, key, what is wrong, what to write instead. The exit status is 0 or 78.

    postroad config check --config /etc/postroad/postroad.toml`},
	{name: "show", args: "[--config FILE]", short: "print the values in force, defaults included", run: runConfigShow, long: `
Prints a whole configuration file: your values, and the defaults of all that you left out. Without a file it shows
what serve runs with on a laptop.`},
	{name: "reference", short: "print the page that explains every key (docs/configuration.md)", run: runConfigReference},
}

// load reads the configuration that the arguments name: with --config, or as the only argument.
func (c *console) load(args []string) (*config.Config, string, error) {
	fs := c.flags()
	file := fs.String("config", "", "the configuration `FILE` (default: the embedded default)")
	rest, err := c.parse(fs, args)
	if err != nil {
		return nil, "", err
	}
	if *file == "" && len(rest) > 0 {
		*file, rest = rest[0], rest[1:]
	}
	if err := noMore(rest); err != nil {
		return nil, "", err
	}
	cfg, err := config.Load(*file)
	if err != nil {
		return nil, "", configError(err)
	}
	return cfg, *file, nil
}

func runConfigCheck(_ context.Context, c *console, args []string) error {
	cfg, file, err := c.load(args)
	if err != nil {
		return err
	}
	if err := cfg.CheckFiles(file); err != nil {
		return configError(err)
	}
	if file == "" {
		file = "the embedded default"
	}
	fmt.Fprintf(c.err, "%s is good\n", file)
	return nil
}

func runConfigShow(_ context.Context, c *console, args []string) error {
	cfg, _, err := c.load(args)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.out, cfg.Show())
	return err
}

func runConfigReference(_ context.Context, c *console, args []string) error {
	rest, err := c.parse(c.flags(), args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	page, err := config.Reference()
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.out, page)
	return err
}
