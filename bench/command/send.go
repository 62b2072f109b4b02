package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/postroad/postroad/bench/load"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/config"
)

const sendHelp = `
Sends mail to HOST:PORT, as fast as the server takes it or at a fixed rate, and prints what came of it: accepted, refused, lost, and how long it took
by phases. Each message has an ID of its own in its first header field, X-Test-ID.

Without --rate each connection sends its next message when it has the reply to the last (a closed loop). With it message i is due at i/rate
after the start, however slow the server is, and latencies count from then (an open loop).

    postroad bench send --connections 20 --messages 100000 127.0.0.1:2525
    postroad bench send --rate 500 --for 5m --size 4KiB:70%,64KiB:25%,1MiB:5% --domains mix:5000 127.0.0.1:2525
    postroad bench send --pipelining stream --bdat --tls starttls --insecure --record sent.rec 127.0.0.1:2525

A target that is not on this machine or in a private network needs --yes-really: load on servers of others is abuse. Exit status: 0 when all was
accepted, 70 when something was refused for good, 75 when something was refused for now, lost, or not sent, 69 when there was no connection.
docs/bench.md says what each way of pipelining does.`

// sendCommand is one run of the command.
type sendCommand struct {
	o      load.Options
	target target
	json   bool
	record string
}

// sendFlags are the flags that need more than to be stored.
type sendFlags struct {
	size, body, domains, domain, pipelining, tls, ca, passwordFile, rate, chunk string
	insecure, fresh, reallyYes                                                  bool
}

func runSend(ctx context.Context, c *cli.Console, args []string) error {
	var b sendCommand
	var f sendFlags
	fs := c.Flags()
	b.flags(fs)
	f.flags(fs)
	b.flagsOfAddresses(fs)
	rest, err := c.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return cli.Usage("the server's address is needed, and nothing else",
			"for example: "+c.Path+" 127.0.0.1:2525")
	}
	if b.target, err = resolve(ctx, rest[0]); err != nil {
		return err
	}
	if !b.target.private && !f.reallyYes {
		return cli.Usage(rest[0]+" is not in a private network",
			"load on servers of others is abuse; if it is yours, add --yes-really")
	}
	if err := f.apply(&b); err != nil {
		return err
	}
	if b.o.Messages == 0 && b.o.For == 0 {
		return cli.Usage("how much is to be sent?", "--messages 10000, or --for 1m, or both")
	}
	if os.Getenv("GOMAXPROCS") == "" {
		// A loop that has nothing to do would wake a thread on each further processor to look for
		// work. With a rate there is some: the clock's.
		procs := max(1, b.o.Loops)
		if b.o.Rate > 0 {
			procs++
		}
		runtime.GOMAXPROCS(procs)
	}
	return b.run(ctx, c)
}

// flags are those of the load as such.
func (b *sendCommand) flags(fs *flag.FlagSet) {
	fs.IntVar(&b.o.Connections, "connections", 1, "connections at a time")
	fs.IntVar(&b.o.PerConnection, "messages-per-connection", 0,
		"messages before a connection is ended by QUIT and replaced (default: no end)")
	fs.IntVar(&b.o.Loops, "loops", 1, "event loops, each of which uses one processor at most ")
	fs.Int64Var(&b.o.Messages, "messages", 0, "stop after `N` messages")
	fs.DurationVar(&b.o.For, "for", 0, "stop after a `TIME` such as 90s or 10m")
	fs.BoolVar(&b.o.Chunking, "bdat", false,
		"send contents by BDAT where the server offers CHUNKING")
	fs.IntVar(&b.o.Window, "window", 4,
		"messages under way on a connection, with --bdat and --pipelining stream")
	fs.StringVar(&b.o.Username, "auth-user", "", "log in as `USER`")
	fs.StringVar(&b.o.Helo, "helo", "load.example", "`NAME` in EHLO")
	fs.IntVar(&b.o.Retries, "retries", 0,
		"further attempts after a refusal by 4xx or a lost connection")
	fs.DurationVar(&b.o.RetryAfter, "retry-after", time.Second, "`TIME` before another attempt")
	fs.IntVar(&b.o.Reconnects, "reconnects", 10,
		"connections in a row that come to nothing before one of --connections is given up; "+
			"-1: never")
	fs.DurationVar(&b.o.Timeout, "timeout", time.Minute, "`TIME` for each reply")
	fs.BoolVar(&b.json, "json", false,
		"print the result as one JSON object, histograms (HdrHistogram V2) included")
	fs.StringVar(&b.record, "record", "",
		"write down each message and its hash in `FILE`, to be compared with a sink's record")
}

