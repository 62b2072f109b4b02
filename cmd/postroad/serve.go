package main

import (
	"context"
	"syscall"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/node"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

const serveHelp = `
Runs until SIGINT or SIGTERM; then it finishes what is in flight. SIGHUP reads the configuration again. Without --config the file is
/etc/postroad/postroad.toml; the log says which it is. On a machine without that file: data in ./postroad-data, relaying for this machine on 127.0.0.1:2525,
submission on 127.0.0.1:2587, POP3 on 127.0.0.1:2110, health and metrics on 127.0.0.1:8025. The exit status is 78 when only a person can help:
the configuration is wrong, or another program has one of its ports.

    postroad serve
    postroad serve --config /etc/postroad/postroad.toml`

// runServe runs a node until ctx ends.
func runServe(ctx context.Context, c *cli.Console, args []string) error {
	flags := c.Flags()
	var named cmdline.File
	named.Register(flags, "configuration `FILE`")
	rest, err := c.Parse(flags, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	file := named.Name()
	cfg, err := config.Load(file)
	if err != nil {
		return cmdline.ConfigError(err)
	}
	if err := cfg.CheckFiles(file); err != nil {
		return cmdline.ConfigError(err)
	}
	syscall.Umask(0o077) // mail, keys and events are nobody else's to read
	return node.Serve(ctx, file, cfg)
}
