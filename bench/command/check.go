package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
)

const checkHelp = `
Compares what a generator has sent with what a receiving server has taken, from the records that they have written. It tells what was lost, changed,
duplicated, put out of order or arrived without having been sent, with the first of each, and how fast each domain's mail came.

It may be run while either of them is still at it: then it says so, and what is missing may come yet and counts as awaited, not as lost. The exit status
is 0 when nothing is wrong and nothing awaited, 75 when nothing is wrong so far and something may come yet, 70 when something is wrong.

    postroad bench check sent.rec sink.rec`

func runCheck(_ context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	var rules record.Rules
	fs.Func("order",
		"look at the order of each `connection` of the generator, or of each recipient",
		func(s string) error {
			switch s {
			case "connection":
				rules.Order = record.ByConnection
			case "recipient":
				rules.Order = record.ByRecipient
			default:
				return errors.New("want connection or recipient")
			}
			return nil
		})
	asJSON := fs.Bool("json", false, "print one JSON object")
	files, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(files) != 2 {
		return cli.Usage("two records are needed", "for example: "+c.Path+" sent.rec sink.rec")
	}
	// the generator's first: what it has sent by then may have arrived when the other is read
	sent, open, err := readRecord(c, files[0], record.ReadSent)
	if err != nil {
		return badRecord(err)
	}
	rules.SentOpen = open
	received, open, err := readRecord(c, files[1], record.ReadReceived)
	if err != nil {
		return badRecord(err)
	}
	rules.ReceivedOpen = open
	report := record.Check(sent, received, rules)
	err = printCheck(c.Out, report, *asJSON)
	switch { // the report was printed
	case err != nil:
		return err
	case !report.OK():
		return cli.ExitStatus(api.ExitSoftware)
	case !report.Final():
		return cli.ExitStatus(api.ExitTemporary)
	}
	return nil
}

// counted is a log of either kind.
type counted interface{ Len() int }

// readRecord reads a file. Of one that is still being written, and of one whose writer was killed,
// it takes what there is, and says which it is.
func readRecord[L counted](
	c *cli.Console, name string, read func(io.Reader) (L, error),
) (l L, open bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return l, false, err
	}
	defer f.Close()
	open = record.BeingWritten(f) // before: one that ends meanwhile has an end to be read
	l, err = read(f)
	switch {
	case err == nil:
		open = false
	case !errors.Is(err, record.ErrTruncated):
		return l, false, fmt.Errorf("%s: %w", name, err)
	case open:
		fmt.Fprintf(c.Err, "%s: its writer is still at it; %d entries were read\n", name, l.Len())
	default:
		fmt.Fprintf(c.Err, "%s: %v; %d entries were read\n", name, err, l.Len())
	}
	return l, open, nil
}

func badRecord(err error) error { return &api.Error{Exit: api.ExitData, Message: err.Error()} }

func printCheck(w io.Writer, r *record.Report, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	if _, err := fmt.Fprint(w, r); err != nil {
		return err
	}
	for i := range r.Domains {
		d := &r.Domains[i]
		if _, err := fmt.Fprintf(w, "%-30s %9d messages, %8.1f messages/s, at most %d in "+
			"one second\n", cli.Clean(d.Domain), d.Messages, d.Mean(), d.Peak()); err != nil {
			return err
		}
	}
	return nil
}

const dumpHelp = `
One JSON object a line: what a generator has sent, or what a receiving server has taken.

    postroad bench dump sink.rec | jq -r .client | sort | uniq -c`

func runDump(_ context.Context, c *cli.Console, args []string) error {
	files, err := c.Parse(c.Flags(), args)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return cli.Usage("a record is needed", "for example: "+c.Path+" sink.rec")
	}
	received, _, err := readRecord(c, files[0], record.ReadReceived)
	if errors.Is(err, record.ErrKind) {
		var sent *record.SentLog
		if sent, _, err = readRecord(c, files[0], record.ReadSent); err == nil {
			return dump(c.Out, sent.All())
		}
	}
	if err != nil {
		return badRecord(err)
	}
	return dump(c.Out, received.All())
}

// dump prints one object a line.
func dump[E any](w io.Writer, entries iter.Seq[E]) error {
	out := json.NewEncoder(w)
	for e := range entries {
		if err := out.Encode(e); err != nil {
			return err
		}
	}
	return nil
}