// flagsOfAddresses are those of the envelope.
func (b *sendCommand) flagsOfAddresses(fs *flag.FlagSet) {
	e := &b.o.Envelope
	fs.StringVar(&e.Sender, "sender", "sender@load.example", "sender's `ADDRESS`; <> for none")
	fs.IntVar(&e.Recipients, "recipients", 1, "recipients per message")
	fs.BoolVar(&e.UTF8, "utf8", false, "addresses and header that need SMTPUTF8")
	fs.Uint64Var(&e.Seed, "seed", 1, "of addresses, sizes and contents")
	fs.BoolVar(&b.o.Content.Varied, "varied", false,
		"messages of many shapes: long lines, dots, 8-bit text, empty lines")
	fs.StringVar(&b.o.Content.Run, "run", "",
		"`WORD` at the beginning of all IDs (default: random)")
	fs.Func("to",
		"send to `ADDRESS`; may be repeated (default: an address of its own for each recipient, "+
			"see --domain)", func(s string) error {
			e.To = append(e.To, s)
			return nil
		})
	fs.Func("source",
		"connect from `ADDRESS`, or from several in turn (127.0.0.2,127.0.0.3); may be repeated",
		func(s string) error {
			for text := range strings.SplitSeq(s, ",") {
				addr, err := netip.ParseAddr(text)
				if err != nil {
					return fmt.Errorf("%q is no address", text)
				}
				b.o.Source = append(b.o.Source, addr)
			}
			return nil
		})
}

func (f *sendFlags) flags(fs *flag.FlagSet) {
	fs.StringVar(&f.rate, "rate", "",
		"messages a second, or a `RATE` such as 30,000/h: an open loop")
	fs.StringVar(&f.size, "size", "4KiB",
		"`SIZE` of messages, or several with weights: 4KiB:70%,64KiB:30%")
	fs.StringVar(&f.body, "body", "",
		"send the messages in `PATH` instead: a file, a file in mbox format, a directory")
	fs.StringVar(&f.domains, "domains", "",
		"recipients' domains with their weights, from `FILE`; mix:N for a few large ones and a "+
			"long tail")
	fs.StringVar(&f.domain, "domain", "sink.example", "recipients' `DOMAIN`")
	fs.StringVar(&f.pipelining, "pipelining", "off",
		"`HOW`: off, message (MAIL, RCPT and DATA together), stream (behind the previous content)")
	fs.StringVar(&f.chunk, "chunk", "", "`SIZE` of BDAT chunks (default: the whole content)")
	fs.BoolVar(&f.fresh, "fresh", false,
		"a new connection for each message: --messages-per-connection 1")
	fs.StringVar(&f.tls, "tls", "off", "`HOW`: off, starttls, implicit")
	fs.StringVar(&f.ca, "ca", "", "trust the certificates in `FILE`")
	fs.BoolVar(&f.insecure, "insecure", false, "trust every certificate")
	fs.StringVar(&f.passwordFile, "password-file", "",
		"`FILE` with the password of --auth-user in its first line")
	fs.BoolVar(&f.reallyYes, "yes-really", false,
		"the target is not in a private network, and that is meant")
}

