package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad/postroad/internal/clock"
	mailtest "github.com/postroad/postroad/internal/testkit/mail"
)

// Operators issue verbs at random nodes all the time, each about one message of a load of their
// own, or about its domains. The receiving server puts most of these off for a while, so that there
// is something to hold. No two verbs that change something are about one message, or one domain's
// suspension, at a time; so what one of them was told can be held against what arrived.
type Operators struct {
	o    OperatorsOptions
	load *Load
	end  context.CancelFunc
	work sync.WaitGroup

	mu struct {
		sync.Mutex
		rand   *rand.Rand
		verbs  []Verb
		recent []*charge // the newest, at most recentMost
	}
}

// OperatorsOptions say whose operators they are.
type OperatorsOptions struct {
	Cluster *Cluster
	World   *World
	Seed    uint64
	Pace    time.Duration // between two verbs of one operator; default 150 ms
}

// The domains of the operators' own messages: those of the first are held, removed and so on one by
// one, those of the second are suspended.
const (
	HandledDomain   = "handled.example"
	SuspendedDomain = "suspended.example"
)

// charge is a message that an operator may handle.
type charge struct {
	id   string // in the queue
	busy bool
	held bool // as far as its operators know
	gone bool
}

const (
	recentMost = 300
	handlers   = 2
)

// StartOperators starts the load and the operators. The world's answers are theirs until they are
// stopped.
func StartOperators(ctx context.Context, o OperatorsOptions) (*Operators, error) {
	if o.Pace == 0 {
		o.Pace = 150 * time.Millisecond
	}
	p := &Operators{o: o}
	p.mu.rand = rand.New(rand.NewPCG(o.Seed, 4))
	o.World.Answer(p.putOff)
	gen := &mailtest.Generator{Seed: o.Seed, Run: "v", Domains: []string{HandledDomain}, Size: 1024}
	var err error
	p.load, err = StartLoad(
		ctx,
		LoadOptions{
			Servers:     o.Cluster.Servers,
			Connections: 1,
			Interval:    o.Pace,
			OnTry:       p.take,
			Message: func(i int) *mailtest.Message {
				m := gen.Message(i)
				domain := HandledDomain
				if i%3 == 0 {
					domain = SuspendedDomain
				}
				m.Sender, m.Recipients = fmt.Sprintf(
					"v%d@%s",
					i,
					senders,
				), []string{
					fmt.Sprintf("v%d@%s", i, domain),
				}
				return m
			},
		},
	)
	if err != nil {
		return nil, err
	}
	ctx, p.end = context.WithCancel(ctx)
	for range handlers {
		p.work.Go(func() { p.handle(ctx) })
	}
	p.work.Go(func() { p.look(ctx) })
	p.work.Go(func() { p.suspend(ctx) })
	return p, nil
}

// ours reports whether a recipient is one of the operators' load.
func ours(recipient string) bool {
	_, domain, _ := strings.Cut(recipient, "@")
	return domain == HandledDomain || domain == SuspendedDomain
}

// putOff is the receiving server's answer.
func (p *Operators) putOff(s *mailtest.Step) mailtest.Action {
	if s.At == mailtest.AtRcpt && ours(s.Recipient) && p.roll(10) < 7 {
		return mailtest.Action{Reply: "451 4.2.1 not yet"}
	}
	return mailtest.Action{}
}

func (p *Operators) roll(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.rand.IntN(n)
}

// take notes what the load has had accepted.
func (p *Operators) take(t *Try) {
	if len(t.Accepted) == 0 || !strings.HasSuffix(t.Accepted[0], "@"+HandledDomain) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.recent = append(p.mu.recent, &charge{id: t.QueueID}); len(p.mu.recent) > recentMost {
		p.mu.recent = p.mu.recent[1:]
	}
}

// choose finds a message that nobody handles, the newest more often, and what to do with it.
func (p *Operators) choose() (c *charge, verb string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.mu.recent)
	if n == 0 {
		return nil, ""
	}
	most := min(n, 20)
	if p.mu.rand.IntN(3) == 0 {
		most = n
	}
	c = p.mu.recent[n-1-p.mu.rand.IntN(most)]
	if c.busy || c.gone && p.mu.rand.IntN(5) > 0 {
		return nil, ""
	}
	c.busy = true
	some := []string{
		"hold",
		"hold",
		"hold",
		"hold",
		"remove",
		"fail",
		"flush",
		"flush",
		"trace",
		"show",
		"release",
	}
	if c.held {
		some = []string{
			"release",
			"release",
			"release",
			"release",
			"remove",
			"fail",
			"flush",
			"trace",
			"show",
			"hold",
		}
	}
	return c, some[p.mu.rand.IntN(len(some))]
}

// node chooses one whose process runs, whether it is paused, cut off or not ready.
func (p *Operators) node() *Node {
	servers := p.o.Cluster.Servers()
	if len(servers) == 0 {
		return nil
	}
	return p.o.Cluster.Node(servers[p.roll(len(servers))].Number)
}

// do carries out a verb and notes it.
func (p *Operators) do(ctx context.Context, v Verb) Verb {
	n := p.node()
	if n == nil {
		v.Exit = 69
		return v
	}
	v.ask(ctx, n)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.verbs = append(p.mu.verbs, v)
	return v
}

func (p *Operators) handle(ctx context.Context) {
	for clock.Pause(ctx, p.o.Pace) {
		c, verb := p.choose()
		if c == nil {
			continue
		}
		v := p.do(ctx, Verb{Verb: verb, ID: c.id})
		p.mu.Lock()
		c.busy = false
		switch verb {
		case "hold":
			c.held = c.held || v.Done+v.InFlight > 0
		case "release":
			c.held = c.held && v.Exit != 0
		case "remove", "fail":
			c.gone = c.gone || v.Done+v.InFlight > 0
		}
		p.mu.Unlock()
	}
}

func (p *Operators) look(ctx context.Context) {
	for clock.Pause(ctx, 2*p.o.Pace) {
		p.do(
			ctx,
			Verb{
				Verb:   []string{"count", "list"}[p.roll(2)],
				Domain: []string{HandledDomain, SuspendedDomain}[p.roll(2)],
			},
		)
	}
}

// suspend suspends and resumes, again and again. A command that is not known to have been done is
// repeated.
func (p *Operators) suspend(ctx context.Context) {
	for {
		for _, verb := range []string{"suspend", "resume"} {
			for p.do(ctx, Verb{Verb: verb, Domain: SuspendedDomain}).unsettled() {
				if !clock.Pause(ctx, 500*time.Millisecond) {
					return
				}
			}
			if !clock.Pause(ctx, time.Second+time.Duration(p.roll(3000))*time.Millisecond) {
				return
			}
		}
	}
}

// unsettled reports whether it is to be repeated.
func (v Verb) unsettled() bool { return v.Exit != 0 && v.Exit != 65 }

// Stop ends load and operators, lets go what they have held and suspended, and returns what was
// sent and what was told.
func (p *Operators) Stop(ctx context.Context) ([]Try, []Verb) {
	p.load.Stop()
	p.end()
	p.work.Wait()
	tries := p.load.Wait()
	p.o.World.Answer(nil)
	for _, v := range []Verb{{Verb: "resume", Domain: SuspendedDomain},
		{Verb: "release", Domain: HandledDomain}, {Verb: "flush", Domain: HandledDomain},
		{Verb: "flush", Domain: SuspendedDomain}} {
		for p.do(ctx, v).unsettled() && clock.Pause(ctx, 500*time.Millisecond) {
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return tries, slices.Clone(p.mu.verbs)
}
