package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/directory/roster"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/clock"
	"github.com/postroad/postroad/operate/admin"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

const userImportHelp = `
The file is CSV, whose first line names the columns, or JSON, one array or one object after the other. The names are address, which must be there, password
(in clear) or hash ({ARGON2ID}, {SCRAM-SHA-256}, {CRYPT} with bcrypt, SHA-512 or SHA-256), scram, tenant, senders, messages, recipients, disabled, mailbox, soft_quota,
hard_quota, retention, forward and keep_copy. Passwords in clear are hashed here, which takes about 20 ms of one core each.

The whole file is read first: a row that is wrong is named with its line and column, and nothing is added. Then the users are staged, where nobody sees
them, and published. With --stage they stay staged under a name, which more files may join, until --publish makes them visible.

    postroad user import users.csv
    postroad user import users.csv --stage move
    postroad user import --publish move`

// importFlags are those of an import of users or aliases.
type importFlags struct {
	cmdline.Node
	format  string
	replace bool
}

func (i *importFlags) register(fs *flag.FlagSet) {
	i.Node.Register(fs)
	formatFlag(fs, &i.format)
	fs.BoolVar(&i.replace, "replace", false,
		"take the place of those of the same names who are there")
}

func runUserImport(ctx context.Context, c *cli.Console, args []string) error {
	var i importFlags
	fs := c.Flags()
	i.register(fs)
	stage := fs.String("stage", "", "only stage the users, under this `NAME`")
	publish := fs.String("publish", "", "make what is staged under `NAME` visible")
	discard := fs.String("discard", "", "drop what is staged under `NAME`")
	stages := fs.Bool("stages", false, "list what is staged")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	file := len(rest) == 1
	if chosen := count(file, *publish != "", *discard != "", *stages); chosen != 1 ||
		len(rest) > 1 || *stage != "" && !file {
		return cli.Usage("one file is needed, or --publish, --discard or --stages",
			"for example: "+c.Path+" users.csv")
	}
	return cmdline.WithClient(&i.Node, func(client *client.Client) error {
		switch {
		case *stages:
			return client.Stages(ctx, c.Line)
		case *discard != "":
			return discardStage(ctx, c, client, *discard)
		case *publish != "":
			return publishStage(ctx, c, client, *publish, 0)
		}
		return importUsers(ctx, c, client, rest[0], &i, *stage)
	})
}

func count(all ...bool) (n int) {
	for _, one := range all {
		if one {
			n++
		}
	}
	return n
}

func discardStage(ctx context.Context, c *cli.Console, client *client.Client, stage string) error {
	n, err := client.DiscardStage(ctx, stage, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Err, "%s of %s dropped\n", cli.Number(n, "user"), stage)
	return nil
}

