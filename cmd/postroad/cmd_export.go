package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/directory/roster"
	"github.com/postroad/postroad/internal/admin"
	"github.com/postroad/postroad/internal/config"
)

func runUserExport(ctx context.Context, c *console, args []string) error {
	fs := c.flags()
	hashes := fs.Bool("hashes", false, "with what passwords are checked with: keep the file as you would keep those")
	return export(c, fs.String("format", "", "`csv` or json (default: what the file's name says, else csv)"), args, fs, roster.UserWriter,
		func(client *admin.Client, write func(*roster.User) error) error {
			return client.ExportUsers(ctx, func(raw json.RawMessage) error {
				var u admin.ExportedUser
				if err := json.Unmarshal(raw, &u); err != nil {
					return err
				}
				return write(exported(&u, *hashes))
			})
		})
}

// exported is a user as a row of a file.
func exported(u *admin.ExportedUser, hashes bool) *roster.User {
	rate := func(r config.Rate) directory.Rate { return directory.Rate{N: r.N, Per: r.Per} }
	row := &roster.User{Address: u.Name, Settings: directory.Settings{
		Tenant: u.Tenant, Senders: u.Senders, Messages: rate(u.Messages), Recipients: rate(u.Recipients), Disabled: u.Disabled,
		NoMailbox: !u.Mailbox, Soft: u.SoftQuota, Hard: u.HardQuota, Forward: u.Forward, Keep: u.KeepCopy,
	}}
	if hashes {
		row.Hash, row.Scram = u.Hash, u.Secret
	}
	return row
}

func runAliasExport(ctx context.Context, c *console, args []string) error {
	fs := c.flags()
	return export(c, fs.String("format", "", "`csv` or json (default: what the file's name says, else csv)"), args, fs, roster.AliasWriter,
		func(client *admin.Client, write func(*roster.Alias) error) error {
			return client.Aliases(ctx, func(raw json.RawMessage) error {
				var a admin.Alias
				if err := json.Unmarshal(raw, &a); err != nil {
					return err
				}
				return write(&roster.Alias{Address: a.Name, Owner: a.Owner, Targets: a.Targets})
			})
		})
}

func runAliasImport(ctx context.Context, c *console, args []string) error {
	var i importFlags
	fs := c.flags()
	i.register(fs)
	rest, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usage("one file is needed", "for example: "+c.path+" aliases.csv")
	}
	file := rest[0]
	if err := eachRow(file, i.format, roster.Aliases, func(*roster.Alias) error { return nil }); err != nil {
		return err
	}
	return withClient(&i.nodeFlags, func(client *admin.Client) error {
		var refused problems
		added, progress := int64(0), c.progress("added")
		err := eachRow(file, i.format, roster.Aliases, func(row *roster.Alias) error {
			err := importAlias(ctx, client, row, i.replace)
			var e *admin.Error
			if errors.As(err, &e) && e.Exit == admin.ExitData && len(refused) < maxProblems {
				refused.add(file, &roster.Problem{Line: row.Line, Column: row.Column, What: row.Address + ": " + e.Message})
				return nil
			}
			added++
			progress.say(fmt.Sprintf("%d added", added))
			return err
		})
		progress.end()
		if err != nil {
			return err
		}
		fmt.Fprintf(c.err, "%d aliases added or changed\n", added)
		return refused.err("all others are there")
	})
}

// importAlias adds an alias, or lets it take the place of the one that is there.
func importAlias(ctx context.Context, client *admin.Client, row *roster.Alias, replace bool) error {
	request := admin.AliasRequest{Name: row.Address, Owner: &row.Owner, Targets: row.Targets}
	err := client.ChangeAlias(ctx, "add", request)
	if err != nil && replace && client.ChangeAlias(ctx, "set", request) == nil {
		return nil
	}
	return err
}

// export writes rows to the file that args name, or to standard output.
func export[T any](c *console, format *string, args []string, fs *flag.FlagSet, open func(io.Writer, string) (*roster.Writer[T], error),
	rows func(*admin.Client, func(*T) error) error,
) (err error) {
	var n nodeFlags
	n.register(fs)
	rest, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	out, file := c.out, ""
	if len(rest) > 0 {
		if err := noMore(rest[1:]); err != nil {
			return err
		}
		file = rest[0]
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return &admin.Error{Exit: admin.ExitData, Message: err.Error(), Hint: "a file that is there is not written over"}
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	w, err := open(out, formatOf(*format, file))
	if err != nil {
		return usage(err.Error(), "")
	}
	return withClient(&n, func(client *admin.Client) error {
		if err := rows(client, w.Write); err != nil {
			return err
		}
		return w.Flush()
	})
}