// apply puts what the flags say into the options.
func (f *sendFlags) apply(b *sendCommand) error {
	o := &b.o
	o.Addr = b.target.addr
	if f.fresh {
		o.PerConnection = 1
	}
	for _, one := range []struct {
		flag string
		set  func(*load.Options) error
	}{
		{"rate", f.setRate}, {"size", f.setSize}, {"body", f.setBody}, {"domains", f.setDomains},
		{"pipelining", f.setPipelining},
		{"chunk", f.setChunk},
		{"tls", func(o *load.Options) error { return f.setTLS(o, b.target.host) }},
		{"password-file", f.setPassword},
	} {
		if err := one.set(o); err != nil {
			return cli.Usage("--"+one.flag+": "+err.Error(), "")
		}
	}
	return nil
}

func (f *sendFlags) setRate(o *load.Options) (err error) {
	if f.rate == "" {
		return nil
	}
	if o.Rate, err = strconv.ParseFloat(f.rate, 64); err == nil {
		if !(o.Rate > 0) {
			return fmt.Errorf("a number over 0 it should be")
		}
		return nil
	}
	var r config.Rate
	if err := r.UnmarshalText([]byte(f.rate)); err != nil {
		return err
	}
	o.Rate = float64(r.N) / r.Per.Seconds()
	return nil
}

func (f *sendFlags) setSize(o *load.Options) (err error) {
	o.Content.Sizes, err = load.ParseSizes(f.size)
	return err
}

func (f *sendFlags) setBody(o *load.Options) (err error) {
	if f.body != "" {
		o.Content.Bodies, err = load.ReadBodies(f.body)
	}
	return err
}

func (f *sendFlags) setDomains(o *load.Options) error {
	count, mix := strings.CutPrefix(f.domains, "mix:")
	switch {
	case f.domains == "":
		o.Envelope.Domains = load.NewDomains(f.domain)
		return nil
	case mix:
		n, err := strconv.Atoi(count)
		if err != nil || n < 10 {
			return fmt.Errorf("%q: mix:N with a number of at least 10 it should be", f.domains)
		}
		o.Envelope.Domains = load.MixedDomains(n, "")
		return nil
	}
	file, err := os.Open(f.domains)
	if err != nil {
		return err
	}
	defer file.Close()
	o.Envelope.Domains, err = load.ReadDomains(file)
	return err
}

func (f *sendFlags) setPipelining(o *load.Options) error {
	for _, p := range []load.Pipelining{load.PipelineOff, load.PipelineMessage,
		load.PipelineStream} {
		if f.pipelining == p.String() {
			o.Pipelining = p
			return nil
		}
	}
	return fmt.Errorf("%q: off, message or stream it should be", f.pipelining)
}

func (f *sendFlags) setChunk(o *load.Options) error {
	if f.chunk == "" {
		return nil
	}
	var size config.Size
	if err := size.UnmarshalText([]byte(f.chunk)); err != nil {
		return err
	}
	o.Chunk = int(size)
	return nil
}

func (f *sendFlags) setTLS(o *load.Options, host string) error {
	switch f.tls {
	case "off":
		return nil
	case "starttls":
		o.TLS = load.TLSStart
	case "implicit":
		o.TLS = load.TLSImplicit
	default:
		return fmt.Errorf("%q: off, starttls or implicit it should be", f.tls)
	}
	o.TLSConfig = &tls.Config{ServerName: host, InsecureSkipVerify: f.insecure}
	if f.ca == "" {
		return nil
	}
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return err
	}
	o.TLSConfig.RootCAs = x509.NewCertPool()
	if !o.TLSConfig.RootCAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("there is no certificate in %s", f.ca)
	}
	return nil
}

// setPassword reads the password. It never comes from an argument, where others could see it.
func (f *sendFlags) setPassword(o *load.Options) error {
	if f.passwordFile == "" {
		if o.Username != "" {
			return fmt.Errorf("--auth-user needs it")
		}
		return nil
	}
	text, err := os.ReadFile(f.passwordFile)
	if err != nil {
		return err
	}
	o.Password, _, _ = strings.Cut(strings.TrimRight(string(text), "\r\n"), "\n")
	return nil
}
