package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/node/operator"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/client"
	"github.com/postroad/postroad/operate/admin/cmdline"
)

const filterArgs = "[FILTER ...] [--json]"

const filterHelp = `
Any node answers for the whole cluster. Totals are exact at an index of each group's log; groups that nobody answered for are named, and
the exit status is then 75.
Filters narrow down what is meant; all that are given must hold. An ID may be an argument, or --id; "--id -" reads
IDs from standard input, one a line.`

const underWayHelp = `
Once the command ends with 0, no attempt at these recipients begins. Those that are being attempted then are counted apart ("inflight"
with --json): the attempt goes on to its end, and may deliver.`

var queueCommands = []cli.Command{
	{Name: "list", Args: filterArgs, Short: "list messages and the state of their recipients", Run: runQueueList, Long: filterHelp + `

    postroad queue list --domain example.net --state deferred
    postroad queue list --older 1h --json`},
	{Name: "count", Args: filterArgs, Short: "count messages and recipients", Run: runQueueCount, Long: filterHelp + `

    postroad queue count --tenant shop7 --json`},
	{Name: "show", Args: "ID [--json]", Short: "show all that is known of one message", Run: runQueueShow, Long: `
Shows the envelope, where the message came from, and each recipient with the last answer. What happened to it before, "postroad trace" tells.

    postroad queue show 06g3k2v8q4w0a1b2`},
	{Name: "flush", Args: "[FILTER ...]", Short: "try deferred recipients now", Run: runQueueVerb, Long: filterHelp + `
Without a filter all deferred recipients are due now. The limits of sites hold.

    postroad queue flush --domain example.net`},
	{Name: "hold", Args: "FILTER ... | --all", Short: "keep recipients from being tried until they are released", Run: runQueueVerb, Long: filterHelp + underWayHelp + `
Put off, they are held.

    postroad queue hold --sender news@example.net`},
	{Name: "release", Args: "FILTER ... | --all", Short: "let held recipients go on", Run: runQueueVerb, Long: filterHelp + `

    postroad queue release --all`},
	{Name: "fail", Args: "FILTER ... | --all [--reason TEXT]", Short: "give up on recipients and tell the senders", Run: runQueueVerb, Long: filterHelp + underWayHelp + `
What is gone is gone: look with "queue list" and the same filters first.

    postroad queue fail --domain gone.example --reason "the domain is gone"`},
	{Name: "remove", Args: "FILTER ... | --all", Short: "take recipients out of the queue without telling anybody", Run: runQueueVerb, Long: filterHelp + underWayHelp + `
What is gone is gone: look with "queue list" and the same filters first.

    postroad queue remove --campaign spring-2026`},
	{Name: "salvage", Args: "[--config FILE] [--list] [--to HOST:PORT] [--save DIR]",
		Short: "put in again what only a stopped node has", Run: runQueueSalvage,
		Long: salvageHelp},
}

// queueFlags are the flags of all queue commands.
type queueFlags struct {
	cmdline.Node
	filter api.Filter
	ids    []string
	json   bool
}

func (q *queueFlags) register(fs *flag.FlagSet) {
	q.Node.Register(fs)
	f := &q.filter
	fs.StringVar(&f.Domain, "domain", "", "recipients at this `DOMAIN`")
	fs.StringVar(&f.Sender, "sender", "", "messages from this `ADDRESS`; <> for delivery reports")
	fs.StringVar(&f.Recipient, "recipient", "", "recipients with this `ADDRESS`")
	fs.StringVar(&f.Tenant, "tenant", "", "messages of this `TENANT`")
	fs.StringVar(&f.Campaign, "campaign", "", "messages of this `CAMPAIGN`")
	fs.Func("state",
		"recipients in this `STATE`: ready, inflight, deferred or held; may be repeated",
		func(s string) error {
			f.States = append(f.States, strings.Split(s, ",")...)
			return nil
		})
	fs.Func("older", "messages that have waited at least this `TIME`, such as 90m, 1h or 4d",
		func(s string) error {
			return f.Older.UnmarshalText([]byte(s))
		})
	fs.Func("id", "the message with this `ID`; may be repeated; - reads them from standard input",
		func(s string) error {
			q.ids = append(q.ids, strings.Split(s, ",")...)
			return nil
		})
	fs.BoolVar(&q.json, "json", false, "print one JSON object a line")
}

