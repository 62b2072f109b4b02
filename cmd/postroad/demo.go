package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/postroad/postroad/internal/admin"
	"github.com/postroad/postroad/internal/mailtest"
)

// The demo: a real node in a process of its own, a DNS server and a receiving server, all on loopback. What was accepted is compared with
// what the receiving server got, by hash of the octets received and not by anything the node says.

type demo struct {
	nodes, messages int
	keep            bool
	out             io.Writer

	dir  string
	dns  *mailtest.DNS
	sink *mailtest.Sink
	node *exec.Cmd
	gone chan struct{} // closed when the node's process has ended
	smtp string        // where the node takes mail
	http string        // where it answers /readyz
}

func runDemo(ctx context.Context, c *console, args []string) error {
	d := demo{out: os.Stdout} // at once, not by the console's buffer
	flags := c.flags()
	flags.IntVar(&d.nodes, "nodes", 1, "number of nodes; this release runs one")
	flags.IntVar(&d.messages, "messages", 1000, "number of messages")
	flags.BoolVar(&d.keep, "keep", false, "keep the node's data and log")
	rest, err := c.parse(flags, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	if d.nodes != 1 {
		return usage("this release runs one node", "say --nodes 1")
	}
	ok, err := d.run(ctx)
	if err == nil && !ok {
		return exitStatus(admin.ExitSoftware) // the report was printed
	}
	return err
}

func (d *demo) run(ctx context.Context) (ok bool, err error) {
	if d.dir, err = os.MkdirTemp("", "postroad-demo-"); err != nil {
		return false, err
	}
	if d.keep {
		fmt.Fprintf(d.out, "data and log: %s\n", d.dir)
	} else {
		defer os.RemoveAll(d.dir)
	}
	domains := []string{"alpha.example", "beta.example", "gamma.example", "xn--bcher-kva.example"}
	if err := d.startWorld(domains); err != nil {
		return false, err
	}
	defer d.dns.Close()
	defer d.sink.Close()
	if err := d.startNode(); err != nil {
		return false, err
	}
	defer d.stopNode(syscall.SIGKILL)
	fmt.Fprintf(d.out, "node on %s, DNS on %s, receiving server on %s\n", d.smtp, d.dns.Addr(), d.sink.Addr())

	gen := &mailtest.Generator{Seed: 1, Run: "demo", Domains: domains}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	sent, err := mailtest.Send(ctx, mailtest.SendOptions{
		Addr: d.smtp, Connections: 10, Count: d.messages, Message: gen.Message, Pipelining: true, Retries: 3,
	})
	if err != nil {
		return false, err
	}
	fmt.Fprintf(d.out, "sent: %v\n", sent)
	report := d.settle(ctx, sent)
	fmt.Fprintf(d.out, "%v\n", report)
	stopped := d.stopNode(syscall.SIGTERM)
	if stopped != nil {
		fmt.Fprintf(d.out, "the node ended with %v\n", stopped)
	}
	fmt.Fprintf(d.out, "accepted %d messages for %d recipients; delivered %d, lost %d, changed %d, duplicated %d\n",
		sent.Messages, report.Acknowledged, report.Delivered, len(report.Lost), len(report.Changed), len(report.Duplicated))
	return report.OK() && sent.Messages == d.messages && stopped == nil, nil
}

// startWorld starts what stands around the node.
func (d *demo) startWorld(domains []string) (err error) {
	if d.dns, err = mailtest.StartDNS("127.0.0.1:0"); err != nil {
		return err
	}
	for i, domain := range domains {
		if err := d.dns.AddMX(domain, fmt.Sprintf("mx%d.demo.example", i%2), "127.0.0.1"); err != nil {
			return err
		}
	}
	d.sink, err = mailtest.StartSink(mailtest.SinkOptions{})
	return err
}

// settle waits until everything that was acknowledged has arrived, or nothing has for a while.
func (d *demo) settle(ctx context.Context, sent *mailtest.SendReport) *mailtest.Report {
	const patience = 20 * time.Second
	compare := func() *mailtest.Report { return mailtest.Compare(sent.Sent, d.sink.Deliveries(), mailtest.Rules{}) }
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	r, last, moved := compare(), -1, time.Now()
	for len(r.Lost) > 0 && time.Since(moved) < patience {
		select {
		case <-ctx.Done():
			return r
		case <-tick.C:
		}
		if n := d.sink.Accepted(); n != last {
			last, moved = n, time.Now()
			r = compare()
		}
	}
	return r
}

// startNode starts this program again as a node, and waits until it is ready.
func (d *demo) startNode() error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	d.smtp, d.http = ports[0], ports[2]
	_, sinkPort, _ := net.SplitHostPort(d.sink.Addr())
	file := filepath.Join(d.dir, "postroad.toml")
	text := fmt.Sprintf(demoConfig, filepath.Join(d.dir, "data"), ports[0], ports[1], sinkPort, d.dns.Addr(), d.http)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(d.dir, "node.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	d.node = exec.Command(self, "serve", "--config", file)
	d.node.Stderr = log
	// The node goes with us, whatever ends us.
	d.node.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.node.Start(); err != nil {
		return err
	}
	d.gone = make(chan struct{})
	go func() { d.node.Wait(); close(d.gone) }()
	return d.waitReady(log.Name())
}

func (d *demo) waitReady(log string) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if resp, err := http.Get("http://" + d.http + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-d.gone:
			b, _ := os.ReadFile(log)
			return fmt.Errorf("the node ended: %s", b)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("the node is not ready after a minute")
}

// stopNode ends the node's process by a signal and waits for it.
func (d *demo) stopNode(sig syscall.Signal) error {
	d.node.Process.Signal(sig)
	<-d.gone
	if d.node.ProcessState.Success() {
		return nil
	}
	return errors.New(d.node.ProcessState.String())
}

func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // held until all are found, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

const demoConfig = `[node]
name = "demo1"
hostname = "demo1.example"
data_dir = %q
[[listener]]
address = %q
kind = "relay"
[[listener]]
address = %q
kind = "submission"
[relay]
networks = ["127.0.0.0/8"]
[delivery]
port = %s
allow_private_destinations = true
[dns]
servers = [%q]
[admin]
address = %q
`