// publishStage makes what is staged visible. want is how many users there are; 0: that is not
// known. The node that is asked may hear of the last of them a moment after whoever leads.
func publishStage(
	ctx context.Context, c *cli.Console, client *client.Client, stage string, want int64,
) error {
	progress := c.Progress("visible")
	defer progress.End()
	published, kept,
		err := client.PublishStage(ctx, stage, func(n int64) {
		progress.Say(cli.Number(n, "user") + " visible")
	})
	for tries := 0; err == nil && published+kept < want && tries < 50; tries++ {
		if !clock.Pause(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
		var more int64
		if more, kept, err = client.PublishStage(ctx, stage, nil); nothingStaged(err) {
			err = nil
		}
		published += more
	}
	if err != nil {
		return err
	}
	progress.End()
	fmt.Fprintf(c.Err, "%s visible\n", cli.Number(published, "user"))
	switch {
	case kept > 0:
		return &api.Error{Exit: api.ExitData, Message: cli.Number(kept, "user") +
			" stay staged: there are users or aliases of these names",
			Hint: "remove those and publish again, or drop the rest with --discard " + stage}
	case published < want:
		return &api.Error{Exit: api.ExitTemporary,
			Message: "not all users that were staged are visible",
			Hint:    "`" + c.Path + " --publish " + stage + "` goes on"}
	}
	return nil
}

// nothingStaged reports whether an error says that nothing is staged, or is staged any more.
func nothingStaged(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Message == directory.ErrNoImport.Error()
}

// importUsers checks a file, stages its users and, unless they are to stay staged, publishes them.
func importUsers(
	ctx context.Context, c *cli.Console, client *client.Client, file string, i *importFlags,
	stage string,
) error {
	names, clear, err := checkUsers(file, i.format)
	if err != nil {
		return err
	}
	own := stage == ""
	if own {
		stage = fmt.Sprintf("import-%d", time.Now().UnixNano())
	}
	if clear > 0 {
		fmt.Fprintf(c.Err, "%s in clear will be hashed, about 20 ms of one core each\n",
			cli.Number(int64(clear), "password"))
	}
	u := &stager{c: c, client: client, file: file,
		request: api.StageRequest{Stage: stage, Replace: i.replace}, total: len(names),
		progress: c.Progress("staged")}
	err = roster.EachRow(file, i.format, roster.Users, func(row *roster.User) error {
		return u.add(ctx, row)
	})
	if err == nil {
		err = u.send(ctx)
	}
	u.progress.End()
	if err == nil {
		err = u.refused.Err("")
	}
	switch {
	case err != nil && own && u.staged > 0:
		if _, e := client.DiscardStage(ctx, stage, nil); e != nil {
			return errors.Join(err, fmt.Errorf("what was staged under %s could not be dropped: %w",
				stage, e))
		}
		return err
	case err != nil:
		return err
	}
	for _, warning := range client.NotLocal(ctx, names...) {
		fmt.Fprintln(c.Err, cli.Clean(warning))
	}
	switch {
	case !own:
		fmt.Fprintf(c.Err, "%s staged; `%s --publish %s` makes them visible\n",
			cli.Number(int64(u.staged), "user"), c.Path, stage)
		return nil
	case u.staged == 0:
		fmt.Fprintln(c.Err, "there are no users in the file")
		return nil
	}
	return publishStage(ctx, c, client, stage, int64(u.staged))
}

// checkUsers reads the whole file: its users, and how many have passwords in clear.
func checkUsers(file, format string) (names []string, clear int, err error) {
	seen := map[string]int{} // the line of each
	err = roster.EachRow(file, format, roster.Users, func(row *roster.User) error {
		name, err := directory.Canonical(row.Address)
		if err != nil {
			return err
		}
		if line, twice := seen[name]; twice {
			return &roster.Problem{Line: row.Line, Column: row.Column,
				What: fmt.Sprintf("%s is on line %d already", name, line)}
		}
		seen[name] = row.Line
		names = append(names, name)
		if row.Password != "" {
			clear++
		}
		return nil
	})
	return names, clear, err
}

// stager stages users in batches.
type stager struct {
	c        *cli.Console
	client   *client.Client
	file     string
	request  api.StageRequest
	rows     []*roster.User // of the batch
	size     int            // octets of the batch, about
	total    int
	staged   int
	refused  roster.Problems
	progress *cli.Progress
}

// Bounds of one request; the server takes 1 MiB.
const (
	batchUsers = 2000
	batchSize  = 512 << 10
)

func (u *stager) add(ctx context.Context, row *roster.User) error {
	u.rows = append(u.rows, row)
	u.size += 200 + len(row.Address) + len(row.Hash) + len(row.Scram)
	for _, address := range slices.Concat(row.Settings.Senders, row.Settings.Forward) {
		u.size += len(address) + 3
	}
	limit := batchUsers
	if row.Password != "" {
		limit = 50 // so that there is something to see
	}
	if len(u.rows) < limit && u.size < batchSize {
		return nil
	}
	return u.send(ctx)
}

// send hashes what is in clear and stages the batch.
func (u *stager) send(ctx context.Context) error {
	if len(u.rows) == 0 {
		return nil
	}
	if err := roster.HashAll(ctx, u.rows); err != nil {
		return err
	}
	u.request.Users = u.request.Users[:0]
	for _, row := range u.rows {
		u.request.Users = append(u.request.Users, admin.ImportedUser(row))
	}
	a, err := u.client.StageUsers(ctx, u.request)
	if err != nil {
		return err
	}
	for _, r := range a.Refused {
		if r.Number < len(u.rows) && len(u.refused) < roster.MaxProblems {
			row := u.rows[r.Number]
			u.refused.Add(u.file, &roster.Problem{Line: row.Line, Column: row.Column,
				What: row.Address + ": " + r.Why})
		}
	}
	u.staged += len(u.rows) - len(a.Refused)
	u.rows, u.size = u.rows[:0], 0
	u.progress.Say(fmt.Sprintf("%d of %s staged", u.staged, cli.Number(int64(u.total), "user")))
	return nil
}