// parse reads the arguments of a queue command and returns a client of the node.
func (q *queueFlags) parse(
	c *cli.Console, fs *flag.FlagSet, args []string,
) (*client.Client, error) {
	q.register(fs)
	rest, err := c.Parse(fs, args)
	if err != nil {
		return nil, err
	}
	for _, id := range append(q.ids, rest...) {
		if id != "-" {
			q.filter.IDs = append(q.filter.IDs, id)
			continue
		}
		if err := q.readIDs(c.In); err != nil {
			return nil, err
		}
	}
	if len(q.filter.IDs) == 0 && len(q.ids)+len(rest) > 0 {
		// No ID on standard input selects nothing; without this it would select everything.
		return nil, cli.Usage("no IDs came from standard input", "")
	}
	if err := q.filter.Check(); err != nil {
		return nil, err
	}
	return q.Client()
}

func (q *queueFlags) readIDs(r io.Reader) error {
	words := bufio.NewScanner(r)
	words.Split(bufio.ScanWords)
	for words.Scan() {
		q.filter.IDs = append(q.filter.IDs, words.Text())
	}
	return words.Err()
}

func runQueueList(ctx context.Context, c *cli.Console, args []string) error {
	var q queueFlags
	client, err := q.parse(c, c.Flags(), args)
	if err != nil {
		return err
	}
	defer client.Close()
	total, err := client.List(ctx, q.filter, cli.Lines(c, q.json, operator.PrintMessage))
	if total != nil && !q.json {
		fmt.Fprintln(c.Err, operator.Summary(total))
	}
	return tellOthers(c, total, err)
}

// tellOthers names the nodes that did not answer though nothing is missing.
func tellOthers(c *cli.Console, t *api.Total, err error) error {
	if err == nil && t != nil && len(t.Unreachable) > 0 {
		fmt.Fprintf(c.Err, "complete without %s, which could not be reached\n",
			cli.Clean(strings.Join(t.Unreachable, ", ")))
	}
	return err
}

func runQueueCount(ctx context.Context, c *cli.Console, args []string) error {
	var q queueFlags
	client, err := q.parse(c, c.Flags(), args)
	if err != nil {
		return err
	}
	defer client.Close()
	total, err := client.Count(ctx, q.filter)
	if total == nil {
		return err
	}
	if q.json {
		return errors.Join(c.Object(total), err)
	}
	_, printed := fmt.Fprintln(c.Out, operator.Summary(total))
	return tellOthers(c, total, errors.Join(printed, err))
}

func runQueueShow(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	var n cmdline.Node
	n.Register(fs)
	asJSON := fs.Bool("json", false, "print one JSON object")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return cli.Usage("one ID is needed", "`postroad queue list` shows the IDs")
	}
	client, err := n.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	raw, err := client.Show(ctx, rest[0])
	if err != nil {
		return err
	}
	return cli.Lines(c, *asJSON, operator.PrintDetail)(raw)
}

// runQueueVerb runs all commands that move recipients.
func runQueueVerb(ctx context.Context, c *cli.Console, args []string) error {
	var q queueFlags
	fs, verb := c.Flags(), c.Command.Name
	fs.BoolVar(&q.filter.All, "all", false, "everything in the queue")
	if verb == "fail" {
		fs.StringVar(&q.filter.Reason, "reason", "", "the `TEXT` that senders read in the report")
	}
	client, err := q.parse(c, fs, args)
	if err != nil {
		return err
	}
	if verb != "flush" && q.filter.Empty() && !q.filter.All {
		return cli.Usage("`"+c.Path+"` needs a filter", "add one, or --all for the whole queue; `"+
			c.Path+" --help` lists them")
	}
	defer client.Close()
	progress := c.Progress(operator.Done[verb])
	total, err := client.Move(ctx, verb, q.filter, progress.At)
	progress.End()
	if total != nil {
		fmt.Fprintln(c.Err, operator.Moved(total, verb, q.filter))
		if n := total.States["inflight"]; n > 0 {
			fmt.Fprintf(c.Err, "%s being attempted now: that goes on, and may deliver\n",
				cli.Number(n, "recipient"))
		}
	}
	if total != nil && q.json {
		err = errors.Join(c.Object(total), err)
	}
	return tellOthers(c, total, err)
}
