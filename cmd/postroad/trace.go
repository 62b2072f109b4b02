package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/node/operator"
	"github.com/postroad/postroad/operate/admin/api"
	"github.com/postroad/postroad/operate/admin/cmdline"
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
	var n cmdline.Node
	n.Register(fs)
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
	client, err := n.Client()
	if err != nil {
		return err
	}
	defer client.Close()
	total, err := client.Trace(ctx, t, func(raw json.RawMessage) error {
		if *asJSON {
			return c.Line(raw)
		}
		return operator.PrintStep(c, raw)
	})
	if total != nil && total.Truncated {
		fmt.Fprintln(c.Err, "there is more, which is older; give an ID, or a shorter --since")
	}
	return err
}
