// Package demo is `postroad demo`: real nodes in processes of their own, a DNS server and a
// receiving server, all on loopback. Of several nodes the one that leads the busiest group is
// killed half-way. Accepted messages are compared with those that the receiving server got, by hash
// of the octets received and not by anything the nodes say.
package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/term"

	"github.com/postroad/postroad/internal/cli"
	"github.com/postroad/postroad/internal/testkit/faults"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
	"github.com/postroad/postroad/operate/admin/api"
)

type demo struct {
	nodes, messages int
	keep, watch     bool
	out             io.Writer
	live            bool // out is a terminal: say each second how it goes

	program string // this one
	dir     string
	world   *faults.World
	cluster *faults.Cluster
	load    *faults.Load
	faults  []faults.Fault
}

// Help explains the command.
const Help = `
Starts nodes, a DNS server and a receiving server on loopback, sends messages through them, and compares what was received with what
was sent, octet for octet. Of several nodes, the one that leads the busiest group is killed half-way (SIGKILL) and started again
later. Each message that arrived twice is counted and explained. The exit status is 0 only when everything that was accepted was
delivered, and nothing arrived twice without a reason.

    postroad demo --nodes 3 --messages 20000
    postroad demo --nodes 3 --watch           keeps the nodes and a little mail running, to try things on, until Ctrl-C`

// Run runs the command.
func Run(ctx context.Context, c *cli.Console, args []string) error {
	// at once, not by the console's buffer
	d := demo{out: os.Stdout, live: term.IsTerminal(int(os.Stdout.Fd()))}
	flags := c.Flags()
	flags.IntVar(&d.nodes, "nodes", 3, "number of nodes")
	flags.IntVar(&d.messages, "messages", 1000, "number of messages")
	flags.BoolVar(&d.watch, "watch", false, "keep the nodes running until Ctrl-C")
	flags.BoolVar(&d.keep, "keep", false, "keep the nodes' data and logs")
	rest, err := c.Parse(flags, args)
	if err != nil {
		return err
	}
	if err := cli.NoMore(rest); err != nil {
		return err
	}
	if d.nodes < 1 || d.nodes > 9 || d.messages < 1 {
		return cli.Usage("a demo has 1 to 9 nodes and at least 1 message", "")
	}
	if d.program, err = os.Executable(); err != nil {
		return err
	}
	ok, err := d.run(ctx)
	if err == nil && !ok {
		return cli.ExitStatus(api.ExitSoftware) // the report was printed
	}
	return err
}

// run is the demo from beginning to end.
func (d *demo) run(ctx context.Context) (ok bool, err error) {
	if d.dir, err = os.MkdirTemp("", "postroad-demo-"); err != nil {
		return false, err
	}
	if d.keep {
		d.say("data and logs: %s", d.dir)
	} else {
		defer os.RemoveAll(d.dir)
	}
	if err := d.start(ctx); err != nil {
		return false, err
	}
	defer d.world.Close()
	defer d.cluster.Close()
	if err := d.send(ctx); err != nil {
		return false, err
	}
	if d.watch {
		d.keepRunning(ctx)
		ctx = context.WithoutCancel(ctx) // Ctrl-C has ended the watch, not the report
	}
	h, err := d.settle(ctx)
	if err != nil {
		return false, err
	}
	clean := d.stop()
	return d.report(h) && clean && ctx.Err() == nil, nil
}

// demoDomains receive the mail; slowDomain takes its time over each message, so that a node that is
// killed leaves something behind.
var demoDomains = []string{"alpha.example", "beta.example", "gamma.example",
	"xn--bcher-kva.example", slowDomain}

const (
	slowDomain     = "slow.example"
	slowness       = 100 * time.Millisecond
	demoReady      = 2 * time.Minute
	demoConnection = 10 // of each node's clients
)

// start starts what stands around the nodes, and the nodes.
func (d *demo) start(ctx context.Context) (err error) {
	if d.world, err = faults.NewWorld(demoDomains...); err != nil {
		return err
	}
	d.world.Answer(slowly)
	d.cluster, err = faults.New(faults.Options{Program: d.program, Dir: d.dir, Nodes: d.nodes,
		DNS: d.world.DNS.Addr(), Port: d.world.Port()})
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, demoReady)
		defer cancel()
		if err = d.cluster.Start(ctx); err != nil {
			d.cluster.Close()
		}
	}
	if err != nil {
		d.world.Close()
		return err
	}
	for _, n := range d.cluster.Nodes() {
		d.say("%s takes mail on %s, health and metrics on %s, process %d", n.Name, n.SMTP, n.Admin,
			n.PID())
	}
	d.say("DNS on %s, receiving server on %s", d.world.DNS.Addr(), d.world.Sink.Addr())
	return nil
}

// slowly is how the receiving server answers.
func slowly(s *mailtest.Step) mailtest.Action {
	if s.At == mailtest.AtEnd && len(s.Recipients) > 0 && hasDomain(s.Recipients[0], slowDomain) {
		return mailtest.Action{Delay: slowness}
	}
	return mailtest.Action{}
}

func hasDomain(address, domain string) bool {
	return len(address) > len(domain) && address[len(address)-len(domain)-1:] == "@"+domain
}

// generator makes the messages. Many of them are smaller at the end than few: they go to several
// disks.
func (d *demo) generator(run string) *mailtest.Generator {
	g := &mailtest.Generator{Seed: 1, Run: run, Domains: demoDomains}
	if d.messages > 2000 {
		g.MaxSize = 100 << 10
	}
	return g
}

// stop ends the nodes in good order.
func (d *demo) stop() bool {
	clean := true
	for _, n := range d.cluster.Nodes() {
		if err := n.Terminate(); err != nil {
			d.say("%v", err)
			clean = false
		}
	}
	return clean
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%s  %s\n", time.Now().Format("15:04:05.0"), fmt.Sprintf(format, args...))
}

// configs names the nodes' configurations, for the commands that a reader can try.
func (d *demo) configs() (names []string) {
	for _, n := range d.cluster.Nodes() {
		names = append(names, filepath.Join(n.Dir, "postroad.toml"))
	}
	return names
}
