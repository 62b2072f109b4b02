package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/postroad/postroad/bench/load"
	"github.com/postroad/postroad/bench/record"
	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/operate/admin/api"
)

// target is where a load goes.
type target struct {
	host string // as it was given, for TLS
	// with an address instead of a name, which would be looked up for each connection
	addr    string
	private bool // all its addresses are on this machine or in a private network
}

// resolve looks the target up.
func resolve(ctx context.Context, hostPort string) (t target, err error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil || host == "" || port == "" {
		return t, cli.Usage(fmt.Sprintf("%q: HOST:PORT it should be", hostPort),
			"for example 127.0.0.1:2525")
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return t, &api.Error{Exit: api.ExitUnavailable, Message: fmt.Sprintf("%s is not known: %v",
			host, err)}
	}
	t = target{host: host, addr: net.JoinHostPort(addrs[0].Unmap().String(), port), private: true}
	for _, a := range addrs {
		t.private = t.private && isPrivate(a.Unmap())
	}
	return t, nil
}

func isPrivate(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

// run is the load from beginning to end.
func (b *sendCommand) run(ctx context.Context, c *cli.Console) (err error) {
	if b.record != "" {
		done, err := b.writeDown()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, done()) }()
	}
	l, err := load.Start(b.o)
	if err != nil {
		return cli.Usage(err.Error(), "")
	}
	ended := make(chan struct{})
	told := make(chan struct{})
	go func() {
		defer close(told)
		follow(c.Err, l, ended)
	}()
	r, err := l.Wait(ctx)
	close(ended)
	<-told
	if err != nil {
		return err
	}
	if b.json {
		err = json.NewEncoder(c.Out).Encode(r)
	} else {
		err = printResult(c.Out, r)
	}
	if status := b.status(r); err == nil && status != 0 {
		return cli.ExitStatus(status) // the result says why
	}
	return err
}

// writeDown has each message written to the record; done completes it.
func (b *sendCommand) writeDown() (done func() error, err error) {
	f, err := record.Create(b.record)
	if err != nil {
		return nil, err
	}
	log := record.NewSentLog()
	if err := log.Stream(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	writing, stop := context.WithCancel(context.Background())
	go log.KeepFlushed(writing)
	b.o.Hash = true
	b.o.OnSent = func(s *load.Sent) {
		var r record.Sent
		s.Record(&r)
		_ = log.Add(&r) // Finish has the first error
	}
	return func() error {
		stop()
		err := errors.Join(log.Finish(), f.Close())
		if err == nil && log.Missed() > 0 {
			err = fmt.Errorf("%d messages are missing in %s", log.Missed(), b.record)
		}
		return err
	}, nil
}

// follow says each second how it goes, on a terminal.
func follow(w io.Writer, l *load.Load, ended <-chan struct{}) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := load.Progress{}
	for {
		select {
		case <-ended:
			fmt.Fprint(w, "\r\x1b[K")
			return
		case <-tick.C:
		}
		p := l.Progress()
		seconds := (p.Elapsed - before.Elapsed).Seconds()
		fmt.Fprintf(w,
			"\r%4.0f s %10d accepted %8.0f messages/s %6.1f MiB/s  p50 %s p99 %s  %d connections",
			p.Elapsed.Seconds(), p.Accepted,
			float64(p.Accepted-before.Accepted)/seconds,
			float64(p.Octets-before.Octets)/seconds/(1<<20),
			micros(p.Latency.P50), micros(p.Latency.P99), p.Open)
		if n := p.RefusedForNow + p.RefusedForGood + p.Lost + p.Unknown; n > 0 {
			fmt.Fprintf(w, "  %d not accepted", n)
		}
		if p.Overdue > 0 {
			fmt.Fprintf(w, "  %d overdue", p.Overdue)
		}
		fmt.Fprint(w, "\x1b[K")
		before = p
	}
}

// micros shows microseconds.
func micros(us int64) string {
	switch d := time.Duration(us) * time.Microsecond; {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", us)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(us)/1e3)
	default:
		return fmt.Sprintf("%.2f s", float64(us)/1e6)
	}
}

// printResult is the result for people.
func printResult(w io.Writer, r *load.Result) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out,
		"%d messages accepted (%.1f MiB) in %.2f s: %.0f messages/s, %.1f µs of CPU of the "+
			"generator per message\n",
		r.Accepted, float64(r.Octets)/(1<<20), r.Seconds, r.Rate, r.CPU)
	fmt.Fprintf(out, "refused %d for now, %d for good; lost %d, unknown %d; %d further attempts\n",
		r.RefusedForNow, r.RefusedForGood, r.Lost, r.Unknown, r.Retries)
	if r.Overdue > 0 {
		fmt.Fprintf(out,
			"%d were due and not begun: the server is too slow for this rate with so many "+
				"connections\n", r.Overdue)
	}
	fmt.Fprintf(out, "%d connections, %d failed, %d cut; pipelining %s, BDAT %v\n", r.Connections,
		r.ConnectionsFailed, r.ConnectionsCut, r.Pipelining, r.Chunking)
	fmt.Fprintf(out, "\nHow long each phase of accepted messages took (pN: N of 100 took no "+
		"longer):\n"+
		"%-9s %9s %9s %9s %9s %9s %9s\n", "", "count", "p50", "p90", "p99", "p99.9",
		"max")
	for _, name := range []string{"connect", "banner", "wait", "envelope", "data", "whole"} {
		p := r.Phases[name]
		fmt.Fprintf(out, "%-9s %9d %9s %9s %9s %9s %9s\n", name, p.Count, micros(p.P50),
			micros(p.P90), micros(p.P99), micros(p.P999), micros(p.Max))
	}
	for _, list := range []struct {
		title string
		of    []load.Refusal
	}{{"Refusals", r.Refusals}, {"Connections that failed or were cut", r.Failures}} {
		if len(list.of) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s:\n", list.title)
		for _, one := range list.of {
			fmt.Fprintf(out, "%9d  at %-8s  %s\n", one.Count, one.At, one.Text)
		}
	}
	return out.Flush()
}

// status is the exit status that a result stands for.
func (b *sendCommand) status(r *load.Result) int {
	unsent := int64(0)
	if b.o.Messages > 0 && b.o.For == 0 {
		unsent = b.o.Messages - r.Begun
	}
	switch {
	case r.Connections == 0:
		return api.ExitUnavailable
	case r.RefusedForGood > 0:
		return api.ExitSoftware
	case r.Begun > r.Accepted || r.RecipientsRefused > 0 || r.Overdue > 0 || unsent > 0:
		return api.ExitTemporary
	}
	return 0
}
