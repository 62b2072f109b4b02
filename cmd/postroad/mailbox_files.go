package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/mailbox/archive"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

// Export and import of mailboxes: the node sends and takes streams, the files are here.

func runMailboxExport(ctx context.Context, c *cli.Console, args []string) error {
	var m mailboxFlags
	fs := c.Flags()
	fs.StringVar(&m.format, "format", "mbox", "the `FORMAT` of the files: mbox or maildir")
	return m.run(c, fs, args, func(client *client.Client, address, path string) error {
		if m.all {
			return m.exportAll(ctx, c, client, path)
		}
		return m.export(ctx, c, client, address, path)
	})
}

func runMailboxImport(ctx context.Context, c *cli.Console, args []string) error {
	var m mailboxFlags
	fs := c.Flags()
	fs.Int64Var(&m.skip, "skip", 0, "leave out the first `N` messages")
	return m.run(c, fs, args, func(client *client.Client, address, path string) (err error) {
		if m.all {
			err = m.importAll(ctx, c, client, path)
		} else {
			err = m.imports(ctx, c, client, address, path)
		}
		if err == nil && m.refused > 0 {
			err = &api.Error{Exit: api.ExitData,
				Message: cli.Number(m.refused, "file") + " refused, all else was imported",
				Hint:    "unpack them into a Maildir of their own and import that"}
		}
		return err
	})
}

// run reads the arguments, an address, or with --all none, and where the files are, and does with
// them what is to be done.
func (m *mailboxFlags) run(
	c *cli.Console, fs *flag.FlagSet, args []string,
	do func(client *client.Client, address, path string) error,
) error {
	m.Register(fs)
	fs.BoolVar(&m.all, "all", false, "all mailboxes, each in a file or directory of its own")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if err := m.check(c, rest); err != nil {
		return err
	}
	address, path := "", rest[len(rest)-1]
	if !m.all {
		address = rest[0]
	}
	return cmdline.WithClient(&m.Node, func(client *client.Client) error {
		return do(client, address, path)
	})
}

// check says what is wrong with the arguments.
func (m *mailboxFlags) check(c *cli.Console, rest []string) error {
	switch {
	case m.all && len(rest) != 1:
		return cli.Usage("one directory is needed for all mailboxes",
			"for example: "+c.Path+" --all backup")
	case !m.all && len(rest) != 2:
		return cli.Usage("a mailbox's address and a path are needed",
			"for example: "+c.Path+" alice@example.net alice.mbox")
	case m.format != "" && m.format != "mbox" && m.format != "maildir":
		return cli.Usage(fmt.Sprintf("%q is no format", m.format), "use mbox or maildir")
	case m.skip < 0 || m.skip > 0 && m.all:
		return cli.Usage("--skip is for one mailbox, and not negative",
			"it is the number of messages to leave out")
	}
	return nil
}

// exportAll exports each mailbox into a directory that is empty or new.
func (m *mailboxFlags) exportAll(
	ctx context.Context, c *cli.Console, client *client.Client, dir string,
) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty", dir)
	}
	if err != nil {
		return &api.Error{Exit: api.ExitData, Message: err.Error(),
			Hint: "give the path of a new directory"}
	}
	var addresses []string
	_, err = client.Mailboxes(ctx, cli.Each(func(b *api.Mailbox) error {
		addresses = append(addresses, b.Address)
		return nil
	}))
	if err != nil {
		return err
	}
	for _, address := range addresses {
		err := m.export(ctx, c, client, address,
			filepath.Join(dir, url.PathEscape(address)+"."+m.format))
		if gone := (*api.Error)(nil); errors.As(err, &gone) && gone.Exit == api.ExitData {
			// it was removed meanwhile
			fmt.Fprintf(c.Err, "%s is left out: %s\n", cli.Clean(address), gone.Message)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *mailboxFlags) export(
	ctx context.Context, c *cli.Console, client *client.Client, address, path string,
) error {
	stream, err := client.ExportMailbox(ctx, address)
	if err != nil {
		return err
	}
	defer stream.Close()
	out, file, err := m.writer(c, path)
	if err != nil {
		return &api.Error{Exit: api.ExitData, Message: err.Error()}
	}
	in := archive.NewStreamReader(stream)
	in.OnFolder = out.Folder
	progress := c.Progress("exported")
	n, err := archive.Copy(out, in, 0, progress.Messages)
	progress.End()
	if file != nil {
		err = errors.Join(err, file.Sync(), file.Close())
	}
	if err != nil {
		return &api.Error{Exit: api.ExitTemporary,
			Message: fmt.Sprintf("the export of %s failed after %s: %v", cli.Clean(address),
				cli.Number(n, "message"), err), Hint: "what is there is not complete; try again"}
	}
	fmt.Fprintf(c.Err, "%s of %s exported\n", cli.Number(n, "message"), cli.Clean(address))
	return nil
}

// writer opens what an export is written to.
func (m *mailboxFlags) writer(c *cli.Console, path string) (archive.Writer, *os.File, error) {
	if m.format == "maildir" {
		w, err := archive.NewMaildirWriter(path)
		return w, nil, err
	}
	if path == "-" {
		return archive.NewMboxWriter(c.Out), nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return archive.NewMboxWriter(f), f, nil
}

// importAll imports what exportAll wrote.
func (m *mailboxFlags) importAll(
	ctx context.Context, c *cli.Console, client *client.Client, dir string,
) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return &api.Error{Exit: api.ExitData, Message: err.Error(),
			Hint: "give the path of a directory that `postroad mailbox export --all` has made"}
	}
	for _, e := range entries {
		name, mbox := strings.CutSuffix(e.Name(), ".mbox")
		name, maildir := strings.CutSuffix(name, ".maildir")
		address, err := url.PathUnescape(name)
		if err != nil || mbox == maildir {
			fmt.Fprintf(c.Err, "%s is left out: it is no mailbox\n", cli.Clean(e.Name()))
			continue
		}
		if err := m.imports(ctx, c, client, address, filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (m *mailboxFlags) imports(
	ctx context.Context, c *cli.Console, client *client.Client, address, path string,
) error {
	out, in := io.Pipe()
	stream := archive.NewStreamWriter(in)
	from, end, err := archive.Open(path, c.In, stream.Folder)
	if err != nil {
		return &api.Error{Exit: api.ExitData, Message: err.Error(),
			Hint: "give the path of an mbox or a Maildir"}
	}
	defer end()
	read := make(chan error, 1)
	go func() {
		_, err := archive.Copy(stream, from, 0, nil)
		in.CloseWithError(err)
		read <- err
	}()
	progress := c.Progress("imported")
	n, err := client.ImportMailbox(ctx, address, m.skip, out, progress.Messages)
	progress.End()
	out.Close()
	if bad := <-read; err != nil && bad != nil && !errors.Is(bad, io.ErrClosedPipe) {
		err = &api.Error{Exit: api.ExitData, Message: bad.Error()}
	}
	fmt.Fprintf(c.Err, "%s of %s imported\n", cli.Number(max(n-m.skip, 0), "message"), path)
	for _, line := range from.Report().Lines() {
		fmt.Fprintln(c.Err, cli.Clean(line))
	}
	m.refused += from.Report().Refused()
	if err != nil && n > 0 {
		fmt.Fprintf(c.Err, "to go on after them: %s --skip %d %s %s\n", c.Path, n, address, path)
	}
	return err
}
