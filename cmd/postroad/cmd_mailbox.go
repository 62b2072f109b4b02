package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/postroad/postroad/internal/admin"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/mailbox/archive"
)

var mailboxCommands = []command{
	{name: "list", args: "[--json]", short: "list the mailboxes", run: runMailboxList, long: `
A mailbox is made when its user first gets mail or logs in. Any node answers for the whole cluster.`},
	{name: "show", args: "ADDRESS [--json]", short: "show a mailbox and its folders", run: runMailboxShow},
	{name: "export", args: "ADDRESS FILE|DIRECTORY|- [--format mbox|maildir]", short: "write all messages of a mailbox to files", run: runMailboxExport, long: `
An mbox is a file, or - for standard output; a Maildir is a directory, which must be empty or new. Both have the messages octet for octet,
with folders, flags and dates, so that an import gives them back; other programs read them, too.

    postroad mailbox export alice@example.net alice.mbox
    postroad mailbox export alice@example.net backup/alice --format maildir`},
	{name: "import", args: "ADDRESS FILE|DIRECTORY|- [--skip N]", short: "add messages from an mbox or a Maildir to a mailbox", run: runMailboxImport, long: `
Messages are added to those that are there, in the folders of the archive; quotas do not count. The user must exist. An import that
failed says how many messages it added: --skip goes on after them.

    postroad mailbox import alice@example.net alice.mbox
    postroad mailbox import alice@example.net /home/alice/Maildir`},
}

// mailboxFlags are the flags of the commands about mailboxes.
type mailboxFlags struct {
	nodeFlags
	json   bool
	format string
	skip   int64
}

func runMailboxList(ctx context.Context, c *console, args []string) error {
	var m mailboxFlags
	fs := c.flags()
	m.register(fs)
	fs.BoolVar(&m.json, "json", false, "print one JSON object a line")
	rest, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	client, err := m.client()
	if err != nil {
		return err
	}
	defer client.Close()
	total, err := client.Mailboxes(ctx, func(raw json.RawMessage) error {
		if m.json {
			return c.line(raw)
		}
		var b admin.Mailbox
		if err := json.Unmarshal(raw, &b); err != nil {
			return err
		}
		return c.mailbox(&b)
	})
	if total != nil && !m.json {
		fmt.Fprintf(c.err, "%s in %s\n", number(total.Messages, "message"), plural(total.Recipients, "mailbox", "mailboxes"))
	}
	return err
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// mailbox prints one line of a listing.
func (c *console) mailbox(b *admin.Mailbox) error {
	_, err := fmt.Fprintf(c.out, "%7d %9s  %s%s\n", b.Messages, config.Size(b.Octets), clean(b.Address), quota(b))
	return err
}

// quota says what bounds a mailbox.
func quota(b *admin.Mailbox) (s string) {
	if b.Hard > 0 {
		s += fmt.Sprintf("  %d%% of %s", b.Octets*100/b.Hard, config.Size(b.Hard))
	} else if b.Soft > 0 {
		s += "  soft quota " + config.Size(b.Soft).String()
	}
	if b.Retention > 0 {
		s += "  kept for " + short(time.Duration(b.Retention)*time.Second)
	}
	return s
}

func runMailboxShow(ctx context.Context, c *console, args []string) error {
	var m mailboxFlags
	fs := c.flags()
	m.register(fs)
	fs.BoolVar(&m.json, "json", false, "print one JSON object")
	rest, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usage("one mailbox's address is needed", "`postroad mailbox list` shows them")
	}
	client, err := m.client()
	if err != nil {
		return err
	}
	defer client.Close()
	raw, err := client.Mailbox(ctx, rest[0])
	if err != nil {
		return err
	}
	if m.json {
		return c.line(raw)
	}
	var b admin.Mailbox
	if err := json.Unmarshal(raw, &b); err != nil {
		return err
	}
	err = c.mailbox(&b)
	for i := range b.Folders {
		f := &b.Folders[i]
		if err == nil {
			_, err = fmt.Fprintf(c.out, "%7d %9s  %s  (%d unseen)\n", f.Messages, config.Size(f.Octets), clean(f.Name), f.Unseen)
		}
	}
	return err
}

