package main

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

var mailboxCommands = []cli.Command{
	{Name: "list", Args: "[--json]", Short: "list the mailboxes", Run: runMailboxList, Long: `
A mailbox is made when its user first gets mail or logs in. Any node answers for the whole cluster.

    postroad mailbox list --json`},
	{Name: "show", Args: "ADDRESS [--json]", Short: "show a mailbox and its folders", Run: runMailboxShow, Long: `
Shows how much is in the mailbox and in each folder, and its quota.

    postroad mailbox show alice@example.net`},
	{Name: "export", Args: "ADDRESS FILE|DIRECTORY|- | --all DIRECTORY [--format mbox|maildir]", Short: "write all messages of a mailbox, or of all, to files", Run: runMailboxExport, Long: `
An mbox is a file, or - for standard output; a Maildir is a directory, which must be empty or new. Both have the messages octet for octet,
with folders, flags and dates, so that an import gives them back; other programs read them, too. --all makes an mbox or a Maildir of each
mailbox, named after its address.

    postroad mailbox export alice@example.net alice.mbox
    postroad mailbox export alice@example.net backup/alice --format maildir
    postroad mailbox export --all backup/2026-11-28`},
	{Name: "import", Args: "ADDRESS FILE|DIRECTORY|- [--skip N] | --all DIRECTORY", Short: "add messages from an mbox or a Maildir to a mailbox", Run: runMailboxImport, Long: `
Messages are added to those that are there, in the folders of the archive; quotas do not count. The user must exist. An import that
failed says how many messages it added: --skip goes on after them. --all takes what an export of all mailboxes has made. What is left out,
refused or in doubt is told at the end, with numbers and places; the exit status is 65 when files were refused.

    postroad mailbox import alice@example.net alice.mbox
    postroad mailbox import alice@example.net /home/alice/Maildir
    postroad mailbox import --all backup/2026-11-28`},
}

// mailboxFlags are the flags of the commands about mailboxes.
type mailboxFlags struct {
	cmdline.Node
	json    bool
	all     bool
	format  string
	skip    int64
	refused int64 // files of an import
}

func runMailboxList(ctx context.Context, c *cli.Console, args []string) error {
	var m mailboxFlags
	fs := c.Flags()
	m.Register(fs)
	fs.BoolVar(&m.json, "json", false, "print one JSON object a line")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	client, err := m.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	total, err := client.Mailboxes(ctx, cli.Lines(c, m.json, printMailbox))
	if total != nil && !m.json {
		fmt.Fprintf(c.Err, "%s in %s\n", cli.Number(total.Messages, "message"),
			plural(total.Recipients, "mailbox", "mailboxes"))
	}
	return err
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// printMailbox prints one line of a listing.
func printMailbox(c *cli.Console, b *api.Mailbox) error {
	_, err := fmt.Fprintf(c.Out, "%7d %9s  %s%s\n", b.Messages, config.Size(b.Octets),
		cli.Clean(b.Address), quota(b))
	return err
}

// quota says what bounds a mailbox.
func quota(b *api.Mailbox) (s string) {
	if b.Hard > 0 {
		s += fmt.Sprintf("  %d%% of %s", b.Octets*100/b.Hard, config.Size(b.Hard))
	} else if b.Soft > 0 {
		s += "  soft quota " + config.Size(b.Soft).String()
	}
	if b.Retention > 0 {
		s += "  kept for " + cli.Short(time.Duration(b.Retention)*time.Second)
	}
	return s
}

func runMailboxShow(ctx context.Context, c *cli.Console, args []string) error {
	var m mailboxFlags
	fs := c.Flags()
	m.Register(fs)
	fs.BoolVar(&m.json, "json", false, "print one JSON object")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return cli.Usage("one mailbox's address is needed", "`postroad mailbox list` shows them")
	}
	client, err := m.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	raw, err := client.Mailbox(ctx, rest[0])
	if err != nil {
		return err
	}
	return cli.Lines(c, m.json, printFolders)(raw)
}

// printFolders prints a mailbox and its folders.
func printFolders(c *cli.Console, b *api.Mailbox) error {
	err := printMailbox(c, b)
	for i := range b.Folders {
		f := &b.Folders[i]
		if err == nil {
			_, err = fmt.Fprintf(c.Out, "%7d %9s  %s  (%d unseen)\n", f.Messages,
				config.Size(f.Octets), cli.Clean(f.Name), f.Unseen)
		}
	}
	return err
}
