//go:build pretend_newer

package main

import (
	"context"

	"github.com/postroad/postroad/internal/cli"
)

// A build that pretends to be the next version has a command more.

func init() {
	clusterCommands = append(clusterCommands,
		cli.Command{Name: "note", Args: "TEXT",
			Short: "leave a note in all groups, and read what all members know of it",
			Run:   runClusterNote})
}

func runClusterNote(ctx context.Context, c *cli.Console, args []string) error {
	client, rest, err := connect(c, c.Flags(), args, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	raw, err := client.ClusterNote(ctx, rest[0])
	if err != nil {
		return err
	}
	return c.Line(raw)
}
