package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/term"

	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/bench/sink"
	"github.com/postroad/postroad/internal/cli"
)

const sinkHelp = `
A receiving server for load tests of any mail server. It takes everything, or behaves as a file says for each domain, client and address: refusals,
greylisting, limits as large providers have them, slowness, broken connections, TLS with a bad certificate. It can answer DNS for the domains that it
takes mail for, and write down each message: its ID (the header field X-Test-ID), recipients, hash, size, time, and connection.

It stops at SIGINT or SIGTERM, or after --messages or --for, and prints a summary.

    postroad bench sink --listen 127.0.0.1:2600 --record sink.rec
    postroad bench sink --config providers.toml --dns 127.0.0.1:5353 --for 10m --json

docs/bench.md has an example of all that the file can say.`

// lastReplies is how long clients have, at the end, to read the last replies and to end their
// connections.
const lastReplies = time.Second

// sinkCommand is one run of the command.
type sinkCommand struct {
	o        sink.Options
	config   string
	record   string
	ca       string
	json     bool
	messages int
	length   time.Duration
	started  time.Time
}

func runSink(ctx context.Context, c *cli.Console, args []string) error {
	var b sinkCommand
	fs := c.Flags()
	fs.Func("listen",
		"take mail on `ADDRESS` (default, when the file has none: 127.0.0.1:2600); may be repeated",
		func(s string) error {
			b.o.Listen = append(b.o.Listen, s)
			return nil
		})
	fs.StringVar(&b.config, "config", "", "behave as `FILE` says")
	fs.StringVar(&b.o.DNS, "dns", "", "answer DNS on `ADDRESS`")
	fs.IntVar(&b.o.Loops, "loops", 1, "event `LOOPS`, each of which uses one processor at most")
	fs.StringVar(&b.record, "record", "", "write down each message in `FILE`")
	fs.StringVar(&b.ca, "ca", "",
		"write the certificate of the authority that signed the sink's to `FILE`, for clients "+
			"to trust")
	fs.IntVar(&b.messages, "messages", 0, "stop after `N` messages")
	fs.DurationVar(&b.length, "for", 0, "stop after a `TIME` such as 90s or 10m")
	fs.BoolVar(&b.json, "json", false, "print the summary as one JSON object")
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	if b.config != "" {
		if b.o.Config, err = sink.Load(b.config); err != nil {
			return err
		}
	}
	if len(b.o.Listen) == 0 && (b.o.Config == nil || len(b.o.Config.Listen) == 0) {
		b.o.Listen = []string{"127.0.0.1:2600"}
	}
	return b.run(ctx, c)
}

// run is the sink from beginning to end.
func (b *sinkCommand) run(ctx context.Context, c *cli.Console) (err error) {
	if b.record == "" {
		b.o.Count = true
	} else {
		f, err := record.Create(b.record)
		if err != nil {
			return err
		}
		defer f.Close()
		b.o.Record = f
	}
	if os.Getenv("GOMAXPROCS") == "" {
		// A loop that has nothing to do would wake a thread on each further processor to look for
		// work, which costs a third as much again (docs/performance.md).
		runtime.GOMAXPROCS(b.o.Loops)
	}
	s, err := sink.Start(b.o)
	if err != nil {
		return err
	}
	if b.ca != "" {
		if err := os.WriteFile(b.ca, s.Authority(), 0o644); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	b.announce(c.Err, s)
	b.started = time.Now()
	b.wait(ctx, c.Err, s)
	took := time.Since(b.started)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastReplies)
	defer cancel()
	return errors.Join(s.Shutdown(last), b.summary(c.Out, s.Counts(), took))
}

// announce says where what is.
func (b *sinkCommand) announce(w io.Writer, s *sink.Server) {
	for _, addr := range s.Addrs() {
		fmt.Fprintln(w, "takes mail on "+addr)
	}
	if s.DNS() != nil {
		fmt.Fprintln(w, "answers DNS on "+s.DNS().Addr())
	}
	if at := s.PolicyAddr(); at != "" {
		fmt.Fprintln(w, "serves MTA-STS policies on "+at)
	}
}

// wait returns when ctx ends, or the messages or the time that were asked for are there.
func (b *sinkCommand) wait(ctx context.Context, w io.Writer, s *sink.Server) {
	if b.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.length)
		defer cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if b.messages > 0 {
		go func() {
			_ = s.Wait(ctx, b.messages) // it ends with ctx, too
			cancel()
		}()
	}
	go s.Records().KeepFlushed(ctx)
	showCounts(ctx, w, s)
}

// showCounts says each second how it goes, on a terminal, until ctx ends.
func showCounts(ctx context.Context, w io.Writer, s *sink.Server) {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := 0
	for {
		select {
		case <-ctx.Done():
			fmt.Fprint(w, "\r\x1b[K")
			return
		case <-tick.C:
		}
		n := s.Counts()
		fmt.Fprintf(w, "\r%10d messages %8d messages/s %8d connections\x1b[K", n.Messages,
			n.Messages-before, n.Open)
		before = n.Messages
	}
}

// summary prints the totals.
func (b *sinkCommand) summary(w io.Writer, n sink.Counts, took time.Duration) error {
	rate := float64(n.Messages) / took.Seconds()
	if b.json {
		return json.NewEncoder(w).Encode(struct {
			sink.Counts
			Seconds float64 `json:"seconds"`
			Rate    float64 `json:"messages_per_second"`
		}{n, took.Seconds(), rate})
	}
	_, err := fmt.Fprintf(w,
		"%d messages, %d octets, over %d connections (%d at one time) in %.2f s: %.0f messages/s\n",
		n.Messages, n.Octets, n.Connects, n.MostOpen, took.Seconds(), rate)
	return err
}
