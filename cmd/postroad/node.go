package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/postroad/postroad/cluster"
	"github.com/postroad/postroad/delivery"
	"github.com/postroad/postroad/delivery/mx"
	"github.com/postroad/postroad/directory"
	"github.com/postroad/postroad/internal/admin"
	"github.com/postroad/postroad/internal/config"
	"github.com/postroad/postroad/internal/eventloop"
	"github.com/postroad/postroad/internal/mail"
	"github.com/postroad/postroad/internal/maillog"
	"github.com/postroad/postroad/internal/telemetry"
	"github.com/postroad/postroad/policy"
	"github.com/postroad/postroad/queue"
	"github.com/postroad/postroad/smtpd"
)

// node is a running node: the parts and what ends them, in the order in which they were started. A part is started when those
// that it needs run, and ended before them.
type node struct {
	cfg  *config.Config
	file string // the configuration file, "" for the embedded default

	log       *maillog.Log
	telemetry *telemetry.Telemetry
	budget    *mail.Budget
	pressure  *pressure
	store     *cluster.Node
	users     *directory.Directory
	editor    *directory.Editor
	queue     *queue.Queue
	resolver  *mx.Resolver
	scheduler *delivery.Scheduler
	reporter  *delivery.Reporter
	policy    *policy.Policy
	auth      *policy.Auth
	cert      *certificate
	engine    *eventloop.Engine
	smtp      *smtpd.Server
	admin     *admin.Server

	background context.Context // ends when the node stops
	cancel     context.CancelFunc
	enders     []ender
	fatal      chan error // a part cannot go on
}

// ender ends one part.
type ender struct {
	what string
	end  func(context.Context) error
}

// startNode starts a node; the parts are started from the disk outwards, so that mail is taken only when it can be kept and
// delivered. After an error everything that had been started is ended again.
func startNode(ctx context.Context, file string, cfg *config.Config) (*node, error) {
	n := &node{cfg: cfg, file: file, fatal: make(chan error, 1)}
	n.background, n.cancel = context.WithCancel(context.Background())
	for _, step := range []struct {
		what  string
		start func(context.Context) error
	}{
		{"data directory", n.startData},
		{"log", n.startLog},
		{"telemetry", n.startTelemetry},
		{"store", n.startStore},
		{"users", n.startUsers},
		{"delivery", n.startDelivery},
		{"queue", n.startQueue},
		{"SMTP", n.startSMTP},
		{"administration", n.startAdmin},
	} {
		if err := step.start(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("starting %s: %w", step.what, err), n.stop(ctx))
		}
	}
	return n, nil
}

// onStop notes how a part ends. Parts end in reverse order.
func (n *node) onStop(what string, end func(context.Context) error) {
	n.enders = append(n.enders, ender{what, end})
}

// stop ends the node in good order: it takes no more mail, finishes what is under way until ctx ends, and closes the store.
func (n *node) stop(ctx context.Context) error {
	n.cancel()
	var all error
	for i := len(n.enders) - 1; i >= 0; i-- {
		if err := n.enders[i].end(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("stopping %s: %w", n.enders[i].what, err))
		}
	}
	n.enders = nil
	return all
}

// fail ends the process: a part has found that it cannot keep its promise.
func (n *node) fail(err error) {
	select {
	case n.fatal <- err:
	default:
	}
}

