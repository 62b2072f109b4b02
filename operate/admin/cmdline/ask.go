package cmdline

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/client"
)

// ChangeOne runs a change of what one name says, and tells what it did.
func ChangeOne(
	c *cli.Console, fs *flag.FlagSet, args []string, what, did string,
	change func(client *client.Client, name string) error,
) error {
	return WithOne(c, fs, args, what, func(client *client.Client, name string) error {
		if err := change(client, name); err != nil {
			return err
		}
		fmt.Fprintf(c.Err, "%s %s\n", name, did)
		return nil
	})
}

// WithOne runs do with the one name that args have.
func WithOne(
	c *cli.Console, fs *flag.FlagSet, args []string, what string,
	do func(client *client.Client, name string) error,
) error {
	var n Node
	n.Register(fs)
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return cli.Usage("one "+what+" is needed", "`"+c.Path+" --help` has an example")
	}
	return WithClient(&n, func(client *client.Client) error { return do(client, rest[0]) })
}

// WithClient runs do with a client of the node.
func WithClient(n *Node, do func(*client.Client) error) error {
	client, err := n.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	return do(client)
}

// List prints a listing of the directory: a line each, or with --json what came.
func List[T any](
	ctx context.Context, c *cli.Console, args []string,
	get func(*client.Client, context.Context, func(json.RawMessage) error) error,
	line func(*cli.Console, *T) error,
) error {
	fs := c.Flags()
	var n Node
	n.Register(fs)
	asJSON := fs.Bool("json", false, "print one JSON object a line")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	return WithClient(&n, func(client *client.Client) error {
		return get(client, ctx, cli.Lines(c, *asJSON, line))
	})
}

// About prints one line: a name, what is not empty, and words that are true.
func About(c *cli.Console, name string, parts [][2]string, words map[string]bool) error {
	about := []string{cli.Clean(name)}
	for _, part := range parts {
		if part[1] != "" {
			about = append(about, part[0]+cli.Clean(part[1]))
		}
	}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if words[word] {
			about = append(about, word)
		}
	}
	_, err := fmt.Fprintln(c.Out, strings.Join(about, "  "))
	return err
}
