package main

import (
	"context"
	"syscall"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/node"
)

const serveHelp = `
Runs until SIGINT or SIGTERM; then it finishes what is in flight. SIGHUP reads the configuration again. Without a file: data in
./postroad-data, relaying for this machine on 127.0.0.1:2525, submission on 127.0.0.1:2587, POP3 on 127.0.0.1:2110, health and metrics on 127.0.0.1:8025.

    postroad serve --config /etc/postroad/postroad.toml`

// runServe runs a node until ctx ends.
func runServe(ctx context.Context, c *cli.Console, args []string) error {
	flags := c.Flags()
	file := flags.String("config", "", "configuration `FILE`; none: the embedded default")
	rest, err := c.Parse(flags, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	cfg, err := config.Load(*file)
	if err != nil {
		return configError(err)
	}
	if err := cfg.CheckFiles(*file); err != nil {
		return configError(err)
	}
	syscall.Umask(0o077) // mail, keys and events are nobody else's to read
	return node.Serve(ctx, *file, cfg)
}
