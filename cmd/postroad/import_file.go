package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/postroad/postroad/directory/roster"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

// This file reads and writes files of users, aliases and domains for the commands.

// formatFlag is the flag of what roster.FormatOf takes as said.
func formatFlag(fs *flag.FlagSet, to *string) {
	fs.StringVar(to, "format", "",
		"`FORMAT`: csv or json (default: what the file's name says, else csv)")
}

// importOne adds something, or lets it take the place of what is there.
func importOne(replace bool, change func(verb string) error) error {
	err := change("add")
	if err != nil && replace && change("set") == nil {
		return nil
	}
	return err
}

// importRows checks a file and then adds its rows, one by one.
func importRows[T any, P interface {
	*T
	Where() roster.Place
}](c *cli.Console, args []string, what string,
	open func(io.Reader, string) (*roster.Reader[T], error),
	add func(*client.Client, *T, bool) error) error {
	var i importFlags
	fs := c.Flags()
	i.register(fs)
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return cli.Usage("one file is needed", "for example: "+c.Path+" "+what+".csv")
	}
	file := rest[0]
	if err := roster.EachRow(file, i.format, open, func(*T) error { return nil }); err != nil {
		return err
	}
	return cmdline.WithClient(&i.Node, func(client *client.Client) error {
		var refused roster.Problems
		added, progress := 0, c.Progress("added")
		err := roster.EachRow(file, i.format, open, func(row *T) error {
			err := add(client, row, i.replace)
			var e *api.Error
			if errors.As(err, &e) && e.Exit == api.ExitData && len(refused) < roster.MaxProblems {
				at := P(row).Where()
				refused.Add(file, &roster.Problem{Line: at.Line, Column: at.Column,
					What: e.Message})
				return nil
			}
			added++
			progress.Say(fmt.Sprintf("%d %s added", added, what))
			return err
		})
		progress.End()
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Err, "%d %s added or changed\n", added, what)
		return refused.Err("all others are there")
	})
}

// export writes rows to the file that args name, or to standard output.
func export[T any](c *cli.Console, fs *flag.FlagSet, args []string,
	open func(io.Writer, string) (*roster.Writer[T], error),
	rows func(*client.Client, func(*T) error) error,
) (err error) {
	var n cmdline.Node
	var format string
	n.Register(fs)
	formatFlag(fs, &format)
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	out, file := c.Out, ""
	if len(rest) > 0 {
		if err := cli.NoMore(rest[1:]); err != nil {
			return err
		}
		file = rest[0]
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return &api.Error{Exit: api.ExitData, Message: err.Error(),
				Hint: "a file that is there is not written over"}
		}
		defer func() { err = errors.Join(err, f.Sync(), f.Close()) }()
		out = f
	}
	w, err := open(out, roster.FormatOf(format, file))
	if err != nil {
		return cli.Usage(err.Error(), "")
	}
	return cmdline.WithClient(&n, func(client *client.Client) error {
		if err := rows(client, w.Write); err != nil {
			return err
		}
		return w.Flush()
	})
}
