package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/postroad/postroad/bench/measure"
	"github.com/postroad/postroad/bench/peers"
	"github.com/postroad/postroad/bench/report"
	"github.com/postroad/postroad/bench/sink"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// stage is one system at one point: the system, and a receiving server and a name server of its
// own, for all rounds.
type stage struct {
	point
	name    string // of the system
	scene   *scene
	system  system
	group   *measure.Group
	sink    *sink.Server    // nil while the destination is down, and with Postfix's tools
	tool    *peers.SmtpSink // with Postfix's tools
	dead    *sink.Server    // takes the backlog in the end
	domains []string
	next    string // host:port of the receiving server
	dir     string
	result  *report.Result
	rate    float64 // messages a second, of the newest measurement
	backlog *sending

	closeIdle func()

	passed, excused, bounced int    // recipients, of all rounds
	urged                    int    // times that it was asked to try again, of all rounds
	refused                  int64  // messages, likewise
	why                      string // the newest reason
}

// scene is what the stages of a scenario have in common.
type scene struct {
	o    *Options
	s    *Scenario
	disk measure.Disk
	time *budget // nil but in the short form
}

// The receiving server has an address of its own, since Postfix does not deliver to the one that it
// listens on; so has the one that is down.
const (
	sinkHost   = "127.0.0.2"
	deadHost   = "127.0.0.9"
	deadDomain = "down.example"
	senderName = "load.example" // the generator's senders, who get reports
)

// newStage starts everything. under is what the system is to run under.
func newStage(
	ctx context.Context, sc *scene, p point, name string, under []string,
) (st *stage, err error) {
	st = &stage{point: p, name: name, scene: sc, result: &report.Result{System: name}}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close())
		}
	}()
	for i := range p.Domains {
		st.domains = append(st.domains, fmt.Sprintf("d%d.sink.example", i))
	}
	if st.dir, err = folder(sc.o.Dir, "bench-"); err != nil {
		return st, err
	}
	if st.next, err = mailtest.FreeAddr(sinkHost); err != nil {
		return st, err
	}
	if err := st.openSink(); err != nil {
		return st, err
	}
	s := setting{point: p, next: st.next, dir: st.dir, under: under, program: sc.o.Program}
	if st.sink != nil {
		s.dns = st.sink.DNS().Addr()
	} else {
		s.dns = "127.0.0.1:9" // everything goes to a smart host
	}
	if len(st.domains) > 0 {
		s.domains = append(slices.Clone(st.domains), senderName)
	}
	st.system, st.group, err = start(ctx, name, s)
	return st, err
}

// openSink has the destination come up.
func (st *stage) openSink() (err error) {
	if st.scene.s.Load == postfixTools {
		st.tool, err = peers.StartSmtpSink(st.next)
		return err
	}
	c := &sink.Config{Seed: 1, Rules: st.Rules}
	o := sink.Options{Config: c, DNS: "127.0.0.1:0"}
	if st.TLS {
		c.Listen = []sink.Listen{{Address: st.next, Host: "mx.sink.example",
			Certificate: "self-signed"}}
	} else {
		o.Listen = []string{st.next}
	}
	if st.sink, err = sink.Start(o); err != nil || len(st.domains) == 0 {
		return err
	}
	for i, d := range st.domains {
		exchanger := "mx." + d
		if st.Sites > 0 {
			exchanger = fmt.Sprintf("mx%d.sink.example", i%st.Sites)
		}
		if err := st.sink.DNS().AddMX(d, exchanger, sinkHost); err != nil {
			return err
		}
	}
	return st.sink.DNS().AddMX(senderName, "mx."+senderName, sinkHost)
}

// closeSink has the destination go down.
func (st *stage) closeSink() error {
	s := st.sink
	st.sink = nil
	return s.Close()
}

// close ends all processes and removes the data.
func (st *stage) close() (err error) {
	if st.system != nil {
		st.system.stop()
	}
	if st.group != nil {
		err = st.group.Close()
	}
	for _, s := range []*sink.Server{st.sink, st.dead} {
		if s != nil {
			err = errors.Join(err, s.Close())
		}
	}
	if st.tool != nil {
		st.tool.Close()
	}
	if st.dir != "" {
		err = errors.Join(err, os.RemoveAll(st.dir))
	}
	return err
}

// fault notes something wrong with the mail: the cell has failed.
func (st *stage) fault(format string, args ...any) {
	if len(st.result.Faults) < 10 {
		st.result.Faults = append(st.result.Faults, fmt.Sprintf(format, args...))
	}
}

// duration is how long a measurement is to last.
func (st *stage) duration() time.Duration {
	if st.scene.o.Short {
		return min(time.Duration(st.Duration), shortDuration)
	}
	return time.Duration(st.Duration)
}

// patience is how long it is waited for mail that does not arrive.
func (st *stage) patience() time.Duration {
	if st.scene.o.Short {
		return shortPatience
	}
	return patience
}

// number is how many to do of something that a cell names: fewer in the short form.
func (st *stage) number(n int) int {
	if st.scene.o.Short && n > 100 {
		return max(n/shortShare, 100)
	}
	return n
}