func (n *node) startData(context.Context) error {
	dir := n.cfg.Node.DataDir
	// Spill files of a former run have no names; whatever else is in spill is not ours to keep.
	for _, d := range []string{dir, filepath.Join(dir, "spill")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	n.budget = mail.NewBudget(int64(n.cfg.Limits.Memory))
	n.pressure = newPressure(dir, float64(n.cfg.Limits.FreeDisk))
	go n.pressure.watch(n.background)
	return nil
}

func (n *node) startLog(context.Context) (err error) {
	if n.log, err = maillog.Open(logOf(n.cfg)); err != nil {
		return err
	}
	n.onStop("log", n.log.Close)
	return nil
}

func (n *node) startTelemetry(ctx context.Context) (err error) {
	t := n.cfg.Telemetry
	n.telemetry, err = telemetry.Start(ctx, telemetry.Options{
		Node: n.cfg.Node.Name, Version: version, OTLP: t.OTLP, Sample: float64(t.TraceSample) / 100, Logf: n.log.Errorf,
	})
	if err != nil {
		return err
	}
	n.onStop("telemetry", n.telemetry.Shutdown)
	return nil
}

func (n *node) startStore(context.Context) (err error) {
	n.store, err = cluster.Open(cluster.Options{
		Dir: n.cfg.Node.DataDir, Logf: n.log.Logf, OnFailure: n.fail,
		OnSlowDisk: func(what string) { n.log.Errorf("slow disk: %s", what) },
	})
	if err != nil {
		return err
	}
	n.onStop("store", func(context.Context) error { return n.store.Close() })
	return nil
}

// startUsers starts the control group, which holds the users.
func (n *node) startUsers(ctx context.Context) error {
	n.users = directory.New()
	group := n.store.Group(cluster.ControlGroup)
	if err := n.lead(ctx, group, usersMachine{n.users}); err != nil {
		return err
	}
	if err := n.users.Load(group); err != nil {
		return err
	}
	n.editor = &directory.Editor{Directory: n.users, Proposer: group, Now: time.Now}
	rules := rulesOf(n.cfg)
	events := n.policyEvents()
	var err error
	if n.policy, err = policy.New(policy.Options{Rules: rules, Users: n.users, Events: events}); err != nil {
		return err
	}
	secret, err := keptSecret(filepath.Join(n.cfg.Node.DataDir, "scram.secret"))
	if err != nil {
		return err
	}
	n.auth, err = policy.NewAuth(policy.AuthOptions{
		Users: n.users, Events: events, Trusted: n.cfg.Relay.Networks.Contains, ScramSecret: secret,
	})
	if err != nil {
		return err
	}
	n.onStop("log-ins", func(context.Context) error { n.auth.Close(); return nil })
	return nil
}

// startDelivery makes the scheduler, which starts to work with the queue.
func (n *node) startDelivery(context.Context) (err error) {
	if n.resolver, err = mx.New(resolverOf(n.cfg)); err != nil {
		return err
	}
	o, err := deliveryOf(n.cfg)
	if err != nil {
		return err
	}
	o.Budget, o.Log, o.Logf = n.budget, n.log, n.log.Logf
	o.Now = func() time.Time { return n.queue.Now() }
	if n.telemetry.Tracing() {
		o.Tracer = n.telemetry.Tracer("postroad/delivery")
	}
	n.queue = queue.New(queue.Options{
		Member: n.store.Member(), Budget: n.budget,
		InFlight: func(id mail.ID, recipient uint32) bool { return n.scheduler.InFlight(id, recipient) },
	})
	if n.scheduler, err = delivery.New(o, delivery.FromQueue(n.queue), newLocalResolver(n.resolver, n.cfg.Local.Domains), delivery.DialSMTP); err != nil {
		return err
	}
	n.reporter = delivery.NewReporter(o, delivery.FromQueue(n.queue))
	return nil
}

// startQueue starts the home queue group and, once this node owns it, delivery.
func (n *node) startQueue(ctx context.Context) error {
	group := n.store.Group(cluster.HomeGroup)
	if err := n.lead(ctx, group, queueMachine{n.queue}); err != nil {
		return err
	}
	if err := n.queue.Start(ctx, queueGroup{group}, announcer{n.scheduler, n.log}); err != nil {
		return err
	}
	n.onStop("queue", n.queue.Stop)
	n.scheduler.Start()
	n.onStop("delivery", n.scheduler.Shutdown)
	n.reporter.Start()
	n.onStop("reports", func(context.Context) error { n.reporter.Stop(); return nil })
	return nil
}

// lead starts a group and returns when this node leads it. A node that loses a group of its own has lost its storage: it ends.
func (n *node) lead(ctx context.Context, g *cluster.Group, m cluster.StateMachine) error {
	leading := make(chan struct{})
	led := false
	err := g.Start(m, func(term uint64) {
		switch {
		case term != 0 && !led:
			led = true
			close(leading)
		case term == 0 && led && n.background.Err() == nil:
			n.fail(fmt.Errorf("this node does not lead group %d any more", g.ID()))
		}
	})
	if err != nil {
		return err
	}
	select {
	case <-leading:
		return nil
	case err := <-n.fatal:
		return err
	case <-ctx.Done():
		return fmt.Errorf("group %d has no leader: %w", g.ID(), ctx.Err())
	}
}

func (n *node) startSMTP(context.Context) (err error) {
	n.engine, err = eventloop.Start(eventloop.Options{Logf: n.log.Errorf})
	if err != nil {
		return err
	}
	n.onStop("connections", n.engine.Shutdown)
	t := n.cfg.TLS
	if n.cert, err = newCertificate(t.Certificate, t.Key, n.cfg.Node.Hostname); err != nil {
		return err
	}
	go n.cert.watch(n.background, n.log.Errorf)
	n.smtp, err = smtpd.New(smtpd.Options{
		Engine: n.engine, Hostname: n.cfg.Node.Hostname, Policy: n.policy, Authenticator: n.auth, Submitter: n.submitter(),
		TLS: n.cert.Config, Budget: n.budget, SpillDir: filepath.Join(n.cfg.Node.DataDir, "spill"), Pressure: n.pressure.Failure,
		Log: n.log, CampaignHeader: n.cfg.Policy.CampaignHeader, Trusted: n.cfg.Relay.Networks.Contains, Limits: limitsOf(n.cfg),
	})
	if err != nil {
		return err
	}
	for _, l := range n.cfg.Listeners {
		socket, err := eventloop.Listen(l.Address)
		if err != nil {
			return fmt.Errorf("listener %s: %w", l.Address, err)
		}
		if err := n.smtp.Serve(socket, listenerOf(l)); err != nil {
			return err
		}
	}
	n.onStop("SMTP", n.smtp.Shutdown)
	return nil
}
