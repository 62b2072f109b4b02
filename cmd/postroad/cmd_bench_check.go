package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/internal/admin"
)

const benchCheckHelp = `
Compares what a generator has sent with what a receiving server has taken, from the records that they have written. It tells what was lost, changed,
duplicated, put out of order or arrived without having been sent, with the first of each, and how fast each domain's mail came. The exit status is 0
only when there is nothing of that.

    postroad bench check sent.rec sink.rec`

func runBenchCheck(_ context.Context, c *console, args []string) error {
	fs := c.flags()
	var rules record.Rules
	fs.Func("order", "look at the order of each `connection` of the generator, or of each recipient", func(s string) error {
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
	files, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	if len(files) != 2 {
		return usage("two records are needed", "for example: "+c.path+" sent.rec sink.rec")
	}
	sent, err := readRecord(c, files[0], record.ReadSent)
	if err != nil {
		return badRecord(err)
	}
	received, err := readRecord(c, files[1], record.ReadReceived)
	if err != nil {
		return badRecord(err)
	}
	report := record.Check(sent, received, rules)
	if err := printCheck(c.out, report, *asJSON); err != nil || report.OK() {
		return err
	}
	return exitStatus(admin.ExitSoftware) // the report was printed
}

// readRecord reads a file. Of one whose writer was killed it takes what there is, and says so.
func readRecord[L any](c *console, name string, read func(io.Reader) (L, error)) (l L, err error) {
	f, err := os.Open(name)
	if err != nil {
		return l, err
	}
	defer f.Close()
	l, err = read(f)
	switch {
	case errors.Is(err, record.ErrTruncated):
		fmt.Fprintf(c.err, "%s: %v\n", name, err)
	case err != nil:
		return l, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

func badRecord(err error) error { return &admin.Error{Exit: admin.ExitData, Message: err.Error()} }

func printCheck(w io.Writer, r *record.Report, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	if _, err := fmt.Fprint(w, r); err != nil {
		return err
	}
	for i := range r.Domains {
		d := &r.Domains[i]
		if _, err := fmt.Fprintf(w, "%-30s %9d messages, %8.1f/s, at most %d in a second\n", clean(d.Domain), d.Messages, d.Mean(), d.Peak()); err != nil {
			return err
		}
	}
	return nil
}

const benchDumpHelp = `
One JSON object a line: what a generator has sent, or what a receiving server has taken.

    postroad bench dump sink.rec | jq -r .client | sort | uniq -c`

func runBenchDump(_ context.Context, c *console, args []string) error {
	files, err := c.parse(c.flags(), args)
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return usage("a record is needed", "for example: "+c.path+" sink.rec")
	}
	received, err := readRecord(c, files[0], record.ReadReceived)
	if errors.Is(err, record.ErrKind) {
		var sent *record.SentLog
		if sent, err = readRecord(c, files[0], record.ReadSent); err == nil {
			return dump(c.out, sent.All())
		}
	}
	if err != nil {
		return badRecord(err)
	}
	return dump(c.out, received.All())
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