// parse reads the arguments of export and import: an address, and where the files are.
func (m *mailboxFlags) parse(c *console, args []string) (client *admin.Client, address, path string, err error) {
	fs := c.flags()
	m.register(fs)
	if c.command.name == "export" {
		fs.StringVar(&m.format, "format", "mbox", "the `FORMAT` of the files: mbox or maildir")
	} else {
		fs.Int64Var(&m.skip, "skip", 0, "leave out the first `N` messages")
	}
	rest, err := c.parse(fs, args)
	if err != nil {
		return nil, "", "", err
	}
	if len(rest) != 2 {
		return nil, "", "", usage("a mailbox's address and a path are needed", "for example: "+c.path+" alice@example.net alice.mbox")
	}
	if m.format != "" && m.format != "mbox" && m.format != "maildir" {
		return nil, "", "", usage(fmt.Sprintf("%q is no format", m.format), "use mbox or maildir")
	}
	if m.skip < 0 {
		return nil, "", "", usage("--skip is negative", "it is the number of messages to leave out")
	}
	client, err = m.client()
	return client, rest[0], rest[1], err
}

func runMailboxExport(ctx context.Context, c *console, args []string) error {
	var m mailboxFlags
	client, address, path, err := m.parse(c, args)
	if err != nil {
		return err
	}
	defer client.Close()
	stream, err := client.ExportMailbox(ctx, address)
	if err != nil {
		return err
	}
	defer stream.Close()
	out, file, err := m.writer(c, path)
	if err != nil {
		return &admin.Error{Exit: admin.ExitData, Message: err.Error()}
	}
	in := archive.NewStreamReader(stream)
	in.OnFolder = out.Folder
	progress := c.progress("exported")
	n, err := archive.Copy(out, in, 0, progress.messages)
	progress.end()
	if file != nil {
		err = errors.Join(err, file.Sync(), file.Close())
	}
	if err != nil {
		return &admin.Error{Exit: admin.ExitTemporary, Message: fmt.Sprintf("the export failed after %s: %v", number(n, "message"), err), Hint: "what is there is not complete; try again"}
	}
	fmt.Fprintf(c.err, "%s of %s exported\n", number(n, "message"), clean(address))
	return nil
}

// writer opens what an export is written to.
func (m *mailboxFlags) writer(c *console, path string) (archive.Writer, *os.File, error) {
	if m.format == "maildir" {
		w, err := archive.NewMaildirWriter(path)
		return w, nil, err
	}
	if path == "-" {
		return archive.NewMboxWriter(c.out), nil, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return archive.NewMboxWriter(f), f, nil
}

func runMailboxImport(ctx context.Context, c *console, args []string) error {
	var m mailboxFlags
	client, address, path, err := m.parse(c, args)
	if err != nil {
		return err
	}
	defer client.Close()
	out, in := io.Pipe()
	stream := archive.NewStreamWriter(in)
	from, end, err := reader(c, path, stream)
	if err != nil {
		return &admin.Error{Exit: admin.ExitData, Message: err.Error(), Hint: "give the path of an mbox or a Maildir"}
	}
	defer end()
	read := make(chan error, 1)
	go func() {
		_, err := archive.Copy(stream, from, 0, nil)
		in.CloseWithError(err)
		read <- err
	}()
	progress := c.progress("imported")
	n, err := client.ImportMailbox(ctx, address, m.skip, out, progress.messages)
	progress.end()
	out.Close()
	if bad := <-read; err != nil && bad != nil && !errors.Is(bad, io.ErrClosedPipe) {
		err = &admin.Error{Exit: admin.ExitData, Message: bad.Error()}
	}
	fmt.Fprintf(c.err, "%s of %s imported\n", number(n-m.skip, "message"), path)
	if err != nil && n > 0 {
		fmt.Fprintf(c.err, "to go on after them: %s --skip %d %s %s\n", c.path, n, address, path)
	}
	return err
}

// reader opens what is imported. Folders go to the stream before their messages.
func reader(c *console, path string, to archive.Writer) (r archive.Reader, end func() error, err error) {
	if path == "-" {
		return archive.NewMboxReader(c.in), func() error { return nil }, nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		md, err := archive.NewMaildirReader(path)
		if err != nil {
			return nil, nil, err
		}
		md.OnFolder = to.Folder
		return md, func() error { return nil }, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return archive.NewMboxReader(f), f.Close, nil
}
