package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/trace"
	"github.com/postroad/postroad/operate/admin/api"
)

const traceHelp = `
Shows each step of a message: accepted, tried, delivered or failed, and what of it waits now. Any node answers, from the event logs and
queues of all. A message is named by its ID in the queue, its Message-ID or the session it came in by. With --recipient or --sender: of
all messages with these addresses that something happened to since then, and what was refused of them.

    postroad trace 06g3k2v8q4w0a1b2
    postroad trace '<20260302101110.12345@example.org>' --since 4d
    postroad trace --recipient alice@example.net --since 4h`

func runTrace(ctx context.Context, c *cli.Console, args []string) error {
	fs := c.Flags()
	var n nodeFlags
	n.register(fs)
	var t api.TraceRequest
	fs.StringVar(&t.Recipient, "recipient", "",
		"messages to this `ADDRESS`; with an ID, its steps for this recipient")
	fs.StringVar(&t.Sender, "sender", "", "messages from this `ADDRESS`; <> for delivery reports")
	fs.Func("since",
		"messages that something happened to in the last `TIME`, such as 90m or 4d (default "+
			"2d); with an ID in the queue, its steps since then (default all)",
		func(s string) error {
			return t.Since.UnmarshalText([]byte(s))
		})
	asJSON := fs.Bool("json", false, "print one JSON object a line")
	names, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	for _, name := range names {
		t.Name(name)
	}
	if err := t.Check(); err != nil {
		return err
	}
	client, err := n.client()
	if err != nil {
		return err
	}
	defer client.Close()
	total, err := client.Trace(ctx, t, func(raw json.RawMessage) error {
		if *asJSON {
			return c.Line(raw)
		}
		return printStep(c, raw)
	})
	if total != nil && total.Truncated {
		fmt.Fprintln(c.Err, "there is more, which is older; give an ID, or a shorter --since")
	}
	return err
}

// printStep prints one step of a journey: when, where, which message, what.
func printStep(c *cli.Console, raw json.RawMessage) error {
	var item api.TraceItem
	if err := json.Unmarshal(raw, &item); err != nil {
		return err
	}
	begin := fmt.Sprintf("%s  %s  %-16s  ", item.At.Local().Format("2006-01-02 15:04:05.000"),
		cli.Clean(item.Node), cli.Clean(cmp.Or(item.ID, "refused")))
	if item.Queue != nil {
		fmt.Fprintf(c.Out, "%s%-16s %s\n", begin, "in the queue", item.Queue.State)
		for i := range item.Queue.Recipients {
			if err := printRecipient(c, &item.Queue.Recipients[i]); err != nil {
				return err
			}
		}
		return nil
	}
	kind, words, err := trace.Words(item.Event)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Out, "%s%-16s %s\n", begin, cli.Clean(kind), cli.Clean(words))
	return err
}
